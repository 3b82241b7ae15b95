// SPDX-License-Identifier: GPL-2.0

//! Tests of the driver's pure files on the host.
//!
//! The tests inside those files run here too. The ones in this folder need memory, time or files that
//! a test in the kernel had better not use.

#![forbid(unsafe_code)]

// The inline module is there for its path: a file that is loaded by a path of its own would look for
// its children beside itself.
#[path = "../../../../drivers/vfio/migration/core"]
pub mod driver {
    //! The files of the driver, from where they are.

    pub mod protocol;

    #[cfg(test)]
    #[path = "monitor/rule.rs"]
    mod rule;
}

#[cfg(test)]
#[path = "../../../../drivers/vfio/migration/emulated"]
#[expect(dead_code, reason = "the rest of the driver uses it, and is not here")]
mod emulated {
    //! The emulated device's files.

    mod bytes;
    mod config;
    mod dirty;
    mod engine;
    mod image;
    mod registers;
}

#[cfg(test)]
#[path = "../../../../rust/mlx5"]
pub mod mlx5 {
    //! What goes to and comes from the firmware of ConnectX devices.

    pub mod layout;
    pub mod status;
}

#[cfg(test)]
#[path = "../../../../drivers/vfio/migration/mlx5"]
mod mlx5_driver {
    //! The files of the ConnectX driver.

    mod pages;
}

#[cfg(test)]
mod damage;
#[cfg(test)]
mod document;
#[cfg(test)]
mod format;
#[cfg(test)]
mod model;
#[cfg(test)]
mod samples;
