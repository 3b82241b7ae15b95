// SPDX-License-Identifier: GPL-2.0

//! The firmware of an emulated ConnectX: a network card with SR-IOV, of which this models what the
//! kernel's `mlx5_core` and `mlx5_vfio_pci` need to find it, to enable its virtual functions, and to
//! migrate them.
//!
//! It is safe code that knows neither QEMU nor the kernel. It reads and writes memory, raises
//! interrupts and learns the time through [`Host`]; who embeds it forwards accesses to BAR 0
//! ([`Nic::read`], [`Nic::write`]), resets ([`Nic::reset`]), and calls [`Nic::tick`] when it asked
//! for it. Whatever a driver, or a stream that is loaded, does, nothing here panics, and no memory is
//! touched but through [`Host`]. Its memory use is bounded by what the driver maps and by
//! [`Config::image`].
//!
//! No command is executed in the access that rings for it: that is what time is for, and a transfer
//! is cut into slices, so that nobody waits long for a call to return.

#![forbid(unsafe_code)]

#[macro_use]
pub mod layout;

mod command;
mod config;
mod event;
mod function;
mod host;
mod memory;
mod migration;
mod nic;
mod object;
mod queue;
mod registers;
mod status;
mod tracker;
mod work;

pub use command::{names as command_names, opcodes};
pub use config::{Choice, Config, Fault, OPTIONS};
pub use host::{DmaError, Host};
pub use nic::Nic;
pub use registers::{UAR_FIRST, UAR_LAST, UAR_SIZE};
pub use status::Status;
