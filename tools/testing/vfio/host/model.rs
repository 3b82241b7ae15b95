// SPDX-License-Identifier: GPL-2.0

//! The format of a stream a second time, as simple as it can be: whole streams in memory, each field
//! at the place where `Documentation/driver-api/vfio-migration-stream.rst` puts it. It shares
//! nothing with the driver, not even constants.

use crate::samples::{
    crc32c,
    read_all_ways,
    Random,
    Written,
    ACCEPTED,
    MAX_RECORD,
    REQUIRED, //
};

const OPTIONAL: u32 = 1;
const DATA: u32 = 0;
const STOP_COPY_SIZE: u32 = 1;
const IDENTITY: u32 = 0x5652_0001;
const CHECKSUM: u32 = 0x5652_0002;
const TRAILER: u32 = 0x5652_0003;

/// A stream that is put together record by record, with no regard to the rules.
#[derive(Clone, Default)]
pub(crate) struct Stream {
    pub(crate) bytes: Vec<u8>,
    records: u64,
    data: u64,
}

impl Stream {
    /// Adds a header, whatever follows.
    pub(crate) fn header(mut self, size: u64, flags: u32, tag: u32) -> Self {
        self.bytes.extend(size.to_le_bytes());
        self.bytes.extend(flags.to_le_bytes());
        self.bytes.extend(tag.to_le_bytes());
        self
    }

    pub(crate) fn record(self, flags: u32, tag: u32, payload: &[u8]) -> Self {
        let mut stream = self.header(payload.len() as u64, flags, tag);
        stream.bytes.extend(payload);
        stream.records += 1;
        if tag == DATA {
            stream.data += payload.len() as u64;
        }
        stream
    }

    pub(crate) fn data(self, state: &[u8]) -> Self {
        self.record(0, DATA, state)
    }

    pub(crate) fn identity(self) -> Self {
        self.record(OPTIONAL, IDENTITY, &identity())
    }

    pub(crate) fn stop_copy_size(self, size: u64) -> Self {
        self.record(OPTIONAL, STOP_COPY_SIZE, &size.to_le_bytes())
    }

    pub(crate) fn checksum(self) -> Self {
        let mut payload = crc32c(&self.bytes).to_le_bytes().to_vec();
        payload.extend([0; 4]);
        self.record(OPTIONAL, CHECKSUM, &payload)
    }

    pub(crate) fn trailer(self) -> Self {
        let (bytes, records, data) = (self.bytes.len() as u64, self.records, self.data);
        self.trailer_of(bytes, records, data)
    }

    /// Adds a trailer with any totals, but with the right checksum.
    pub(crate) fn trailer_of(self, bytes: u64, records: u64, data: u64) -> Self {
        let mut stream = self.header(32, OPTIONAL, TRAILER);
        for total in [bytes, records, data] {
            stream.bytes.extend(total.to_le_bytes());
        }
        let crc = crc32c(&stream.bytes);
        stream.bytes.extend(crc.to_le_bytes());
        stream.bytes.extend([0; 4]);
        stream
    }
}

/// The identity of the samples, byte by byte.
pub(crate) fn identity() -> Vec<u8> {
    let mut bytes = b"VFIOMIGR\x01\0\0\0host-test\0\0\0\0\0\0\0".to_vec();
    bytes.extend([4, 3, 2, 1]);
    bytes.extend([0; 4]);
    bytes.extend([0x5a; 32]);
    bytes
}

