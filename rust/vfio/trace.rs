// SPDX-License-Identifier: GPL-2.0

//! The trace events of live migration.
//!
//! C header: [`include/trace/events/vfio_migration.h`](srctree/include/trace/events/vfio_migration.h),
//! which says what each event means. States are numbered as by the uAPI, errors are negative.

use crate::bindings;
use kernel::prelude::*;

/// `vfio_migration_arc`.
pub fn arc(device: &CStr, from: u32, to: u32, ret: i32, ns: u64) {
    // SAFETY: The string is valid; the event copies it.
    unsafe { bindings::vfio_trace_arc(device.as_char_ptr(), from, to, ret, ns) };
}

/// `vfio_migration_chunk`.
pub fn chunk(device: &CStr, session: u64, phase: &CStr, len: u64, initial: bool, ns: u64) {
    let (device, phase) = (device.as_char_ptr(), phase.as_char_ptr());
    // SAFETY: The strings are valid; the event copies them.
    unsafe { bindings::vfio_trace_chunk(device, session, phase, len, initial, ns) };
}

/// `vfio_migration_round`.
pub fn round(device: &CStr, session: u64, round: u64, bytes: u64) {
    // SAFETY: The string is valid; the event copies it.
    unsafe { bindings::vfio_trace_round(device.as_char_ptr(), session, round, bytes) };
}

/// `vfio_migration_record`.
pub fn record(device: &CStr, session: u64, tag: u32, flags: u32, size: u64, load: bool) {
    // SAFETY: The string is valid; the event copies it.
    unsafe { bindings::vfio_trace_record(device.as_char_ptr(), session, tag, flags, size, load) };
}

/// `vfio_migration_reset`.
pub fn reset(device: &CStr, from: u32, ns: u64) {
    // SAFETY: The string is valid; the event copies it.
    unsafe { bindings::vfio_trace_reset(device.as_char_ptr(), from, ns) };
}

/// `vfio_migration_command`.
pub fn command(device: &CStr, command: &CStr, status: i32, ns: u64) {
    // SAFETY: The strings are valid; the event copies them.
    unsafe {
        bindings::vfio_trace_command(device.as_char_ptr(), command.as_char_ptr(), status, ns)
    };
}

/// `vfio_migration_error`.
pub fn error(device: &CStr, place: &CStr, error: i32) {
    // SAFETY: The strings are valid; the event copies them.
    unsafe { bindings::vfio_trace_error(device.as_char_ptr(), place.as_char_ptr(), error) };
}
