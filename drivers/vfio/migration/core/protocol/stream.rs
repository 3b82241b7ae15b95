// SPDX-License-Identifier: GPL-2.0

//! The stream of device state, as `Documentation/driver-api/vfio-migration-stream.rst` defines it.
//!
//! A stream is a sequence of records. [`Writer`] makes them, [`Parser`] takes a stream apart again,
//! however it was cut into pieces. Neither holds any device state: the one works on records in the
//! caller's memory, the other hands out pieces of the caller's input.

mod error;
mod header;
mod identity;
mod parser;
mod writer;

pub use error::{
    Error,
    ErrorClass, //
};
pub use header::{
    Header,
    FLAG_OPTIONAL,
    HEADER_LEN,
    TAG_CHECKSUM,
    TAG_DATA,
    TAG_IDENTITY,
    TAG_STOP_COPY_SIZE,
    TAG_TRAILER, //
};
pub use identity::{
    Identity,
    IDENTITY_LEN,
    NAME_LEN,
    REQUIREMENT_LEN,
    VERSION_MAJOR,
    VERSION_MINOR, //
};
pub use parser::{
    Event,
    IdentityPolicy,
    Parser,
    Policy, //
};
pub use writer::{
    Writer,
    CHECKSUM_RECORD_LEN,
    IDENTITY_RECORD_LEN,
    STOP_COPY_SIZE_RECORD_LEN,
    TRAILER_RECORD_LEN, //
};

/// An implementation of CRC32C (polynomial 0x1edc6f41, reflected).
///
/// The kernel has one that uses the CPU's instructions, the host has not; so whoever uses a stream
/// supplies it.
pub trait Crc {
    /// Continues `crc` over `bytes`, with no inversion before or after.
    fn update(crc: u32, bytes: &[u8]) -> u32;
}

/// A CRC32C that is continued over a stream.
struct RunningCrc<C: Crc> {
    raw: u32,
    crc: core::marker::PhantomData<fn() -> C>,
}

impl<C: Crc> RunningCrc<C> {
    fn new() -> Self {
        RunningCrc {
            raw: !0,
            crc: core::marker::PhantomData,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.raw = C::update(self.raw, bytes);
    }

    /// The CRC32C of all bytes until now.
    fn value(&self) -> u32 {
        !self.raw
    }
}

/// Length of a slice as the stream counts.
const fn length(bytes: &[u8]) -> u64 {
    // CAST: No slice is longer than `isize::MAX` bytes.
    bytes.len() as u64
}

/// Copies `N` bytes of `bytes` from `at`.
///
/// Both are constants wherever this is called, and inside the array.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

/// Joins two parts, usually a header and its payload, to the `N` bytes that they make together.
fn join<const N: usize>(first: &[u8], second: &[u8]) -> [u8; N] {
    let mut joined = [0; N];
    let (head, tail) = joined.split_at_mut(first.len());
    head.copy_from_slice(first);
    tail.copy_from_slice(second);
    joined
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(not(test), ::kernel::macros::kunit_tests(rust_vfio_migration_stream))]
mod tests {
    use super::*;

    /// A CRC32C that computes each bit; the tests bring their own to need nothing of the kernel's.
    struct Bitwise;

    impl Crc for Bitwise {
        fn update(crc: u32, bytes: &[u8]) -> u32 {
            bytes.iter().fold(crc, |crc, byte| {
                (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                    (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
                })
            })
        }
    }

    const IDENTITY: Identity = Identity {
        backend: Identity::name("test"),
        backend_version: 7,
        requirement: [0xa5; REQUIREMENT_LEN],
    };
    const POLICY: Policy = Policy {
        identity: IdentityPolicy::Required,
        max_record: 4096,
    };
    const STATE: &[u8; 5] = b"state";
    const STREAM_LEN: usize = IDENTITY_RECORD_LEN
        + STOP_COPY_SIZE_RECORD_LEN
        + HEADER_LEN
        + STATE.len()
        + CHECKSUM_RECORD_LEN
        + TRAILER_RECORD_LEN;

