// SPDX-License-Identifier: GPL-2.0

//! The state machine against tables that were written by hand, and against the rules of the uAPI.

#[cfg_attr(not(test), ::kernel::macros::kunit_tests(rust_vfio_migration_fsm))]
mod cases {
    use super::super::*;

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
