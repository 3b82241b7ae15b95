// SPDX-License-Identifier: GPL-2.0

//! An emulated device for tests of its DMA: it does to the memory of its user what it is told by
//! registers.

#![crate_name = "vfio_migration_test_dma"]

mod backend;
mod engine;

use backend::Memory;
use engine::Engine;
use kernel::{
    device,
    prelude::*,
    static_lock_class,
    sync::Arc, //
};
use vfio::{
    dma::UserMemory,
    emulated::{
        self,
        Access,
        Region,
        REGION_BAR0,
        REGION_BAR2, //
    },
    irq,
    log::{
        Loggable,
        Unsupported, //
    },
    mdev,
    memory,
    task::{
        Queue,
        Task, //
    }, //
};
use vfio_migration::migration::Migration;

module! {
    type: Module,
    name: "vfio_migration_test_dma",
    authors: ["The vfio-migration developers"],
    description: "Emulated VFIO device for tests of DMA",
    license: "GPL",
}

/// One mediated device.
#[pin_data]
struct Mdev {
    #[pin]
    migration: Migration<Memory>,
    engine: Arc<Task<Engine>>,
}

impl vfio::device::Operations for Mdev {
    const NAME: &'static CStr = c"vfio_migration_test_dma";
    type Migration = Migration<Memory>;

    fn migration(&self) -> &Migration<Memory> {
        &self.migration
    }
}

impl Loggable for Mdev {
    type Log = Unsupported;

    fn log(&self) -> Option<&Unsupported> {
        None
    }
}

impl emulated::Operations for Mdev {
    fn region(&self, index: u32) -> Region {
        let size = match index {
            REGION_BAR0 => engine::REGISTERS,
            REGION_BAR2 => engine::BUFFER,
            _ => 0,
        };
        Region {
            // CAST: Constants.
            size: size as u64,
            access: Access::Words,
        }
    }

    fn read(&self, region: u32, offset: u64, out: &mut [u8]) -> Result {
        let offset = usize::try_from(offset).map_err(|_| EINVAL)?;
        match region {
            REGION_BAR0 => self.engine.read_register(offset, out),
            _ => self.engine.read_buffer(offset, out),
        }
    }

    fn write(&self, region: u32, offset: u64, data: &[u8]) -> Result {
        let offset = usize::try_from(offset).map_err(|_| EINVAL)?;
        match region {
            REGION_BAR0 => Engine::write_register(&self.engine, offset, data),
            _ => self.engine.write_buffer(offset, data),
        }
    }

    fn mmap(&self, _region: u32, _area: memory::Area<'_>) -> Result {
        // No region is `Access::Memory`.
        Err(EINVAL)
    }

    fn irqs(&self, _index: u32) -> u32 {
        0
    }

    fn set_irqs(&self, _index: u32, _start: usize, _request: irq::Request) -> Result {
        Err(EINVAL)
    }
}

impl mdev::Driver for Mdev {
    type OwnerModule = LocalModule;

    const TYPES: &'static [mdev::Type] = &[mdev::Type {
        name: c"dma",
        description: c"Device that does DMA as it is told",
    }];

    const MAX_INSTANCES: u32 = 4;

    /// The queue for DMA in the background and for chunks.
    type Shared = Arc<Queue>;

    fn new(
        queue: &Arc<Queue>,
        device: &device::Device<device::Bound>,
        _kind: usize,
        memory: Arc<UserMemory>,
    ) -> impl PinInit<Self, Error> {
        let queue = queue.clone();
        pin_init::pin_init_scope(move || {
            let backend = Memory::new()?;
            let task = Task::new(
                queue.clone(),
                c"vfio_migration_test_dma",
                static_lock_class!(),
                Engine::new(memory),
            );
            let engine = Arc::pin_init(task, GFP_KERNEL)?;
            Ok(try_pin_init!(Self {
                migration <- Migration::new(device, backend, queue)?,
                engine,
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
        let queue = Queue::new(c"vfio_migration_test_dma")?;
        Ok(Self {
            _parent: mdev::Parent::new(c"vfio_migration_test_dma", queue)?,
        })
    }
}
