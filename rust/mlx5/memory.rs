// SPDX-License-Identifier: GPL-2.0

//! Memory that the firmware reads and writes.
//!
//! A [`Buffer`] is memory of the driver. A [`Mkey`] is a buffer that commands can name; between
//! commands its memory belongs to the CPU. A [`Pd`] is what keys belong to.

mod buffer;
mod mapping;
mod mkey;

pub use buffer::Buffer;
pub use mapping::Direction;
pub(crate) use mapping::Mapping;
pub use mkey::{
    Mkey,
    Pd, //
};
