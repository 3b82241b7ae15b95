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
