// SPDX-License-Identifier: GPL-2.0

//! Streams to test with, and means to make and to read them.

use crate::driver::protocol::stream::{
    Crc,
    Error,
    Event,
    Identity,
    IdentityPolicy,
    Parser,
    Policy,
    Writer,
    REQUIREMENT_LEN, //
};

/// CRC32C by a table.
pub(crate) struct TableCrc;

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < table.len() {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0x82f6_3b78
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

impl Crc for TableCrc {
    fn update(crc: u32, bytes: &[u8]) -> u32 {
        bytes.iter().fold(crc, |crc, byte| {
            (crc >> 8) ^ CRC_TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)]
        })
    }
}

/// The CRC32C of `bytes` as everybody writes it.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    !TableCrc::update(!0, bytes)
}

/// Numbers that look random and are the same in every run (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

pub(crate) const IDENTITY: Identity = Identity {
    backend: Identity::name("host-test"),
    backend_version: 0x0102_0304,
    requirement: [0x5a; REQUIREMENT_LEN],
};

pub(crate) const MAX_RECORD: u64 = 4096;

/// Accepts only streams that say who wrote them.
pub(crate) const REQUIRED: Policy = Policy {
    identity: IdentityPolicy::Required,
    max_record: MAX_RECORD,
};

/// Accepts what the drivers of the kernel write, too.
pub(crate) const ACCEPTED: Policy = Policy {
    identity: IdentityPolicy::Accepted,
    max_record: MAX_RECORD,
};

/// A stream that [`Writer`] made.
pub(crate) struct Written {
    writer: Writer<TableCrc>,
    pub(crate) bytes: Vec<u8>,
}

impl Written {
    pub(crate) fn new() -> Self {
        Written {
            writer: Writer::new(),
            bytes: Vec::new(),
        }
    }

    pub(crate) fn identity(mut self) -> Self {
        self.bytes.extend(self.writer.identity(&IDENTITY));
        self
    }

    pub(crate) fn stop_copy_size(mut self, size: u64) -> Self {
        self.bytes.extend(self.writer.stop_copy_size(size));
        self
    }

    pub(crate) fn data(mut self, state: &[u8]) -> Self {
        self.bytes.extend(data_record(&mut self.writer, state));
        self
    }

    pub(crate) fn checksum(mut self) -> Self {
        self.bytes.extend(self.writer.checksum());
        self
    }

    pub(crate) fn trailer(mut self) -> Vec<u8> {
        assert_eq!(self.writer.bytes(), self.bytes.len() as u64);
        self.bytes.extend(self.writer.trailer());
        self.bytes
    }
}

/// A record of device state.
pub(crate) fn data_record<C: Crc>(writer: &mut Writer<C>, state: &[u8]) -> Vec<u8> {
    let mut record = writer.data(state.len() as u64).to_vec();
    writer.payload(state);
    record.extend(state);
    record
}

/// A small stream with one record of each kind that [`Writer`] makes.
pub(crate) fn small() -> Vec<u8> {
    Written::new()
        .identity()
        .stop_copy_size(12)
        .data(b"first")
        .checksum()
        .data(b"second.")
        .trailer()
}

/// A stream as of a device that was saved in several rounds, and the state in it.
pub(crate) fn realistic() -> (Vec<u8>, Vec<u8>) {
    let mut random = Random::new(0x5eed);
    let mut state = Vec::new();
    let mut stream = Written::new().identity().checksum().stop_copy_size(4000);
    for round in 0..5 {
        for _ in 0..3 {
            let length = 1 + random.below(500);
            let piece = random.bytes(length);
            stream = stream.data(&piece);
            state.extend(piece);
        }
        stream = stream.checksum().stop_copy_size(1000 * round);
    }
    (stream.data(&[0; 300]).checksum().trailer(), {
        state.extend([0; 300]);
        state
    })
}