    /// A stream with one record of each kind.
    fn stream() -> [u8; STREAM_LEN] {
        let mut writer = Writer::<Bitwise>::new();
        let identity = writer.identity(&IDENTITY);
        let size = writer.stop_copy_size(5);
        let data: [u8; HEADER_LEN + STATE.len()] = join(&writer.data(length(STATE)), STATE);
        writer.payload(STATE);
        let checksum = writer.checksum();
        let trailer = writer.trailer();

        let mut stream = [0; STREAM_LEN];
        let records: [&[u8]; 5] = [&identity, &size, &data, &checksum, &trailer];
        let mut at = 0;
        for record in records {
            stream[at..at + record.len()].copy_from_slice(record);
            at += record.len();
        }
        stream
    }

    /// Reads a stream in pieces of at most `most` bytes.
    fn read(policy: Policy, stream: &[u8], most: usize) -> Result<(), Error> {
        let mut parser = Parser::<Bitwise>::new(policy);
        let mut state = STATE.iter();
        for mut piece in stream.chunks(most) {
            loop {
                match parser.push(&mut piece)? {
                    Event::More => break,
                    Event::Data(bytes) => {
                        if !bytes.iter().all(|byte| state.next() == Some(byte)) {
                            return Err(Error::TotalsMismatch);
                        }
                    }
                    Event::Identity(identity) if identity != IDENTITY => {
                        return Err(Error::IdentityMissing);
                    }
                    _ => {}
                }
            }
        }
        parser.finish()
    }

    #[test]
    fn checksum_is_crc32c() {
        let mut crc = RunningCrc::<Bitwise>::new();
        crc.update(b"1234");
        crc.update(b"56789");
        assert_eq!(crc.value(), 0xe306_9283);
    }

    #[test]
    fn what_was_written_is_read_in_any_pieces() {
        for most in 1..=STREAM_LEN {
            assert_eq!(read(POLICY, &stream(), most), Ok(()));
        }
    }

    #[test]
    fn every_header_is_shown() {
        let stream = stream();
        for most in [1, HEADER_LEN, STREAM_LEN] {
            let mut parser = Parser::<Bitwise>::new(POLICY);
            let mut seen = [0; 5];
            let mut count = 0;
            for mut piece in stream.chunks(most) {
                while parser.push_and_show(&mut piece, |header| {
                    seen[count] = header.tag;
                    count += 1;
                }) != Ok(Event::More)
                {}
            }
            let tags = [
                TAG_IDENTITY,
                TAG_STOP_COPY_SIZE,
                TAG_DATA,
                TAG_CHECKSUM,
                TAG_TRAILER,
            ];
            assert_eq!(seen, tags);
        }
    }

    #[test]
    fn a_cut_stream_is_refused() {
        let stream = stream();
        for length in 0..stream.len() {
            assert!(read(POLICY, &stream[..length], STREAM_LEN).is_err());
        }
    }

    #[test]
    fn a_flipped_bit_is_refused() {
        for bit in 0..STREAM_LEN * 8 {
            let mut stream = stream();
            stream[bit / 8] ^= 1 << (bit % 8);
            assert!(read(POLICY, &stream, STREAM_LEN).is_err());
        }
    }

    #[test]
    fn an_error_stays() {
        let mut parser = Parser::<Bitwise>::new(POLICY);
        let header = Header {
            size: POLICY.max_record + 1,
            flags: 0,
            tag: TAG_DATA,
        };
        let refused = Err(Error::RecordTooLarge);
        assert_eq!(parser.push(&mut &header.encode()[..]), refused);
        assert_eq!(parser.push(&mut &stream()[..]), refused);
        assert_eq!(parser.push(&mut &[][..]), refused);
        assert_eq!(parser.finish(), Err(Error::RecordTooLarge));
    }
}
