// SPDX-License-Identifier: GPL-2.0

//! A device seen from outside: trace events, and files in debugfs with what has happened and with
//! what is to go wrong.
//!
//! Nothing here has data of a guest, or knows the backend. Whatever the core reports costs a few
//! atomic operations while no event is on; a call without a rule costs one load.
//!
//! The locks of this module are below all others, and are held for a few instructions.

mod arcs;
mod call;
mod errors;
mod fault;
mod rule;
mod stats;

pub(crate) use call::Call;

use crate::{
    backend::Phase,
    protocol::{
        fsm::{
            Arc as StateArc,
            Features,
            State, //
        },
        stream::Header,
    },
};
use arcs::Arcs;
use errors::{
    Entry,
    Errors, //
};
use fault::{
    Fault,
    Point, //
};
use kernel::{
    prelude::*,
    str::CString,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    time::{
        Instant,
        Monotonic, //
    },
};
use stats::Stats;
use vfio::{
    debugfs::Dir,
    trace, //
};

/// Which way a stream goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the device.
    Save,
    /// To the device.
    Load,
}

/// Why a device is running again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    /// It was reset.
    Reset,
    /// Nobody has it open any more.
    Close,
}

/// What is known of one device.
#[pin_data]
pub(crate) struct Monitor {
    device: CString,
    features: Features,
    /// The state, for those who do not have the lock of the state machine.
    state: Atomic<u32>,
    pub(crate) stats: Stats,
    #[pin]
    arcs: Arcs,
    #[pin]
    errors: Errors,
    #[pin]
    points: [Point; Call::COUNT],
}

/// Nanoseconds since `start`.
pub(crate) fn since(start: Instant<Monotonic>) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(0)
}

impl Monitor {
    /// For the device of that name, which is running.
    pub(crate) fn new(device: &CStr, features: Features) -> Result<impl PinInit<Self, Error>> {
        let device = CString::try_from(device)?;
        Ok(try_pin_init!(Self {
            device,
            features,
            state: Atomic::new(State::Running as u32),
            stats: Stats::new(),
            arcs <- Arcs::new(),
            errors <- Errors::new(),
            points <- pin_init::pin_init_array_from_fn(|index| {
                // Each index is that of a call.
                Point::new(Call::from_index(index).unwrap_or(Call::Save))
            }),
        }? Error))
    }

    /// Makes the files of this device.
    pub(crate) fn show<'a>(&'a self, dir: &Dir<'a>) {
        dir.file(c"stats", &self.stats);
        dir.file(c"arcs", &self.arcs);
        dir.file(c"errors", &self.errors);
        let Some(fail) = dir.subdir(c"fail") else {
            return;
        };
        for point in &self.points {
            if point.call().available(self.features) {
                fail.file(point.call().name(), point);
            }
        }
    }

    /// What is to go wrong with a call whose data begins at byte `position` of the stream; takes as
    /// long as the call is to take longer.
    #[inline]
    pub(crate) fn fault(&self, call: Call, position: u64) -> Option<Fault> {
        let point = self.points.get(call.index())?;
        if !point.is_armed() {
            return None;
        }
        let action = point.next(position)?;
        self.stats.injected.add(1);
        action.perform()
    }

    /// The state has changed.
    pub(crate) fn set_state(&self, state: State) {
        self.state.store(state as u32, Relaxed);
    }

    /// An arc is over.
    pub(crate) fn arc(&self, arc: StateArc, error: Option<Error>, ns: u64) {
        self.arcs.add(arc, ns, error.is_some());
        let ret = error.map_or(0, Error::to_errno);
        trace::arc(&self.device, arc.from().into(), arc.to().into(), ret, ns);
    }

    /// A session begins; returns its number.
    pub(crate) fn session(&self, direction: Direction) -> u64 {
        match direction {
            Direction::Save => self.stats.sessions_saved.add(1),
            Direction::Load => self.stats.sessions_resumed.add(1),
        };
        self.stats.sessions.add(1)
    }

    /// The backend has made a chunk in [`Phase`], or without one taken a piece.
    pub(crate) fn chunk(
        &self,
        session: u64,
        phase: Option<Phase>,
        len: usize,
        initial: bool,
        ns: u64,
    ) {
        let (phase, count) = match phase {
            Some(Phase::PreCopy) => (c"pre_copy", &self.stats.chunks_saved),
            Some(Phase::StopCopy) => (c"stop_copy", &self.stats.chunks_saved),
            None => (c"load", &self.stats.chunks_loaded),
        };
        count.add(1);
        // CAST: No buffer is longer than `isize::MAX`.
        trace::chunk(&self.device, session, phase, len as u64, initial, ns);
    }

    /// A record was made, or its header accepted.
    pub(crate) fn record(&self, session: u64, header: Header, direction: Direction) {
        let Header { size, flags, tag } = header;
        let load = direction == Direction::Load;
        trace::record(&self.device, session, tag, flags, size, load);
    }

    /// In pre-copy there is no more to make for now, or it is over. The round had `bytes` of the
    /// stream.
    pub(crate) fn round(&self, session: u64, round: u64, bytes: u64) {
        self.stats.rounds.add(1);
        trace::round(&self.device, session, round, bytes);
    }

    /// The device is running again.
    pub(crate) fn restart(&self, cause: Restart, from: State, ns: u64) {
        match cause {
            Restart::Reset => self.stats.resets.add(1),
            Restart::Close => self.stats.closes.add(1),
        };
        trace::reset(&self.device, from.into(), ns);
    }

    /// Something failed.
    pub(crate) fn error(&self, place: &'static CStr, error: Error, cause: &'static str) {
        self.stats.errors.add(1);
        let state = self.state.load(Relaxed);
        self.errors.add(Entry {
            time: Instant::now(),
            place,
            error,
            state: State::try_from(state).unwrap_or(State::Error),
            cause,
        });
        trace::error(&self.device, place, error.to_errno());
    }
}
