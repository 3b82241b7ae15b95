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

    /// One PCI function as its driver sees it. Only `mlx5_core` looks inside.
    #[repr(C)]
    pub struct mlx5_core_dev {
        _opaque: [u8; 0],
    }

    include!(concat!(
        env!("VFIO_RUST_OBJTREE"),
        "/rust/bindings/mlx5/bindings_generated.rs"
    ));
}
pub use raw::*;
