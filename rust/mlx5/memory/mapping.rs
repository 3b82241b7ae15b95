// SPDX-License-Identifier: GPL-2.0

//! DMA mappings of buffers, for the device of the PF.
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h);
//! `Documentation/core-api/dma-api.rst` says who may access mapped memory when.

use super::buffer::{
    Buffer,
    SHIFTS, //
};
use crate::{
    bindings,
    command::Pf, //
};
use core::ops::Range;
use kernel::{
    error::to_result,
    page::PAGE_SHIFT,
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

/// A mapped buffer, which belongs to the CPU but for the time between [`give`](Self::give) and
/// [`take`](Self::take).
///
/// # Invariants
///
/// `addresses` are those of mappings of `1 << shift` bytes each in `direction`, for the device of
/// `pf`.
pub(crate) struct Mapping {
    pf: Pf,
    direction: Direction,
    shift: u32,
    addresses: KVVec<u64>,
    /// Mapped memory must not be freed.
    buffer: Arc<Buffer>,
}

impl Mapping {
    /// `ENOMEM` if there is no place; `EINVAL` if the buffer is empty.
    pub(crate) fn new(pf: Pf, buffer: &Arc<Buffer>, direction: Direction) -> Result<Self> {
        let granule = buffer.granule().ok_or(EINVAL)?;
        // SAFETY: The PF is there.
        let device = unsafe { bindings::mlx5_dma_device(pf.as_raw()) };
        // SAFETY: It is a valid device.
        let max = unsafe { bindings::dma_max_mapping_size(device) };
        SHIFTS
            .into_iter()
            .filter(|shift| (PAGE_SHIFT as u32..=granule).contains(shift) && 1 << shift <= max)
            .find_map(|shift| Self::with_shift(pf, buffer, direction, shift).ok())
            .ok_or(ENOMEM)
    }

    fn with_shift(pf: Pf, buffer: &Arc<Buffer>, direction: Direction, shift: u32) -> Result<Self> {
        let mut mapping = Self {
            pf,
            direction,
            shift,
            addresses: KVVec::with_capacity(buffer.len() >> shift, GFP_KERNEL_ACCOUNT)?,
            buffer: buffer.clone(),
        };
        for piece in buffer.pieces(shift) {
            let mut address = 0;
            // SAFETY: The PF is there.
            let device = unsafe { bindings::mlx5_dma_device(pf.as_raw()) };
            // SAFETY: The piece has that size and stays where it is.
            to_result(unsafe {
                bindings::mlx5_dma_map(
                    device,
                    piece.cast(),
                    1 << shift,
                    direction == Direction::FromDevice,
                    &mut address,
                )
            })?;
            // INVARIANT: This is such a mapping. What is there already is undone by `drop`.
            mapping.addresses.push(address, GFP_KERNEL_ACCOUNT)?;
            // The firmware takes the bits below for zero.
            if address & ((1 << shift) - 1) != 0 {
                return Err(EINVAL);
            }
        }
        mapping.take(buffer.len());
        Ok(mapping)
    }

    pub(super) fn direction(&self) -> Direction {
        self.direction
    }

    pub(crate) fn shift(&self) -> u32 {
        self.shift
    }

    pub(crate) fn addresses(&self) -> &[u64] {
        &self.addresses
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
        let blocks = bytes.start >> self.shift..bytes.end.div_ceil(1 << self.shift);
        let end = blocks.end.min(self.addresses.len());
        let Some(addresses) = self.addresses.get(blocks.start..end) else {
            return;
        };
        // SAFETY: The PF is there.
        let device = unsafe { bindings::mlx5_dma_device(self.pf.as_raw()) };
        // SAFETY: By the type's invariant.
        unsafe {
            bindings::mlx5_dma_sync(
                device,
                addresses.as_ptr(),
                addresses.len(),
                1 << self.shift,
                self.direction == Direction::FromDevice,
                for_cpu,
            )
        };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: The PF is there.
        let device = unsafe { bindings::mlx5_dma_device(self.pf.as_raw()) };
        for address in &self.addresses {
            // SAFETY: By the type's invariant.
            unsafe {
                bindings::mlx5_dma_unmap(
                    device,
                    *address,
                    1 << self.shift,
                    self.direction == Direction::FromDevice,
                )
            };
        }
    }
}
