// SPDX-License-Identifier: GPL-2.0

//! Memory that the PF and its driver share: rings and doorbell records.
//!
//! C header: [`include/linux/mlx5/driver.h`](srctree/include/linux/mlx5/driver.h).
//!
//! All of it is coherent and of the pools of `mlx5_core`. Dropping it gives it back, so whoever named
//! it in a command that could not be undone forgets it instead ([`core::mem::forget`]).

use crate::{
    bindings,
    command::Pf, //
};
use kernel::{
    error::to_result,
    ffi::c_int,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

// The page of the device, by which it takes lists of pages.
const _: () = assert!(PAGE_SHIFT == 12);

/// Pages, each with a DMA address.
///
/// # Invariants
///
/// `raw` was allocated for `pf`, which is up; it has `npages` fragments of a page each.
pub(super) struct Fragments {
    raw: bindings::mlx5_frag_buf,
    pf: Pf,
}

// SAFETY: The memory may be used and freed on any thread.
unsafe impl Send for Fragments {}

impl Fragments {
    /// At least `bytes`, in whole pages. The PF must be up until this is dropped.
    pub(super) fn new(pf: Pf, bytes: usize) -> Result<Self> {
        let bytes = bytes.next_multiple_of(PAGE_SIZE);
        let mut raw = pin_init::zeroed();
        // SAFETY: The PF is up, and the structure is valid for writes.
        to_result(unsafe {
            bindings::mlx5_frag_buf_alloc_node(
                pf.as_raw(),
                c_int::try_from(bytes)?,
                &mut raw,
                bindings::NUMA_NO_NODE,
            )
        })?;
        // INVARIANT: A buffer of whole pages has fragments of a page each.
        Ok(Self { raw, pf })
    }

    fn fragments(&self) -> &[bindings::mlx5_buf_list] {
        // SAFETY: By the type invariants. CAST: A number of pages is not negative.
        unsafe { core::slice::from_raw_parts(self.raw.frags, self.raw.npages as usize) }
    }

    /// The DMA addresses of the pages.
    pub(super) fn addresses(&self) -> Result<KVec<u64>> {
        let mut list = KVec::with_capacity(self.fragments().len(), GFP_KERNEL)?;
        for fragment in self.fragments() {
            list.push(fragment.map, GFP_KERNEL)?;
        }
        Ok(list)
    }

    /// The place of a value; `None` if it is not inside a page.
    fn place<T>(&self, offset: usize) -> Option<*mut T> {
        let inside = offset % PAGE_SIZE;
        if inside % align_of::<T>() != 0 || inside + size_of::<T>() > PAGE_SIZE {
            return None;
        }
        let fragment = self.fragments().get(offset / PAGE_SIZE)?;
        Some(fragment.buf.wrapping_byte_add(inside).cast::<T>())
    }

    /// The value at `offset` bytes, as it is in memory.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not inside a page.
    pub(super) fn load<T: FromBytes>(&self, offset: usize) -> Result<T> {
        let place = self.place::<T>(offset).ok_or(EINVAL)?;
        // SAFETY: The place is valid, aligned and inside of our memory. The device may write at the
        // same time, as with any memory of a device; every value is valid.
        Ok(unsafe { place.read_volatile() })
    }

    /// Sets the value at `offset` bytes.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not inside a page.
    pub(super) fn store<T: IntoBytes>(&self, offset: usize, value: T) -> Result {
        let place = self.place::<T>(offset).ok_or(EINVAL)?;
        // SAFETY: The place is valid, aligned and inside of our memory. The device may read at the same
        // time, as with any memory of a device.
        unsafe { place.write_volatile(value) };
        Ok(())
    }
}

impl Drop for Fragments {
    fn drop(&mut self) {
        // SAFETY: By the type invariants. Nobody uses it any more.
        unsafe { bindings::mlx5_frag_buf_free(self.pf.as_raw(), &mut self.raw) };
    }
}

/// A doorbell record: two words that tell the device how far the driver is.
///
/// # Invariants
///
/// `raw` was allocated for `pf`, which is up.
pub(super) struct Doorbell {
    raw: bindings::mlx5_db,
    pf: Pf,
}

// SAFETY: The record may be used and freed on any thread.
unsafe impl Send for Doorbell {}

impl Doorbell {
    /// The PF must be up until this is dropped.
    pub(super) fn new(pf: Pf) -> Result<Self> {
        let mut raw = pin_init::zeroed();
        // SAFETY: The PF is up, and the structure is valid for writes.
        to_result(unsafe {
            bindings::mlx5_db_alloc_node(pf.as_raw(), &mut raw, bindings::NUMA_NO_NODE)
        })?;
        // INVARIANT: It was allocated.
        let doorbell = Self { raw, pf };
        doorbell.set(0);
        Ok(doorbell)
    }

    /// The DMA address.
    pub(super) fn address(&self) -> u64 {
        self.raw.dma
    }

    /// The two words.
    pub(super) fn words(&self) -> [*mut bindings::__be32; 2] {
        [self.raw.db, self.raw.db.wrapping_add(1)]
    }

    /// Sets the first word: how many entries of a receive queue are posted, or which entry of a
    /// completion queue comes next.
    pub(super) fn set(&self, counter: u32) {
        let [first, _] = self.words();
        // SAFETY: A record has two aligned words. The device may read at the same time.
        unsafe { first.write_volatile(counter.to_be()) };
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        // SAFETY: By the type invariants. Nobody uses it any more.
        unsafe { bindings::mlx5_db_free(self.pf.as_raw(), &mut self.raw) };
    }
}

/// A page of the PF's doorbells.
///
/// # Invariants
///
/// `raw` is a page of `pf`, which is up.
pub(super) struct Uar {
    raw: *mut bindings::mlx5_uars_page,
    pf: Pf,
}

// SAFETY: The page has a reference count, and may be used on any thread.
unsafe impl Send for Uar {}

impl Uar {
    /// The PF must be up until this is dropped.
    pub(super) fn new(pf: Pf) -> Result<Self> {
        // SAFETY: The PF is up.
        let raw = unsafe { bindings::mlx5_get_uars_page(pf.as_raw()) };
        let raw = kernel::error::from_err_ptr(raw)?;
        // INVARIANT: It is one, and ours until it is put back.
        Ok(Self { raw, pf })
    }

    /// Its number.
    pub(super) fn index(&self) -> u32 {
        // SAFETY: By the type invariants.
        unsafe { (*self.raw).index }
    }

    /// Where it is mapped.
    pub(super) fn map(&self) -> *mut kernel::ffi::c_void {
        // SAFETY: By the type invariants.
        unsafe { (*self.raw).map }
    }
}

impl Drop for Uar {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::mlx5_put_uars_page(self.pf.as_raw(), self.raw) };
    }
}
