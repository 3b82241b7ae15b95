// SPDX-License-Identifier: GPL-2.0

//! Migration callbacks of a VFIO device.
//!
//! C header: `struct vfio_migration_ops` in
//! [`include/linux/vfio.h`](srctree/include/linux/vfio.h).
//!
//! The VFIO core calls these without a lock of its own, so several may run at once.

use crate::{
    bindings,
    debugfs::Dir,
    device::{
        Device,
        Handle, //
    },
};
use core::marker::PhantomData;
use kernel::{
    error::from_result,
    ffi::{
        c_int,
        c_ulong, //
    },
    fs::File,
    prelude::*,
    sync::aref::ARef, //
};

/// Feature bit: the states `STOP`, `STOP_COPY` and `RESUMING`.
pub const STOP_COPY: u32 = bindings::VFIO_MIGRATION_STOP_COPY;
/// Feature bit: the P2P states.
pub const P2P: u32 = bindings::VFIO_MIGRATION_P2P;
/// Feature bit: the pre-copy states.
pub const PRE_COPY: u32 = bindings::VFIO_MIGRATION_PRE_COPY;
/// `flags` of the precopy information: the initial data starts again.
pub const PRECOPY_INFO_REINIT: u32 = bindings::VFIO_PRECOPY_INFO_REINIT;

/// Live migration of one device.
pub trait Operations: Send + Sync {
    /// The states, as numbered by the uAPI. A number that is not a state is refused with `EINVAL`
    /// before it gets here.
    type State: TryFrom<u32> + Into<u32>;

    /// The `VFIO_MIGRATION_*` feature bits; constant.
    fn flags(&self) -> u32;

    /// The device is registered, and has a folder in debugfs for what may be of interest. User space
    /// may have the device open already.
    fn registered<'a>(&'a self, _dir: &Dir<'a>) {}

    /// Brings the device into state `new`. Returns the file of a data transfer that this begins.
    fn set_state(&self, device: &dyn AsHandle, new: Self::State) -> Result<Option<ARef<File>>>;

    /// The present state.
    fn state(&self) -> Result<Self::State>;

    /// Upper bound, in bytes, of what a stop-copy takes now.
    fn data_size(&self) -> Result<u64>;

    /// First open of the device.
    fn open(&self) -> Result;

    /// Last close: ends all transfers, and the next open finds the device running. Infallible.
    fn close(&self);

    /// The device is or was reset: ends all transfers, in any state, and leaves the device
    /// running. Infallible, and never waits for user space.
    fn reset(&self);
}

/// A device that may lack migration: without it, it has no features, and is asked for nothing else.
impl<M: Operations> Operations for Option<Pin<KBox<M>>> {
    type State = M::State;

    fn flags(&self) -> u32 {
        self.as_ref().map_or(0, |this| this.flags())
    }

    fn registered<'a>(&'a self, dir: &Dir<'a>) {
        if let Some(this) = self {
            this.registered(dir);
        }
    }

    fn set_state(&self, device: &dyn AsHandle, new: M::State) -> Result<Option<ARef<File>>> {
        self.as_ref().ok_or(ENOTTY)?.set_state(device, new)
    }

    fn state(&self) -> Result<M::State> {
        self.as_ref().ok_or(ENOTTY)?.state()
    }

    fn data_size(&self) -> Result<u64> {
        self.as_ref().ok_or(ENOTTY)?.data_size()
    }

    fn open(&self) -> Result {
        self.as_ref().map_or(Ok(()), |this| this.open())
    }

    fn close(&self) {
        if let Some(this) = self {
            this.close();
        }
    }

    fn reset(&self) {
        if let Some(this) = self {
            this.reset();
        }
    }
}

/// A device of any type that gives out [`Handle`]s.
pub trait AsHandle {
    /// A reference to the device.
    fn handle(&self) -> Handle;
}

impl<T: crate::device::Operations, C> AsHandle for Device<T, C> {
    fn handle(&self) -> Handle {
        Device::handle(self)
    }
}

