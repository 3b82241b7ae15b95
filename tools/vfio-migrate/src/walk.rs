// SPDX-License-Identifier: GPL-2.0

//! A saved stream, record by record. What is right is for the driver's own [`Parser`] to say; this
//! only feeds it one record at a time, so that each can be named.

use crate::driver::protocol::stream::{
    Crc, Error as StreamError, Event, Header, Identity, IdentityPolicy, Parser, Policy,
    FLAG_OPTIONAL, HEADER_LEN, TAG_CHECKSUM, TAG_DATA, TAG_IDENTITY, TAG_STOP_COPY_SIZE,
    TAG_TRAILER,
};
use std::io::{self, Read};

/// Largest record that is taken for one: above what any driver writes, below what noise looks like.
pub(crate) const MAX_RECORD: u64 = 1 << 30;

/// What a stream of the sample driver `mtty` begins with.
const MTTY_MAGIC: u64 = 0x7e9d_0989_8c3e_2c4e;

/// CRC32C by the processor's instructions where it has them.
struct Fast;

impl Crc for Fast {
    fn update(crc: u32, bytes: &[u8]) -> u32 {
        !crc32c::crc32c_append(!crc, bytes)
    }
}

/// One record, as far as it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Where its header stands.
    pub(crate) offset: u64,
    pub(crate) header: Header,
    /// What its payload says, in words.
    pub(crate) detail: String,
}

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A stream of this project: nothing of it is unchecked but what the state means.
    Identified,
    /// Records without identity or checksums, as `mlx5_vfio_pci` and `virtio_vfio_pci` write them.
    Records,
    /// A stream of the sample driver `mtty`.
    Mtty,
    /// Something else.
    Unknown,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) format: Format,
    pub(crate) identity: Option<Identity>,
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// Whole records.
    pub(crate) records: u64,
    /// Bytes of device state.
    pub(crate) data: u64,
    /// Why the stream is refused, and where the record stands that it is refused for.
    pub(crate) refused: Option<(StreamError, u64)>,
}

/// Name of a tag, as `Documentation/driver-api/vfio-migration-stream.rst` has it.
pub(crate) fn tag_name(tag: u32) -> &'static str {
    match tag {
        TAG_DATA => "DATA",
        TAG_STOP_COPY_SIZE => "STOP_COPY_SIZE",
        TAG_IDENTITY => "IDENTITY",
        TAG_CHECKSUM => "CHECKSUM",
        TAG_TRAILER => "TRAILER",
        _ => "unknown",
    }
}

