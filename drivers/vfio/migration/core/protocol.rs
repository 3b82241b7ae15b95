// SPDX-License-Identifier: GPL-2.0

//! The protocol of live migration, apart from any device and any kernel.
//!
//! Everything below this module uses `core::` only: no allocation, no `kernel` crate, no `unsafe`. So
//! the same files are compiled into the kernel module, into the tests that run on the host and into
//! KUnit. Files refer to each other by `super::`, since each of the three mounts them elsewhere.

pub mod fsm;
pub mod stream;
