// SPDX-License-Identifier: GPL-2.0

//! What has happened to a device, in numbers.

use kernel::{
    fmt,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};
use vfio::debugfs;

/// A number that only grows.
pub(crate) struct Counter(Atomic<u64>);

impl Counter {
    /// Adds `n`; returns the sum.
    pub(crate) fn add(&self, n: u64) -> u64 {
        // The sum of 2^64 is not reached.
        self.0.fetch_add(n, Relaxed) + n
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of one device, from when it was made.
        pub(crate) struct Stats {
            $($(#[$doc])* pub(crate) $name: Counter,)*
        }

        impl Stats {
            pub(crate) fn new() -> Self {
                Self { $($name: Counter(Atomic::new(0)),)* }
            }
        }

        #[vtable]
        impl debugfs::File for Stats {
            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(writeln!(f, concat!(stringify!($name), " {}"), self.$name.get())?;)*
                Ok(())
            }
        }
    };
}

counters! {
    /// Sessions that began, of both kinds; also the number of the last one.
    sessions,
    /// Sessions that began to save.
    sessions_saved,
    /// Sessions that began to resume.
    sessions_resumed,
    /// Bytes of streams that user space has read.
    bytes_saved,
    /// Bytes of streams that user space has written, and that were taken.
    bytes_loaded,
    /// Chunks that the backend made.
    chunks_saved,
    /// Pieces that the backend took.
    chunks_loaded,
    /// Rounds of pre-copy that ended.
    rounds,
    /// How often there was no room for a chunk until user space has read.
    waits_for_reader,
    /// How often user space waited in `read()` for a chunk.
    waits_for_chunk,
    /// How often user space waited in `write()` for an image to be loaded.
    waits_for_load,
    /// Records of device state that were taken without a checksum.
    unprotected,
    /// Resets by the user of the device.
    resets,
    /// Last closes.
    closes,
    /// Errors, of the backend, of streams and of sessions.
    errors,
    /// Faults and delays that were asked for.
    injected,
}
