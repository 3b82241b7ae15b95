// SPDX-License-Identifier: GPL-2.0

//! Nothing that a driver or a stream does makes the firmware panic, and after a reset all is well.

use connectx_rig::play;
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_a_reset_mends_all(bytes in vec(any::<u8>(), 0..3000)) {
        play(&bytes);
    }
}
