// SPDX-License-Identifier: GPL-2.0

//! Faults and delays on request: one rule for each call of a backend, set through debugfs.

use super::{
    call::Call,
    rule::{
        Action,
        Kind,
        Rule, //
    },
};
use crate::backend::Failure;
use kernel::{
    fmt,
    prelude::*,
    sync::{
        atomic::{
            AtomicFlag,
            Relaxed, //
        },
        new_mutex,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    },
};
use vfio::debugfs;

/// A call, and the rule for it.
#[pin_data]
pub(crate) struct Point {
    call: Call,
    /// There is a rule. A call that begins while one is set or removed may miss the change.
    armed: AtomicFlag,
    #[pin]
    rule: Mutex<Option<Rule>>,
}

impl Point {
    pub(crate) fn new(call: Call) -> impl PinInit<Self> {
        pin_init!(Self {
            call,
            armed: AtomicFlag::new(false),
            rule <- new_mutex!(None, "vfio_migration::Point::rule"),
        })
    }

    pub(crate) fn call(&self) -> Call {
        self.call
    }

    /// Whether there is a rule; if not, there is no need to ask for what is next.
    #[inline]
    pub(crate) fn is_armed(&self) -> bool {
        self.armed.load(Relaxed)
    }

    /// What happens to the next call, whose data begins at byte `position` of the stream.
    #[cold]
    pub(crate) fn next(&self, position: u64) -> Option<Action> {
        match &mut *self.rule.lock() {
            None => None,
            Some(rule) => rule.next(position),
        }
    }
}

/// A call fails.
pub(crate) struct Fault {
    pub(crate) failure: Failure,
    /// It reaches the backend first.
    pub(crate) done: bool,
}

impl Action {
    /// Waits as long as it says; returns the failure, if it is one.
    #[cold]
    pub(crate) fn perform(self) -> Option<Fault> {
        let start = Instant::<Monotonic>::now();
        let delay = Delta::from_micros(i64::from(self.delay_us));
        // Where ticks are late, as in a busy VM, a long sleep ends before its time.
        loop {
            let left = delay - start.elapsed();
            if left <= Delta::ZERO {
                break;
            }
            fsleep(left);
        }
        let (kind, errno) = self.failure?;
        let error = Error::from_errno(-i32::from(errno));
        Some(Fault {
            failure: match kind {
                Kind::Kept => Failure::Kept(error),
                Kind::Lost => Failure::Lost(error),
            },
            done: self.done,
        })
    }
}

#[vtable]
impl debugfs::File for Point {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.rule.lock() {
            None => writeln!(f, "off"),
            Some(rule) => writeln!(f, "{rule}"),
        }
    }

    fn store(&self, text: &str) -> Result {
        let rule = Rule::parse(text, self.call.ways()).map_err(|_| EINVAL)?;
        let mut slot = self.rule.lock();
        self.armed.store(rule.is_some(), Relaxed);
        *slot = rule;
        Ok(())
    }
}
