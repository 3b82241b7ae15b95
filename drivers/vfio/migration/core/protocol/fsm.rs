// SPDX-License-Identifier: GPL-2.0

//! Device states and the arcs between them, as in [`include/uapi/linux/vfio.h`].
//!
//! The arcs of the uAPI are declared once, as data, in [`Arc`]. How to get from one state to
//! another that no arc joins to it is not written anywhere: [`next`] looks it up in a table that the
//! compiler derives from the declared arcs by the rules of the uAPI.
//!
//! [`include/uapi/linux/vfio.h`]: srctree/include/uapi/linux/vfio.h

use core::ffi::CStr;

/// What the user may tell a state, or an arc, by: its name in the uAPI.
macro_rules! state_name {
    (Error) => {
        "ERROR"
    };
    (Stop) => {
        "STOP"
    };
    (Running) => {
        "RUNNING"
    };
    (StopCopy) => {
        "STOP_COPY"
    };
    (Resuming) => {
        "RESUMING"
    };
    (RunningP2p) => {
        "RUNNING_P2P"
    };
    (PreCopy) => {
        "PRE_COPY"
    };
    (PreCopyP2p) => {
        "PRE_COPY_P2P"
    };
}

/// Declares [`State`] with the numbers of the uAPI.
macro_rules! states {
    ($($(#[$meta:meta])* $state:ident = $number:literal,)*) => {
        /// State of a device, numbered as in `enum vfio_device_mig_state`.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum State {
            $($(#[$meta])* $state = $number,)*
        }

        impl State {
            /// All states, in the order of their numbers.
            pub const ALL: [State; 8] = [$(State::$state),*];

            /// Name of the state in the uAPI, without its prefix.
            pub const fn name(self) -> &'static str {
                match self {
                    $(State::$state => state_name!($state),)*
                }
            }
        }
    };
}

states! {
    /// The device has failed and must be reset.
    Error = 0,
    /// The device does not run and its state does not change.
    Stop = 1,
    /// The device runs normally.
    Running = 2,
    /// The device is stopped and its state can be read.
    StopCopy = 3,
    /// The device is stopped and its state can be written.
    Resuming = 4,
    /// The device runs, but starts no peer-to-peer DMA.
    RunningP2p = 5,
    /// The device runs normally and tracks changes of its state, which can be read.
    PreCopy = 6,
    /// As [`State::PreCopy`], but the device starts no peer-to-peer DMA.
    PreCopyP2p = 7,
}

impl State {
    /// Whether the state belongs to the saving group: a stream of device state is open for reading.
    pub const fn is_saving(self) -> bool {
        matches!(self, State::StopCopy | State::PreCopy | State::PreCopyP2p)
    }

    /// Whether the device runs but must not start peer-to-peer DMA.
    pub const fn is_p2p(self) -> bool {
        matches!(self, State::RunningP2p | State::PreCopyP2p)
    }

    const fn is(self, other: State) -> bool {
        self as u32 == other as u32
    }
}

/// A number that is no [`State`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownState(pub u32);

impl TryFrom<u32> for State {
    type Error = UnknownState;

    fn try_from(number: u32) -> Result<State, UnknownState> {
        State::ALL
            .into_iter()
            .find(|state| *state as u32 == number)
            .ok_or(UnknownState(number))
    }
}

impl From<State> for u32 {
    fn from(state: State) -> u32 {
        state as u32
    }
}

/// Optional parts of the uAPI that a device supports.
///
/// `STOP_COPY` is not optional: every set contains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    p2p: bool,
    pre_copy: bool,
}

impl Features {
    /// `VFIO_MIGRATION_STOP_COPY`.
    const FLAG_STOP_COPY: u32 = 1 << 0;
    /// `VFIO_MIGRATION_P2P`.
    const FLAG_P2P: u32 = 1 << 1;
    /// `VFIO_MIGRATION_PRE_COPY`.
    const FLAG_PRE_COPY: u32 = 1 << 2;

    /// Nothing but what every device supports.
    pub const STOP_COPY: Features = Features::new(false, false);
    /// `STOP_COPY` and the peer-to-peer states.
    pub const P2P: Features = Features::new(true, false);
    /// `STOP_COPY` and pre-copy.
    pub const PRE_COPY: Features = Features::new(false, true);
    /// Everything.
    pub const ALL: Features = Features::new(true, true);

    /// All sets that the uAPI allows.
    pub const ALL_SETS: [Features; 4] = [
        Features::STOP_COPY,
        Features::P2P,
        Features::PRE_COPY,
        Features::ALL,
    ];

    /// The set with or without each optional part.
    pub const fn new(p2p: bool, pre_copy: bool) -> Features {
        Features { p2p, pre_copy }
    }

    /// The set with these uAPI flags; [`None`] unless the uAPI defines their combination.
    pub const fn from_flags(flags: u32) -> Option<Features> {
        let features = Features::new(
            flags & Features::FLAG_P2P != 0,
            flags & Features::FLAG_PRE_COPY != 0,
        );
        if features.flags() == flags {
            Some(features)
        } else {
            None
        }
    }

    /// The set as the flags of `struct vfio_device_feature_migration`.
    pub const fn flags(self) -> u32 {
        let p2p = if self.p2p { Features::FLAG_P2P } else { 0 };
        let pre_copy = if self.pre_copy {
            Features::FLAG_PRE_COPY
        } else {
            0
        };
        Features::FLAG_STOP_COPY | p2p | pre_copy
    }

    /// Whether the peer-to-peer states are supported.
    pub const fn p2p(self) -> bool {
        self.p2p
    }

    /// Whether pre-copy is supported.
    pub const fn pre_copy(self) -> bool {
        self.pre_copy
    }

    /// Whether the user may ask a device with these features for `state`.
    ///
    /// [`State::Error`] cannot be asked for: a device only falls into it.
    pub const fn supports(self, state: State) -> bool {
        match state {
            State::Error => false,
            State::Stop | State::Running | State::StopCopy | State::Resuming => true,
            State::RunningP2p => self.p2p,
            State::PreCopy => self.pre_copy,
            State::PreCopyP2p => self.p2p && self.pre_copy,
        }
    }

    /// Place of the set in [`Features::ALL_SETS`].
    const fn index(self) -> usize {
        match (self.p2p, self.pre_copy) {
            (false, false) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (true, true) => 3,
        }
    }
}

/// The string with its final zero, which it must have: this is evaluated by the compiler.
const fn word(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(word) => word,
        Err(_) => panic!("no C string"),
    }
}

