// SPDX-License-Identifier: GPL-2.0

//! libFuzzer's entry to [`vfio_fuzz::connectx`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vfio_fuzz::connectx(input));
