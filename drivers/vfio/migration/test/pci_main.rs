// SPDX-License-Identifier: GPL-2.0

//! A VFIO variant driver for tests of what is below it: it adds migration and DMA logging that need
//! nothing of the device, so any PCI device that `vfio-pci` serves will do.

#![crate_name = "vfio_migration_test_pci"]

mod backend;
mod log;

use backend::Memory;
use kernel::{
    device,
    device_id::IdTable,
    pci,
    prelude::*, //
};
use log::Log;
use vfio::{
    debugfs::Dir,
    log::Loggable,
    pci::{
        DeviceId,
        Driver, //
    },
    task::Queue, //
};
use vfio_migration::migration::Migration;

vfio::module_vfio_pci_driver! {
    type: Vf,
    name: "vfio_migration_test_pci",
    authors: ["The vfio-migration developers"],
    description: "VFIO variant driver for tests",
    license: "GPL",
}

/// One device.
#[pin_data]
struct Vf {
    #[pin]
    migration: Migration<Memory>,
    #[pin]
    log: Log,
}

impl vfio::device::Operations for Vf {
    const NAME: &'static CStr = c"vfio_migration_test_pci";
    type Migration = Migration<Memory>;

    fn migration(&self) -> &Migration<Memory> {
        &self.migration
    }

    fn registered<'a>(&'a self, dir: &Dir<'a>) {
        dir.file(c"log", &self.log);
    }
}

impl Loggable for Vf {
    type Log = Log;

    fn log(&self) -> Option<&Log> {
        Some(&self.log)
    }
}

vfio::vfio_pci_device_table!(
    TABLE,
    [
        // QEMU's bochs-display, whose first BAR is memory, edu and pci-testdev.
        DeviceId::new(0x1234, 0x1111),
        DeviceId::new(0x1234, 0x11e8),
        DeviceId::new(0x1b36, 0x0005),
    ]
);

impl Driver for Vf {
    const ID_TABLE: &'static dyn IdTable<DeviceId, ()> = &TABLE;

    fn new(device: &pci::Device<device::Bound>) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let queue = Queue::new(c"vfio_migration_test_pci")?;
            let backend = Memory::new()?;
            Ok(try_pin_init!(Self {
                migration <- Migration::new(device.as_ref(), backend, queue)?,
                log <- Log::new(),
            }? Error))
        })
    }
}