/// Declares [`Arc`]. `@ direct` marks an arc that stands for a way through a peer-to-peer state, and
/// so exists only where the peer-to-peer states do not.
macro_rules! arcs {
    (@only_without_p2p) => { false };
    (@only_without_p2p direct) => { true };
    ($($arc:ident: $from:ident => $to:ident $(@ $direct:ident)?,)*) => {
        /// An arc of the state machine: what a device is asked to do.
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Arc {
            $(
                #[doc = concat!("`", state_name!($from), " -> ", state_name!($to), "`.")]
                $arc,
            )*
        }

        impl Arc {
            /// All arcs of all feature sets.
            pub const ALL: [Arc; 18] = [$(Arc::$arc),*];

            /// State that the arc leaves.
            pub const fn from(self) -> State {
                match self {
                    $(Arc::$arc => State::$from,)*
                }
            }

            /// State that the arc enters.
            pub const fn to(self) -> State {
                match self {
                    $(Arc::$arc => State::$to,)*
                }
            }

            /// Both states of the arc, as in the uAPI.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Arc::$arc => concat!(state_name!($from), " -> ", state_name!($to)),)*
                }
            }

            /// Both states in one word, for names of files and of places.
            pub const fn word(self) -> &'static CStr {
                match self {
                    $(Arc::$arc => const {
                        word(concat!(state_name!($from), "-", state_name!($to), "\0"))
                    },)*
                }
            }

            const fn only_without_p2p(self) -> bool {
                match self {
                    $(Arc::$arc => arcs!(@only_without_p2p $($direct)?),)*
                }
            }
        }
    };
}

arcs! {
    RunningToRunningP2p: Running => RunningP2p,
    RunningP2pToRunning: RunningP2p => Running,
    RunningP2pToStop: RunningP2p => Stop,
    StopToRunningP2p: Stop => RunningP2p,
    RunningToStop: Running => Stop @ direct,
    StopToRunning: Stop => Running @ direct,
    StopToStopCopy: Stop => StopCopy,
    StopCopyToStop: StopCopy => Stop,
    StopToResuming: Stop => Resuming,
    ResumingToStop: Resuming => Stop,
    RunningToPreCopy: Running => PreCopy,
    PreCopyToRunning: PreCopy => Running,
    PreCopyToStopCopy: PreCopy => StopCopy @ direct,
    RunningP2pToPreCopyP2p: RunningP2p => PreCopyP2p,
    PreCopyP2pToRunningP2p: PreCopyP2p => RunningP2p,
    PreCopyToPreCopyP2p: PreCopy => PreCopyP2p,
    PreCopyP2pToPreCopy: PreCopyP2p => PreCopy,
    PreCopyP2pToStopCopy: PreCopyP2p => StopCopy,
}

