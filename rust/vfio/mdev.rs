// SPDX-License-Identifier: GPL-2.0

//! Mediated devices: VFIO devices that user space creates by writing a UUID to sysfs.
//!
//! C header: [`include/linux/mdev.h`](srctree/include/linux/mdev.h).
//!
//! QEMU takes an emulated device with iommufd only from the mdev bus, and only a device with a
//! real driver pins that driver's module while it is open; both are why emulated devices are
//! registered here and not elsewhere.

use crate::{
    bindings,
    dma::UserMemory,
    emulated, //
};
use kernel::{
    device,
    error::{
        from_result,
        to_result, //
    },
    faux,
    ffi::c_int,
    module::this_module,
    prelude::*,
    sync::Arc,
    types::{
        ForeignOwnable,
        Opaque, //
    },
};

/// A type of mediated device that a parent offers.
pub struct Type {
    /// Name in sysfs; the driver core puts the parent's driver name and a `-` before it.
    pub name: &'static CStr,
    /// What people read.
    pub description: &'static CStr,
}

/// A driver of mediated devices.
pub trait Driver: emulated::Operations {
    /// The module of the driver, pinned while a device is open.
    type OwnerModule: kernel::ModuleMetadata;

    /// The types; a device is made with the index of its own.
    const TYPES: &'static [Type];

    /// How many devices may exist at once.
    const MAX_INSTANCES: u32;

    /// What the devices share; it belongs to the parent.
    type Shared: Send + Sync;

    /// Makes the data of the new device `device` of the type `TYPES[kind]`, whose DMA is to `memory`.
    fn new(
        shared: &Self::Shared,
        device: &device::Device<device::Bound>,
        kind: usize,
        memory: Arc<UserMemory>,
    ) -> impl PinInit<Self, Error>;
}

struct Inner<T: Driver> {
    driver: Opaque<bindings::mdev_driver>,
    parent: Opaque<bindings::mdev_parent>,
    types: KVec<Opaque<bindings::mdev_type>>,
    type_ptrs: KVec<*mut bindings::mdev_type>,
    shared: T::Shared,
}

/// A parent of mediated devices below a faux device, and the driver of those devices.
///
/// Dropping it removes all devices, waiting for those that are in use.
///
/// # Invariants
///
/// Driver and parent in `inner` are registered.
pub struct Parent<T: Driver> {
    inner: KBox<Inner<T>>,
    _device: faux::Registration,
}

// SAFETY: Registering and unregistering may happen on different threads.
unsafe impl<T: Driver> Send for Parent<T> {}
// SAFETY: A shared reference gives access to nothing.
unsafe impl<T: Driver> Sync for Parent<T> {}

