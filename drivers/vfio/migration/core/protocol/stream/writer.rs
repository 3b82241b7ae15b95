// SPDX-License-Identifier: GPL-2.0

//! Makes the records of a stream.

use super::{
    join,
    length,
    Crc,
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

/// Length of the payload that gives an estimate.
pub(super) const STOP_COPY_SIZE_LEN: usize = 8;
/// Length of the payload that gives a checksum: the CRC and four bytes of zero.
pub(super) const CHECKSUM_LEN: usize = 8;
/// Length of the totals in a trailer, which the checksum in the trailer includes.
pub(super) const TOTALS_LEN: usize = 24;
/// Length of the payload of a trailer.
pub(super) const TRAILER_LEN: usize = TOTALS_LEN + CHECKSUM_LEN;

/// Length of a whole record with an [`Identity`].
pub const IDENTITY_RECORD_LEN: usize = HEADER_LEN + IDENTITY_LEN;
/// Length of a whole record with an estimate.
pub const STOP_COPY_SIZE_RECORD_LEN: usize = HEADER_LEN + STOP_COPY_SIZE_LEN;
/// Length of a whole record with a checksum.
pub const CHECKSUM_RECORD_LEN: usize = HEADER_LEN + CHECKSUM_LEN;
/// Length of the whole record that ends a stream.
pub const TRAILER_RECORD_LEN: usize = HEADER_LEN + TRAILER_LEN;

/// What a stream held up to some point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Bytes of the stream.
    pub(super) bytes: u64,
    /// Records.
    pub(super) records: u64,
    /// Bytes of device state.
    pub(super) data: u64,
}

impl Totals {
    pub(super) fn encode(self) -> [u8; TOTALS_LEN] {
        let mut bytes = [0; TOTALS_LEN];
        bytes[0..8].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.records.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.data.to_le_bytes());
        bytes
    }
}

/// Makes the records of one stream and keeps its totals and its checksum.
///
/// Each method accounts for the record that it makes, so the records must go into the stream in the
/// order in which they were made, each of them whole and once.
pub struct Writer<C: Crc> {
    totals: Totals,
    crc: RunningCrc<C>,
}

impl<C: Crc> Writer<C> {
    /// Starts a stream.
    pub fn new() -> Self {
        Writer {
            totals: Totals::default(),
            crc: RunningCrc::new(),
        }
    }

    /// Number of bytes in all records made until now.
    pub fn bytes(&self) -> u64 {
        self.totals.bytes
    }

    /// Makes the record that tells who writes the stream. It must be the first.
    pub fn identity(&mut self, identity: &Identity) -> [u8; IDENTITY_RECORD_LEN] {
        debug_assert!(self.totals == Totals::default());
        self.record(TAG_IDENTITY, &identity.encode())
    }

    /// Makes a record with an estimate: how many bytes follow once the device has stopped.
    pub fn stop_copy_size(&mut self, size: u64) -> [u8; STOP_COPY_SIZE_RECORD_LEN] {
        self.record(TAG_STOP_COPY_SIZE, &size.to_le_bytes())
    }

    /// Makes the header of a record of `size` bytes of device state, which is not zero. The bytes
    /// follow, with [`payload`](Writer::payload).
    pub fn data(&mut self, size: u64) -> [u8; HEADER_LEN] {
        debug_assert!(size != 0);
        let header = Header {
            size,
            flags: 0,
            tag: TAG_DATA,
        }
        .encode();
        self.totals.data += size;
        self.totals.bytes += length(&header) + size;
        self.totals.records += 1;
        self.crc.update(&header);
        header
    }

    /// Accounts for the next bytes of the record that [`data`](Writer::data) began.
    pub fn payload(&mut self, bytes: &[u8]) {
        self.crc.update(bytes);
    }

    /// Makes a record with the checksum of all records made until now.
    pub fn checksum(&mut self) -> [u8; CHECKSUM_RECORD_LEN] {
        let payload: [u8; CHECKSUM_LEN] = join(&self.crc.value().to_le_bytes(), &[0; 4]);
        self.record(TAG_CHECKSUM, &payload)
    }

    /// Makes the record that ends the stream.
    pub fn trailer(&mut self) -> [u8; TRAILER_RECORD_LEN] {
        let header = optional(TAG_TRAILER, TRAILER_LEN);
        let totals = self.totals.encode();
        self.crc.update(&header);
        self.crc.update(&totals);
        let sealed: [u8; TRAILER_LEN] = join(
            &totals,
            &join::<CHECKSUM_LEN>(&self.crc.value().to_le_bytes(), &[0; 4]),
        );
        join(&header, &sealed)
    }

    /// Makes and accounts for a record that a reader may skip.
    fn record<const N: usize>(&mut self, tag: u32, payload: &[u8]) -> [u8; N] {
        let record = join(&optional(tag, payload.len()), payload);
        self.account(&record);
        record
    }

    fn account(&mut self, record: &[u8]) {
        self.totals.bytes += length(record);
        self.totals.records += 1;
        self.crc.update(record);
    }
}

impl<C: Crc> Default for Writer<C> {
    fn default() -> Self {
        Self::new()
    }
}

/// Encodes the header of a record that a reader may skip.
fn optional(tag: u32, payload: usize) -> [u8; HEADER_LEN] {
    Header {
        // CAST: `usize` has at most 64 bits.
        size: payload as u64,
        flags: FLAG_OPTIONAL,
        tag,
    }
    .encode()
}
