// SPDX-License-Identifier: GPL-2.0

//! The VFIO variant driver for ConnectX VFs.
//!
//! It serves the VFs that the kernel's `mlx5_vfio_pci` serves, each of which the administrator gives
//! to one of the two by `driver_override`; both may be in use at once, on VFs of one PF, and take each
//! other's streams. A VF that its firmware cannot migrate is a VFIO device without migration.
//! `Documentation/driver-api/vfio-migration-mlx5.rst` describes it.
//!
//! # Locks
//!
//! Below those of the core, in this order:
//!
//! 1. `Running::turn`: who suspends the VF, or cleans up after a session; held over commands.
//! 2. `Running::now`: how much the VF runs.
//! 3. `Mlx5::pd`: the protection domain of a session, held over the command that makes it.
//! 4. `Pool::unused`.
//!
//! `Log::active` is alone: it is held over commands, by who starts or stops the DMA log.

#![crate_name = "vfio_migration_mlx5"]

mod backend;
mod commands;
mod landing;
mod log;
mod memory;
mod pages;
mod running;
mod save;

use backend::{
    Mlx5,
    Settings, //
};
use commands::Commands;
use kernel::{
    device,
    device_id::IdTable,
    driver::Registration,
    pci,
    prelude::*, //
};
use log::Log;
use mlx5::Function;
use vfio::{
    log::Loggable,
    pci::{
        Adapter,
        DeviceId,
        Driver, //
    },
    task::Queue, //
};
use vfio_migration::migration::Migration;

module! {
    type: Module,
    name: "vfio_migration_mlx5",
    authors: ["The vfio-migration developers"],
    description: "VFIO variant driver for ConnectX VFs",
    license: "GPL",
    params: {
        depth: u32 {
            default: 3,
            description: "Images of a session that are made, read, written or loaded at once: 1 to 16",
        },
        chunk_size: u32 {
            default: 8,
            description: "MiB of an image where the firmware can do chunks: 1 to 1024",
        },
        memory_limit: u32 {
            default: 8192,
            description: "MiB that the images of one VF may take: at least depth times chunk_size",
        },
    },
}

impl Settings {
    /// What the parameters of the module say.
    fn from_parameters() -> Result<Self> {
        let depth = module_parameters::depth.value();
        let chunk_size = module_parameters::chunk_size.value();
        let limit = module_parameters::memory_limit.value();
        if !(1..=16).contains(&depth) {
            pr_err!("depth={depth} is not from 1 to 16\n");
            return Err(EINVAL);
        }
        if !(1..=1024).contains(&chunk_size) {
            pr_err!("chunk_size={chunk_size} is not from 1 to 1024\n");
            return Err(EINVAL);
        }
        if limit < depth * chunk_size {
            pr_err!("memory_limit={limit} is less than depth times chunk_size\n");
            return Err(EINVAL);
        }
        Ok(Self {
            // CAST: At most 16.
            depth: depth as usize,
            chunk_size: u64::from(chunk_size) << 20,
            limit: u64::from(limit) << 20,
        })
    }
}

/// The module, with its driver.
#[pin_data]
struct Module {
    #[pin]
    _driver: Registration<Adapter<Vf>>,
}

impl kernel::InPlaceModule for Module {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            Settings::from_parameters()?;
            Ok(try_pin_init!(Self {
                _driver <- Registration::new(<Self as kernel::ModuleMetadata>::NAME, module),
            }? Error))
        })
    }
}

/// One VF.
struct Vf {
    migration: Option<Pin<KBox<Migration<Mlx5>>>>,
    log: Option<Pin<KBox<Log>>>,
}

impl vfio::device::Operations for Vf {
    const NAME: &'static CStr = c"vfio_migration_mlx5";
    type Migration = Option<Pin<KBox<Migration<Mlx5>>>>;

    fn migration(&self) -> &Self::Migration {
        &self.migration
    }
}

impl Loggable for Vf {
    type Log = Log;

    fn log(&self) -> Option<&Log> {
        self.log.as_deref()
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
        Self::bind(device)
    }
}

impl Vf {
    fn bind(device: &pci::Device<device::Bound>) -> Result<Self> {
        let commands = Commands::new(device.as_ref())?;
        let function = match Function::new(device, commands.clone()) {
            Ok(function) => function,
            Err(reason) => {
                dev_info!(device.as_ref(), "does not migrate: {reason}\n");
                return Ok(Self {
                    migration: None,
                    log: None,
                });
            }
        };
        let queue = Queue::new(c"vfio_migration_mlx5")?;
        let backend = Mlx5::new(
            function.clone(),
            commands,
            Settings::from_parameters()?,
            queue.clone(),
        )?;
        let log = match function.capabilities().tracker {
            true => Some(KBox::pin_init(
                Log::new(function, backend.pool().clone()),
                GFP_KERNEL_ACCOUNT,
            )?),
            false => None,
        };
        let migration = Migration::new(device.as_ref(), backend, queue)?;
        Ok(Self {
            migration: Some(KBox::pin_init(migration, GFP_KERNEL)?),
            log,
        })
    }
}