/// Reads a stream: [`None`] where it must be refused, or else the records of device state.
fn read(identity_required: bool, stream: &[u8]) -> Option<Vec<Vec<u8>>> {
    let word = |at: usize| Some(u64::from_le_bytes(stream.get(at..at + 8)?.try_into().ok()?));
    let half = |at: usize| Some(u32::from_le_bytes(stream.get(at..at + 4)?.try_into().ok()?));

    let mut data: Vec<Vec<u8>> = Vec::new();
    let mut identified = false;
    let mut records = 0;
    let mut at = 0;
    while at < stream.len() {
        let (size, flags, tag) = (word(at)?, half(at + 8)?, half(at + 12)?);
        if size > MAX_RECORD {
            return None;
        }
        let start = at + 16;
        let end = start + size as usize;
        let payload = stream.get(start..end)?;
        if records == 0 && identity_required && tag != IDENTITY {
            return None;
        }
        if flags != if tag == DATA { 0 } else { OPTIONAL } {
            return None;
        }
        let is_crc = |from: usize| {
            half(from) == Some(crc32c(&stream[..if tag == TRAILER { from } else { at }]))
                && half(from + 4) == Some(0)
        };
        match tag {
            DATA if size == 0 => return None,
            DATA => data.push(payload.to_vec()),
            STOP_COPY_SIZE if size != 8 => return None,
            IDENTITY => {
                let name = payload.get(12..28)?;
                let length = name.iter().position(|byte| *byte == 0).unwrap_or(16);
                if size != 68
                    || records != 0
                    || payload[..10] != *b"VFIOMIGR\x01\0"
                    || payload[32..36] != [0; 4]
                    || length == 0
                    || name[..length].iter().any(|byte| !(33..127).contains(byte))
                    || name[length..].iter().any(|byte| *byte != 0)
                {
                    return None;
                }
                identified = true;
            }
            CHECKSUM if !identified || size != 8 || !is_crc(start) => return None,
            TRAILER => {
                let total: usize = data.iter().map(Vec::len).sum();
                let right = identified
                    && size == 32
                    && is_crc(start + 24)
                    && word(start) == Some(at as u64)
                    && word(start + 8) == Some(records)
                    && word(start + 16) == Some(total as u64)
                    && total > 0
                    && end == stream.len();
                return right.then_some(data);
            }
            _ => {}
        }
        records += 1;
        at = end;
    }
    (!identified && !data.is_empty()).then_some(data)
}

/// Compares the driver's reader with the one here, under both policies.
pub(crate) fn compare(stream: &[u8]) -> bool {
    let mut accepted = false;
    for (policy, required) in [(REQUIRED, true), (ACCEPTED, false)] {
        let outcome = read_all_ways(policy, stream);
        let expected = read(required, stream);
        assert_eq!(outcome.result.is_ok(), expected.is_some(), "{outcome:?}");
        if let Some(data) = expected {
            assert_eq!(outcome.records, data);
            accepted = true;
        }
    }
    accepted
}

/// Adds a record, or something like one, that mostly but not always may stand there.
fn random_record(stream: Stream, random: &mut Random) -> Stream {
    let length = 1 + random.below(20);
    let payload = random.bytes(length);
    match random.below(24) {
        0..=5 => stream.data(&payload),
        6..=8 => stream.stop_copy_size(random.next()),
        9..=13 => stream.checksum(),
        14..=16 => stream.record(OPTIONAL, random.next() as u32, &payload),
        17 => stream.record(OPTIONAL, 2, &[]),
        18 => stream.record(random.below(4) as u32, random.below(3) as u32, &payload),
        19 => stream.record(OPTIONAL, IDENTITY, &payload),
        20 => stream.header(random.below(64) as u64, 0, DATA),
        21 => stream.header(random.next(), OPTIONAL, random.next() as u32),
        22 => stream.trailer(),
        _ => stream.record(OPTIONAL, [CHECKSUM, TRAILER][random.below(2)], &payload),
    }
}

#[test]
fn crc_is_crc32c() {
    assert_eq!(crc32c(b""), 0);
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    // RFC 3720, B.4.
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
}

#[test]
fn writer_writes_the_documented_bytes() {
    let written = Written::new()
        .identity()
        .stop_copy_size(0x1122_3344_5566_7788)
        .data(b"x")
        .checksum()
        .data(&[0; 1000])
        .checksum()
        .checksum()
        .trailer();
    let model = Stream::default()
        .identity()
        .stop_copy_size(0x1122_3344_5566_7788)
        .data(b"x")
        .checksum()
        .data(&[0; 1000])
        .checksum()
        .checksum()
        .trailer();
    assert_eq!(written, model.bytes);
    assert!(compare(&written));
}

#[test]
fn reader_accepts_what_the_model_accepts() {
    let mut random = Random::new(0xacce_5505);
    let mut accepted = 0;
    for _ in 0..40_000 {
        let mut stream = Stream::default();
        let identified = random.below(4) > 0;
        if identified {
            stream = stream.identity();
        }
        for _ in 0..random.below(6) {
            stream = random_record(stream, &mut random);
        }
        if identified && random.below(8) > 0 {
            stream = stream.trailer();
        }
        accepted += usize::from(compare(&stream.bytes));
    }
    // Both kinds must be there, or nothing was compared.
    assert!((5_000..35_000).contains(&accepted), "{accepted}");
}