/// What a reader made of a stream.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) result: Result<(), Error>,
    /// How many bytes it had taken by then.
    pub(crate) bytes: u64,
    pub(crate) identity: Option<Identity>,
    pub(crate) estimates: Vec<u64>,
    pub(crate) skipped: Vec<(u32, u64)>,
    /// The records of device state that were whole.
    pub(crate) records: Vec<Vec<u8>>,
    /// Device state of the last record, which was not.
    pub(crate) rest: Vec<u8>,
    /// Whether the trailer was seen.
    pub(crate) ended: bool,
}

impl Outcome {
    pub(crate) fn state(&self) -> Vec<u8> {
        self.records.concat()
    }
}

/// How a stream is cut into pieces.
#[derive(Clone, Copy)]
pub(crate) enum Cut {
    Whole,
    Bytes,
    InTwo(usize),
    Random(u64),
}

/// Reads a stream to its end or to the first error, and checks the order of the events.
pub(crate) fn read(policy: Policy, stream: &[u8], cut: Cut) -> Outcome {
    let mut parser = Parser::<TableCrc>::new(policy);
    let mut outcome = Outcome {
        result: Ok(()),
        bytes: 0,
        identity: None,
        estimates: Vec::new(),
        skipped: Vec::new(),
        records: Vec::new(),
        rest: Vec::new(),
        ended: false,
    };
    let mut random = Random::new(match cut {
        Cut::Random(seed) => seed,
        _ => 0,
    });
    let mut open = None;
    let mut left = stream;
    while !left.is_empty() && outcome.result.is_ok() {
        let length = match cut {
            Cut::Whole => left.len(),
            Cut::Bytes => 1,
            Cut::InTwo(at) if left.len() == stream.len() => at,
            Cut::InTwo(_) => left.len(),
            // Sizes around those of headers are where a mistake would be.
            Cut::Random(_) => (1 + random.below(40)).min(left.len()),
        };
        let (mut piece, rest) = left.split_at(length);
        left = rest;
        loop {
            let event = match parser.push(&mut piece) {
                Ok(Event::More) => break,
                Ok(event) => event,
                Err(error) => {
                    outcome.result = Err(error);
                    // It stays refused.
                    assert_eq!(parser.push(&mut &small()[..]), Err(error));
                    assert_eq!(parser.push(&mut &[][..]), Err(error));
                    assert_eq!(parser.finish(), Err(error));
                    break;
                }
            };
            assert!(!outcome.ended);
            assert_eq!(
                open.is_some(),
                matches!(event, Event::Data(_) | Event::DataEnd)
            );
            match event {
                Event::More => unreachable!(),
                Event::Identity(identity) => {
                    assert_eq!(outcome.identity.replace(identity), None);
                }
                Event::StopCopySize(size) => outcome.estimates.push(size),
                Event::Skipped { tag, size } => outcome.skipped.push((tag, size)),
                Event::DataBegin { size } => open = Some(size),
                Event::Data(bytes) => {
                    assert!(!bytes.is_empty());
                    outcome.rest.extend(bytes);
                }
                Event::DataEnd => {
                    assert_eq!(open.take(), Some(outcome.rest.len() as u64));
                    outcome.records.push(std::mem::take(&mut outcome.rest));
                }
                Event::Checked => {}
                Event::End => outcome.ended = true,
            }
        }
        assert!(outcome.result.is_err() || piece.is_empty());
    }
    outcome.bytes = parser.bytes();
    if outcome.result.is_ok() {
        assert_eq!(outcome.bytes, stream.len() as u64);
        outcome.result = parser.finish();
    }
    outcome
}

/// Reads a stream cut in every way, which must not matter.
pub(crate) fn read_all_ways(policy: Policy, stream: &[u8]) -> Outcome {
    let outcome = read(policy, stream, Cut::Whole);
    for cut in [Cut::Bytes, Cut::Random(1), Cut::Random(2)] {
        assert_eq!(read(policy, stream, cut), outcome);
    }
    outcome
}
