// SPDX-License-Identifier: GPL-2.0

//! Memory in blocks that are as large as they can be had.

use crate::bindings;
use core::{
    ptr::NonNull,
    slice, //
};
use kernel::{
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// What a block may be: 2 MiB, 64 KiB, or a page.
const SHIFTS: [u32; 3] = [21, 16, PAGE_SHIFT as u32];

/// One of so many bytes may be for nothing, so that blocks are large.
const MOST_WASTE: usize = 16;

/// Physically contiguous memory.
///
/// # Invariants
///
/// `address` has `1 << shift` bytes that were allocated as one block, which this owns.
struct Block {
    address: NonNull<u8>,
    shift: u32,
    /// Where it is in the buffer.
    start: usize,
}

// SAFETY: The memory belongs to the block, and to no thread.
unsafe impl Send for Block {}
// SAFETY: As above; it is not accessed through a shared block but to be read.
unsafe impl Sync for Block {}

impl Block {
    fn new(shift: u32, start: usize) -> Result<Self> {
        // SAFETY: Any order will do.
        let address = unsafe { bindings::mlx5_alloc_block(shift - PAGE_SHIFT as u32) };
        // INVARIANT: The block was allocated with that order.
        Ok(Self {
            address: NonNull::new(address.cast()).ok_or(ENOMEM)?,
            shift,
            start,
        })
    }

    const fn len(&self) -> usize {
        1 << self.shift
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let address = self.address.as_ptr().addr();
        // SAFETY: By the type's invariant.
        unsafe { bindings::free_pages(address, self.shift - PAGE_SHIFT as u32) };
    }
}

/// Memory of the driver, at first none, charged to the calling task's cgroup.
///
/// What is in it at first is whatever was there before: only what the firmware or user space says
/// that it wrote may be looked at.
#[derive(Default)]
pub struct Buffer {
    blocks: KVVec<Block>,
    len: usize,
}

impl Buffer {
    /// In bytes: what one command can name (`size` of `SAVE_VHCA_STATE` and `LOAD_VHCA_STATE`).
    // CAST: It is a number of 32 bits.
    pub const MAX: usize = u32::MAX as usize;

    /// A buffer of at least `bytes` bytes.
    ///
    /// # Errors
    ///
    /// As [`grow`](Self::grow).
    pub fn with_capacity(bytes: usize) -> Result<Self> {
        let mut buffer = Self::default();
        buffer.grow(bytes)?;
        Ok(buffer)
    }

    /// All of it, in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// There is no memory yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes it at least `bytes` bytes long. What is in it stays.
    ///
    /// Ask for what is needed, and not for what somebody says will be.
    ///
    /// # Errors
    ///
    /// - `EFBIG` beyond [`MAX`](Self::MAX).
    /// - `ENOMEM`; the buffer may be longer than before.
    pub fn grow(&mut self, bytes: usize) -> Result {
        if bytes > Self::MAX {
            return Err(EFBIG);
        }
        // What is too large, or cannot be had, is not tried again.
        let mut shifts = SHIFTS.iter().copied().peekable();
        while let (Some(need @ 1..), Some(shift)) =
            (bytes.checked_sub(self.len), shifts.peek().copied())
        {
            let waste = (1usize << shift).saturating_sub(need);
            if shift != PAGE_SHIFT as u32 && waste > bytes / MOST_WASTE {
                shifts.next();
                continue;
            }
            match Block::new(shift, self.len) {
                Ok(block) => {
                    let len = block.len();
                    // Not charged: at the limit of a group this would end the process, and it is
                    // little beside what the list is of.
                    self.blocks.push(block, GFP_KERNEL)?;
                    self.len += len;
                }
                Err(error) => {
                    shifts.next();
                    shifts.peek().ok_or(error)?;
                }
            }
        }
        Ok(())
    }

    /// What is at `offset`, as far as it is contiguous; nothing at the end.
    pub fn piece(&self, offset: usize) -> &[u8] {
        match self.at(offset) {
            // SAFETY: The memory is the buffer's, and any content is a byte. Nobody writes while it is
            // borrowed.
            Some((address, len)) => unsafe { slice::from_raw_parts(address, len) },
            None => &[],
        }
    }

    /// As [`piece`](Self::piece), to be written.
    pub fn piece_mut(&mut self, offset: usize) -> &mut [u8] {
        // SAFETY: The buffer is borrowed exclusively.
        unsafe { self.piece_unshared(offset) }
    }

    /// As [`piece_mut`](Self::piece_mut).
    ///
    /// # Safety
    ///
    /// Nothing else may access the memory while the answer is in use.
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn piece_unshared(&self, offset: usize) -> &mut [u8] {
        match self.at(offset) {
            // SAFETY: The memory is the buffer's, and any content is a byte; the rest is by the safety
            // requirements.
            Some((address, len)) => unsafe { slice::from_raw_parts_mut(address, len) },
            None => &mut [],
        }
    }

    pub(super) fn at(&self, offset: usize) -> Option<(*mut u8, usize)> {
        let next = self.blocks.partition_point(|block| block.start <= offset);
        let block = self.blocks.get(next.checked_sub(1)?)?;
        let inside = offset - block.start;
        (inside < block.len()).then(|| {
            let address = block.address.as_ptr().wrapping_add(inside);
            (address, block.len() - inside)
        })
    }

    /// All of it, in pieces of at most `most` bytes, but at least a page, that lie together in memory:
    /// where each is, and its length, a power of two.
    pub(super) fn pieces(&self, most: usize) -> impl Iterator<Item = (*mut u8, usize)> + '_ {
        let most = 1 << most.max(PAGE_SIZE).ilog2();
        self.blocks.iter().flat_map(move |block| {
            let len = block.len().min(most);
            (0..block.len())
                .step_by(len)
                .map(move |inside| (block.address.as_ptr().wrapping_add(inside), len))
        })
    }
}
