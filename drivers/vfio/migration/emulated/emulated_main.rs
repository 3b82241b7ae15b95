// SPDX-License-Identifier: GPL-2.0

//! An emulated VFIO device that migrates: for tests, for demonstrations, and for people who write
//! the user space side.
//!
//! A PCI-shaped mediated device without hardware: configuration space, a register BAR, a memory BAR
//! that is its state, a DMA engine with DMA logging, MSI-X and reset.
//! `Documentation/driver-api/vfio-migration-emulated.rst` describes it. Four mediated device types
//! offer the four feature sets of the uAPI.
//!
//! # Locks
//!
//! Below those of the core, in this order:
//!
//! 1. `Dma::inner`: the registers of the DMA engine, and whether it may begin anything. Not held
//!    while it accesses memory.
//! 2. `Log::active`: the DMA log. Not held with the one before.
//! 3. `Device::machine`, which is held while the device ticks, so that no tick and no interrupt
//!    happens after the arc that stops it.

#![crate_name = "vfio_migration_emulated"]

mod backend;
mod bytes;
mod config;
mod device;
mod dirty;
mod dma;
mod engine;
mod image;
mod log;
mod registers;
mod tracker;

use backend::Emulated;
use device::Device;
use kernel::{
    device as kernel_device,
    prelude::*,
    sync::Arc, //
};
use log::Log;
use vfio::{
    dma::UserMemory,
    emulated::{
        self,
        Access,
        Region,
        IRQ_MSIX,
        REGION_BAR0,
        REGION_BAR2,
        REGION_CONFIG, //
    },
    irq,
    log::Loggable,
    mdev,
    memory,
    task::Queue, //
};
use vfio_migration::{
    migration::Migration,
    protocol::fsm::Features, //
};

module! {
    type: Module,
    name: "vfio_migration_emulated",
    authors: ["The vfio-migration developers"],
    description: "Emulated VFIO device with live migration",
    license: "GPL",
    params: {
        state_size: u64 {
            default: 0x100000,
            description: "Bytes of device memory: a power of two from 4096 to 4294967296",
        },
        log_loss: u32 {
            default: 0,
            description: "For tests of users: DMA logging leaves out one of so many pages",
        },
    },
}

/// The least and the most that `state_size` may be.
const STATE_SIZE: core::ops::RangeInclusive<u64> = 1 << 12..=1 << 32;

/// The feature sets, in the order of the types.
const FEATURES: [Features; 4] = [
    Features::STOP_COPY,
    Features::P2P,
    Features::PRE_COPY,
    Features::ALL,
];

/// One mediated device.
#[pin_data]
struct Mdev {
    #[pin]
    migration: Migration<Emulated>,
}

impl Mdev {
    fn device(&self) -> &Device {
        self.migration.backend().device()
    }
}

impl vfio::device::Operations for Mdev {
    const NAME: &'static CStr = c"vfio_migration_emulated";
    type Migration = Migration<Emulated>;

    fn migration(&self) -> &Migration<Emulated> {
        &self.migration
    }
}

impl Loggable for Mdev {
    type Log = Log;

    fn log(&self) -> Option<&Log> {
        Some(self.migration.backend().log())
    }
}

impl emulated::Operations for Mdev {
    fn region(&self, index: u32) -> Region {
        let (size, access) = match index {
            REGION_BAR0 => (registers::SIZE, Access::Words),
            REGION_BAR2 => (self.device().memory().size() as u64, Access::Memory),
            REGION_CONFIG => (config::SIZE as u64, Access::Words),
            _ => (0, Access::Words),
        };
        Region { size, access }
    }

    fn read(&self, region: u32, offset: u64, out: &mut [u8]) -> Result {
        self.migration.backend().read(region, offset, out)
    }

    fn write(&self, region: u32, offset: u64, data: &[u8]) -> Result {
        self.migration.backend().write(region, offset, data)
    }

    fn mmap(&self, _region: u32, area: memory::Area<'_>) -> Result {
        // Only one region is `Access::Memory`.
        self.device().memory().as_arc_borrow().map(area)
    }

    fn irqs(&self, index: u32) -> u32 {
        match index {
            // CAST: A handful.
            IRQ_MSIX => device::VECTORS as u32,
            _ => 0,
        }
    }

    fn set_irqs(&self, index: u32, start: usize, request: irq::Request) -> Result {
        match index {
            IRQ_MSIX => self.device().vectors().apply(start, request),
            _ => Err(EINVAL),
        }
    }
}

impl mdev::Driver for Mdev {
    type OwnerModule = LocalModule;

    const TYPES: &'static [mdev::Type] = &[
        mdev::Type {
            name: c"stop_copy",
            description: c"Emulated device: STOP_COPY",
        },
        mdev::Type {
            name: c"p2p",
            description: c"Emulated device: STOP_COPY and P2P",
        },
        mdev::Type {
            name: c"pre_copy",
            description: c"Emulated device: STOP_COPY and PRE_COPY",
        },
        mdev::Type {
            name: c"full",
            description: c"Emulated device: STOP_COPY, P2P and PRE_COPY",
        },
    ];

    const MAX_INSTANCES: u32 = 64;

    /// The queue on which devices tick and chunks are made.
    type Shared = Arc<Queue>;

    fn new(
        queue: &Arc<Queue>,
        device: &kernel_device::Device<kernel_device::Bound>,
        kind: usize,
        memory: Arc<UserMemory>,
    ) -> impl PinInit<Self, Error> {
        let queue = queue.clone();
        pin_init::pin_init_scope(move || {
            let features = *FEATURES.get(kind).ok_or(EINVAL)?;
            let size =
                usize::try_from(module_parameters::state_size.value()).map_err(|_| EINVAL)?;
            let backend = Emulated::new(
                features,
                size,
                queue.clone(),
                memory,
                module_parameters::log_loss.value(),
            )?;
            Ok(try_pin_init!(Self {
                migration <- Migration::new(device, backend, queue)?,
            }? Error))
        })
    }
}

/// The module.
struct Module {
    _parent: mdev::Parent<Mdev>,
}

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let size = module_parameters::state_size.value();
        if !STATE_SIZE.contains(&size) || !size.is_power_of_two() {
            pr_err!(
                "state_size={} is not a power of two from {} to {}\n",
                size,
                STATE_SIZE.start(),
                STATE_SIZE.end()
            );
            return Err(EINVAL);
        }
        let queue = Queue::new(c"vfio_migration_emulated")?;
        Ok(Self {
            _parent: mdev::Parent::new(c"vfio_migration_emulated", queue)?,
        })
    }
}
