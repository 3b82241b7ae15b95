// SPDX-License-Identifier: GPL-2.0

//! The state machine against the kernel's own, `vfio_mig_get_next_state()`.

#[cfg(CONFIG_KUNIT = "y")]
#[::kernel::macros::kunit_tests(rust_vfio_migration_kernel)]
mod tests {
    use crate::protocol::fsm::{
        next,
        Features,
        State, //
    };
    use vfio::migration::kernel_next_state;

    /// All pairs of states for all feature sets: the same next state, or refused by both.
    #[test]
    fn next_is_the_next_state_of_the_kernel() {
        for features in Features::ALL_SETS {
            for from in State::ALL {
                // From `ERROR` the kernel warns instead of answering (S16).
                if !features.supports(from) {
                    continue;
                }
                for to in State::ALL.into_iter().filter(|to| *to != from) {
                    let ours = next(features, from, to).map(|arc| arc.to() as u32);
                    let flags = features.flags();
                    // The kernel answers a request for `ERROR` with `ERROR`, or refuses it.
                    let theirs = kernel_next_state(flags, from as u32, to as u32)
                        .ok()
                        .filter(|state| *state != State::Error as u32);
                    assert_eq!(ours, theirs);
                }
            }
        }
    }
}
