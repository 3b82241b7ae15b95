// SPDX-License-Identifier: GPL-2.0

//! VFIO devices.
//!
//! C header: [`include/linux/vfio.h`](srctree/include/linux/vfio.h).
//!
//! A [`Device`] is the C device with the data of its driver behind it in one allocation, which
//! belongs to the VFIO core. How it is registered depends on what is below it: see
//! [`crate::emulated`] and [`crate::pci`].

use crate::{
    bindings,
    debugfs::Dir,
    migration, //
};
use core::{
    mem::MaybeUninit,
    ptr::NonNull, //
};
use kernel::{
    error::from_err_ptr,
    prelude::*,
    types::Opaque, //
};

/// What every VFIO device has.
pub trait Operations: Sized + Send + Sync + 'static {
    /// Name of the driver, as the group path's `VFIO_GROUP_GET_DEVICE_FD` users see it.
    const NAME: &'static CStr;

    /// Live migration of this device.
    type Migration: migration::Operations;

    /// The migration half.
    fn migration(&self) -> &Self::Migration;

    /// As [`migration::Operations::registered`], for what is of interest beside the migration.
    fn registered<'a>(&'a self, _dir: &Dir<'a>) {}
}

/// A `struct vfio_device` (or a structure that begins with one, `C`) and the driver's data.
///
/// # Invariants
///
/// - `core` begins with a `struct vfio_device` that the VFIO core initialised.
/// - `data` is initialised while `ready`.
#[repr(C)]
pub struct Device<T, C = bindings::vfio_device> {
    core: Opaque<C>,
    ready: bool,
    data: MaybeUninit<T>,
}

impl<T: Operations, C> Device<T, C> {
    /// The offset of the C structure; `vfio_alloc_device()` wants it to be zero.
    const _AT_ZERO: () = assert!(core::mem::offset_of!(Self, core) == 0);

    /// Allocates a device for `parent` with `ops` and initialises the data with `init`.
    ///
    /// # Safety
    ///
    /// `ops` must be those of a device of this type: its callbacks may use [`Self::from_raw`], and
    /// its `release` must call [`Self::drop_data`].
    pub(crate) unsafe fn alloc<E>(
        parent: *mut bindings::device,
        ops: &'static bindings::vfio_device_ops,
        init: impl PinInit<T, E>,
    ) -> Result<Owned<T, C>>
    where
        Error: From<E>,
    {
        let () = Self::_AT_ZERO;
        let size = core::mem::size_of::<Self>();
        // SAFETY: `parent` is valid, as the callers get it from a bound driver's callback; the size
        // covers the C structure, which is at offset zero.
        let raw = from_err_ptr(unsafe { bindings::_vfio_alloc_device(size, parent, ops) })?;
        // SAFETY: `from_err_ptr()` gave no error, and the function does not return null.
        let this = Owned(unsafe { NonNull::new_unchecked(raw) }.cast::<Self>());
        let ptr = this.0.as_ptr();
        // SAFETY: The allocation is valid and nobody else knows of it.
        let slot = unsafe { &raw mut (*ptr).data }.cast::<T>();
        // SAFETY: The slot is valid for writes, and the allocation never moves.
        unsafe { pin_init::raw_try_init(slot, init) }?;
        // INVARIANT: The data is initialised. Where it is not, `ready` stays false, since the
        // allocation was zeroed.
        // SAFETY: The allocation is valid and nobody else knows of it.
        unsafe { (*ptr).ready = true };
        Ok(this)
    }

    /// # Safety
    ///
    /// `ptr` must be the device of a `Self` whose data is initialised, and stay valid for `'a`:
    /// that holds for each callback of a registered device.
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::vfio_device) -> &'a Self {
        // SAFETY: By the safety requirements; the C structure is at offset zero.
        unsafe { &*ptr.cast::<Self>() }
    }

    /// Drops the data, if there is any.
    ///
    /// # Safety
    ///
    /// Only for the `release` callback, which the VFIO core calls once, with no other user left.
    pub(crate) unsafe fn drop_data(ptr: *mut bindings::vfio_device) {
        let this = ptr.cast::<Self>();
        // SAFETY: The device is valid during `release`.
        if unsafe { (*this).ready } {
            // SAFETY: The data is initialised, and this is the last use of it.
            unsafe { (*this).data.assume_init_drop() };
        }
    }

    /// The driver's data.
    pub fn data(&self) -> &T {
        // SAFETY: References to a `Device` are only made from devices whose data is initialised.
        unsafe { self.data.assume_init_ref() }
    }

    pub(crate) fn as_raw(&self) -> *mut bindings::vfio_device {
        self.core.get().cast()
    }

    /// A reference that keeps the C structure (not what it is registered with) alive.
    pub fn handle(&self) -> Handle {
        let raw = self.as_raw();
        // SAFETY: The device is valid, and so has references left.
        unsafe { bindings::get_device(&raw mut (*raw).device) };
        // SAFETY: `raw` is the address of a reference.
        Handle(unsafe { NonNull::new_unchecked(raw) })
    }
}

/// The first reference to a device that is not registered yet, or that is again.
pub(crate) struct Owned<T, C>(NonNull<Device<T, C>>);

impl<T: Operations, C> Owned<T, C> {
    pub(crate) fn as_raw(&self) -> *mut bindings::vfio_device {
        self.0.as_ptr().cast()
    }

    pub(crate) fn data(&self) -> &T {
        // SAFETY: `alloc()` returned the device with its data initialised.
        let this = unsafe { self.0.as_ref() };
        this.data()
    }

    /// Passes the reference on, to [`Self::from_raw`].
    pub(crate) fn into_raw(self) -> *mut bindings::vfio_device {
        core::mem::ManuallyDrop::new(self).as_raw()
    }

    /// # Safety
    ///
    /// `raw` must be from [`Self::into_raw`], and not be used again.
    pub(crate) unsafe fn from_raw(raw: *mut bindings::vfio_device) -> Self {
        // SAFETY: By the safety requirements the pointer is that of a device.
        Self(unsafe { NonNull::new_unchecked(raw) }.cast())
    }
}

impl<T, C> Drop for Owned<T, C> {
    fn drop(&mut self) {
        // SAFETY: This gives up the reference of `_vfio_alloc_device()`; the last one to go has
        // `release` called.
        unsafe { bindings::vfio_put_device(self.0.as_ptr().cast()) };
    }
}

/// A counted reference to a VFIO device of whatever driver.
pub struct Handle(NonNull<bindings::vfio_device>);

// SAFETY: The reference counter of a device may be used on any thread.
unsafe impl Send for Handle {}
// SAFETY: As above, and `precopy_info_v2()` reads a single byte.
unsafe impl Sync for Handle {}

impl Handle {
    /// Whether user space chose the second version of `VFIO_MIG_GET_PRECOPY_INFO` (uAPI
    /// `VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2`); the VFIO core keeps it until the last close.
    pub fn precopy_info_v2(&self) -> bool {
        // SAFETY: The reference keeps the structure valid.
        let flag = unsafe { &raw const (*self.0.as_ptr()).precopy_info_v2 };
        // SAFETY: The pointer is valid. The VFIO core writes this byte without a lock; a volatile
        // access of one byte is what C's `READ_ONCE()` is.
        unsafe { flag.read_volatile() != 0 }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: The reference is given up.
        unsafe { bindings::vfio_put_device(self.0.as_ptr()) };
    }
}
