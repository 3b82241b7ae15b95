// SPDX-License-Identifier: GPL-2.0

//! The image of the emulated device: the payload of its stream. Uses `core::` only.
//!
//! A sequence of items, each a header {le32 kind, le32 length, le64 offset} and `length` bytes:
//!
//! - `PAGES`: whole pages of BAR2 from `offset` on. Pages come in order from 0 first; a page may
//!   come again once it has come, and its last content counts.
//! - `DEVICE`: registers, those of the DMA engine, and configuration space; the last item, after all
//!   pages.
//!
//! Items are cut into records anywhere.

use super::{
    bytes::{
        Reader,
        Writer, //
    },
    config,
    engine::Engine,
    registers::Registers, //
};

/// Bytes of a page of the image.
pub(crate) const PAGE: usize = 4096;
/// Bytes of an item's header.
pub(crate) const HEADER: usize = 16;
/// Bytes of the payload of the `DEVICE` item.
pub(crate) const DEVICE_LEN: usize = Registers::ENCODED + Engine::ENCODED + config::SIZE;

const KIND_PAGES: u32 = 1;
const KIND_DEVICE: u32 = 2;

/// Why an image is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// An item of an unknown kind, or not where or as long as it may be.
    Invalid,
    /// The end is missing.
    Incomplete,
}

fn header(kind: u32, len: u32, offset: u64) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    let mut at = Writer(&mut out);
    at.put(&kind.to_le_bytes());
    at.put(&len.to_le_bytes());
    at.put(&offset.to_le_bytes());
    out
}

/// The header of an item of `count` pages from `first` on.
pub(crate) fn pages_header(first: usize, count: usize) -> [u8; HEADER] {
    // CAST: An item is smaller than a record, and the image than 2^63 bytes.
    header(KIND_PAGES, (count * PAGE) as u32, (first * PAGE) as u64)
}

/// The whole `DEVICE` item.
pub(crate) fn device_item(
    registers: &Registers,
    engine: &Engine,
    config: &[u8; config::SIZE],
) -> [u8; HEADER + DEVICE_LEN] {
    let mut out = [0; HEADER + DEVICE_LEN];
    let mut at = Writer(&mut out);
    // CAST: A few hundred.
    at.put(&header(KIND_DEVICE, DEVICE_LEN as u32, 0));
    at.put(&registers.encode());
    at.put(&engine.encode());
    at.put(config);
    out
}

/// What the decoder found in its input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// The input is used up.
    More,
    /// Bytes of BAR2.
    Memory {
        /// Where they belong.
        offset: usize,
        /// Some or all bytes of an item.
        bytes: &'a [u8],
    },
    /// The last item was complete: [`Decoder::device`] has it.
    Device,
}

#[derive(Clone, Copy)]
enum State {
    /// In a header, of which so much is in the buffer.
    Header(usize),
    /// In pages, with the offset of the next byte and the bytes that are left.
    Pages(usize, usize),
    /// In the device item, of which so much is in the buffer.
    Device(usize),
    /// After the device item.
    End,
}

/// Takes an image apart, in whatever pieces it comes.
///
/// # Invariants
///
/// `covered` is at most `size`; both are multiples of [`PAGE`].
pub(crate) struct Decoder {
    size: usize,
    /// Bytes of BAR2, from 0, whose items have begun.
    covered: usize,
    state: State,
    buffer: [u8; DEVICE_LEN],
}

impl Decoder {
    /// A decoder for a device with `size` bytes of memory, a multiple of [`PAGE`].
    pub(crate) fn new(size: usize) -> Self {
        Self {
            size,
            covered: 0,
            state: State::Header(0),
            buffer: [0; DEVICE_LEN],
        }
    }

