// SPDX-License-Identifier: GPL-2.0

//! Raw bindings of this crate: what `kernel::bindings` lacks, and all of it.
//!
//! A name generated here takes precedence over the glob import, every other one is the type of the
//! `kernel` crate. Not for use outside `rust/`.

#![allow(
    clippy::all,
    clippy::as_underscore,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_imports
)]

mod raw {
    pub use kernel::bindings::*;
    use kernel::ffi;
    use pin_init::{MaybeZeroable, Zeroable};
    include!(concat!(
        env!("VFIO_RUST_OBJTREE"),
        "/rust/bindings/bindings_generated.rs"
    ));
}
pub use raw::*;

// The layouts that the C side and this crate must agree on.
const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<vfio_device>() == SIZEOF_vfio_device);
    assert!(offset_of!(vfio_device, precopy_info_v2) == OFFSETOF_precopy_info_v2);
    assert!(size_of::<vfio_pci_core_device>() == SIZEOF_vfio_pci_core_device);
    assert!(offset_of!(vfio_pci_core_device, memory_lock) == OFFSETOF_memory_lock);
};
