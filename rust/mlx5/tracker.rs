// SPDX-License-Identifier: GPL-2.0

//! The page tracker: the firmware notes which memory a function writes.
//!
//! It belongs to the PF, and so survives a reset of the function. What it found is sent as messages,
//! each an array of addresses, from a queue pair of the firmware to one of ours; the immediate of a
//! message says whether more follow. A page that was reported is clean to the firmware.
//!
//! After an error nothing that a tracker reports can be relied upon, so it stays in error until it is
//! ended. A report that is left before its end is such an error: the rest of it is lost.
//!
//! Locks: `hardware` is held for commands and for copies of messages, never while waiting for
//! messages. It is taken before a [`Function`] is entered.

mod completions;
mod events;
mod hardware;
mod memory;
mod queue_pair;

pub use hardware::Parameters;

use crate::{
    command::{
        Kind,
        Mode,
        QueryCapability, //
    },
    function::Object,
    layout::tracker::adv_virtualization_cap as cap,
    Access,
    Failure,
    Function, //
};
use core::ops::RangeInclusive;
use events::{
    End,
    Events, //
};
use hardware::{
    Hardware,
    Step, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
    time::{
        msecs_to_jiffies,
        Delta,
        Instant,
        Monotonic,
        Msecs, //
    },
};

/// How long to wait before looking at the queue without having been told.
const GLANCE: Msecs = 1000;
/// When the firmware is given up: as with a command.
const PATIENCE: Delta = Delta::from_secs(60);

/// What the firmware takes; all but `ranges` as powers of two, least and largest.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most ranges.
    pub ranges: u32,
    /// The bytes of a page that it tells apart.
    pub page: (u32, u32),
    /// The bytes of a message.
    pub message: (u32, u32),
    /// The bytes of all ranges together.
    pub space: (u32, u32),
}

impl Limits {
    /// Asks for them.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    pub fn new(access: &Access<'_>) -> Result<Self, Failure> {
        let capability = access.execute(&QueryCapability {
            kind: Kind::AdvVirtualization,
            mode: Mode::Current,
            function: None,
        })?;
        // CAST: The fields have at most 8 bits.
        let get = |field| capability.get(field) as u32;
        Ok(Self {
            ranges: get(cap::pg_track_max_num_range),
            page: (
                get(cap::pg_track_log_min_page_size),
                get(cap::pg_track_log_max_page_size),
            ),
            message: (
                get(cap::pg_track_log_min_msg_size),
                get(cap::pg_track_log_max_msg_size),
            ),
            space: (
                get(cap::pg_track_log_min_addr_space),
                get(cap::pg_track_log_max_addr_space),
            ),
        })
    }
}

#[pin_data]
struct Shared {
    function: Function,
    events: Arc<Events>,
    /// What the firmware has; nothing once that was taken back.
    #[pin]
    hardware: Mutex<Option<Hardware>>,
    /// See [`Object::is_left`].
    left: Atomic<bool>,
}

impl Shared {
    /// Whether nothing is left.
    fn take_back(&self, access: &Access<'_>, last: bool) -> bool {
        let mut slot = self.hardware.lock();
        let gone = match &mut *slot {
            Some(hardware) => hardware.destroy(access, last).is_ok(),
            None => true,
        };
        if gone {
            *slot = None;
        }
        gone
    }

    /// Whether nothing is left.
    fn end(&self) -> bool {
        self.events.gone();
        let access = self.function.enter_to_release();
        let gone = access.is_none_or(|access| self.take_back(&access, false));
        self.left.store(!gone, Relaxed);
        gone
    }
}

impl Object for Shared {
    fn interrupt(&self) {
        self.events.gone();
    }

    fn revoke(&self, access: &Access<'_>) {
        self.take_back(access, true);
    }

    fn is_left(&self) -> bool {
        self.left.load(Relaxed)
    }

    fn retry(&self, access: &Access<'_>) -> bool {
        self.take_back(access, false)
    }
}

/// A page tracker of one function; it ends when this is dropped at the latest.
pub struct Tracker(Arc<Shared>);

