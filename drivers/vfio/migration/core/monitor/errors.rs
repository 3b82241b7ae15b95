// SPDX-License-Identifier: GPL-2.0

//! The last errors of a device, with what is known of their causes.

use crate::protocol::fsm::State;
use kernel::{
    fmt,
    prelude::*,
    sync::{
        new_mutex,
        Mutex, //
    },
    time::{
        Instant,
        Monotonic, //
    },
};
use vfio::debugfs;

/// How many are kept.
const KEPT: usize = 8;

/// An error.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) time: Instant<Monotonic>,
    /// The call of the backend, or what else failed.
    pub(crate) place: &'static CStr,
    pub(crate) error: Error,
    /// The state of the device when it happened.
    pub(crate) state: State,
    /// Why, in words; nothing of what user space wrote.
    pub(crate) cause: &'static str,
}

struct Ring {
    entries: [Option<Entry>; KEPT],
    /// The place of the next one.
    next: usize,
}

/// The last errors, the oldest first.
#[pin_data]
pub(crate) struct Errors {
    #[pin]
    ring: Mutex<Ring>,
}

impl Errors {
    pub(crate) fn new() -> impl PinInit<Self> {
        let ring = Ring {
            entries: [None; KEPT],
            next: 0,
        };
        pin_init!(Self {
            ring <- new_mutex!(ring, "vfio_migration::Errors::ring"),
        })
    }

    pub(crate) fn add(&self, entry: Entry) {
        let mut ring = self.ring.lock();
        let next = ring.next;
        if let Some(slot) = ring.entries.get_mut(next) {
            *slot = Some(entry);
        }
        ring.next = (next + 1) % KEPT;
    }
}

#[vtable]
impl debugfs::File for Errors {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ring = self.ring.lock();
        let (new, old) = ring.entries.split_at(ring.next);
        for entry in [old, new].into_iter().flatten().flatten() {
            writeln!(
                f,
                "age_ms={} where={} error={} state={} cause={}",
                entry.time.elapsed().as_millis(),
                entry.place.to_str().unwrap_or("?"),
                entry.error.to_errno(),
                entry.state.name(),
                entry.cause,
            )?;
        }
        Ok(())
    }
}
