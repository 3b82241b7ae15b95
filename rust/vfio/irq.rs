// SPDX-License-Identifier: GPL-2.0

//! Interrupts of an emulated device, delivered through eventfds.
//!
//! C headers: [`include/linux/eventfd.h`](srctree/include/linux/eventfd.h), `struct vfio_irq_set`
//! in [`include/uapi/linux/vfio.h`](srctree/include/uapi/linux/vfio.h).

use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    error::from_err_ptr,
    prelude::*,
    sync::SpinLock, //
};

/// A counted reference to an eventfd.
pub struct EventFd(NonNull<bindings::eventfd_ctx>);

// SAFETY: An eventfd may be signalled and put on any thread.
unsafe impl Send for EventFd {}
// SAFETY: As above.
unsafe impl Sync for EventFd {}

impl EventFd {
    /// Takes a reference to the eventfd behind the file descriptor `fd` of the calling process.
    ///
    /// # Errors
    ///
    /// - `EBADF` if `fd` is not open.
    /// - `EINVAL` if it is not an eventfd.
    pub fn get(fd: i32) -> Result<Self> {
        // SAFETY: Any number may be passed.
        let ctx = from_err_ptr(unsafe { bindings::eventfd_ctx_fdget(fd) })?;
        NonNull::new(ctx).map(Self).ok_or(EINVAL)
    }

    /// Adds 1 to the counter. May be called in any context.
    pub fn signal(&self) {
        // SAFETY: The reference keeps the context valid.
        unsafe { bindings::eventfd_signal_mask(self.0.as_ptr(), 0) };
    }
}

impl Drop for EventFd {
    fn drop(&mut self) {
        // SAFETY: The reference is given up.
        unsafe { bindings::eventfd_ctx_put(self.0.as_ptr()) };
    }
}

/// What `VFIO_DEVICE_SET_IRQS` asks of the vectors from `start` on.
pub enum Request {
    /// Deliver each vector to its eventfd, or nowhere.
    Deliver(KVec<Option<EventFd>>),
    /// Deliver no vector of this index any more.
    DisableAll,
    /// Behave as if the device raised each vector whose element is true.
    Raise(KVec<bool>),
}

/// The `N` vectors of one interrupt index.
#[pin_data]
pub struct Vectors<const N: usize> {
    #[pin]
    targets: SpinLock<[Option<EventFd>; N]>,
}

impl<const N: usize> Vectors<N> {
    /// No vector is delivered anywhere.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            targets <- crate::new_spinlock!([const { None }; N], "vfio::irq::Vectors"),
        })
    }

    /// Applies `request` to the vectors from `start` on.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there are not that many vectors.
    pub fn apply(&self, start: usize, request: Request) -> Result {
        match request {
            Request::Deliver(list) => {
                for (i, target) in list.into_iter().enumerate() {
                    let index = start.checked_add(i).ok_or(EINVAL)?;
                    let mut targets = self.targets.lock();
                    let slot = targets.get_mut(index).ok_or(EINVAL)?;
                    let old = core::mem::replace(slot, target);
                    drop(targets);
                    // The last reference to an eventfd goes without the lock.
                    drop(old);
                }
            }
            Request::DisableAll => self.clear(),
            Request::Raise(list) => {
                for (i, raise) in list.into_iter().enumerate() {
                    if raise {
                        self.raise(start.checked_add(i).ok_or(EINVAL)?);
                    }
                }
            }
        }
        Ok(())
    }

    /// Raises a vector; returns whether it was delivered. May be called in any context that may
    /// take a spin lock.
    pub fn raise(&self, vector: usize) -> bool {
        match self.targets.lock().get(vector) {
            Some(Some(target)) => {
                target.signal();
                true
            }
            _ => false,
        }
    }

    /// Delivers nothing any more.
    pub fn clear(&self) {
        let old = core::mem::replace(&mut *self.targets.lock(), [const { None }; N]);
        drop(old);
    }
}
