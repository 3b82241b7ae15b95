// SPDX-License-Identifier: GPL-2.0

//! Turns: who reads or writes a data file, one process at a time.
//!
//! Whose turn it is holds no lock, so he may sleep in user memory. The turn ends when the flag is
//! cleared again and the waker is used.

use crate::backend::Waker;
use kernel::{
    prelude::*,
    sync::{
        Mutex,
        MutexGuard, //
    },
};
use vfio::stream::Wait;

/// Waits until nobody has the turn, and takes it: sets the flag that `taken` finds in the data.
///
/// # Errors
///
/// - `EAGAIN` if somebody has it and `wait` does not allow to wait.
/// - `ERESTARTSYS` for a signal.
pub(crate) fn take<'a, T: Unpin>(
    data: &'a Mutex<T>,
    waker: &Waker,
    wait: Wait,
    taken: impl Fn(&mut T) -> &mut bool,
) -> Result<MutexGuard<'a, T>> {
    let mut data = data.lock();
    while *taken(&mut data) {
        if wait == Wait::No {
            return Err(EAGAIN);
        }
        if waker.0.wait_interruptible(&mut data) {
            return Err(ERESTARTSYS);
        }
    }
    *taken(&mut data) = true;
    Ok(data)
}
