// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over `mlx5_core` for VFIO drivers of ConnectX VFs.
//!
//! C headers: [`include/linux/mlx5/driver.h`](srctree/include/linux/mlx5/driver.h),
//! [`include/linux/mlx5/mlx5_ifc.h`](srctree/include/linux/mlx5/mlx5_ifc.h).
//!
//! A VF is driven through its PF: a [`Function`] is the VF as the PF's firmware sees it, and a
//! [`command`] goes to the PF's queue. The PF can go away before the VF does, and come back:
//! [`Function::enter`] says whether it is there and keeps it there meanwhile.
//!
//! This crate has mechanism and no policy, and with `rust/vfio` is the only place with `unsafe`.
//! `layout` and `status` use `core` only.

#![crate_name = "mlx5"]

// This crate has no `module!`, so it provides what the macros of the `kernel` crate look for.
#[allow(dead_code)]
const __LOG_PREFIX: &[u8] = b"vfio_migration_mlx5\0";

mod bindings;
pub mod command;
mod function;
mod held;
pub mod layout;
mod memory;
mod status;
pub mod tracker;

pub use command::{
    Failure,
    Observer,
    Opcode, //
};
pub use function::{
    Access,
    Capabilities,
    Function,
    Unsupported, //
};
pub use memory::{
    Buffer,
    Direction,
    Mkey,
    Pd, //
};
pub use status::Status;
