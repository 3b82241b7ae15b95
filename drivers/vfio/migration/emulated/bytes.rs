// SPDX-License-Identifier: GPL-2.0

//! Numbers in images and in guest memory: little-endian, one behind the other. Uses `core::` only.

/// Takes numbers off the front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `N` bytes; [`None`] if there are not that many.
    pub(crate) fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(first)
    }

    /// The next number of 32 bits.
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take().copied().map(u32::from_le_bytes)
    }

    /// The next number of 64 bits.
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take().copied().map(u64::from_le_bytes)
    }
}

/// Puts bytes one behind the other. There must be room for them.
pub(crate) struct Writer<'a>(pub(crate) &'a mut [u8]);

impl Writer<'_> {
    /// Puts `bytes` behind what is there.
    pub(crate) fn put<const N: usize>(&mut self, bytes: &[u8; N]) {
        let (first, rest) = core::mem::take(&mut self.0).split_at_mut(N);
        first.copy_from_slice(bytes);
        self.0 = rest;
    }
}
