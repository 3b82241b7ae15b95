// SPDX-License-Identifier: GPL-2.0

//! DMA of an emulated device: user memory at the addresses that user space mapped for it.
//!
//! C header: [`include/linux/vfio.h`](srctree/include/linux/vfio.h).
//!
//! A device can access it while it is open. Last close ends that, and waits for the accesses that
//! have begun, so nothing here outlives what the VFIO core has for the device. An access copies
//! from or to user memory inside, which may wait for user space: no lock may be held that reset
//! takes, nor any that is taken with `mmap_lock` held.
//!
//! User space may unmap memory at any time. It waits for those that have it pinned, so a [`Pinned`]
//! is for one transfer and not to keep. Only devices opened by their character device, with iommufd,
//! can pin: the legacy container calls `dma_unmap` with a lock held that another unmap waits for
//! while it holds the one that unpinning needs.

use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    error::to_result,
    ffi::c_int,
    new_srcu,
    page::{
        BorrowedPage,
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::{
        atomic::{
            ordering,
            Atomic, //
        },
        srcu::Guard,
        Arc,
        Srcu, //
    },
};

/// The most pages that can be pinned at once.
pub const MAX_PINNED: usize = PAGE_SIZE / size_of::<usize>();

/// Which way the data goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The device reads memory.
    Read,
    /// The device writes memory.
    Write,
}

/// The memory that user space mapped for one device.
///
/// # Invariants
///
/// `device` is null, or an emulated device that is open. After it became null, those who saw
/// another value are waited for by `users`.
#[pin_data]
pub struct UserMemory {
    device: Atomic<*mut bindings::vfio_device>,
    /// Everyone who uses `device`.
    #[pin]
    users: Srcu,
    /// Everyone who has memory pinned, or is about to.
    #[pin]
    pinners: Srcu,
}

// SAFETY: The fields may be used on any thread, and so may the functions for a VFIO device.
unsafe impl Send for UserMemory {}
// SAFETY: As above.
unsafe impl Sync for UserMemory {}

impl UserMemory {
    /// The memory of a device that is not open yet.
    pub(crate) fn new() -> Result<Arc<Self>> {
        // INVARIANT: The pointer is null.
        let init = try_pin_init!(Self {
            device: Atomic::new(core::ptr::null_mut()),
            users <- new_srcu!("vfio::dma::users"),
            pinners <- new_srcu!("vfio::dma::pinners"),
        });
        Arc::pin_init(init, GFP_KERNEL)
    }

    /// The device is being opened.
    ///
    /// # Safety
    ///
    /// `device` must be an emulated device of which this is the memory, and count as open until
    /// [`Self::detach`] was called.
    pub(crate) unsafe fn attach(&self, device: *mut bindings::vfio_device) {
        // INVARIANT: By the safety requirements.
        self.device.store(device, ordering::Release);
    }

    /// The device is being closed: ends all access, and waits for what has begun.
    pub(crate) fn detach(&self) {
        self.device.store(core::ptr::null_mut(), ordering::Release);
        // INVARIANT: Those who saw the device are gone; others see null.
        self.users.synchronize_expedited();
    }

    /// User space unmaps memory that is pinned: waits until none is. The VFIO core does not let
    /// anyone pin that memory any more.
    pub(crate) fn unmap(&self) {
        self.pinners.synchronize_expedited();
    }

    /// The device, for as long as the guard is kept.
    fn open(&self) -> Result<(*mut bindings::vfio_device, Guard<'_>)> {
        let user = self.users.read_lock();
        let device = self.device.load(ordering::Acquire);
        if device.is_null() {
            return Err(ENODEV);
        }
        Ok((device, user))
    }

    /// Copies memory from `iova` on to `out`.
    ///
    /// # Errors
    ///
    /// - `ENODEV` if the device is not open.
    /// - `EINVAL`, `ENOENT`, `EPERM` or `EFAULT` if user space mapped no such memory, or it cannot be
    ///   read; part of `out` may have been overwritten.
    pub fn read(&self, iova: u64, out: &mut [u8]) -> Result {
        // SAFETY: The pointer and the length are those of a slice that can be written.
        unsafe { self.copy(iova, out.as_mut_ptr(), out.len(), Direction::Read) }
    }

    /// Copies `data` to memory from `iova` on.
    ///
    /// # Errors
    ///
    /// - `ENODEV` if the device is not open.
    /// - `EINVAL`, `ENOENT`, `EPERM` or `EFAULT` if user space mapped no such memory, or it cannot be
    ///   written; what comes before in the range may have been written.
    pub fn write(&self, iova: u64, data: &[u8]) -> Result {
        let ptr = data.as_ptr().cast_mut();
        // SAFETY: The pointer and the length are those of a slice, which is only read.
        unsafe { self.copy(iova, ptr, data.len(), Direction::Write) }
    }

    /// # Safety
    ///
    /// `data` must be valid for `len` bytes: for writes, if the device reads memory, else for
    /// reads.
    unsafe fn copy(&self, iova: u64, data: *mut u8, len: usize, direction: Direction) -> Result {
        let (device, _user) = self.open()?;
        if len == 0 {
            return Ok(());
        }
        // CAST: A `usize` has at most 64 bits.
        iova.checked_add(len as u64 - 1).ok_or(EFAULT)?;
        let write = direction == Direction::Write;
        // SAFETY: The device is open until the guard goes, and the data is valid by the safety
        // requirements.
        to_result(unsafe { bindings::vfio_dma_rw(device, iova, data.cast(), len, write) })
    }

