// SPDX-License-Identifier: GPL-2.0

//! Records on their way to the reader.

use crate::{
    backend::Image,
    protocol::stream::{
        CHECKSUM_RECORD_LEN,
        HEADER_LEN,
        IDENTITY_RECORD_LEN,
        TRAILER_RECORD_LEN, //
    },
};

/// What is read as one.
enum Records<I> {
    Identity([u8; IDENTITY_RECORD_LEN]),
    /// A record of device state and its checksum.
    Data {
        header: [u8; HEADER_LEN],
        image: I,
        checksum: [u8; CHECKSUM_RECORD_LEN],
    },
    Trailer([u8; TRAILER_RECORD_LEN]),
}

/// Records, and how much of them was read.
pub(super) struct Entry<I> {
    records: Records<I>,
    read: usize,
    /// Whether they belong to the initial data of pre-copy.
    pub(super) initial: bool,
}

impl<I: Image> Entry<I> {
    fn new(records: Records<I>, initial: bool) -> Self {
        Self {
            records,
            read: 0,
            initial,
        }
    }

    pub(super) fn identity(record: [u8; IDENTITY_RECORD_LEN]) -> Self {
        Self::new(Records::Identity(record), true)
    }

    pub(super) fn data(
        header: [u8; HEADER_LEN],
        image: I,
        checksum: [u8; CHECKSUM_RECORD_LEN],
        initial: bool,
    ) -> Self {
        let records = Records::Data {
            header,
            image,
            checksum,
        };
        Self::new(records, initial)
    }

    pub(super) fn trailer(record: [u8; TRAILER_RECORD_LEN]) -> Self {
        Self::new(Records::Trailer(record), false)
    }

    /// Bytes that were not read.
    pub(super) fn len(&self) -> usize {
        let len = match &self.records {
            Records::Identity(record) => record.len(),
            Records::Data { image, .. } => HEADER_LEN + image.size() + CHECKSUM_RECORD_LEN,
            Records::Trailer(record) => record.len(),
        };
        len - self.read
    }

    /// The next bytes that lie together in memory; empty at the end.
    pub(super) fn piece(&self) -> &[u8] {
        let from = |bytes: &'_ [u8]| bytes.len().min(self.read);
        match &self.records {
            Records::Identity(record) => &record[from(record)..],
            Records::Trailer(record) => &record[from(record)..],
            Records::Data {
                header,
                image,
                checksum,
            } => match self.read.checked_sub(HEADER_LEN) {
                None => &header[from(header)..],
                Some(at) => match at.checked_sub(image.size()) {
                    None => image.piece(at),
                    Some(at) => &checksum[at.min(CHECKSUM_RECORD_LEN)..],
                },
            },
        }
    }

    /// The first `count` bytes of that piece were read.
    pub(super) fn advance(&mut self, count: usize) {
        self.read += count.min(self.len());
    }

    /// The memory of the image, for another.
    pub(super) fn into_image(self) -> Option<I> {
        match self.records {
            Records::Data { image, .. } => Some(image),
            Records::Identity(_) | Records::Trailer(_) => None,
        }
    }

    pub(super) fn has_image(&self) -> bool {
        matches!(self.records, Records::Data { .. })
    }
}
