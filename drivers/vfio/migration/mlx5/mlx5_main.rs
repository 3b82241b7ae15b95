// SPDX-License-Identifier: GPL-2.0

//! The VFIO variant driver for ConnectX VFs.
//!
//! It serves any VF that it is given; those that their firmware cannot migrate have no migration
//! features.

#![crate_name = "vfio_migration_mlx5"]

use kernel::{
    device,
    device_id::IdTable,
    fs::File,
    pci,
    prelude::*,
    sync::aref::ARef, //
};
use mlx5::Function;
use vfio::{
    log::{
        Loggable,
        Unsupported, //
    },
    migration::{
        AsHandle,
        Operations, //
    },
    pci::{
        DeviceId,
        Driver, //
    },
};

vfio::module_vfio_pci_driver! {
    type: Vf,
    name: "vfio_migration_mlx5",
    authors: ["The vfio-migration developers"],
    description: "VFIO variant driver for ConnectX VFs",
    license: "GPL",
}

/// One VF.
#[pin_data]
struct Vf {
    plain: Plain,
    _function: Option<Function>,
}

/// No migration: without features none of these is called but the last three.
struct Plain;

impl Operations for Plain {
    type State = u32;

    fn flags(&self) -> u32 {
        0
    }

    fn set_state(&self, _device: &dyn AsHandle, _new: u32) -> Result<Option<ARef<File>>> {
        Err(EOPNOTSUPP)
    }

    fn state(&self) -> u32 {
        0
    }

    fn data_size(&self) -> Result<u64> {
        Err(EOPNOTSUPP)
    }

    fn open(&self) -> Result {
        Ok(())
    }

    fn close(&self) {}

    fn reset(&self) {}
}

impl vfio::device::Operations for Vf {
    const NAME: &'static CStr = c"vfio_migration_mlx5";
    type Migration = Plain;

    fn migration(&self) -> &Plain {
        &self.plain
    }
}

impl Loggable for Vf {
    type Log = Unsupported;

    fn log(&self) -> Option<&Unsupported> {
        None
    }
}

vfio::vfio_pci_device_table!(
    TABLE,
    [
        // PCI_VENDOR_ID_MELLANOX, the VFs of ConnectX-6 Dx and later.
        DeviceId::new(0x15b3, 0x101e),
    ]
);

impl Driver for Vf {
    const ID_TABLE: &'static dyn IdTable<DeviceId, ()> = &TABLE;

    fn new(device: &pci::Device<device::Bound>) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let function = match Function::new(device) {
                Ok(function) => {
                    dev_info!(device.as_ref(), "{:?}\n", function.capabilities());
                    Some(function)
                }
                Err(reason) => {
                    dev_info!(device.as_ref(), "does not migrate: {reason}\n");
                    None
                }
            };
            Ok(try_pin_init!(Self {
                plain: Plain,
                _function: function,
            }? Error))
        })
    }
}
