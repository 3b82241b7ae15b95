// SPDX-License-Identifier: GPL-2.0

//! Pieces of an image: what a SAVE writes and a LOAD reads.
//!
//! All numbers are big-endian. A piece is a header, records, and a checksum (FNV-1a, 64 bits) of
//! all before it. Pieces of one image count from 0, and each has the checksum of the one before it,
//! so that one state is always saved as the same bytes, and pieces of two images are not taken for
//! one. Pages come in any order, the last content counts. The last piece ends with a digest of the versions of all pages, which
//! shows that none is missing, and with the function's objects.

use super::state::{Bytes, Page};
use crate::layout::{Quad, Slot};
use crate::memory::PAGE;
use crate::status::{refuse, require, Failure, Result, Status};
use std::collections::BTreeMap;
use std::sync::Arc;

layouts! {
    /// Begins a piece.
    header: 0x28 {
        magic = 0x00 [31:0];
        version = 0x04 [31:16];
        last = 0x04 [0:0];
        previous = 0x08 quad;
        length = 0x10 quad;
        sequence = 0x18 [31:0];
        pages = 0x1c [31:0];
        reserved = 0x20 quad;
    }
    /// Begins a record.
    record: 0x10 {
        kind = 0x00 [31:0];
        length = 0x04 [31:0];
        index = 0x08 [31:0];
        version = 0x0c [31:0];
    }
}

const MAGIC: u32 = u32::from_be_bytes(*b"CXVF");
const VERSION: u32 = 2;
const CHECKSUM: usize = 8;

const KIND_PAGE: u32 = 1;
const KIND_DIGEST: u32 = 2;
const KIND_OBJECTS: u32 = 3;

/// Bytes of a piece without records.
pub(super) const FRAME: u64 = (header::SIZE + CHECKSUM) as u64;
/// Bytes of a page in it.
pub(super) const PAGE_RECORD: u64 = (record::SIZE + PAGE) as u64;
/// Bytes that the last piece has in addition to the objects.
pub(super) const TAIL: u64 = (2 * record::SIZE + 8) as u64;
/// The most pages of an image: twice the largest that can be asked for.
const MAX_PAGES: u32 = 2 << 20;

/// The checksum, which takes bytes as they come. Each step is one-to-one, so no single damaged byte
/// goes unseen.
#[derive(Clone, Copy, Debug)]
struct Sum(u64);

impl Sum {
    const NEW: Self = Self(0xcbf2_9ce4_8422_2325);

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

/// What a piece says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// The checksum of the piece before; 0 for the first.
    pub(super) previous: u64,
    pub(super) sequence: u32,
    pub(super) last: bool,
    /// Pages of the whole image, as far as is known.
    pub(super) pages: u32,
}

/// Makes a piece, in slices.
#[derive(Debug)]
pub(super) struct Writer {
    length: u64,
    pages: std::vec::IntoIter<Page>,
    tail: Option<Vec<u8>>,
    /// Made, but not yet asked for.
    ready: Vec<u8>,
    sum: Sum,
}

impl Writer {
    /// `end` has digest and objects of the last piece.
    pub(super) fn new(head: Head, pages: Vec<Page>, end: Option<(u64, Vec<u8>)>) -> Self {
        let mut tail = Vec::new();
        if let Some((digest, objects)) = &end {
            tail.extend(record_header(KIND_DIGEST, 8, 0, 0));
            tail.extend(digest.to_be_bytes());
            tail.extend(record_header(KIND_OBJECTS, objects.len(), 0, 0));
            tail.extend(objects);
        }
        let length = FRAME + pages.len() as u64 * PAGE_RECORD + tail.len() as u64;
        let mut first = vec![0; header::SIZE];
        header::magic.put(&mut first, MAGIC);
        header::version.put(&mut first, VERSION);
        header::last.put(&mut first, u32::from(head.last));
        header::previous.put(&mut first, head.previous);
        header::length.put(&mut first, length);
        header::sequence.put(&mut first, head.sequence);
        header::pages.put(&mut first, head.pages);
        let mut writer = Self {
            length,
            pages: pages.into_iter(),
            tail: Some(tail),
            ready: Vec::new(),
            sum: Sum::NEW,
        };
        writer.push(&first);
        writer
    }

    /// Bytes of the whole piece.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Its checksum, once all of it was taken.
    pub(super) fn checksum(&self) -> u64 {
        self.sum.0
    }

    fn push(&mut self, bytes: &[u8]) {
        self.sum.add(bytes);
        self.ready.extend_from_slice(bytes);
    }

    /// The next `count` bytes; fewer at the end.
    pub(super) fn take(&mut self, count: usize) -> Vec<u8> {
        while self.ready.len() < count {
            if let Some(page) = self.pages.next() {
                let bytes = page.bytes();
                self.push(&record_header(KIND_PAGE, PAGE, page.index, page.version));
                self.push(&bytes[..]);
            } else if let Some(tail) = self.tail.take() {
                self.push(&tail);
                let sum = self.sum.0;
                self.ready.extend(sum.to_be_bytes());
            } else {
                break;
            }
        }
        let rest = self.ready.split_off(count.min(self.ready.len()));
        std::mem::replace(&mut self.ready, rest)
    }
}