/// The name in the field of a backend's name.
pub(crate) fn backend_name(identity: &Identity) -> String {
    let name = identity.backend.iter().take_while(|byte| **byte != 0);
    name.map(|byte| char::from(*byte)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Reads until `buffer` is full or the input ends; returns how much there was.
fn read_full(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

struct Walk<'a> {
    parser: Parser<Fast>,
    findings: Findings,
    input: &'a mut dyn Read,
    buffer: Vec<u8>,
}

/// Reads a stream to its end, or to where it is refused; `on_record` is told of each whole record.
///
/// # Errors
///
/// Those of `input` and `on_record`. That the stream is bad is no error, but a finding.
pub(crate) fn walk(
    input: &mut dyn Read,
    on_record: &mut dyn FnMut(&Record) -> io::Result<()>,
) -> io::Result<Findings> {
    let mut walk = Walk {
        parser: Parser::new(Policy {
            identity: IdentityPolicy::Accepted,
            max_record: MAX_RECORD,
        }),
        findings: Findings {
            format: Format::Unknown,
            identity: None,
            bytes: 0,
            records: 0,
            data: 0,
            refused: None,
        },
        input,
        buffer: vec![0; 1 << 16],
    };
    while walk.record(on_record)? {}
    walk.count_rest()?;
    Ok(walk.findings)
}

impl Walk<'_> {
    /// Reads one record; returns whether another may follow.
    fn record(&mut self, on_record: &mut dyn FnMut(&Record) -> io::Result<()>) -> io::Result<bool> {
        let offset = self.findings.bytes;
        let mut bytes = [0; HEADER_LEN];
        let count = read_full(self.input, &mut bytes)?;
        self.findings.bytes += count as u64;
        let mut detail = String::new();
        let header = Header::decode(&bytes);
        if let Err(error) = self.push(&bytes[..count], &mut detail) {
            return Ok(self.refuse_header(error, offset, &bytes));
        }
        if count < HEADER_LEN {
            // The end, in its place or not.
            if let Err(error) = self.parser.finish() {
                self.refuse(error, offset);
            }
            return Ok(false);
        }
        if offset == 0 {
            self.findings.format = match header.tag {
                TAG_IDENTITY => Format::Identified,
                _ => Format::Records,
            };
        }

        // The parser has accepted the size.
        let mut left = header.size;
        while left > 0 {
            let most =
                usize::try_from(left).map_or(self.buffer.len(), |left| left.min(self.buffer.len()));
            let mut buffer = std::mem::take(&mut self.buffer);
            let count = read_full(self.input, &mut buffer[..most])?;
            self.findings.bytes += count as u64;
            let pushed = self.push(&buffer[..count], &mut detail);
            if count == most && left == header.size && header.tag == TAG_CHECKSUM {
                detail = format!(
                    "{:#010x}",
                    u32::from_le_bytes([buffer[0], buffer[1], buffer[2], buffer[3]])
                );
            }
            self.buffer = buffer;
            if let Err(error) = pushed {
                self.refuse(error, offset);
                return Ok(false);
            }
            if count < most {
                if let Err(error) = self.parser.finish() {
                    self.refuse(error, offset);
                }
                return Ok(false);
            }
            left -= count as u64;
        }
        self.findings.records += 1;
        if header.tag == TAG_DATA {
            self.findings.data += header.size;
        }
        on_record(&Record {
            offset,
            header,
            detail,
        })?;
        Ok(true)
    }

    /// Gives bytes of one record to the parser, and puts what it says of them into words.
    fn push(&mut self, mut bytes: &[u8], detail: &mut String) -> Result<(), StreamError> {
        loop {
            match self.parser.push(&mut bytes)? {
                Event::More => return Ok(()),
                Event::Identity(identity) => {
                    *detail = format!(
                        "backend {} version {}, requires {}",
                        backend_name(&identity),
                        identity.backend_version,
                        hex(&identity.requirement)
                    );
                    self.findings.identity = Some(identity);
                }
                Event::StopCopySize(size) => {
                    *detail = format!("{size} bytes to follow, an estimate")
                }
                Event::Skipped { tag, .. } => *detail = format!("tag {tag:#010x}, optional"),
                Event::End => *detail = "totals and checksum are right".to_owned(),
                Event::DataBegin { .. } | Event::Data(_) | Event::DataEnd | Event::Checked => {}
            }
        }
    }

    /// A header was refused. If it is the very first, this may be no stream of records at all.
    fn refuse_header(&mut self, error: StreamError, offset: u64, bytes: &[u8; HEADER_LEN]) -> bool {
        let header = Header::decode(bytes);
        let known = header.tag <= TAG_STOP_COPY_SIZE || header.tag == TAG_IDENTITY;
        if offset == 0 && header.size == MTTY_MAGIC {
            self.findings.format = Format::Mtty;
        } else if offset != 0
            || (known && header.size <= MAX_RECORD && header.flags <= FLAG_OPTIONAL)
        {
            if offset == 0 {
                self.findings.format = match header.tag {
                    TAG_IDENTITY => Format::Identified,
                    _ => Format::Records,
                };
            }
            self.refuse(error, offset);
        }
        false
    }

    fn refuse(&mut self, error: StreamError, offset: u64) {
        self.findings.refused = Some((error, offset));
    }

    fn count_rest(&mut self) -> io::Result<()> {
        loop {
            match read_full(self.input, &mut self.buffer)? {
                0 => return Ok(()),
                count => self.findings.bytes += count as u64,
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::driver::protocol::stream::{ErrorClass, Writer, REQUIREMENT_LEN};

    /// A stream with one record of each kind.
    pub(crate) fn stream() -> Vec<u8> {
        let mut writer = Writer::<Fast>::new();
        let identity = Identity {
            backend: Identity::name("example"),
            backend_version: 1,
            requirement: [0x10; REQUIREMENT_LEN],
        };
        let mut stream = writer.identity(&identity).to_vec();
        let data = [0; 100_000];
        stream.extend(writer.data(data.len() as u64));
        writer.payload(&data);
        stream.extend(data);
        stream.extend(writer.stop_copy_size(4));
        stream.extend(writer.checksum());
        let data = [1; 4];
        stream.extend(writer.data(data.len() as u64));
        writer.payload(&data);
        stream.extend(data);
        stream.extend(writer.trailer());
        stream
    }

    fn look(stream: &[u8]) -> (Findings, Vec<Record>) {
        let mut records = Vec::new();
        let mut add = |record: &Record| {
            records.push(record.clone());
            Ok(())
        };
        (walk(&mut &*stream, &mut add).unwrap(), records)
    }

    fn record(size: u64, flags: u32, tag: u32, payload: &[u8]) -> Vec<u8> {
        let header = Header { size, flags, tag };
        [&header.encode()[..], payload].concat()
    }

    #[test]
    fn each_record_is_named() {
        let stream = stream();
        let (findings, records) = look(&stream);
        assert_eq!(findings.format, Format::Identified);
        assert_eq!(findings.refused, None);
        assert_eq!((findings.bytes, findings.records), (stream.len() as u64, 6));
        assert_eq!(findings.data, 100_004);
        assert_eq!(backend_name(&findings.identity.unwrap()), "example");
        let names: Vec<_> = records
            .iter()
            .map(|record| tag_name(record.header.tag))
            .collect();
        let wanted = [
            "IDENTITY",
            "DATA",
            "STOP_COPY_SIZE",
            "CHECKSUM",
            "DATA",
            "TRAILER",
        ];
        assert_eq!(names, wanted);
        assert_eq!(records[1].offset, 84);
        assert_eq!(records[2].detail, "4 bytes to follow, an estimate");
        assert!(records[3].detail.starts_with("0x"));
    }

    #[test]
    fn damage_is_found_and_placed() {
        let stream = stream();
        let mut flipped = stream.clone();
        flipped[5000] ^= 1;
        let (findings, records) = look(&flipped);
        let (error, offset) = findings.refused.unwrap();
        assert_eq!(error.class(), ErrorClass::Corrupt);
        // The checksum after the damaged record.
        assert_eq!(offset, 84 + 16 + 100_000 + 24);
        assert_eq!(records.len(), 3);
        assert_eq!(findings.bytes, stream.len() as u64);
        for len in [0, 1, 15, 16, 17, 83, 84, 90, 5000, stream.len() - 1] {
            assert!(look(&stream[..len]).0.refused.is_some(), "{len} bytes");
        }
        let mut longer = stream;
        longer.push(0);
        let (error, _) = look(&longer).0.refused.unwrap();
        assert_eq!(error, StreamError::AfterTrailer);
    }

    #[test]
    fn streams_of_other_drivers_are_told_apart() {
        // mlx5 and virtio.
        let stream = [
            record(8, FLAG_OPTIONAL, TAG_STOP_COPY_SIZE, &[0; 8]),
            record(3, 0, TAG_DATA, b"abc"),
        ]
        .concat();
        let (findings, records) = look(&stream);
        assert_eq!(findings.format, Format::Records);
        assert_eq!(
            (findings.refused, records.len(), findings.data),
            (None, 2, 3)
        );
        let (findings, _) = look(&stream[..stream.len() - 1]);
        assert_eq!(findings.format, Format::Records);
        assert_eq!(findings.refused, Some((StreamError::CutRecord, 24)));
        let (findings, _) = look(&record(1, 1, TAG_DATA, b"x"));
        assert_eq!(findings.refused, Some((StreamError::WrongFlags, 0)));

        let mtty = record(MTTY_MAGIC, 1, 0, &[0; 40]);
        let (findings, _) = look(&mtty);
        assert_eq!((findings.format, findings.refused), (Format::Mtty, None));
        assert_eq!(findings.bytes, 56);

        let noise: Vec<u8> = (0..1000).map(|i| (i * 37 % 251) as u8).collect();
        let (findings, records) = look(&noise);
        assert_eq!((findings.format, findings.refused), (Format::Unknown, None));
        assert_eq!((findings.bytes, records.len()), (1000, 0));
    }
}
