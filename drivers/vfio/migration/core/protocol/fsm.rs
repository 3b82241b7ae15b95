// SPDX-License-Identifier: GPL-2.0

//! Device states and the arcs between them, as in [`include/uapi/linux/vfio.h`].
//!
//! The arcs of the uAPI are declared once, as data, in [`Arc`]. How to get from one state to
//! another that no arc joins to it is not written anywhere: [`next`] looks it up in a table that the
//! compiler derives from the declared arcs by the rules of the uAPI.
//!
//! [`include/uapi/linux/vfio.h`]: srctree/include/uapi/linux/vfio.h

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
#[cfg_attr(not(test), ::kernel::macros::kunit_tests(rust_vfio_migration_fsm))]
mod tests {
    use super::*;

    /// Short names of the states that a path can touch, in the order of [`PATHS_OF_ALL`].
    const SHORT: [(&str, State); 7] = [
        ("R", State::Running),
        ("RP", State::RunningP2p),
        ("PC", State::PreCopy),
        ("PP", State::PreCopyP2p),
        ("ST", State::Stop),
        ("SC", State::StopCopy),
        ("RE", State::Resuming),
    ];

    /// What follows the origin on each path of a device with all features; "X" where there is none.
    const PATHS_OF_ALL: [[&str; 7]; 7] = [
        ["", "RP", "PC", "RP PP", "RP ST", "RP ST SC", "RP ST RE"],
        ["R", "", "R PC", "PP", "ST", "ST SC", "ST RE"],
        ["R", "R RP", "", "PP", "R RP ST", "PP SC", "R RP ST RE"],
        ["RP R", "RP", "PC", "", "RP ST", "SC", "RP ST RE"],
        ["RP R", "RP", "RP R PC", "RP PP", "", "SC", "RE"],
        ["ST RP R", "ST RP", "X", "X", "ST", "", "ST RE"],
        [
            "ST RP R",
            "ST RP",
            "ST RP R PC",
            "ST RP PP",
            "ST",
            "ST SC",
            "",
        ],
    ];

    /// Whether the path from `from` to `to` goes through exactly the states that `steps` names.
    fn follows(features: Features, from: State, to: State, steps: &str) -> bool {
        let mut state = from;
        for step in steps.split_ascii_whitespace() {
            match next(features, state, to) {
                Some(arc) if arc.from() == state && SHORT.contains(&(step, arc.to())) => {
                    state = arc.to();
                }
                Some(_) => return false,
                None => return step == "X" && state == from,
            }
        }
        state == to
    }

    /// Number of arcs between `from` and `to`, where the path obeys the rules on its states.
    fn walk(features: Features, from: State, to: State) -> Option<usize> {
        let mut state = from;
        let mut arcs = 0;
        while state != to {
            let arc = next(features, state, to)?;
            let inside = arc.to() != to;
            let one_session = from.is_saving() && to.is_saving();
            if arc.from() != state
                || !arc.available(features)
                || (inside && arc.to().is_saving() && !one_session)
                || arcs == State::ALL.len()
            {
                return None;
            }
            state = arc.to();
            arcs += 1;
        }
        Some(arcs)
    }

    fn count(condition: impl Fn(Arc) -> bool) -> usize {
        Arc::ALL.into_iter().filter(|arc| condition(*arc)).count()
    }

    #[test]
    fn states_have_the_numbers_of_the_uapi() {
        for (number, state) in (0..).zip(State::ALL) {
            assert_eq!(State::try_from(number), Ok(state));
            assert_eq!(state as u32, number);
        }
        for number in [8, 9, 0x100, u32::MAX] {
            assert_eq!(State::try_from(number), Err(UnknownState(number)));
        }
    }

    #[test]
    fn features_are_the_sets_of_the_uapi() {
        for flags in 0..64 {
            let defined = matches!(flags, 1 | 3 | 5 | 7);
            assert_eq!(Features::from_flags(flags).is_some(), defined);
        }
        for (index, features) in Features::ALL_SETS.into_iter().enumerate() {
            assert_eq!(features.index(), index);
            assert_eq!(Features::from_flags(features.flags()), Some(features));
            assert!(!features.supports(State::Error));
            assert_eq!(features.supports(State::RunningP2p), features.p2p());
            assert_eq!(features.supports(State::PreCopy), features.pre_copy());
        }
    }