    /// Pins `count` pages from `iova` on, so that they can be accessed without waiting for user
    /// space.
    ///
    /// # Errors
    ///
    /// - `ENODEV` if the device is not open.
    /// - `EINVAL` if `iova` is not at the start of a page, or `count` is not 1 to [`MAX_PINNED`].
    /// - `EOPNOTSUPP` if the device was opened by its group.
    /// - `EINVAL`, `ENOENT`, `EPERM`, `EFAULT` or `ENOMEM` if user space mapped no such memory, or it
    ///   cannot be pinned.
    pub fn pin(&self, iova: u64, count: usize, direction: Direction) -> Result<Pinned<'_>> {
        // CAST: A page is smaller than 4 GiB.
        if iova % PAGE_SIZE as u64 != 0 || !(1..=MAX_PINNED).contains(&count) {
            return Err(EINVAL);
        }
        // CAST: As above, for `MAX_PINNED` pages.
        iova.checked_add(((count << PAGE_SHIFT) - 1) as u64)
            .ok_or(EFAULT)?;
        let mut pages = KVec::from_elem(core::ptr::null_mut(), count, GFP_KERNEL)?;
        let (device, user) = self.open()?;
        // SAFETY: The device is open until the guard goes.
        if !unsafe { bindings::vfio_device_cdev_opened(device) } {
            return Err(EOPNOTSUPP);
        }
        let pinner = self.pinners.read_lock();
        let access = match direction {
            Direction::Read => bindings::IOMMU_READ,
            Direction::Write => bindings::IOMMU_READ | bindings::IOMMU_WRITE,
        };
        // CAST: Both are small.
        let (count, access) = (count as c_int, access as c_int);
        // SAFETY: The device is open until the guard goes, and there is room for all pages.
        let done =
            unsafe { bindings::vfio_pin_pages(device, iova, count, access, pages.as_mut_ptr()) };
        to_result(done)?;
        if done == 0 {
            return Err(EFAULT);
        }
        let pinned = Pinned {
            device,
            iova,
            // CAST: Positive.
            count: done as usize,
            pages,
            direction,
            _pinner: pinner,
            _user: user,
        };
        if done == count {
            Ok(pinned)
        } else {
            // Dropping it unpins those that are.
            Err(EFAULT)
        }
    }
}

/// Pages of user memory that stay where they are.
///
/// While there is one, neither the last close of the device nor user space's unmapping of pinned
/// memory ends: it must go soon.
///
/// # Invariants
///
/// The first `count` of `pages` are pinned for `device` from `iova` on, and the device is open.
pub struct Pinned<'a> {
    device: *mut bindings::vfio_device,
    iova: u64,
    count: usize,
    pages: KVec<*mut bindings::page>,
    direction: Direction,
    _pinner: Guard<'a>,
    _user: Guard<'a>,
}

impl Pinned<'_> {
    /// Calls `f` for each page that the `len` bytes from `offset` on touch, with the range inside
    /// `0..len` and the offset inside the page.
    fn for_each(
        &self,
        offset: usize,
        len: usize,
        mut f: impl FnMut(&BorrowedPage<'_>, usize, core::ops::Range<usize>) -> Result,
    ) -> Result {
        if offset.checked_add(len).ok_or(EINVAL)? > self.count << PAGE_SHIFT {
            return Err(EINVAL);
        }
        let mut done = 0;
        while done < len {
            // OVERFLOW: Bounded by the size, as checked above.
            let at = offset + done;
            let part = (PAGE_SIZE - at % PAGE_SIZE).min(len - done);
            let page = *self.pages.get(at / PAGE_SIZE).ok_or(EINVAL)?;
            let page = NonNull::new(page).ok_or(EFAULT)?;
            // SAFETY: The page is pinned by the type invariants.
            let page = unsafe { BorrowedPage::from_raw(page) };
            f(&page, at % PAGE_SIZE, done..done + part)?;
            done += part;
        }
        Ok(())
    }

    /// Copies from `offset` on to `out`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the range is not inside the pages.
    pub fn read(&self, offset: usize, out: &mut [u8]) -> Result {
        self.for_each(offset, out.len(), |page, at, range| {
            let out = out.get_mut(range).ok_or(EINVAL)?;
            // SAFETY: `out` is valid for its length. User space may write the page at the same
            // time, as with any DMA; the copy is then of either value.
            unsafe { page.read_raw(out.as_mut_ptr(), at, out.len()) }
        })
    }

    /// Copies `data` to the pages from `offset` on.
    ///
    /// # Errors
    ///
    /// - `EPERM` if they were pinned to be read.
    /// - `EINVAL` if the range is not inside the pages.
    pub fn write(&self, offset: usize, data: &[u8]) -> Result {
        if self.direction == Direction::Read {
            return Err(EPERM);
        }
        self.for_each(offset, data.len(), |page, at, range| {
            let data = data.get(range).ok_or(EINVAL)?;
            // SAFETY: `data` is valid for its length. User space may access the page at the same
            // time, as with any DMA.
            unsafe { page.write_raw(data.as_ptr(), at, data.len()) }
        })
    }
}

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        // CAST: At most `MAX_PINNED`.
        let count = self.count as c_int;
        // SAFETY: The pages are pinned and the device is open by the type invariants.
        unsafe { bindings::vfio_unpin_pages(self.device, self.iova, count) };
    }
}
