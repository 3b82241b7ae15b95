// SPDX-License-Identifier: GPL-2.0

//! Tests of the driver's pure files on the host.

// The inline module is there for its path: a file that is loaded by a path of its own would look for
// its children beside itself.
#[path = "../../../../drivers/vfio/migration/core"]
#[allow(missing_docs)]
pub mod driver {
    pub mod protocol;
}