impl<T: Driver> Parent<T> {
    /// Registers a parent called `name` and the driver of its devices.
    ///
    /// # Errors
    ///
    /// - `ENOMEM` if there is no memory.
    /// - `EBUSY` or `EEXIST` if a driver or device of that name exists.
    pub fn new(name: &'static CStr, shared: T::Shared) -> Result<Self> {
        let device = faux::Registration::new(name, None)?;
        let mut types = KVec::with_capacity(T::TYPES.len(), GFP_KERNEL)?;
        let mut type_ptrs = KVec::with_capacity(T::TYPES.len(), GFP_KERNEL)?;
        for _ in T::TYPES {
            types.push(Opaque::zeroed(), GFP_KERNEL)?;
        }
        for (slot, kind) in types.iter().zip(T::TYPES) {
            let raw: *mut bindings::mdev_type = Opaque::get(slot);
            // SAFETY: The slot is valid and not shared yet.
            unsafe { (*raw).sysfs_name = kind.name.as_char_ptr() };
            // SAFETY: As above.
            unsafe { (*raw).pretty_name = kind.description.as_char_ptr() };
            type_ptrs.push(raw, GFP_KERNEL)?;
        }
        let mut inner = KBox::new(
            Inner::<T> {
                driver: Opaque::zeroed(),
                parent: Opaque::zeroed(),
                types,
                type_ptrs,
                shared,
            },
            GFP_KERNEL,
        )?;

        let driver = inner.driver.get();
        let fields = bindings::mdev_driver {
            device_api: c"vfio-pci".as_char_ptr(),
            max_instances: T::MAX_INSTANCES,
            probe: Some(Self::probe),
            remove: Some(Self::remove),
            driver: bindings::device_driver {
                name: name.as_char_ptr(),
                owner: this_module::<T::OwnerModule>().as_ptr(),
                ..pin_init::zeroed()
            },
            ..pin_init::zeroed()
        };
        // SAFETY: The structure is ours and not registered yet.
        unsafe { driver.write(fields) };
        // SAFETY: The driver is filled in, and stays where it is until it is unregistered.
        to_result(unsafe { bindings::mdev_register_driver(driver) })?;

        let bound: &faux::Device<device::Bound> = device.as_ref();
        let bound: &device::Device<device::Bound> = bound.as_ref();
        // CAST: `Device` is a transparent wrapper of `struct device`.
        let bound: *mut bindings::device = core::ptr::from_ref(bound).cast_mut().cast();
        let count = inner.type_ptrs.len() as u32;
        let (parent, ptrs) = (inner.parent.get(), inner.type_ptrs.as_mut_ptr());
        // SAFETY: All structures are valid and stay where they are until they are unregistered;
        // the faux device outlives the parent, which `drop()` unregisters first.
        to_result(unsafe { bindings::mdev_register_parent(parent, bound, driver, ptrs, count) })
            .inspect_err(|_| {
                // SAFETY: The driver was registered above.
                unsafe { bindings::mdev_unregister_driver(driver) }
            })?;
        // INVARIANT: Both are registered.
        Ok(Self {
            inner,
            _device: device,
        })
    }

    /// # Safety
    ///
    /// Called by the mdev core for a new device of this driver.
    unsafe extern "C" fn probe(mdev: *mut bindings::mdev_device) -> c_int {
        from_result(|| {
            // SAFETY: The mdev core passes a valid device, whose type is one of the parent's.
            let kind = unsafe { &*(*mdev).type_ };
            let parent = Opaque::cast_from(kind.parent);
            // SAFETY: The type's parent is the one in an `Inner`.
            let inner = unsafe { kernel::container_of!(parent, Inner<T>, parent) };
            // SAFETY: The parent stays registered, and so valid, during `probe`.
            let inner = unsafe { &*inner };
            let kind = kind.sysfs_name;
            let kind = T::TYPES
                .iter()
                .position(|t| t.name.as_char_ptr() == kind)
                .ok_or(ENODEV)?;
            // SAFETY: As above.
            let dev = unsafe { &raw mut (*mdev).dev };
            let memory = UserMemory::new()?;
            // SAFETY: The device is valid and being bound. `Device` is a transparent wrapper of
            // `struct device`.
            let device = unsafe { &*dev.cast::<device::Device<device::Bound>>() };
            let init = T::new(&inner.shared, device, kind, memory.clone());
            // SAFETY: The device is valid, and being bound to its driver.
            let registration = unsafe { emulated::Registration::<T>::new(dev, memory, init) }?;
            let data = KBox::new(registration, GFP_KERNEL)?.into_foreign();
            // SAFETY: The device is valid, and its driver data belongs to this driver.
            unsafe { bindings::dev_set_drvdata(dev, data.cast()) };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the mdev core for a device for which `probe` succeeded.
    unsafe extern "C" fn remove(mdev: *mut bindings::mdev_device) {
        // SAFETY: The mdev core passes a valid device.
        let dev = unsafe { &raw mut (*mdev).dev };
        // SAFETY: The device is valid.
        let data = unsafe { bindings::dev_get_drvdata(dev) };
        // SAFETY: `probe` put the pointer there, and `remove` is called once.
        drop(unsafe { KBox::<emulated::Registration<T>>::from_foreign(data.cast()) });
    }
}

impl<T: Driver> Drop for Parent<T> {
    fn drop(&mut self) {
        // SAFETY: The parent is registered by the type invariants.
        unsafe { bindings::mdev_unregister_parent(self.inner.parent.get()) };
        // SAFETY: The driver is registered by the type invariants, and has no devices any more.
        unsafe { bindings::mdev_unregister_driver(self.inner.driver.get()) };
        self.inner.types.clear();
    }
}
