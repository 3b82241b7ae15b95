// SPDX-License-Identifier: GPL-2.0

//! Signals that ask to end. They are only remembered: whoever works asks between two steps, and
//! whoever waits, waits for them too. So a device is never left halfway.

use crate::error::{Error, Result, Status};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// Tells of signals from the time it is made.
pub(crate) struct Interrupt {
    /// Number of the last signal, or 0.
    signal: Arc<AtomicUsize>,
    /// Readable once there was a signal.
    pipe: UnixStream,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The file is ready.
    Ready,
    /// The time is over.
    TimedOut,
}

impl Interrupt {
    /// From now on signals do not end the program.
    pub(crate) fn new() -> Result<Self> {
        let install = || -> io::Result<Self> {
            let signal = Arc::new(AtomicUsize::new(0));
            let (pipe, writer) = UnixStream::pair()?;
            for number in [SIGINT, SIGTERM, SIGHUP] {
                // In this order: who is woken finds the number.
                let value = usize::try_from(number).unwrap_or(usize::MAX);
                signal_hook::flag::register_usize(number, signal.clone(), value)?;
                signal_hook::low_level::pipe::register(number, writer.try_clone()?)?;
            }
            Ok(Interrupt { signal, pipe })
        };
        install().map_err(|error| Error::failed("cannot watch for signals", &error))
    }

    /// # Errors
    ///
    /// Where a signal asked to end.
    pub(crate) fn check(&self) -> Result {
        match self.signal.load(Ordering::SeqCst) {
            0 => Ok(()),
            signal => Err(Error::new(
                Status::Signal(i32::try_from(signal).unwrap_or(i32::MAX)),
                "interrupted",
            )),
        }
    }

    /// Waits until `file` can be read, or written, without waiting.
    ///
    /// # Errors
    ///
    /// Where a signal asked to end meanwhile.
    pub(crate) fn wait(
        &self,
        file: BorrowedFd<'_>,
        flags: PollFlags,
        most: Duration,
    ) -> Result<Wait> {
        let timeout = Timespec::try_from(most).ok();
        loop {
            let mut files = [
                PollFd::from_borrowed_fd(file, flags),
                PollFd::from_borrowed_fd(self.pipe.as_fd(), PollFlags::IN),
            ];
            match poll(&mut files, timeout.as_ref()) {
                Err(rustix::io::Errno::INTR) => self.check()?,
                Err(error) => return Err(Error::failed("poll", &error.into())),
                Ok(0) => return Ok(Wait::TimedOut),
                Ok(_) => {
                    self.check()?;
                    if !files[0].revents().is_empty() {
                        return Ok(Wait::Ready);
                    }
                }
            }
        }
    }

    /// Waits until a signal asks to end.
    pub(crate) fn wait_for_signal(&self) -> Result {
        let mut files = [PollFd::from_borrowed_fd(self.pipe.as_fd(), PollFlags::IN)];
        while self.check().is_ok() {
            match poll(&mut files, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Error::failed("poll", &error.into())),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// For tests with an [`Interrupt`]: a signal is for all of them at once.
    pub(crate) fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[test]
    fn a_signal_wakes_who_waits_and_stays() {
        let _alone = alone();
        let interrupt = Interrupt::new().unwrap();
        let (silent, _writer) = UnixStream::pair().unwrap();
        let wait = |most| interrupt.wait(silent.as_fd(), PollFlags::IN, most);
        assert_eq!(wait(Duration::from_millis(1)).unwrap(), Wait::TimedOut);
        assert!(interrupt.check().is_ok());
        signal_hook::low_level::raise(SIGTERM).unwrap();
        let error = wait(Duration::from_secs(60)).unwrap_err();
        assert_eq!(error.status, Status::Signal(SIGTERM));
        assert!(interrupt.check().is_err());
        interrupt.wait_for_signal().unwrap();
    }
}
