// SPDX-License-Identifier: GPL-2.0

//! What the firmware holds for a function until it is told otherwise, or its PF goes down.

use crate::{
    command::Failure,
    function::{
        Access,
        Function,
        Object, //
    },
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
};

/// What could not be taken back for now.
pub(crate) struct Again;

/// Judges a command that takes something back: [`None`] if that is done, the failure if it never will
/// be.
///
/// # Errors
///
/// [`Again`] if the firmware was not told, and that was not the `last` try.
pub(crate) fn judge(result: Result<(), Failure>, last: bool) -> Result<Option<Failure>, Again> {
    match result {
        Ok(()) => Ok(None),
        Err(Failure::Transport(_)) if !last => Err(Again),
        Err(failure) => Ok(Some(failure)),
    }
}

/// Something that the firmware has.
pub(crate) trait Release: Send + Unpin + Sized + 'static {
    /// What it needed until then.
    type Rest;

    /// Takes it back. What could not be for now stays, as the error, until
    /// [`Function::take_back`] can, or the PF goes down or the function is given up; that is the
    /// `last` time, which does not fail: what can never be taken back must not hurt.
    fn release(self, access: &Access<'_>, last: bool) -> Result<Self::Rest, Self>;
}

#[pin_data]
struct Slot<T> {
    /// Nothing, once it was taken back.
    #[pin]
    content: Mutex<Option<T>>,
    /// See [`Object::is_left`].
    left: Atomic<bool>,
}

impl<T: Release> Slot<T> {
    /// Whether nothing is left.
    fn release(&self, access: &Access<'_>, last: bool) -> bool {
        // Who is second waits for the first.
        let mut content = self.content.lock();
        let Some(held) = content.take() else {
            return true;
        };
        let rest = match held.release(access, last) {
            Ok(rest) => Some(rest),
            Err(held) => {
                *content = Some(held);
                None
            }
        };
        // The rest may be held as well, by a lock of the same class.
        drop(content);
        rest.is_some()
    }
}

impl<T: Release> Object for Slot<T> {
    fn revoke(&self, access: &Access<'_>) {
        self.release(access, true);
    }

    fn is_left(&self) -> bool {
        self.left.load(Relaxed)
    }

    fn retry(&self, access: &Access<'_>) -> bool {
        self.release(access, false)
    }
}

/// Takes back what it has when it is dropped, or the PF goes down, whichever is first.
pub(crate) struct Held<T: Release> {
    function: Function,
    slot: Arc<Slot<T>>,
}

impl<T: Release> Held<T> {
    /// `make` lets the firmware have something.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` if the PF is down; `ENOMEM`; those of `make`.
    pub(crate) fn new<E: From<Error>>(
        function: &Function,
        make: impl FnOnce(&Access<'_>) -> Result<T, E>,
    ) -> Result<Self, E> {
        let access = function.enter()?;
        let slot = Arc::pin_init(
            try_pin_init!(Slot {
                content <- new_mutex!(None, "mlx5::Held"),
                left: Atomic::new(false),
            }? Error),
            GFP_KERNEL,
        )?;
        // First, so that it is known if it cannot be taken back.
        function.attach(slot.clone())?;
        let held = Self {
            function: function.clone(),
            slot,
        };
        let content = make(&access)?;
        *held.slot.content.lock() = Some(content);
        Ok(held)
    }

    pub(crate) fn function(&self) -> &Function {
        &self.function
    }

    /// What the firmware has. It keeps it while the caller is inside ([`Access`]), so this must not
    /// be asked outside.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` if it was taken back.
    pub(crate) fn with<R>(&self, use_it: impl FnOnce(&T) -> R) -> Result<R> {
        self.slot
            .content
            .lock()
            .as_ref()
            .map(use_it)
            .ok_or(ENOTCONN)
    }
}

impl<T: Release> Drop for Held<T> {
    fn drop(&mut self) {
        let gone = self
            .function
            .enter_to_release()
            .is_none_or(|access| self.slot.release(&access, false));
        if gone {
            self.function.detach(Arc::as_ptr(&self.slot).cast());
        } else {
            self.slot.left.store(true, Relaxed);
        }
    }
}
