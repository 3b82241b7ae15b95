// SPDX-License-Identifier: GPL-2.0

//! VFIO variant drivers: PCI devices that `vfio-pci-core` serves, with something added.
//!
//! C headers: [`include/linux/vfio_pci_core.h`](srctree/include/linux/vfio_pci_core.h),
//! [`include/linux/pci.h`](srctree/include/linux/pci.h).
//!
//! `vfio-pci-core` wants the driver data of the PCI device to be its own structure and wants it
//! before it registers, so [`kernel::pci::Adapter`] cannot carry such a driver; [`Adapter`] does.
//!
//! Locks: the PCI core calls `reset_done` with the device's lock held, and where a reset was asked
//! for by `VFIO_DEVICE_RESET` also with `vfio_pci_core_device::memory_lock`, which page faults of
//! mapped BARs take. So [`migration::Operations::reset`] may hold no lock that is held over an
//! access to user memory.

mod id;

pub use id::DeviceId;

use crate::{
    bindings,
    debugfs::Dir,
    device::{
        Device,
        Owned, //
    },
    log::{
        self,
        Operations as _, //
    },
    migration::{
        self,
        Operations as _, //
    },
};
use core::marker::PhantomData;
use kernel::{
    device,
    device_id::IdTable,
    driver,
    error::{
        from_result,
        to_result, //
    },
    ffi::c_int,
    pci,
    prelude::*,
    types::Opaque, //
};

type Core = bindings::vfio_pci_core_device;

// The pointers to a `vfio_pci_core_device` and to its `vfio_device` are the same address.
const _: () = assert!(core::mem::offset_of!(Core, vdev) == 0);

/// A variant driver.
///
/// The data is dropped with the last reference to the VFIO device, which may be after the PCI
/// device was unbound: what holds the hardware must not outlive that by itself
/// ([`kernel::devres`]).
pub trait Driver: log::Loggable {
    /// The devices, which user space has to give to this driver by `driver_override`.
    const ID_TABLE: &'static dyn IdTable<DeviceId, ()>;

    /// Makes the data of a device that is being bound.
    fn new(device: &pci::Device<device::Bound>) -> impl PinInit<Self, Error>;
}

/// Registers [`Driver`]s with the PCI core; see [`module_vfio_pci_driver!`].
///
/// [`module_vfio_pci_driver!`]: crate::module_vfio_pci_driver
pub struct Adapter<T: Driver>(PhantomData<T>);

// SAFETY:
// - `bindings::pci_driver` is `repr(C)`.
// - The driver data is that of `vfio-pci-core`; there is none for the driver core to drop, as
//   `remove` and a `probe` that fails leave it null.
// - `struct pci_driver` has its `struct device_driver` at that offset.
unsafe impl<T: Driver> driver::DriverLayout for Adapter<T> {
    type DriverType = bindings::pci_driver;
    type DriverData<'bound> = ();
    const DEVICE_DRIVER_OFFSET: usize = core::mem::offset_of!(bindings::pci_driver, driver);
}

// SAFETY: `unregister` undoes what a successful `register` did.
unsafe impl<T: Driver> driver::RegistrationOps for Adapter<T> {
    unsafe fn register(
        driver: &Opaque<bindings::pci_driver>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        let handlers: &'static bindings::pci_error_handlers = &Self::ERROR_HANDLERS;
        let driver = driver.get();
        // SAFETY: The structure is valid, and not registered yet.
        let fields = unsafe { &mut *driver };
        fields.name = name.as_char_ptr();
        fields.id_table = T::ID_TABLE.as_ptr();
        fields.probe = Some(Self::probe);
        fields.remove = Some(Self::remove);
        fields.err_handler = handlers;
        // The owner of the DMA is whoever has the VFIO device open.
        fields.driver_managed_dma = true;
        // SAFETY: The driver is filled in, and by the safety requirements stays where it is.
        to_result(unsafe {
            bindings::__pci_register_driver(driver, module.as_ptr(), name.as_char_ptr())
        })
    }

