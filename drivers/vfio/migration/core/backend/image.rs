// SPDX-License-Identifier: GPL-2.0

//! Memory that device state is in on its way to and from user space.

use kernel::prelude::*;

/// Device state that a backend made, to be read.
pub trait Image: Send + Unpin + 'static {
    /// How many bytes; not zero.
    fn size(&self) -> usize;

    /// The bytes from `offset` on that lie together in memory; empty only at the end.
    fn piece(&self, offset: usize) -> &[u8];
}

/// Memory for the payload of one record that is being written.
pub trait Landing: Send + Unpin + 'static {
    /// Memory for some of the next `left` bytes of the record, not empty. Allocates for the calling
    /// process what is missing.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; the session has then failed.
    fn space(&mut self, left: u64) -> Result<&mut [u8]>;

    /// The first `count` bytes of that memory are filled.
    fn advance(&mut self, count: usize);

    /// The last `count` bytes that were filled, as far as they lie together in memory; at least one.
    fn last(&self, count: usize) -> &[u8];

    /// Empties it for the next record.
    fn clear(&mut self);

    /// Gives back its memory, here and now.
    fn free(&mut self);
}

/// For backends that take data in pieces: there is none.
pub enum NoLanding {}

impl Landing for NoLanding {
    fn space(&mut self, _left: u64) -> Result<&mut [u8]> {
        match *self {}
    }

    fn advance(&mut self, _count: usize) {
        match *self {}
    }

    fn last(&self, _count: usize) -> &[u8] {
        match *self {}
    }

    fn clear(&mut self) {
        match *self {}
    }

    fn free(&mut self) {
        match *self {}
    }
}

/// An [`Image`] in kernel memory, for backends whose chunks have one size at most.
///
/// # Invariants
///
/// `len` is at most the length of `bytes`.
pub struct Buffer {
    bytes: KVVec<u8>,
    len: usize,
}

impl Buffer {
    /// A buffer for up to `size` bytes, charged to the calling process.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(size: usize) -> Result<Self> {
        let bytes = KVVec::zeroed(size, GFP_KERNEL_ACCOUNT)?;
        // INVARIANT: It is 0.
        Ok(Self { bytes, len: 0 })
    }

    /// Takes `spare`, or makes a buffer for up to `size` bytes.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn take(spare: &mut Option<Self>, size: usize) -> Result<Self> {
        match spare.take() {
            Some(buffer) => Ok(buffer),
            None => Self::new(size),
        }
    }

    /// All of its memory.
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Says how much of the memory is the image.
    pub fn fill(&mut self, len: usize) {
        debug_assert!(len <= self.bytes.len());
        // INVARIANT: It is limited to the length.
        self.len = len.min(self.bytes.len());
    }
}

impl Image for Buffer {
    fn size(&self) -> usize {
        self.len
    }

    fn piece(&self, offset: usize) -> &[u8] {
        self.bytes.get(offset..self.len).unwrap_or(&[])
    }
}
