// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over VFIO for drivers with live migration.
//!
//! C headers: [`include/linux/vfio.h`](srctree/include/linux/vfio.h),
//! [`include/linux/vfio_pci_core.h`](srctree/include/linux/vfio_pci_core.h),
//! [`include/linux/mdev.h`](srctree/include/linux/mdev.h),
//! [`include/uapi/linux/vfio.h`](srctree/include/uapi/linux/vfio.h).
//!
//! This crate has mechanism and no policy: it knows nothing of backends, records or device
//! images. It is the only place with `unsafe`. It is written with `kernel::` paths so that it can
//! become `kernel::vfio` one day.
//!
//! Life times, in one place (`Documentation/driver-api/vfio-migration.rst` says why they hold):
//!
//! - [`device::Device`] is allocated by the VFIO core and freed in its `release` callback.
//! - A [`stream::StreamFile`] owns its private data and pins the module of its driver; it needs no
//!   device and may outlive it.
//! - A [`task::Task`] is cancelled before its data is dropped.
//! - [`memory::RegionMemory`] is kept alive by each mapping of it.
//! - A [`dma::UserMemory`] gives access while its device is open; last close waits for accesses.

// This crate has no `module!`, so it provides what the macros of the `kernel` crate look for.
#[allow(dead_code)]
const __LOG_PREFIX: &[u8] = b"vfio_migration\0";

mod bindings;
pub mod busy;
pub mod cgroup;
pub mod crc;
pub mod debugfs;
pub mod device;
pub mod dma;
pub mod emulated;
pub mod irq;
mod lock;
pub mod log;
pub mod mdev;
pub mod memory;
pub mod migration;
pub mod pci;
pub mod stream;
pub mod task;
pub mod trace;
