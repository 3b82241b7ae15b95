// SPDX-License-Identifier: GPL-2.0

//! DMA logging callbacks of a VFIO device: which memory it writes.
//!
//! C headers: `struct vfio_log_ops` in [`include/linux/vfio.h`](srctree/include/linux/vfio.h),
//! [`include/linux/iova_bitmap.h`](srctree/include/linux/iova_bitmap.h),
//! [`include/linux/interval_tree.h`](srctree/include/linux/interval_tree.h).
//!
//! The VFIO core calls these without a lock of its own, so several may run at once, and it does not
//! keep track of whether logging is active. What it does not check of the arguments is checked
//! here.
//!
//! The bitmap functions are in the symbol namespace `IOMMUFD`, which the module with this crate
//! imports (`imports_ns` in its `module!`); drivers only get at them through it.

use crate::{
    bindings,
    device::{
        self,
        Device, //
    },
};
use core::{
    marker::PhantomData,
    num::NonZero,
    ops::RangeInclusive,
    ptr::NonNull, //
};
use kernel::{
    error::from_result,
    ffi::{
        c_int,
        c_ulong, //
    },
    prelude::*,
};

/// The size of the pieces of memory that a log tells apart: a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageSize(u64);

impl PageSize {
    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for PageSize {
    type Error = Error;

    /// # Errors
    ///
    /// `EINVAL` if `bytes` is not a power of two.
    fn try_from(bytes: u64) -> Result<Self> {
        if bytes.is_power_of_two() {
            Ok(Self(bytes))
        } else {
            Err(EINVAL)
        }
    }
}

/// DMA logging of one device.
pub trait Operations: Send + Sync {
    /// Begins to log writes to `ranges`, by pages of `page_size` or another size, which is returned.
    ///
    /// # Errors
    ///
    /// - `EBUSY` if logging is active (uAPI rule L6).
    /// - The driver's, if it cannot log these ranges.
    fn start(&self, ranges: Ranges<'_>, page_size: PageSize) -> Result<PageSize>;

    /// Ends logging, if it is active. Infallible. Also called on last close, and where user space
    /// could not be told that logging began.
    fn stop(&self);

    /// Gives the writes inside the report's range since they were last asked for.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if logging is not active (uAPI rule L12).
    /// - The driver's; the log is then not to be relied on until it is started again (L14).
    fn read_and_clear(&self, report: &mut Report<'_>) -> Result;
}

/// The logging of a driver without it.
pub enum Unsupported {}

impl Operations for Unsupported {
    fn start(&self, _ranges: Ranges<'_>, _page_size: PageSize) -> Result<PageSize> {
        match *self {}
    }

    fn stop(&self) {
        match *self {}
    }

    fn read_and_clear(&self, _report: &mut Report<'_>) -> Result {
        match *self {}
    }
}

/// A VFIO device that may have DMA logging.
pub trait Loggable: device::Operations {
    /// Its logging, or [`Unsupported`].
    type Log: Operations;

    /// The logging half, if this device has one; constant.
    fn log(&self) -> Option<&Self::Log>;
}

/// The ranges to log: none is empty, and no two overlap.
///
/// # Invariants
///
/// `tree` is a valid interval tree of `count` nodes, which nobody else uses during `'a`.
pub struct Ranges<'a> {
    tree: NonNull<bindings::rb_root_cached>,
    count: u32,
    borrow: PhantomData<&'a mut bindings::rb_root_cached>,
}

impl Ranges<'_> {
    /// # Safety
    ///
    /// `tree` must be a valid interval tree of `count` nodes, and nobody else's during the life time.
    unsafe fn from_raw(tree: NonNull<bindings::rb_root_cached>, count: u32) -> Self {
        // INVARIANT: By the safety requirements.
        Self {
            tree,
            count,
            borrow: PhantomData,
        }
    }

    /// The ranges, in ascending order.
    pub fn iter(&self) -> RangesIter<'_> {
        // INVARIANT: The tree only changes with an exclusive reference to `self`.
        RangesIter {
            // SAFETY: The tree is valid by the type invariants. All nodes overlap with all there is.
            next: unsafe {
                bindings::interval_tree_iter_first(self.tree.as_ptr(), 0, c_ulong::MAX)
            },
            // CAST: The VFIO core takes as many as fit into a page.
            left: self.count as usize,
            tree: PhantomData,
        }
    }

    /// Makes the ranges at most `most` by joining those with the least between them, which then
    /// belongs to a range too.
    pub fn combine(&mut self, most: NonZero<u32>) {
        if self.count > most.get() {
            // INVARIANT: The function leaves as many nodes as it is told.
            // SAFETY: The tree is valid and ours by the type invariants, and has `count` nodes.
            unsafe {
                bindings::vfio_combine_iova_ranges(self.tree.as_ptr(), self.count, most.get())
            };
            self.count = most.get();
        }
    }

    /// Whether each range has a length. The VFIO core does not look at it, so that the end of an
    /// empty range is before its start.
    fn are_valid(&self) -> bool {
        self.iter()
            .all(|range| range.end().wrapping_add(1) != *range.start())
    }
}

/// The ranges of a [`Ranges`].
///
/// # Invariants
///
/// `next` is null or a node of an interval tree that does not change during `'a`.
#[derive(Clone)]
pub struct RangesIter<'a> {
    next: *mut bindings::interval_tree_node,
    left: usize,
    tree: PhantomData<&'a bindings::rb_root_cached>,
}

