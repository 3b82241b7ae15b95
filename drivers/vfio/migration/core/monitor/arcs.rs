// SPDX-License-Identifier: GPL-2.0

//! How long each arc takes.

use crate::{
    protocol::fsm::Arc as StateArc,
    times::Times, //
};
use kernel::{
    fmt,
    prelude::*, //
};
use vfio::debugfs;

/// Times of each arc.
#[pin_data]
pub(crate) struct Arcs {
    #[pin]
    times: [Times; StateArc::ALL.len()],
}

impl Arcs {
    /// In place: all of it is too large for the stack.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            times <- pin_init::pin_init_array_from_fn(|_| Times::new()),
        })
    }

    /// The arc took `ns`.
    pub(crate) fn add(&self, arc: StateArc, ns: u64, failed: bool) {
        if let Some(times) = self.times.get(arc as usize) {
            times.add(ns, failed);
        }
    }
}

#[vtable]
impl debugfs::File for Arcs {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (arc, times) in StateArc::ALL.iter().zip(&self.times) {
            if times.count() > 0 {
                write!(f, "from={} to={} ", arc.from().name(), arc.to().name())?;
                times.show(f)?;
            }
        }
        Ok(())
    }
}
