// SPDX-License-Identifier: GPL-2.0

//! The core of live migration for VFIO devices: everything but the device.
//!
//! Follows the v2 migration protocol of
//! [`include/uapi/linux/vfio.h`](srctree/include/uapi/linux/vfio.h); see
//! `Documentation/driver-api/vfio-migration.rst`. A driver implements [`backend::Backend`] and gets
//! a [`migration::Migration`] that is the migration half of its VFIO device.
//!
//! # Definitions
//!
//! - *Arc*: a transition between two states that the uAPI does not divide further.
//! - *Session*: one transfer of device state, from the arc that returns a data file to the arc that
//!   ends it; the file may be closed before, or stay open long after.
//! - *Chunk*: a piece of a device's state that a backend makes in one call.
//!
//! # Locks
//!
//! In this order; none of them is ever held while user memory is accessed, so reset and close, which
//! take the first three, never wait for user space.
//!
//! 1. `Migration::inner`: the state of the device, and which session there is.
//! 2. `SaveFile::session`, `ResumeFile::session`, `ResumeFile::loader`: the session, over one call of
//!    the backend; never two of them.
//! 3. `SaveFile::queue`, `ResumeFile::gate`: what has passed and who is reading or writing.
//!
//! Below these, and below a backend's own, are those of `monitor`.
//!
//! Whoever copies from or to user memory owns the buffer it copies, and no lock.

#![crate_name = "vfio_migration"]

pub mod backend;
mod kunit;
pub mod migration;
mod monitor;
pub mod protocol;
mod resume;
mod save;
pub mod times;
mod turn;
mod watched;

use kernel::prelude::*;

module! {
    type: CoreModule,
    name: "vfio_migration",
    authors: ["The vfio-migration developers"],
    description: "Live migration of VFIO devices",
    license: "GPL",
    imports_ns: ["IOMMUFD"],
}

/// The module; it has code and no state.
pub struct CoreModule;

impl kernel::Module for CoreModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(CoreModule)
    }
}

/// The kernel's CRC32C for the stream.
pub(crate) struct Crc32c;

impl protocol::stream::Crc for Crc32c {
    fn update(crc: u32, bytes: &[u8]) -> u32 {
        vfio::crc::crc32c(crc, bytes)
    }
}
