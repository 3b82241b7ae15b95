// SPDX-License-Identifier: GPL-2.0

//! The header that every record starts with, and the tags known to this driver.

use super::field;

/// Length of an encoded [`Header`].
pub const HEADER_LEN: usize = 16;

/// Flag of a record that a reader may skip where it does not know the tag.
pub const FLAG_OPTIONAL: u32 = 1 << 0;

/// Tag of a piece of device state.
pub const TAG_DATA: u32 = 0;
/// Tag of an estimate of how much device state is still to come once the device has stopped.
pub const TAG_STOP_COPY_SIZE: u32 = 1;
/// Tag of an [`Identity`](super::Identity).
pub const TAG_IDENTITY: u32 = 0x5652_0001;
/// Tag of a checksum over the stream before it.
pub const TAG_CHECKSUM: u32 = 0x5652_0002;
/// Tag of the totals that end a stream.
pub const TAG_TRAILER: u32 = 0x5652_0003;

/// What a record starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of bytes that follow the header.
    pub size: u64,
    /// [`FLAG_OPTIONAL`] or nothing.
    pub flags: u32,
    /// What the record holds.
    pub tag: u32,
}

impl Header {
    /// The header as it stands in the stream.
    pub fn encode(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..8].copy_from_slice(&self.size.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.flags.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.tag.to_le_bytes());
        bytes
    }

    /// The header that `bytes` hold; whether it makes sense is not judged here.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Header {
        Header {
            size: u64::from_le_bytes(field(bytes, 0)),
            flags: u32::from_le_bytes(field(bytes, 8)),
            tag: u32::from_le_bytes(field(bytes, 12)),
        }
    }
}