pub(crate) struct VTable<T, C>(PhantomData<(T, C)>);

impl<T: crate::device::Operations, C: 'static> VTable<T, C> {
    /// # Safety
    ///
    /// Called by the VFIO core for a registered device of this type.
    unsafe extern "C" fn set_state(
        device: *mut bindings::vfio_device,
        new: bindings::vfio_device_mig_state,
    ) -> *mut bindings::file {
        // SAFETY: By the safety requirements.
        let device = unsafe { Device::<T, C>::from_raw(device) };
        let file = new
            .0
            .try_into()
            .map_err(|_| EINVAL)
            .and_then(|new| device.data().migration().set_state(device, new));
        match file {
            Ok(Some(file)) => ARef::into_raw(file).as_ptr().cast(),
            Ok(None) => core::ptr::null_mut(),
            Err(e) => e.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called by the VFIO core for a registered device of this type, with `state` valid for
    /// writes.
    unsafe extern "C" fn get_state(
        device: *mut bindings::vfio_device,
        state: *mut bindings::vfio_device_mig_state,
    ) -> c_int {
        // SAFETY: By the safety requirements.
        let device = unsafe { Device::<T, C>::from_raw(device) };
        from_result(|| {
            let now = device.data().migration().state()?;
            // SAFETY: By the safety requirements.
            unsafe { state.write(bindings::vfio_device_mig_state(now.into())) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFIO core for a registered device of this type, with `size` valid for writes.
    unsafe extern "C" fn get_data_size(
        device: *mut bindings::vfio_device,
        size: *mut c_ulong,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the safety requirements.
            let device = unsafe { Device::<T, C>::from_raw(device) };
            let bytes = device.data().migration().data_size()?;
            let bytes = c_ulong::try_from(bytes).map_err(|_| EOVERFLOW)?;
            // SAFETY: By the safety requirements.
            unsafe { size.write(bytes) };
            Ok(0)
        })
    }

    const OPS: bindings::vfio_migration_ops = bindings::vfio_migration_ops {
        migration_set_state: Some(Self::set_state),
        migration_get_state: Some(Self::get_state),
        migration_get_data_size: Some(Self::get_data_size),
    };

    /// Gives `device` its migration callbacks and features.
    ///
    /// # Safety
    ///
    /// `device` must be the device of a `Device<T, C>` that is not registered yet.
    pub(crate) unsafe fn install(device: *mut bindings::vfio_device, flags: u32) {
        let ops: &'static bindings::vfio_migration_ops = &Self::OPS;
        // SAFETY: By the safety requirements nobody reads the field yet.
        unsafe { (*device).mig_ops = ops };
        // SAFETY: As above.
        unsafe { (*device).migration_flags = flags };
    }
}

/// The kernel's own answer to `vfio_mig_get_next_state()` for a device with the features `flags`:
/// the authority that tests compare with.
///
/// # Errors
///
/// `EINVAL` if the uAPI has no such transition. `from` must not be `ERROR`, or the kernel warns.
#[cfg(CONFIG_KUNIT = "y")]
pub fn kernel_next_state(flags: u32, from: u32, to: u32) -> Result<u32> {
    let mut device: KBox<kernel::types::Opaque<bindings::vfio_device>> =
        KBox::new(kernel::types::Opaque::zeroed(), GFP_KERNEL)?;
    let raw = core::ptr::from_mut(&mut *device).cast::<bindings::vfio_device>();
    // SAFETY: The structure is our own, and all zeroes are valid for it.
    unsafe { (*raw).migration_flags = flags };
    let mut next = bindings::vfio_device_mig_state(0);
    // SAFETY: The function only reads `migration_flags` of the device, and writes `next`.
    kernel::error::to_result(unsafe {
        bindings::vfio_mig_get_next_state(
            raw,
            bindings::vfio_device_mig_state(from),
            bindings::vfio_device_mig_state(to),
            &mut next,
        )
    })?;
    Ok(next.0)
}
