// SPDX-License-Identifier: GPL-2.0

//! What must hold for every input, for a fuzzer to search for one where it does not.
//!
//! Each function here takes any bytes and panics where something does not hold. The driver's files are
//! compiled from where they are, and compared with the model that the tests on the host have.

#![forbid(unsafe_code)]

// The inline modules are there for their paths: a file that is loaded by a path of its own would look
// for its children beside itself.
#[path = "../../../../../drivers/vfio/migration/core"]
pub mod driver {
    //! The files of the driver, from where they are.

    pub mod protocol;
}

#[path = "../../../../../drivers/vfio/migration/emulated"]
#[allow(dead_code, reason = "the rest of the driver uses it, and is not here")]
mod emulated {
    //! The emulated device's files.

    pub(crate) mod bytes;
    pub(crate) mod config;
    pub(crate) mod engine;
    pub(crate) mod image;
    pub(crate) mod registers;
}

#[path = "../../host/model.rs"]
#[allow(dead_code, unused_imports, reason = "the tests on the host use it")]
mod model;
#[path = "../../host/samples.rs"]
#[allow(dead_code, unused_imports, reason = "the tests on the host use it")]
mod samples;

mod device;
mod image;
mod program;
mod stream;

pub use connectx_rig::play as connectx;
pub use device::device;
pub use image::image;
pub use stream::{
    made,
    stream, //
};

/// What a target is called, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets by their names.
pub const TARGETS: [Target; 5] = [
    ("stream", stream),
    ("made", made),
    ("image", image),
    ("device", device),
    ("connectx", connectx),
];

/// Runs `work`, which must allocate nothing.
fn allocating_nothing<T>(work: impl FnOnce() -> T) -> T {
    let mut result = None;
    let allocations = allocation_counter::measure(|| result = Some(work()));
    assert_eq!(allocations.count_total, 0, "memory was allocated");
    result.expect("it ran")
}
