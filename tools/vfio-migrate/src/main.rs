// SPDX-License-Identifier: GPL-2.0

//! Saves, loads, moves and looks at the state of VFIO devices that migrate, with any driver of the
//! kernel's v2 migration uAPI. `Documentation/driver-api/vfio-migrate.rst` is its manual.

mod check;
mod cli;
mod device;
mod error;
mod interrupt;
mod ioctl;
mod list;
mod load;
mod mv;
mod output;
mod progress;
mod report;
mod save;
mod source;
mod summary;
mod sysfs;
mod target;
mod text;
mod uapi;
mod walk;

// The inline module is there for its path: a file that is loaded by a path of its own would look for
// its children beside itself.
#[path = "../../../drivers/vfio/migration/core"]
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "the driver uses all of it"
)]
mod driver {
    //! The files of the driver, from where they are.

    pub(crate) mod protocol;
}

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run(cli::Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vfio-migrate: {error}");
            ExitCode::from(error.status.code())
        }
    }
}
