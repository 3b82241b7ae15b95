// SPDX-License-Identifier: GPL-2.0

//! How long each arc takes.

use crate::protocol::fsm::Arc as StateArc;
use kernel::{
    fmt,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};
use vfio::debugfs;

/// Buckets of a histogram; the last one takes all that is longer, from 550 seconds.
const BUCKETS: usize = 40;

/// Times of one arc, in nanoseconds.
///
/// Written with the state machine's lock held, read without a lock: a reader may see a part of what
/// is being added.
struct Times {
    failed: Atomic<u64>,
    total: Atomic<u64>,
    longest: Atomic<u64>,
    /// In bucket n are the times from 2^n to below 2^(n + 1); in bucket 0 also 0.
    buckets: [Atomic<u64>; BUCKETS],
}

/// Times of each arc.
#[pin_data]
pub(crate) struct Arcs {
    #[pin]
    times: [Times; StateArc::ALL.len()],
}

impl Times {
    fn new() -> Self {
        Self {
            failed: Atomic::new(0),
            total: Atomic::new(0),
            longest: Atomic::new(0),
            buckets: [const { Atomic::new(0) }; BUCKETS],
        }
    }
}

impl Arcs {
    /// In place: all of it is too large for the stack.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            times <- pin_init::pin_init_array_from_fn(|_| Times::new()),
        })
    }

    /// The arc took `ns`. The caller is the only one that adds.
    pub(crate) fn add(&self, arc: StateArc, ns: u64, failed: bool) {
        let Some(times) = self.times.get(arc as usize) else {
            return;
        };
        if let Some(bucket) = times.buckets.get(bucket(ns)) {
            bucket.add(1, Relaxed);
        }
        times.failed.add(u64::from(failed), Relaxed);
        times.total.add(ns, Relaxed);
        if ns > times.longest.load(Relaxed) {
            times.longest.store(ns, Relaxed);
        }
    }
}

/// The bucket of a time.
fn bucket(ns: u64) -> usize {
    // CAST: At most 63.
    let log2 = ns.checked_ilog2().unwrap_or(0) as usize;
    log2.min(BUCKETS - 1)
}

#[vtable]
impl debugfs::File for Arcs {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (arc, times) in StateArc::ALL.iter().zip(&self.times) {
            let count: u64 = times.buckets.iter().map(|n| n.load(Relaxed)).sum();
            if count == 0 {
                continue;
            }
            write!(
                f,
                "from={} to={} count={} failed={} total_ns={} max_ns={}",
                arc.from().name(),
                arc.to().name(),
                count,
                times.failed.load(Relaxed),
                times.total.load(Relaxed),
                times.longest.load(Relaxed),
            )?;
            for (log2, bucket) in times.buckets.iter().enumerate() {
                match bucket.load(Relaxed) {
                    0 => {}
                    n => write!(f, " 2^{log2}={n}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[::kernel::macros::kunit_tests(rust_vfio_migration_arcs)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_begins_at_its_power_of_two() {
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(1), 0);
        for log2 in 1..64 {
            assert_eq!(bucket((1 << log2) - 1), usize::min(log2 - 1, BUCKETS - 1));
            assert_eq!(bucket(1 << log2), usize::min(log2, BUCKETS - 1));
        }
    }
}