impl Tracker {
    /// Begins to track writes to `ranges`, of which there is at least one. After an error there may be
    /// something for [`Function::take_back`].
    ///
    /// # Errors
    ///
    /// - `ENOTCONN` if the PF is down.
    /// - `ENOMEM` if there is no memory.
    /// - The firmware's.
    pub fn new(
        function: &Function,
        parameters: &Parameters,
        ranges: &[RangeInclusive<u64>],
    ) -> Result<Self> {
        let events = Arc::pin_init(Events::new(), GFP_KERNEL_ACCOUNT)?;
        let shared_events = events.clone();
        let shared = Arc::pin_init(
            pin_init!(Shared {
                function: function.clone(),
                events: shared_events,
                hardware <- new_mutex!(None, "mlx5::Tracker::hardware"),
                left: Atomic::new(false),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        let access = function.enter()?;
        // From here on, if the PF goes down, it takes back what there is.
        function.attach(shared.clone())?;
        let tracker = Self(shared);
        let mut hardware = Hardware::new(&access, parameters);
        let made = hardware.make(&access, ranges, events);
        *tracker.0.hardware.lock() = Some(hardware);
        drop(access);
        made.map(|()| tracker)
    }

    /// Ends it; whoever waits for a report leaves. Returns whether all of it was taken back: else there
    /// is something for [`Function::take_back`].
    pub fn end(&self) -> bool {
        self.0.end()
    }

    /// Has the firmware report what was written in `range`, and forget it.
    ///
    /// # Errors
    ///
    /// - `EBUSY` if another report is under way.
    /// - `ENOTCONN` after the end, and if the PF went down.
    /// - `EIO` after an error.
    /// - `ENOMEM` if there is no memory for the command; others of the firmware's, which then did
    ///   nothing. After any other the tracker is in error.
    pub fn report(&self, range: &RangeInclusive<u64>) -> Result<Reporting<'_>> {
        let mut guard = self.0.hardware.lock();
        let hardware = (*guard).as_mut().ok_or(ENOTCONN)?;
        if hardware.is_reporting() {
            return Err(EBUSY);
        }
        self.check()?;
        let access = self.0.function.enter()?;
        hardware.report(&access, range).inspect_err(|failure| {
            let undone = matches!(
                failure,
                Failure::Refused { .. } | Failure::Transport(ENOMEM)
            );
            if !undone {
                // What of it was done cannot be known.
                self.0.events.fail();
            }
        })?;
        Ok(Reporting {
            tracker: self,
            done: false,
        })
    }

    /// Whether anything can come of it.
    fn check(&self) -> Result {
        match self.0.events.end() {
            None => Ok(()),
            Some(End::Gone) => Err(ENOTCONN),
            Some(End::Failed) => Err(EIO),
        }
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        if self.end() {
            self.0.function.detach(Arc::as_ptr(&self.0).cast());
        }
    }
}

/// A report that is under way. Dropping it before its end is an error of the tracker.
pub struct Reporting<'a> {
    tracker: &'a Tracker,
    done: bool,
}

impl Reporting<'_> {
    /// Waits for the next pages of the report, puts their first addresses into `pages`, and returns
    /// how many these are; `None` at the end of the report.
    ///
    /// # Errors
    ///
    /// - `ERESTARTSYS` if the thread is killed.
    /// - `ETIMEDOUT` if the firmware says nothing for a minute.
    /// - `ENOTCONN` after the end of the tracker, and if the PF went down.
    /// - `EIO` if the tracker has failed, or says what cannot be.
    pub fn next(&mut self, pages: &mut [u64]) -> Result<Option<usize>> {
        if self.done {
            return Ok(None);
        }
        let mut begin = None;
        loop {
            self.tracker.check()?;
            match self.step(pages)? {
                Step::Pages(count) => return Ok(Some(count)),
                Step::Last => {
                    self.done = true;
                    return Ok(None);
                }
                Step::Nothing => {}
            }
            if begin
                .get_or_insert_with(Instant::<Monotonic>::now)
                .elapsed()
                >= PATIENCE
            {
                return Err(ETIMEDOUT);
            }
            // It may have failed with an event that was lost.
            if !self.tracker.0.events.wait(msecs_to_jiffies(GLANCE))? {
                self.tracker.0.events.change();
            }
        }
    }

    fn step(&self, pages: &mut [u64]) -> Result<Step> {
        let shared = &self.tracker.0;
        let mut guard = shared.hardware.lock();
        let hardware = (*guard).as_mut().ok_or(ENOTCONN)?;
        let step = hardware.receive(pages)?;
        if matches!(step, Step::Nothing) && shared.events.take_changed() {
            hardware.check(&shared.function.enter()?)?;
        }
        Ok(step)
    }
}

impl Drop for Reporting<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.tracker.0.events.fail();
        }
        if let Some(hardware) = &mut *self.tracker.0.hardware.lock() {
            hardware.end_report();
        }
    }
}
