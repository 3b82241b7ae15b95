// SPDX-License-Identifier: GPL-2.0

//! Takes a stream apart.

use super::{
    field,
    length,
    writer::{
        Totals,
        CHECKSUM_LEN,
        STOP_COPY_SIZE_LEN,
        TOTALS_LEN,
        TRAILER_LEN, //
    },
    Crc,
    Error,
    Header,
    Identity,
    RunningCrc,
    FLAG_OPTIONAL,
    HEADER_LEN,
    IDENTITY_LEN,
    TAG_CHECKSUM,
    TAG_DATA,
    TAG_IDENTITY,
    TAG_STOP_COPY_SIZE,
    TAG_TRAILER, //
};

/// Whether a stream must say who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityPolicy {
    /// A stream must start with an identity.
    Required,
    /// A stream without identity is accepted too: that is what the drivers of the kernel write. It
    /// cannot be checked for completeness.
    Accepted,
}

/// What a reader accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether a stream must say who wrote it.
    pub identity: IdentityPolicy,
    /// Largest size of a record, without its header.
    pub max_record: u64,
}

/// What was found in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The input is used up.
    More,
    /// The stream says who wrote it. This comes first, and nothing of it but its form was checked.
    Identity(Identity),
    /// An estimate: this many bytes follow once the device has stopped.
    StopCopySize(u64),
    /// A record of device state begins.
    DataBegin {
        /// Bytes of device state in the record; never 0.
        size: u64,
    },
    /// A piece of the record of device state; never empty.
    Data(&'a [u8]),
    /// The record of device state is whole.
    DataEnd,
    /// All records until here agree with their checksum.
    Checked,
    /// A record was skipped, since its tag is unknown and it is marked as optional.
    Skipped {
        /// What the record holds.
        tag: u32,
        /// Bytes in the record.
        size: u64,
    },
    /// The trailer was read, and the stream agrees with it.
    End,
}

/// A record that is collected before it is looked at.
#[derive(Clone, Copy)]
enum Small {
    Identity,
    StopCopySize,
    Checksum,
    Trailer,
}

impl Small {
    const fn len(self) -> usize {
        match self {
            Small::Identity => IDENTITY_LEN,
            Small::StopCopySize => STOP_COPY_SIZE_LEN,
            Small::Checksum => CHECKSUM_LEN,
            Small::Trailer => TRAILER_LEN,
        }
    }
}

/// What comes next.
#[derive(Clone, Copy)]
enum Phase {
    /// A header, or the end of a stream without trailer.
    Header,
    /// The payload of a small record.
    Small(Small),
    /// This many bytes of device state.
    Data(u64),
    /// Payload that nobody wants.
    Skip { tag: u32, size: u64, left: u64 },
    /// Nothing: the trailer was read.
    Ended,
    /// Nothing: the stream was refused.
    Failed(Error),
}

/// Takes a stream apart that comes in pieces of any size.
///
/// It allocates nothing and remembers only what a small record needs. A stream that it refused once it
/// refuses for ever.
pub struct Parser<C: Crc> {
    policy: Policy,
    phase: Phase,
    /// Whether the stream began with an identity.
    identified: bool,
    /// Header or small payload that is being collected.
    buffer: [u8; IDENTITY_LEN],
    /// How much of `buffer` is filled.
    filled: usize,
    /// Everything before the record that is being read.
    before: Totals,
    /// Bytes until now. Nobody lives to see this wrap, but nothing here may panic either.
    bytes: u64,
    /// Checksum of everything before the record that is being read.
    crc_before: u32,
    /// Checksum until now, without a small payload that is being collected. It is kept only where
    /// the stream is identified: no other stream contains something to compare with.
    crc: RunningCrc<C>,
}

const _: () = assert!(HEADER_LEN <= IDENTITY_LEN && TRAILER_LEN <= IDENTITY_LEN);

impl<C: Crc> Parser<C> {
    /// Starts to read a stream.
    pub fn new(policy: Policy) -> Self {
        let crc = RunningCrc::new();
        Parser {
            policy,
            phase: Phase::Header,
            identified: false,
            buffer: [0; IDENTITY_LEN],
            filled: 0,
            before: Totals::default(),
            bytes: 0,
            crc_before: crc.value(),
            crc,
        }
    }

    /// Number of bytes taken until now.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the stream said who wrote it, and so has checksums.
    pub fn is_identified(&self) -> bool {
        self.identified
    }

    /// How many bytes of device state come next; 0 if something else does.
    pub fn data_left(&self) -> u64 {
        match self.phase {
            Phase::Data(left) => left,
            _ => 0,
        }
    }

