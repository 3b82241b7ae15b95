// SPDX-License-Identifier: GPL-2.0

//! Records around what the backend made.
//!
//! They are made where the stream is read, in its order, so no arc waits for a checksum. That of an
//! image is made block by block, of what was just copied and is still in the CPU's cache.

use crate::{
    backend::Image,
    monitor::{
        Direction,
        Monitor, //
    },
    protocol::stream::{
        Header,
        Identity,
        Writer,
        CHECKSUM_RECORD_LEN,
        HEADER_LEN,
        IDENTITY_RECORD_LEN,
        TRAILER_RECORD_LEN, //
    },
    Crc32c,
};
use kernel::sync::Arc;

/// Bytes of an image that the checksum takes in at once: in smaller pieces it takes longer.
const BLOCK: usize = 64 * 1024;

/// Bytes of the records around an image, but for the identity.
pub(crate) const FRAMING: usize = HEADER_LEN + CHECKSUM_RECORD_LEN;

/// What is to be read next.
pub(super) enum Item<I> {
    Image {
        image: I,
        /// It belongs to the initial data of pre-copy.
        initial: bool,
    },
    /// The stream is complete.
    End,
}

impl<I: Image> Item<I> {
    /// Bytes of the stream, but for the identity.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Image { image, .. } => image.size() + FRAMING,
            Self::End => TRAILER_RECORD_LEN,
        }
    }

    pub(super) fn is_initial(&self) -> bool {
        matches!(self, Self::Image { initial: true, .. })
    }
}

/// Makes the records of a stream.
pub(super) struct Framer {
    writer: Writer<Crc32c>,
    identity: Identity,
    identified: bool,
    monitor: Arc<Monitor>,
    session: u64,
}

impl Framer {
    /// For session number `session`.
    pub(super) fn new(identity: Identity, monitor: Arc<Monitor>, session: u64) -> Self {
        Self {
            writer: Writer::new(),
            identity,
            identified: false,
            monitor,
            session,
        }
    }

    /// Tells of a record.
    fn made(&self, record: &[u8]) {
        if let Some(header) = record.first_chunk::<HEADER_LEN>() {
            let header = Header::decode(header);
            self.monitor.record(self.session, header, Direction::Save);
        }
    }

    /// Begins to read an item.
    pub(super) fn open<I: Image>(&mut self, item: Item<I>) -> Entry<I> {
        let mut entry = Entry {
            initial: item.is_initial(),
            head: Record::new(),
            image: None,
            tail: Record::new(),
            read: 0,
            checked: 0,
        };
        if !self.identified {
            let identity = self.writer.identity(&self.identity);
            self.made(&identity);
            entry.head.add(&identity);
            self.identified = true;
        }
        match item {
            Item::Image { image, .. } => {
                // CAST: No image is longer than `isize::MAX`.
                let header = self.writer.data(image.size() as u64);
                self.made(&header);
                entry.head.add(&header);
                entry.image = Some(image);
            }
            Item::End => {
                let trailer = self.writer.trailer();
                self.made(&trailer);
                entry.tail.add(&trailer);
            }
        }
        entry
    }

    /// The next bytes of the entry, at most `most`; empty at its end.
    pub(super) fn piece<'a, I: Image>(&mut self, entry: &'a mut Entry<I>, most: usize) -> &'a [u8] {
        let head = entry.head.bytes().len();
        let Some(at) = entry.read.checked_sub(head) else {
            return first(&entry.head.bytes()[entry.read..], most);
        };
        let Some(image) = &entry.image else {
            return first(entry.tail.bytes().get(at..).unwrap_or(&[]), most);
        };
        let size = image.size();
        if at < size {
            if at >= entry.checked + BLOCK {
                self.check(image, entry.checked, at);
                entry.checked = at;
            }
            return first(image.piece(at), most);
        }
        if entry.tail.bytes().is_empty() {
            self.check(image, entry.checked, size);
            let checksum = self.writer.checksum();
            self.made(&checksum);
            entry.tail.add(&checksum);
        }
        first(entry.tail.bytes().get(at - size..).unwrap_or(&[]), most)
    }

    /// Has the checksum take in the bytes `from..to` of the image.
    fn check<I: Image>(&mut self, image: &I, mut from: usize, to: usize) {
        while from < to {
            let piece = first(image.piece(from), to - from);
            if piece.is_empty() {
                debug_assert!(false);
                return;
            }
            self.writer.payload(piece);
            from += piece.len();
        }
    }
}

fn first(bytes: &[u8], most: usize) -> &[u8] {
    bytes.get(..most).unwrap_or(bytes)
}

/// One or two records.
///
/// # Invariants
///
/// `len` is at most the length of `bytes`.
struct Record {
    bytes: [u8; IDENTITY_RECORD_LEN + HEADER_LEN],
    len: usize,
}

impl Record {
    const fn new() -> Self {
        // INVARIANT: It is 0.
        Self {
            bytes: [0; IDENTITY_RECORD_LEN + HEADER_LEN],
            len: 0,
        }
    }

    fn add(&mut self, record: &[u8]) {
        let Some(place) = self.bytes.get_mut(self.len..self.len + record.len()) else {
            debug_assert!(false);
            return;
        };
        place.copy_from_slice(record);
        // INVARIANT: There was room.
        self.len += record.len();
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// An item that is being read.
pub(super) struct Entry<I> {
    initial: bool,
    /// Identity and header.
    head: Record,
    image: Option<I>,
    /// Checksum, which is made when the image was read, or trailer.
    tail: Record,
    read: usize,
    /// Bytes of the image that the checksum includes.
    checked: usize,
}

impl<I: Image> Entry<I> {
    /// Bytes that were not read.
    pub(super) fn len(&self) -> usize {
        let head = self.head.bytes().len();
        let rest = match &self.image {
            Some(image) => image.size() + CHECKSUM_RECORD_LEN,
            None => TRAILER_RECORD_LEN,
        };
        (head + rest).saturating_sub(self.read)
    }

    pub(super) fn is_initial(&self) -> bool {
        self.initial
    }

    /// The next `count` bytes were read.
    pub(super) fn advance(&mut self, count: usize) {
        self.read += count;
    }

    /// From now on it belongs to the initial data.
    pub(super) fn set_initial(&mut self) {
        self.initial = true;
    }

    /// The memory of the image, for another.
    pub(super) fn into_image(self) -> Option<I> {
        self.image
    }
}
