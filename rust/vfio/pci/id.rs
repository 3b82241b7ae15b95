// SPDX-License-Identifier: GPL-2.0

//! Which PCI devices a variant driver is for.

use crate::bindings;
use kernel::device_id::RawDeviceId;

/// An entry of a driver's table that matches through `driver_override` alone, so that no device is
/// taken from the driver it has.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct DeviceId(bindings::pci_device_id);

impl DeviceId {
    /// The devices `device` of the vendor `vendor`, whatever their subsystem and class.
    pub const fn new(vendor: u16, device: u16) -> Self {
        const ANY: u32 = !0;
        Self(bindings::pci_device_id {
            vendor: vendor as u32,
            device: device as u32,
            subvendor: ANY,
            subdevice: ANY,
            class: 0,
            class_mask: 0,
            driver_data: 0,
            override_only: bindings::PCI_ID_F_VFIO_DRIVER_OVERRIDE,
        })
    }
}

// SAFETY: `DeviceId` is a transparent wrapper of `pci_device_id`.
unsafe impl RawDeviceId for DeviceId {
    type RawType = bindings::pci_device_id;
}

/// Declares the device table `$name` of a [`Driver`](crate::pci::Driver), for it and for
/// `modules.alias`.
#[macro_export]
macro_rules! vfio_pci_device_table {
    ($name:ident, [$($id:expr),* $(,)?]) => {
        ::kernel::module_device_table!("pci", $crate::pci::DeviceId, $name, @none, [$($id),*]);
    };
}
