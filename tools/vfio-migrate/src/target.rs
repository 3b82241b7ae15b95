// SPDX-License-Identifier: GPL-2.0

//! The target's side of a migration: a device that takes a stream and then runs.

use crate::device::{Device, Step};
use crate::driver::protocol::fsm::State;
use crate::error::{stream_refused, Error, Result, Status};
use crate::interrupt::{Interrupt, Wait};
use crate::source::Sink;
use rustix::event::PollFlags;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long a device may take nothing.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

/// A session that resumes.
pub(crate) struct Target<'a> {
    device: &'a Device,
    data: File,
    interrupt: &'a Interrupt,
    bytes: u64,
    pub(crate) steps: Vec<Step>,
}

impl<'a> Target<'a> {
    /// Has the device wait for a stream.
    pub(crate) fn open(device: &'a Device, interrupt: &'a Interrupt) -> Result<Self> {
        let (step, data) = device.open_session(State::Resuming)?;
        Ok(Target {
            device,
            data,
            interrupt,
            bytes: 0,
            steps: vec![step],
        })
    }

    /// Ends the stream: the device runs with it.
    ///
    /// # Errors
    ///
    /// [`Status::Refused`] where the device says that the stream is bad.
    pub(crate) fn run(mut self) -> Result<Vec<Step>> {
        let p2p = self.device.features().p2p().then_some(State::RunningP2p);
        for state in p2p.into_iter().chain([State::Running]) {
            let (step, result) = self.device.try_set_state(state)?;
            let what = || {
                format!(
                    "{}: {} -> {} failed",
                    self.device.name(),
                    step.from.name(),
                    state.name()
                )
            };
            if let Err(error) = result {
                return Err(stream_refused(&what(), &error));
            }
            self.steps.push(step);
        }
        Ok(self.steps)
    }
}

impl Sink for Target<'_> {
    fn put(&mut self, mut bytes: &[u8]) -> Result {
        let start = Instant::now();
        while !bytes.is_empty() {
            let name = self.device.name();
            if self
                .interrupt
                .wait(self.data.as_fd(), PollFlags::OUT, PAUSE)?
                == Wait::TimedOut
            {
                if start.elapsed() > PATIENCE {
                    let what = format!("{name} took no data for {} s", PATIENCE.as_secs());
                    return Err(Error::new(Status::Failed, what));
                }
                continue;
            }
            match self.data.write(bytes) {
                Ok(0) => {
                    let what = format!("{name} takes no more after {} bytes", self.bytes);
                    return Err(Error::new(Status::Refused, what));
                }
                Ok(count) => {
                    bytes = &bytes[count..];
                    self.bytes += count as u64;
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                    ) => {}
                Err(error) => {
                    let what = format!("{name} refuses the stream after {} bytes", self.bytes);
                    return Err(stream_refused(&what, &error));
                }
            }
        }
        Ok(())
    }
}
