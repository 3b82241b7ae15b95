// SPDX-License-Identifier: GPL-2.0

//! DMA mappings of buffers, for the device of the PF.
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h);
//! `Documentation/core-api/dma-api.rst` says who may access mapped memory when.

use super::buffer::Buffer;
use crate::{
    bindings,
    command::Pf, //
};
use core::ops::Range;
use kernel::{
    error::to_result,
    prelude::*,
    sync::Arc, //
};

/// Which way the data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The firmware writes it.
    FromDevice,
    /// The firmware reads it.
    ToDevice,
}

/// A part of the buffer that is mapped as one.
struct Piece {
    address: u64,
    /// Where it is in the buffer.
    start: usize,
    len: usize,
}

/// A mapped buffer, which belongs to the CPU but for the time between [`give`](Self::give) and
/// [`take`](Self::take).
///
/// # Invariants
///
/// `pieces` are mapped in `direction` for the device of `pf`, and are in the order of the buffer.
/// Addresses and lengths are multiples of `1 << shift`.
pub(crate) struct Mapping {
    pf: Pf,
    direction: Direction,
    shift: u32,
    pieces: KVVec<Piece>,
    /// Mapped memory must not be freed.
    buffer: Arc<Buffer>,
}

impl Mapping {
    /// `ENOMEM` if there is no place; `EINVAL` if the buffer is empty.
    pub(crate) fn new(pf: Pf, buffer: &Arc<Buffer>, direction: Direction) -> Result<Self> {
        if buffer.is_empty() {
            return Err(EINVAL);
        }
        // SAFETY: The PF is there.
        let device = unsafe { bindings::mlx5_dma_device(pf.as_raw()) };
        // SAFETY: It is a valid device.
        let max = unsafe { bindings::dma_max_mapping_size(device) };
        // INVARIANT: There are no pieces.
        let mut mapping = Self {
            pf,
            direction,
            shift: usize::BITS - 1,
            pieces: KVVec::new(),
            buffer: buffer.clone(),
        };
        let mut start = 0;
        for (memory, len) in buffer.pieces(max) {
            let mut address = 0;
            // First, as a mapping that is not remembered stays.
            mapping.pieces.reserve(1, GFP_KERNEL_ACCOUNT)?;
            // SAFETY: The piece has that size and stays where it is.
            to_result(unsafe {
                bindings::mlx5_dma_map(
                    device,
                    memory.cast(),
                    len,
                    direction == Direction::FromDevice,
                    &mut address,
                )
            })?;
            // INVARIANT: This is such a mapping, and comes after the others.
            mapping.shift = mapping
                .shift
                .min(address.trailing_zeros())
                .min(len.trailing_zeros());
            let piece = Piece {
                address,
                start,
                len,
            };
            mapping.pieces.push(piece, GFP_KERNEL_ACCOUNT)?;
            start += len;
        }
        mapping.take(buffer.len());
        Ok(mapping)
    }

    pub(super) fn direction(&self) -> Direction {
        self.direction
    }

    /// The size of the pages of [`addresses`](Self::addresses), as a power of two.
    pub(crate) fn shift(&self) -> u32 {
        self.shift
    }

    /// The addresses of all its pages.
    pub(crate) fn addresses(&self) -> Result<KVVec<u64>> {
        let mut addresses =
            KVVec::with_capacity(self.buffer.len() >> self.shift, GFP_KERNEL_ACCOUNT)?;
        for piece in &self.pieces {
            for inside in (0..piece.len).step_by(1 << self.shift) {
                // CAST: A `usize` has at most 64 bits. OVERFLOW: It is inside the piece.
                addresses.push(piece.address + inside as u64, GFP_KERNEL_ACCOUNT)?;
            }
        }
        Ok(addresses)
    }

    /// The first `bytes` bytes now belong to the device.
    pub(crate) fn give(&self, bytes: usize) {
        self.sync(0..bytes, false);
    }

    /// They belong to the CPU again.
    pub(super) fn take(&self, bytes: usize) {
        self.sync(0..bytes, true);
    }

    /// What the device wrote to `bytes` can be loaded. The rest still belongs to the device.
    pub(crate) fn look(&self, bytes: Range<usize>) {
        self.sync(bytes, true);
    }

    /// The 64 bits at `offset`, big-endian in memory, whoever it belongs to.
    pub(crate) fn load(&self, offset: usize) -> Option<u64> {
        let (address, len) = self.buffer.at(offset)?;
        if len < size_of::<u64>() || offset % align_of::<u64>() != 0 {
            return None;
        }
        // SAFETY: It is inside the buffer, and blocks are aligned to their size. The device may write
        // at the same time, as with any memory of a device.
        Some(u64::from_be(unsafe {
            address.cast::<u64>().read_volatile()
        }))
    }

    fn sync(&self, bytes: Range<usize>, for_cpu: bool) {
        // SAFETY: The PF is there.
        let device = unsafe { bindings::mlx5_dma_device(self.pf.as_raw()) };
        let from = self
            .pieces
            .partition_point(|piece| piece.start + piece.len <= bytes.start);
        for piece in self.pieces.iter().skip(from) {
            let inside = bytes.start.saturating_sub(piece.start);
            let end = bytes.end.saturating_sub(piece.start).min(piece.len);
            if inside >= end {
                return;
            }
            // SAFETY: By the type's invariant this is inside a mapping; any part of one may be synced.
            unsafe {
                bindings::mlx5_dma_sync(
                    device,
                    piece.address + inside as u64,
                    end - inside,
                    self.direction == Direction::FromDevice,
                    for_cpu,
                )
            };
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: The PF is there.
        let device = unsafe { bindings::mlx5_dma_device(self.pf.as_raw()) };
        for piece in &self.pieces {
            // SAFETY: By the type's invariant.
            unsafe {
                bindings::mlx5_dma_unmap(
                    device,
                    piece.address,
                    piece.len,
                    self.direction == Direction::FromDevice,
                )
            };
        }
    }
}