    #[test]
    fn each_feature_set_has_its_arcs() {
        assert_eq!(count(|arc| arc.available(Features::STOP_COPY)), 6);
        assert_eq!(count(|arc| arc.available(Features::P2P)), 8);
        assert_eq!(count(|arc| arc.available(Features::PRE_COPY)), 9);
        assert_eq!(count(|arc| arc.available(Features::ALL)), 15);
        assert!(!Arc::RunningToStop.available(Features::ALL));
        assert!(!Arc::PreCopyToStopCopy.available(Features::ALL));
        assert!(Arc::PreCopyToStopCopy.available(Features::PRE_COPY));
    }

    #[test]
    fn an_arc_is_its_own_path() {
        for features in Features::ALL_SETS {
            for arc in Arc::ALL {
                if arc.available(features) {
                    assert_eq!(next(features, arc.from(), arc.to()), Some(arc));
                }
            }
        }
    }

    #[test]
    fn paths_with_all_features() {
        for ((_, from), row) in SHORT.into_iter().zip(PATHS_OF_ALL) {
            for ((_, to), steps) in SHORT.into_iter().zip(row) {
                assert!(follows(Features::ALL, from, to, steps));
            }
        }
    }

    #[test]
    fn paths_with_fewer_features() {
        let rows = [
            (
                Features::STOP_COPY,
                State::Running,
                State::StopCopy,
                "ST SC",
            ),
            (Features::STOP_COPY, State::StopCopy, State::Running, "ST R"),
            (Features::STOP_COPY, State::Resuming, State::Running, "ST R"),
            (Features::P2P, State::Running, State::StopCopy, "RP ST SC"),
            (Features::P2P, State::Resuming, State::Running, "ST RP R"),
            (Features::PRE_COPY, State::PreCopy, State::StopCopy, "SC"),
            (
                Features::PRE_COPY,
                State::PreCopy,
                State::Resuming,
                "R ST RE",
            ),
            (Features::PRE_COPY, State::Stop, State::PreCopy, "R PC"),
            (Features::PRE_COPY, State::StopCopy, State::PreCopy, "X"),
        ];
        for (features, from, to, steps) in rows {
            assert!(follows(features, from, to, steps));
        }
    }

    #[test]
    fn every_path_obeys_the_rules() {
        for (features, accepted) in Features::ALL_SETS.into_iter().zip([12, 20, 19, 40]) {
            let mut found = 0;
            for from in State::ALL {
                assert_eq!(next(features, from, from), None);
                for to in State::ALL {
                    let supported = features.supports(from) && features.supports(to);
                    let expected = supported && from != to && !is_blocked(from, to);
                    assert_eq!(next(features, from, to).is_some(), expected);
                    if expected {
                        assert!(walk(features, from, to).is_some());
                        found += 1;
                    }
                }
            }
            assert_eq!(found, accepted);
        }
    }

    #[test]
    fn sessions_open_and_close_on_their_arcs() {
        let rows = [
            (ArcKind::Quiet, 8),
            (ArcKind::OpenSave, 3),
            (ArcKind::ContinueSave, 2),
            (ArcKind::CloseSave, 3),
            (ArcKind::OpenResume, 1),
            (ArcKind::CloseResume, 1),
        ];
        for (kind, number) in rows {
            assert_eq!(count(|arc| arc.kind() == kind), number);
        }
        assert_eq!(Arc::PreCopyToPreCopyP2p.kind(), ArcKind::Quiet);
        assert_eq!(Arc::StopToStopCopy.kind(), ArcKind::OpenSave);
        assert_eq!(Arc::PreCopyToStopCopy.kind(), ArcKind::ContinueSave);
        assert_eq!(Arc::StopCopyToStop.kind(), ArcKind::CloseSave);
    }
}