    unsafe fn unregister(driver: &Opaque<bindings::pci_driver>) {
        // SAFETY: By the safety requirements the driver is registered.
        unsafe { bindings::pci_unregister_driver(driver.get()) };
    }
}

impl<T: Driver> Adapter<T> {
    /// # Safety
    ///
    /// Called by the PCI core for a device that is being bound to this driver.
    unsafe extern "C" fn probe(
        pdev: *mut bindings::pci_dev,
        _id: *const bindings::pci_device_id,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the safety requirements.
            let dev = unsafe { &raw mut (*pdev).dev };
            // SAFETY: As above. `pci::Device` is a transparent wrapper of `struct pci_dev`.
            let bound = unsafe { &*pdev.cast::<pci::Device<device::Bound>>() };
            let ops: &'static bindings::vfio_device_ops = &VTable::<T>::OPS;
            // SAFETY: These are the operations for `Device<T, Core>`; `release` drops the data.
            let device = unsafe { Device::<T, Core>::alloc(dev, ops, T::new(bound)) }?;
            let flags = device.data().migration().flags();
            // A device without the feature is a VFIO device that does not migrate.
            if flags != 0 {
                // SAFETY: The device is not registered yet.
                unsafe { migration::VTable::<T, Core>::install(device.as_raw(), flags) };
            }
            if device.data().log().is_some() {
                // SAFETY: The device is not registered yet.
                unsafe { log::VTable::<T, Core>::install(device.as_raw()) };
            }
            // `vfio-pci-core` finds its structure by this, on its own and from here on.
            // SAFETY: The device is valid, and its driver data belongs to this driver.
            unsafe { bindings::dev_set_drvdata(dev, device.as_raw().cast()) };
            // SAFETY: The device is complete and begins with a `vfio_pci_core_device`.
            to_result(unsafe {
                bindings::vfio_pci_core_register_device(device.as_raw().cast::<Core>())
            })
            .inspect_err(|_| {
                // SAFETY: As above.
                unsafe { bindings::dev_set_drvdata(dev, core::ptr::null_mut()) }
            })?;
            // SAFETY: The device is registered, and its driver is not done with binding it. Its data
            // is dropped by `release`, which comes after it is unregistered.
            if let Some(dir) = unsafe { Dir::of_device(device.as_raw()) } {
                device.data().migration().registered(&dir);
                device.data().registered(&dir);
            }
            // The reference belongs to the driver data, until `remove`.
            device.into_raw();
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the PCI core for a device for which `probe` succeeded.
    unsafe extern "C" fn remove(pdev: *mut bindings::pci_dev) {
        // SAFETY: By the safety requirements.
        let dev = unsafe { &raw mut (*pdev).dev };
        // SAFETY: The device is valid.
        let raw = unsafe { bindings::dev_get_drvdata(dev) };
        // This asks user space to close the device, and waits until nobody has it open.
        // SAFETY: `probe` put the pointer there, and registered the device.
        unsafe { bindings::vfio_pci_core_unregister_device(raw.cast::<Core>()) };
        // SAFETY: The device is valid.
        unsafe { bindings::dev_set_drvdata(dev, core::ptr::null_mut()) };
        // SAFETY: The reference is the one of `probe`, which `remove` takes back once.
        drop(unsafe { Owned::<T, Core>::from_raw(raw.cast()) });
    }

    /// # Safety
    ///
    /// Called by the PCI core for a bound device, with its lock held: so `probe` is over and
    /// `remove` not begun.
    unsafe extern "C" fn reset_done(pdev: *mut bindings::pci_dev) {
        // SAFETY: By the safety requirements.
        let raw = unsafe { bindings::dev_get_drvdata(&raw mut (*pdev).dev) };
        // SAFETY: `probe` put the pointer there, and `remove` takes it away.
        let device = unsafe { Device::<T, Core>::from_raw(raw.cast()) };
        device.data().migration().reset();
    }

    const ERROR_HANDLERS: bindings::pci_error_handlers = bindings::pci_error_handlers {
        error_detected: Some(bindings::vfio_pci_core_aer_err_detected),
        reset_done: Some(Self::reset_done),
        ..pin_init::zeroed()
    };
}

struct VTable<T>(PhantomData<T>);

impl<T: Driver> VTable<T> {
    /// # Safety
    ///
    /// Called by the VFIO core as the last use of a device of this type.
    unsafe extern "C" fn release(device: *mut bindings::vfio_device) {
        // SAFETY: By the safety requirements.
        unsafe { Device::<T, Core>::drop_data(device) };
        // SAFETY: As above; `init` was `vfio_pci_core_init_dev()`.
        unsafe { bindings::vfio_pci_core_release_dev(device) };
    }