    /// How many bytes there are at least until the next event that the stream has, not zero.
    pub fn needed(&self) -> u64 {
        let needed = match self.phase {
            Phase::Header => length(&self.buffer[self.filled.min(HEADER_LEN)..HEADER_LEN]),
            Phase::Small(small) => length(&self.buffer[self.filled.min(small.len())..small.len()]),
            Phase::Data(left) | Phase::Skip { left, .. } => left,
            Phase::Ended | Phase::Failed(_) => 0,
        };
        needed.max(1)
    }

    /// Takes bytes off the front of `input`, up to the next event.
    ///
    /// Call it until it returns [`Event::More`]: an event may be due although the input is used up.
    ///
    /// # Errors
    ///
    /// Where the stream must be refused. Every later call returns the same error.
    pub fn push<'a>(&mut self, input: &mut &'a [u8]) -> Result<Event<'a>, Error> {
        self.push_and_show(input, |_| {})
    }

    /// As [`push`](Parser::push), and shows each header to `show` that is accepted.
    ///
    /// # Errors
    ///
    /// As [`push`](Parser::push).
    pub fn push_and_show<'a>(
        &mut self,
        input: &mut &'a [u8],
        show: impl FnMut(Header),
    ) -> Result<Event<'a>, Error> {
        self.step(input, show).inspect_err(|&error| {
            self.phase = Phase::Failed(error);
        })
    }

    /// Says whether the stream may end here.
    ///
    /// # Errors
    ///
    /// - The error that [`push`](Parser::push) has returned.
    /// - [`Error::CutRecord`], [`Error::TrailerMissing`], [`Error::NoData`] where something is missing.
    pub fn finish(&self) -> Result<(), Error> {
        match self.phase {
            Phase::Ended => Ok(()),
            Phase::Failed(error) => Err(error),
            Phase::Header if self.filled == 0 => {
                if self.identified {
                    Err(Error::TrailerMissing)
                } else if self.before.data == 0 {
                    Err(Error::NoData)
                } else {
                    Ok(())
                }
            }
            Phase::Header | Phase::Small(_) | Phase::Data(_) | Phase::Skip { .. } => {
                Err(Error::CutRecord)
            }
        }
    }

    fn step<'a>(
        &mut self,
        input: &mut &'a [u8],
        mut show: impl FnMut(Header),
    ) -> Result<Event<'a>, Error> {
        loop {
            match self.phase {
                Phase::Failed(error) => return Err(error),
                Phase::Ended if input.is_empty() => return Ok(Event::More),
                Phase::Ended => return Err(Error::AfterTrailer),
                Phase::Header => {
                    if !self.collect(input, HEADER_LEN) {
                        return Ok(Event::More);
                    }
                    let header = Header::decode(&field(&self.buffer, 0));
                    let event = self.header(header)?;
                    show(header);
                    if let Some(event) = event {
                        return Ok(event);
                    }
                }
                Phase::Small(small) => {
                    if !self.collect(input, small.len()) {
                        return Ok(Event::More);
                    }
                    if let Some(event) = self.small(small)? {
                        return Ok(event);
                    }
                }
                Phase::Data(0) => {
                    self.end_record();
                    return Ok(Event::DataEnd);
                }
                Phase::Data(left) => {
                    let piece = self.take(input, left);
                    if piece.is_empty() {
                        return Ok(Event::More);
                    }
                    self.phase = Phase::Data(left - length(piece));
                    self.before.data = self.before.data.wrapping_add(length(piece));
                    return Ok(Event::Data(piece));
                }
                Phase::Skip { tag, size, left: 0 } => {
                    self.end_record();
                    return Ok(Event::Skipped { tag, size });
                }
                Phase::Skip { tag, size, left } => {
                    let piece = self.take(input, left);
                    if piece.is_empty() {
                        return Ok(Event::More);
                    }
                    let left = left - length(piece);
                    self.phase = Phase::Skip { tag, size, left };
                }
            }
        }
    }

    /// Judges a header and says what follows it.
    fn header<'a>(&mut self, header: Header) -> Result<Option<Event<'a>>, Error> {
        let first = self.before.records == 0;

        if header.size > self.policy.max_record {
            return Err(Error::RecordTooLarge);
        }
        if first && header.tag != TAG_IDENTITY && self.policy.identity == IdentityPolicy::Required {
            return Err(Error::IdentityMissing);
        }
        let small = match header.tag {
            TAG_DATA => {
                if header.flags != 0 {
                    return Err(Error::WrongFlags);
                }
                if header.size == 0 {
                    return Err(Error::EmptyData);
                }
                None
            }
            TAG_IDENTITY if !first => return Err(Error::IdentityMisplaced),
            TAG_IDENTITY => Some(Small::Identity),
            TAG_STOP_COPY_SIZE => Some(Small::StopCopySize),
            TAG_CHECKSUM | TAG_TRAILER if !self.identified => return Err(Error::NotIdentified),
            TAG_CHECKSUM => Some(Small::Checksum),
            TAG_TRAILER => Some(Small::Trailer),
            _ if header.flags & FLAG_OPTIONAL == 0 => return Err(Error::UnknownTag),
            _ => None,
        };
        if header.tag != TAG_DATA && header.flags != FLAG_OPTIONAL {
            return Err(Error::WrongFlags);
        }
        if let Some(small) = small {
            if header.size != length(&self.buffer[..small.len()]) {
                return Err(Error::WrongSize);
            }
        }

        if matches!(small, Some(Small::Identity)) {
            self.identified = true;
        }
        self.cover(HEADER_LEN);
        let size = header.size;
        match (small, header.tag) {
            (Some(small), _) => {
                self.phase = Phase::Small(small);
                Ok(None)
            }
            (None, TAG_DATA) => {
                self.phase = Phase::Data(size);
                Ok(Some(Event::DataBegin { size }))
            }
            (None, tag) => {
                let left = size;
                self.phase = Phase::Skip { tag, size, left };
                Ok(None)
            }
        }
    }

    /// Judges the payload of a small record.
    fn small<'a>(&mut self, small: Small) -> Result<Option<Event<'a>>, Error> {
        let event = match small {
            Small::Identity => {
                let identity = Identity::decode(&self.buffer[..IDENTITY_LEN])?;
                Some(Event::Identity(identity))
            }
            Small::StopCopySize => {
                let size = u64::from_le_bytes(field(&self.buffer, 0));
                Some(Event::StopCopySize(size))
            }
            Small::Checksum => {
                self.compare(0, self.crc_before)?;
                Some(Event::Checked)
            }
            Small::Trailer => {
                self.cover(TOTALS_LEN);
                self.compare(TOTALS_LEN, self.crc.value())?;
                if field(&self.buffer, 0) != self.before.encode() {
                    return Err(Error::TotalsMismatch);
                }
                if self.before.data == 0 {
                    return Err(Error::NoData);
                }
                self.phase = Phase::Ended;
                return Ok(Some(Event::End));
            }
        };
        self.cover(small.len());
        self.end_record();
        Ok(event)
    }

    /// Compares the checksum at `at` of the buffer, and the zeros after it, with what they must be.
    fn compare(&self, at: usize, crc: u32) -> Result<(), Error> {
        if u32::from_le_bytes(field(&self.buffer, at)) != crc {
            return Err(Error::ChecksumMismatch);
        }
        if field(&self.buffer, at + 4) != [0; 4] {
            return Err(Error::ReservedNotZero);
        }
        Ok(())
    }

    /// Fills the buffer up to `wanted` bytes, and says whether they are there.
    fn collect(&mut self, input: &mut &[u8], wanted: usize) -> bool {
        let free = &mut self.buffer[self.filled..wanted];
        let count = free.len().min(input.len());
        let (piece, rest) = input.split_at(count);
        free[..count].copy_from_slice(piece);
        *input = rest;
        self.filled += count;
        self.bytes = self.bytes.wrapping_add(length(piece));
        let complete = self.filled == wanted;
        if complete {
            self.filled = 0;
        }
        complete
    }

    /// Takes up to `most` bytes of payload off the input.
    fn take<'a>(&mut self, input: &mut &'a [u8], most: u64) -> &'a [u8] {
        let count = usize::try_from(most).map_or(input.len(), |most| most.min(input.len()));
        let (piece, rest) = input.split_at(count);
        *input = rest;
        self.bytes = self.bytes.wrapping_add(length(piece));
        if self.identified {
            self.crc.update(piece);
        }
        piece
    }

    /// Includes the first bytes of the buffer in the checksum.
    fn cover(&mut self, count: usize) {
        if self.identified {
            self.crc.update(&self.buffer[..count]);
        }
    }

    fn end_record(&mut self) {
        self.phase = Phase::Header;
        self.before.bytes = self.bytes;
        self.before.records = self.before.records.wrapping_add(1);
        self.crc_before = self.crc.value();
    }
}
