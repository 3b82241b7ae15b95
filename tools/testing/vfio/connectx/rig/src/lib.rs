// SPDX-License-Identifier: GPL-2.0

//! A machine without QEMU that the firmware can be in, and as much of a driver as its tests need.
//! The driver is written from the layouts alone: it shares no logic with the firmware.
//!
//! What a test asserts here panics.

#![forbid(unsafe_code)]

mod driver;
mod hostile;
mod machine;
mod migration;
mod pairs;
mod reports;

pub use driver::{EventQueue, Outcome, Rig, PAGE};
pub use hostile::play;
pub use machine::{Machine, Memory};
pub use migration::Saved;
pub use pairs::{Completion, End, Pair, Send};
pub use reports::Reporter;
