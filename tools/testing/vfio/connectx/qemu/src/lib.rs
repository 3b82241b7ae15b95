// SPDX-License-Identifier: GPL-2.0

//! An emulated ConnectX for an unmodified QEMU, given to its option `-plugin`: a PF `connectx-pf`
//! with SR-IOV, and its VFs. What it does is the firmware's, in the crate `connectx-firmware`; here
//! is only what a PCI device of QEMU needs.
//!
//! QEMU has no interface for devices from outside, so this relies on functions that its binary
//! exports and on layouts that it must have. [`class`] finds out where that can be found out, and
//! refuses to load if QEMU is not what is expected. The signatures in [`ffi`] nothing checks but that
//! the tests in a VM pass, with both versions of QEMU.
//!
//! QEMU calls everything here while it holds its global lock.

mod class;
mod device;
mod ffi;
mod instance;
mod machine;

use core::ffi::{c_char, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicI32, Ordering};

/// The version of the plugin interface that QEMU looks for before it calls anything.
#[no_mangle]
#[allow(non_upper_case_globals)]
pub static qemu_plugin_version: AtomicI32 = AtomicI32::new(OLD_INTERFACE);

/// What QEMU 10.0 takes, and QEMU 11 does not.
const OLD_INTERFACE: c_int = 4;
/// What QEMU 11 takes.
const NEW_INTERFACE: c_int = 7;
/// The versions that this was tried with.
const TRIED: [(i64, i64); 2] = [(10, 0), (11, 1)];

/// Runs when the file is loaded: only here can the version be chosen.
#[used]
#[link_section = ".init_array"]
static CHOOSE: extern "C" fn() = choose;

extern "C" fn choose() {
    if version().0 >= 11 {
        qemu_plugin_version.store(NEW_INTERFACE, Ordering::Relaxed);
    }
}

/// Major and minor version of this QEMU.
fn version() -> (i64, i64) {
    // SAFETY: It takes a place for an error, or none, and never fails.
    let info = unsafe { ffi::qmp_query_version(ptr::null_mut()) };
    // SAFETY: It gave a structure that it allocated, with another in it.
    let version = unsafe { ((*(*info).qemu).major, (*(*info).qemu).minor) };
    // SAFETY: It is ours to free, once.
    unsafe { ffi::qapi_free_VersionInfo(info) };
    version
}

/// QEMU calls this once, before it makes devices.
///
/// # Safety
///
/// For QEMU only.
#[no_mangle]
pub unsafe extern "C" fn qemu_plugin_install(
    _id: u64,
    _info: *const c_void,
    _argc: c_int,
    _argv: *const *const c_char,
) -> c_int {
    let version = version();
    if !TRIED.contains(&version) {
        eprintln!(
            "connectx: this was never tried with QEMU {}.{}",
            version.0, version.1
        );
    }
    match class::register() {
        Ok(()) => 0,
        Err(reason) => {
            eprintln!("connectx: {reason}");
            1
        }
    }
}
