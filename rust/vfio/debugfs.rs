// SPDX-License-Identifier: GPL-2.0

//! Files in the folder that the VFIO core has in debugfs for each device that migrates.
//!
//! C headers: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h),
//! [`include/linux/seq_file.h`](srctree/include/linux/seq_file.h).
//!
//! The VFIO core makes that folder (`vfio/DEVICE/migration`) when a device is registered, and removes
//! it with all that is in it when the device is unregistered; that waits for whoever is in a
//! file. The files of [`kernel::debugfs`] cannot be in it, and their operations have no `owner`: with
//! one of them open, its module can be removed, and the last `close()` then uses what is gone.
//!
//! Without `CONFIG_VFIO_DEBUGFS` there is no such folder, and no file.

#[cfg_attr(not(CONFIG_VFIO_DEBUGFS), path = "debugfs/none.rs")]
mod dir;

pub use dir::Dir;

use kernel::{
    error::VTABLE_DEFAULT_ERROR,
    fmt,
    prelude::*, //
};

/// What a file shows, and takes.
///
/// Its calls run in the context of whoever reads or writes the file, several at once, at any time
/// between the registration of the device and the end of its unregistration.
#[vtable]
pub trait File: Sync {
    /// Prints it.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// Takes the text of one `write()`, of at most 256 bytes.
    fn store(&self, _text: &str) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}
