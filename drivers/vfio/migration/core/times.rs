// SPDX-License-Identifier: GPL-2.0

//! How often something was done, and how long it took.

use kernel::{
    fmt,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// Buckets of a histogram; the last one takes all that is longer, from 550 seconds.
const BUCKETS: usize = 40;

/// Times of one thing, in nanoseconds.
///
/// It is read without a lock: a reader may see a part of what is being added.
pub struct Times {
    failed: Atomic<u64>,
    total: Atomic<u64>,
    longest: Atomic<u64>,
    /// In bucket n are the times from 2^n to below 2^(n + 1); in bucket 0 also 0.
    buckets: [Atomic<u64>; BUCKETS],
}

impl Times {
    /// None yet. An array of these is made in place, as it is too large for the stack.
    pub fn new() -> Self {
        Self {
            failed: Atomic::new(0),
            total: Atomic::new(0),
            longest: Atomic::new(0),
            buckets: [const { Atomic::new(0) }; BUCKETS],
        }
    }

    /// It was done in `ns` nanoseconds. Several may add at once.
    pub fn add(&self, ns: u64, failed: bool) {
        if let Some(bucket) = self.buckets.get(bucket(ns)) {
            bucket.add(1, Relaxed);
        }
        self.failed.add(u64::from(failed), Relaxed);
        self.total.add(ns, Relaxed);
        let mut longest = self.longest.load(Relaxed);
        while ns > longest {
            match self.longest.cmpxchg(longest, ns, Relaxed) {
                Ok(_) => break,
                Err(now) => longest = now,
            }
        }
    }

    /// How often it was done.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|n| n.load(Relaxed)).sum()
    }

    /// Prints `count= failed= total_ns= max_ns=` and a histogram.
    pub fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "count={} failed={} total_ns={} max_ns={}",
            self.count(),
            self.failed.load(Relaxed),
            self.total.load(Relaxed),
            self.longest.load(Relaxed),
        )?;
        for (log2, bucket) in self.buckets.iter().enumerate() {
            match bucket.load(Relaxed) {
                0 => {}
                n => write!(f, " 2^{log2}={n}")?,
            }
        }
        writeln!(f)
    }
}

impl Default for Times {
    fn default() -> Self {
        Self::new()
    }
}

/// The bucket of a time.
fn bucket(ns: u64) -> usize {
    // CAST: At most 63.
    let log2 = ns.checked_ilog2().unwrap_or(0) as usize;
    log2.min(BUCKETS - 1)
}

#[cfg(CONFIG_KUNIT = "y")]
#[::kernel::macros::kunit_tests(rust_vfio_migration_times)]
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