/// What an arc does to the data session of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArcKind {
    /// Only the device changes how much it runs; an open session continues.
    Quiet,
    /// A session opens for saving.
    OpenSave,
    /// The session that saves continues, now with a device that has stopped.
    ContinueSave,
    /// The session that saves ends.
    CloseSave,
    /// A session opens for resuming.
    OpenResume,
    /// The session that resumes ends: what was written must be complete.
    CloseResume,
}

impl Arc {
    /// Whether a device with these features has the arc.
    pub const fn available(self, features: Features) -> bool {
        features.supports(self.from())
            && features.supports(self.to())
            && !(features.p2p && self.only_without_p2p())
    }

    /// What the arc does to the data session.
    pub const fn kind(self) -> ArcKind {
        match (self.from(), self.to()) {
            (_, State::Resuming) => ArcKind::OpenResume,
            (State::Resuming, _) => ArcKind::CloseResume,
            (from, to) => match (from.is_saving(), to.is_saving()) {
                (false, false) => ArcKind::Quiet,
                (false, true) => ArcKind::OpenSave,
                (true, false) => ArcKind::CloseSave,
                (true, true) if to.is(State::StopCopy) => ArcKind::ContinueSave,
                (true, true) => ArcKind::Quiet,
            },
        }
    }
}

/// Returns the first arc of the path between two states.
///
/// [`None`] where the uAPI refuses: a state that the device does not support, [`State::Error`] on
/// either side, `STOP_COPY` to the states of pre-copy. A path from a state to itself has no first arc
/// either.
pub const fn next(features: Features, from: State, to: State) -> Option<Arc> {
    PATHS[features.index()][from as usize][to as usize]
}

/// First arc of each path, by features, origin and destination.
static PATHS: [[[Option<Arc>; 8]; 8]; 4] = derive_paths();

/// No path is as long as there are states.
const UNREACHABLE: usize = State::ALL.len();

const fn derive_paths() -> [[[Option<Arc>; 8]; 8]; 4] {
    let mut paths = [[[None; 8]; 8]; 4];
    let mut set = 0;
    while set < Features::ALL_SETS.len() {
        let mut from = 0;
        while from < State::ALL.len() {
            let mut to = 0;
            while to < State::ALL.len() {
                paths[set][from][to] =
                    derive_first(Features::ALL_SETS[set], State::ALL[from], State::ALL[to]);
                to += 1;
            }
            from += 1;
        }
        set += 1;
    }
    paths
}

/// Finds the first arc of the shortest path that the uAPI allows.
///
/// Evaluation fails, and with it the build, where there are two: the rules would not decide.
const fn derive_first(features: Features, from: State, to: State) -> Option<Arc> {
    if from.is(to) || is_blocked(from, to) {
        return None;
    }
    let distance = distances(features, from, to);
    let mut first = None;
    let mut i = 0;
    while i < Arc::ALL.len() {
        let arc = Arc::ALL[i];
        if arc.from().is(from)
            && distance[arc.to() as usize] + 1 == distance[from as usize]
            && arc.available(features)
        {
            assert!(first.is_none(), "two shortest paths");
            first = Some(arc);
        }
        i += 1;
    }
    first
}

/// Number of arcs to `to` from each state, on paths that are part of one from `from`.
const fn distances(features: Features, from: State, to: State) -> [usize; 8] {
    let mut distance = [UNREACHABLE; 8];
    distance[to as usize] = 0;
    let mut changed = true;
    while changed {
        changed = false;
        let mut i = 0;
        while i < Arc::ALL.len() {
            let arc = Arc::ALL[i];
            let length = distance[arc.to() as usize] + 1;
            if length < distance[arc.from() as usize]
                && arc.available(features)
                && may_leave(arc.from(), from, to)
            {
                distance[arc.from() as usize] = length;
                changed = true;
            }
            i += 1;
        }
    }
    distance
}

/// Whether a path between `from` and `to` may go on from `state`.
///
/// A path has no state of the saving group inside, since each would open or close a session of its
/// own. It may where both of its ends belong to the group: then one session covers the whole path.
const fn may_leave(state: State, from: State, to: State) -> bool {
    state.is(from) || !state.is_saving() || (from.is_saving() && to.is_saving())
}

/// The two transitions that the uAPI names as not permitted, although arcs would lead there.
const fn is_blocked(from: State, to: State) -> bool {
    from.is(State::StopCopy) && matches!(to, State::PreCopy | State::PreCopyP2p)
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
mod tests;
