// SPDX-License-Identifier: GPL-2.0

//! What the firmware holds for a function until it is told otherwise, or its PF goes down.

use crate::function::{
    Access,
    Function,
    Object, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};

/// Something that the firmware has.
pub(crate) trait Release: Send + Unpin + 'static {
    /// Takes it back. Infallible: what cannot be taken back must not hurt.
    fn release(self, access: &Access<'_>);
}

#[pin_data]
struct Slot<T> {
    /// Nothing, once it was taken back.
    #[pin]
    content: Mutex<Option<T>>,
}

impl<T: Release> Object for Slot<T> {
    fn revoke(&self, access: &Access<'_>) {
        // Who is second waits for the first.
        let mut content = self.content.lock();
        if let Some(content) = content.take() {
            content.release(access);
        }
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
            }? Error),
            GFP_KERNEL,
        )?;
        let content = make(&access)?;
        *slot.content.lock() = Some(content);
        if let Err(error) = function.attach(slot.clone()) {
            slot.revoke(&access);
            return Err(error.into());
        }
        Ok(Self {
            function: function.clone(),
            slot,
        })
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
        if let Some(access) = self.function.enter_to_release() {
            self.slot.revoke(&access);
        }
        self.function.detach(Arc::as_ptr(&self.slot).cast());
    }
}
