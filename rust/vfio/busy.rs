// SPDX-License-Identifier: GPL-2.0

//! Whether a device has something under way that takes its time, such as an access to user memory.
//!
//! C header: [`include/linux/wait_bit.h`](srctree/include/linux/wait_bit.h).
//!
//! Who does the work must not hold a lock meanwhile that others take to stop the device, so they
//! need something else to wait on. The lock of the device decides whether anything may begin; this
//! says when what has begun is over.

use crate::bindings;
use kernel::{
    error::to_result,
    prelude::*,
    sync::atomic::{
        ordering,
        Atomic, //
    },
};

/// Idle at first. For one that works and any number that wait.
pub struct Busy(Atomic<i32>);

impl Busy {
    /// Nothing is under way.
    pub const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Something begins. The caller holds the lock with which others keep it from beginning.
    pub fn begin(&self) {
        self.0.store(1, ordering::Relaxed);
    }

    /// It is over, with all that was done visible to those who wait.
    pub fn end(&self) {
        // SAFETY: The pointer is that of a valid atomic, which has the layout of an `atomic_t`.
        unsafe { bindings::vfio_set_idle(self.0.as_ptr().cast()) };
    }

    /// Waits until nothing is under way.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` if the calling thread is killed meanwhile.
    pub fn wait(&self) -> Result {
        // SAFETY: As above. The function keeps nothing.
        to_result(unsafe { bindings::vfio_wait_idle_killable(self.0.as_ptr().cast()) })
    }
}

impl Default for Busy {
    fn default() -> Self {
        Self::new()
    }
}