impl Iterator for RangesIter<'_> {
    type Item = RangeInclusive<u64>;

    fn next(&mut self) -> Option<RangeInclusive<u64>> {
        let node = self.next;
        // SAFETY: By the type invariants the pointer is null or that of a valid node.
        let range = unsafe { node.as_ref() }.map(|n| n.start as u64..=n.last as u64)?;
        // INVARIANT: The function returns null or another node of the tree.
        // SAFETY: By the type invariants the node is part of a valid tree.
        self.next = unsafe { bindings::interval_tree_iter_next(node, 0, c_ulong::MAX) };
        self.left = self.left.saturating_sub(1);
        Some(range)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for RangesIter<'_> {}

/// Where to say which memory was written: a bitmap in user memory.
///
/// # Invariants
///
/// `bitmap` is valid, has not been given to anyone else during `'a`, and is for the addresses
/// `first..=last`.
pub struct Report<'a> {
    bitmap: NonNull<bindings::iova_bitmap>,
    first: u64,
    last: u64,
    borrow: PhantomData<&'a mut bindings::iova_bitmap>,
}

impl Report<'_> {
    /// The addresses that are asked for.
    pub fn range(&self) -> RangeInclusive<u64> {
        self.first..=self.last
    }

    /// Says that `range` was written; what is not asked for is left out.
    ///
    /// Accesses user memory, so no lock may be held that reset or close takes. The kernel does not
    /// tell whether user space can see the result: it cannot where its bitmap is not writable.
    pub fn set(&mut self, range: RangeInclusive<u64>) {
        let start = self.first.max(*range.start());
        let end = self.last.min(*range.end());
        if start > end {
            return;
        }
        // Each piece is aligned to its own length, which is a power of two, counted from the first
        // bit. It is then a number of whole bits or inside one: from a piece that begins inside a
        // bit and goes on in a page of the bitmap that is not mapped, `iova_bitmap_set()` would
        // never come back.
        let mut at = start - self.first;
        let last = end - self.first;
        while at <= last {
            // OVERFLOW: A report is shorter than 2^64 bytes, by the VFIO core; and not zero.
            let left = last - at + 1;
            let len = 1 << at.trailing_zeros().min(63 - left.leading_zeros());
            // SAFETY: The bitmap is valid and ours by the type invariants. The piece is inside its
            // range.
            unsafe {
                bindings::iova_bitmap_set(
                    self.bitmap.as_ptr(),
                    // CAST: Addresses and lengths came as `unsigned long` and `size_t`.
                    (self.first + at) as c_ulong,
                    len as usize,
                )
            };
            // OVERFLOW: As above, at most the length of the report.
            at += len;
        }
    }
}

pub(crate) struct VTable<T, C>(PhantomData<(T, C)>);

impl<T: Loggable, C: 'static> VTable<T, C> {
    /// # Safety
    ///
    /// `device` must be a registered device of this type, which stays valid for `'a`.
    unsafe fn log<'a>(device: *mut bindings::vfio_device) -> Result<&'a T::Log> {
        // SAFETY: By the safety requirements.
        let device = unsafe { Device::<T, C>::from_raw(device) };
        // The VFIO core calls nothing here that was not installed.
        device.data().log().ok_or(ENOTTY)
    }

    /// # Safety
    ///
    /// Called by the VFIO core for a registered device of this type, with a valid interval tree of
    /// `count` nodes that the call owns, and `page_size` valid for reads and writes.
    unsafe extern "C" fn start(
        device: *mut bindings::vfio_device,
        ranges: *mut bindings::rb_root_cached,
        count: u32,
        page_size: *mut u64,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the safety requirements.
            let log = unsafe { Self::log(device) }?;
            let tree = NonNull::new(ranges).ok_or(EINVAL)?;
            // SAFETY: By the safety requirements.
            let ranges = unsafe { Ranges::from_raw(tree, count) };
            // SAFETY: By the safety requirements.
            let wanted = PageSize::try_from(unsafe { *page_size })?;
            if !ranges.are_valid() {
                return Err(EINVAL);
            }
            let chosen = log.start(ranges, wanted)?;
            // SAFETY: By the safety requirements.
            unsafe { page_size.write(chosen.bytes()) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFIO core for a registered device of this type.
    unsafe extern "C" fn stop(device: *mut bindings::vfio_device) -> c_int {
        from_result(|| {
            // SAFETY: By the safety requirements.
            let log = unsafe { Self::log(device) }?;
            log.stop();
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFIO core for a registered device of this type, with a valid bitmap for the
    /// `length` bytes from `iova` on, whose end does not overflow, and which the call owns.
    unsafe extern "C" fn read_and_clear(
        device: *mut bindings::vfio_device,
        iova: c_ulong,
        length: c_ulong,
        bitmap: *mut bindings::iova_bitmap,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the safety requirements.
            let log = unsafe { Self::log(device) }?;
            // The VFIO core takes a length of zero.
            let rest = length.checked_sub(1).ok_or(EINVAL)?;
            // INVARIANT: By the safety requirements.
            let mut report = Report {
                bitmap: NonNull::new(bitmap).ok_or(EINVAL)?,
                first: iova as u64,
                last: iova.checked_add(rest).ok_or(EOVERFLOW)? as u64,
                borrow: PhantomData,
            };
            log.read_and_clear(&mut report)?;
            Ok(0)
        })
    }

    const OPS: bindings::vfio_log_ops = bindings::vfio_log_ops {
        log_start: Some(Self::start),
        log_stop: Some(Self::stop),
        log_read_and_clear: Some(Self::read_and_clear),
    };

    /// Gives `device` its logging callbacks.
    ///
    /// # Safety
    ///
    /// `device` must be the device of a `Device<T, C>` that is not registered yet.
    pub(crate) unsafe fn install(device: *mut bindings::vfio_device) {
        let ops: &'static bindings::vfio_log_ops = &Self::OPS;
        // SAFETY: By the safety requirements nobody reads the field yet.
        unsafe { (*device).log_ops = ops };
    }
}