fn record_header(kind: u32, length: usize, index: u32, version: u32) -> [u8; record::SIZE] {
    let mut bytes = [0; record::SIZE];
    record::kind.put(&mut bytes, kind);
    // CAST: Objects are bounded, see `object`.
    record::length.put(&mut bytes, length as u32);
    record::index.put(&mut bytes, index);
    record::version.put(&mut bytes, version);
    bytes
}

/// What a piece holds.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) head: Head,
    pub(super) pages: BTreeMap<u32, (u32, Bytes)>,
    pub(super) digest: Option<u64>,
    pub(super) objects: Option<Vec<u8>>,
    pub(super) checksum: u64,
}

/// Reads a piece, in slices.
#[derive(Debug)]
pub(super) struct Reader {
    /// Bytes of the piece that have not come.
    missing: u64,
    /// Came, but not yet read.
    pending: Vec<u8>,
    piece: Option<Piece>,
    sum: Sum,
}

impl Reader {
    /// A piece that is said to have `length` bytes.
    pub(super) fn new(length: u64) -> Result<Self> {
        require(length >= FRAME, Status::BadParam, "no image is that short")?;
        Ok(Self {
            missing: length,
            pending: Vec::new(),
            piece: None,
            sum: Sum::NEW,
        })
    }

    /// The next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.missing = match self.missing.checked_sub(bytes.len() as u64) {
            Some(missing) => missing,
            None => return refuse(Status::BadParam, "the image is longer than it says"),
        };
        self.pending.extend_from_slice(bytes);
        let mut read = 0;
        while let Some(used) = self.step(read)? {
            self.sum.add(&self.pending[read..read + used]);
            read += used;
        }
        self.pending.drain(..read);
        Ok(())
    }

    /// Reads the header or a record at `at`, and tells its bytes, if it is there as a whole. What
    /// follows the records is left alone.
    fn step(&mut self, at: usize) -> Result<Option<usize>> {
        let data = &self.pending[at..];
        let Some(piece) = &mut self.piece else {
            if data.len() < header::SIZE {
                return Ok(None);
            }
            let length = data.len() as u64 + self.missing;
            self.piece = Some(parse_header(data, length)?);
            return Ok(Some(header::SIZE));
        };
        let left = data.len() as u64 + self.missing - CHECKSUM as u64;
        if data.len() < record::SIZE || left == 0 {
            return Ok(None);
        }
        let length = record::length.get(data) as usize;
        if (record::SIZE + length) as u64 > left {
            return refuse(
                Status::BadParam,
                "a record of the image is longer than the image",
            );
        }
        let Some(body) = data.get(record::SIZE..record::SIZE + length) else {
            return Ok(None);
        };
        match (record::kind.get(data), piece.head.last) {
            (KIND_PAGE, _) => {
                let (index, version) = (record::index.get(data), record::version.get(data));
                let bytes: Result<[u8; PAGE]> = body
                    .try_into()
                    .map_err(|_| Failure::new(Status::BadParam, "a page of the image is no page"));
                require(
                    index < piece.head.pages,
                    Status::BadParam,
                    "a page of the image is past its end",
                )?;
                let double = piece
                    .pages
                    .insert(index, (version, Arc::new(bytes?)))
                    .is_some();
                require(
                    !double,
                    Status::BadParam,
                    "a page comes twice in a piece of the image",
                )?;
            }
            (KIND_DIGEST, true) if length == 8 && piece.digest.is_none() => {
                piece.digest = Some(Quad(0).get(body));
            }
            (KIND_OBJECTS, true) if piece.digest.is_some() && piece.objects.is_none() => {
                piece.objects = Some(body.to_vec());
            }
            _ => {
                return refuse(
                    Status::BadParam,
                    "the image has a record that has no place there",
                )
            }
        }
        Ok(Some(record::SIZE + length))
    }

    /// All that came, if it is good.
    pub(super) fn finish(self) -> Result<Piece> {
        require(
            self.missing == 0 && self.pending.len() == CHECKSUM,
            Status::BadParam,
            "the image ends in the middle",
        )?;
        require(
            Quad(0).get(&self.pending) == self.sum.0,
            Status::BadParam,
            "the image is damaged",
        )?;
        match self.piece {
            Some(piece) if piece.head.last == piece.objects.is_some() => Ok(Piece {
                checksum: self.sum.0,
                ..piece
            }),
            _ => refuse(
                Status::BadParam,
                "the last piece of the image lacks the objects",
            ),
        }
    }
}

fn parse_header(data: &[u8], length: u64) -> Result<Piece> {
    require(
        header::magic.get(data) == MAGIC && header::version.get(data) == VERSION,
        Status::BadParam,
        "this is no image of this version",
    )?;
    require(
        header::length.get(data) == length,
        Status::BadParam,
        "the image has another length than it says",
    )?;
    let pages = header::pages.get(data);
    require(
        pages <= MAX_PAGES,
        Status::ExceedLim,
        "the image is larger than any function's",
    )?;
    Ok(Piece {
        head: Head {
            previous: header::previous.get(data),
            sequence: header::sequence.get(data),
            last: header::last.get(data) == 1,
            pages,
        },
        pages: BTreeMap::new(),
        digest: None,
        objects: None,
        checksum: 0,
    })
}