    /// Consumes input up to the end of the next piece.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if no device makes such an image.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Piece<'a>, Error> {
        loop {
            if input.is_empty() {
                return Ok(Piece::More);
            }
            match self.state {
                State::Header(filled) => {
                    let filled = self.fill(filled, HEADER, input);
                    self.state = match filled {
                        HEADER => self.begin()?,
                        _ => State::Header(filled),
                    };
                }
                State::Pages(offset, left) => {
                    let bytes = take(input, left);
                    self.state = match left - bytes.len() {
                        0 => State::Header(0),
                        left => State::Pages(offset + bytes.len(), left),
                    };
                    return Ok(Piece::Memory { offset, bytes });
                }
                State::Device(filled) => {
                    let filled = self.fill(filled, DEVICE_LEN, input);
                    self.state = State::Device(filled);
                    if filled == DEVICE_LEN {
                        self.state = State::End;
                        return Ok(Piece::Device);
                    }
                }
                State::End => return Err(Error::Invalid),
            }
        }
    }

    /// Registers, DMA engine and configuration space of a complete image.
    ///
    /// # Errors
    ///
    /// - [`Error::Incomplete`] before the end of the image.
    /// - [`Error::Invalid`] for registers that no device has.
    pub(crate) fn device(&self) -> Result<(Registers, Engine, [u8; config::SIZE]), Error> {
        if !matches!(self.state, State::End) {
            return Err(Error::Incomplete);
        }
        Self::parts(&self.buffer).ok_or(Error::Invalid)
    }

    fn parts(bytes: &[u8]) -> Option<(Registers, Engine, [u8; config::SIZE])> {
        let mut bytes = Reader(bytes);
        let registers = Registers::decode(bytes.take()?)?;
        let engine = Engine::decode(bytes.take()?)?;
        Some((registers, engine, *bytes.take()?))
    }

    /// Moves input to the buffer, which has `filled` bytes, up to `end`.
    fn fill(&mut self, filled: usize, end: usize, input: &mut &[u8]) -> usize {
        let bytes = take(input, end - filled);
        let now = filled + bytes.len();
        self.buffer[filled..now].copy_from_slice(bytes);
        now
    }

    /// Begins the item whose header is in the buffer.
    fn begin(&mut self) -> Result<State, Error> {
        let mut header = Reader(&self.buffer);
        let kind = header.u32().ok_or(Error::Invalid)?;
        let len = header.u32().ok_or(Error::Invalid)?;
        let offset = header.u64().ok_or(Error::Invalid)?;
        let len = usize::try_from(len).map_err(|_| Error::Invalid)?;
        let offset = usize::try_from(offset).map_err(|_| Error::Invalid)?;
        match kind {
            KIND_PAGES => {
                let end = offset.checked_add(len).ok_or(Error::Invalid)?;
                let aligned = len > 0 && len % PAGE == 0 && offset % PAGE == 0;
                // The next new pages, or some that have come before.
                let in_order = offset == self.covered || end <= self.covered;
                if !aligned || !in_order || end > self.size {
                    return Err(Error::Invalid);
                }
                self.covered = self.covered.max(end);
                Ok(State::Pages(offset, len))
            }
            KIND_DEVICE if len == DEVICE_LEN && offset == 0 && self.covered == self.size => {
                Ok(State::Device(0))
            }
            _ => Err(Error::Invalid),
        }
    }
}

/// Takes up to `most` bytes off the front of the input.
fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (bytes, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    bytes
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    not(test),
    ::kernel::macros::kunit_tests(rust_vfio_migration_emulated_image)
)]
mod tests {
    use super::*;

    const SIZE: usize = 2 * PAGE;
    const IMAGE: usize = 3 * (HEADER + PAGE) + HEADER + DEVICE_LEN;

    /// Page 0, page 1, page 0 again, the device.
    fn image(out: &mut [u8; IMAGE]) {
        let mut at = 0;
        for (page, byte) in [(0, 1), (1, 2), (0, 3)] {
            out[at..at + HEADER].copy_from_slice(&pages_header(page, 1));
            out[at + HEADER..at + HEADER + PAGE].fill(byte);
            at += HEADER + PAGE;
        }
        out[at..].copy_from_slice(&device_item(
            &Registers::new(),
            &Engine::new(),
            &[7; config::SIZE],
        ));
    }

    /// What of an image arrives: the first byte of each page, and whether the end does.
    fn decode(image: &[u8], most: usize) -> Result<([u8; 2], bool), Error> {
        let mut decoder = Decoder::new(SIZE);
        let mut memory = [0; 2];
        for mut input in image.chunks(most) {
            loop {
                match decoder.next(&mut input)? {
                    Piece::More => break,
                    Piece::Memory { offset, bytes } => memory[offset / PAGE] = bytes[0],
                    Piece::Device => {}
                }
            }
        }
        let fresh = (Registers::new(), Engine::new(), [7; config::SIZE]);
        let device = decoder.device()? == fresh;
        Ok((memory, device))
    }

    #[test]
    fn any_pieces_make_the_same_image() {
        let mut bytes = [0; IMAGE];
        image(&mut bytes);
        for most in [1, 2, 3, 15, 16, 17, 4095, 4096, 4097, IMAGE] {
            assert_eq!(decode(&bytes, most), Ok(([3, 2], true)));
        }
    }

    #[test]
    fn a_part_is_not_the_whole() {
        let mut bytes = [0; IMAGE];
        image(&mut bytes);
        for len in (0..IMAGE).step_by(61).chain([IMAGE - 1]) {
            assert_eq!(decode(&bytes[..len], IMAGE), Err(Error::Incomplete));
        }
        // An image without its second page.
        let second = HEADER + PAGE;
        bytes.copy_within(2 * second.., second);
        assert_eq!(decode(&bytes[..IMAGE - second], IMAGE), Err(Error::Invalid));
    }

    #[test]
    fn items_must_be_where_they_may() {
        let rows: [(u32, u32, u64); 8] = [
            (0, 4096, 0),
            (3, 4096, 0),
            (KIND_PAGES, 0, 0),
            (KIND_PAGES, 4095, 0),
            (KIND_PAGES, 4096, 4096),
            (KIND_PAGES, 12288, 0),
            (KIND_PAGES, 4096, u64::MAX - 4095),
            (KIND_DEVICE, 280, 0),
        ];
        for (kind, len, offset) in rows {
            let bytes = header(kind, len, offset);
            assert_eq!(decode(&bytes, HEADER), Err(Error::Invalid));
        }
    }
}