    /// # Safety
    ///
    /// Called by the VFIO core for a registered device of this type that nobody has open.
    unsafe extern "C" fn open(device: *mut bindings::vfio_device) -> c_int {
        let core = device.cast::<Core>();
        // SAFETY: By the safety requirements.
        let device = unsafe { Device::<T, Core>::from_raw(device) };
        from_result(|| {
            // This resets the device where it can be reset.
            // SAFETY: The device is registered and not enabled.
            to_result(unsafe { bindings::vfio_pci_core_enable(core) })?;
            device.data().migration().open().inspect_err(|_| {
                // SAFETY: The device was enabled above.
                unsafe { bindings::vfio_pci_core_disable(core) }
            })?;
            // SAFETY: As above.
            unsafe { bindings::vfio_pci_core_finish_enable(core) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFIO core for a device of this type for which `open` succeeded.
    unsafe extern "C" fn close(raw: *mut bindings::vfio_device) {
        // SAFETY: By the safety requirements.
        let device = unsafe { Device::<T, Core>::from_raw(raw) };
        device.data().migration().close();
        if let Some(log) = device.data().log() {
            log.stop();
        }
        // SAFETY: By the safety requirements.
        unsafe { bindings::vfio_pci_core_close_device(raw) };
    }

    const OPS: bindings::vfio_device_ops = bindings::vfio_device_ops {
        name: kernel::str::as_char_ptr_in_const_context(T::NAME).cast_mut(),
        init: Some(bindings::vfio_pci_core_init_dev),
        release: Some(Self::release),
        bind_iommufd: Some(bindings::vfio_iommufd_physical_bind),
        unbind_iommufd: Some(bindings::vfio_iommufd_physical_unbind),
        attach_ioas: Some(bindings::vfio_iommufd_physical_attach_ioas),
        detach_ioas: Some(bindings::vfio_iommufd_physical_detach_ioas),
        pasid_attach_ioas: Some(bindings::vfio_iommufd_physical_pasid_attach_ioas),
        pasid_detach_ioas: Some(bindings::vfio_iommufd_physical_pasid_detach_ioas),
        open_device: Some(Self::open),
        close_device: Some(Self::close),
        read: Some(bindings::vfio_pci_core_read),
        write: Some(bindings::vfio_pci_core_write),
        ioctl: Some(bindings::vfio_pci_core_ioctl),
        get_region_info_caps: Some(bindings::vfio_pci_ioctl_get_region_info),
        mmap: Some(bindings::vfio_pci_core_mmap),
        request: Some(bindings::vfio_pci_core_request),
        match_: Some(bindings::vfio_pci_core_match),
        match_token_uuid: Some(bindings::vfio_pci_core_match_token_uuid),
        device_feature: Some(bindings::vfio_pci_core_ioctl_feature),
        ..pin_init::zeroed()
    };
}

/// Declares the module of one [`Driver`], as `module_pci_driver!` does for other drivers.
#[macro_export]
macro_rules! module_vfio_pci_driver {
    ($($f:tt)*) => {
        ::kernel::module_driver!(<T>, $crate::pci::Adapter<T>, { $($f)* });
    };
}
