// SPDX-License-Identifier: GPL-2.0

//! The source's side of a migration: its state goes to a sink, in rounds of pre-copy while it runs,
//! then the rest with the device stopped.

use crate::device::{Device, Step};
use crate::driver::protocol::fsm::State;
use crate::error::{Error, Result, Status};
use crate::interrupt::{Interrupt, Wait};
use crate::ioctl;
use crate::progress::Progress;
use crate::uapi::PRECOPY_INFO_REINIT;
use rustix::event::PollFlags;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Bytes of one read or write.
pub(crate) const BUFFER: usize = 1 << 20;

/// How long a device may give nothing although it says that there is something.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked again meanwhile.
const PAUSE: Duration = Duration::from_millis(200);

/// Where the state goes.
pub(crate) trait Sink {
    /// Takes all of it.
    fn put(&mut self, bytes: &[u8]) -> Result;
}

/// When pre-copy ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Whether to stop the device right away.
    pub(crate) stop_only: bool,
    /// The most rounds.
    pub(crate) rounds: u32,
    /// Bytes that are few enough for the time that the device stands still.
    pub(crate) rest: u64,
}

/// A round of pre-copy: what was there when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) bytes: u64,
    /// Estimate of what changed meanwhile, where the driver has one.
    pub(crate) left: Option<u64>,
    pub(crate) took: Duration,
}

/// What the source did.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) steps: Vec<Step>,
    pub(crate) rounds: Vec<Round>,
    /// Bytes that were read with the device stopped.
    pub(crate) stop_copy: u64,
    /// When the device was told to stop.
    pub(crate) stopped: Option<Instant>,
}

impl Summary {
    /// All bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.rounds.iter().map(|round| round.bytes).sum::<u64>() + self.stop_copy
    }
}

/// What one read gave.
enum Got {
    Bytes(usize),
    /// There is nothing, in pre-copy for now, later for ever.
    End,
}

/// Estimates of what is left to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Left {
    initial: u64,
    dirty: u64,
}

impl Left {
    fn bytes(self) -> u64 {
        self.initial.saturating_add(self.dirty)
    }
}

/// A session that saves.
pub(crate) struct Source<'a> {
    device: &'a Device,
    data: File,
    interrupt: &'a Interrupt,
    progress: &'a Progress,
    buffer: Vec<u8>,
    summary: Summary,
}

impl<'a> Source<'a> {
    /// Saves the device's state to `sink`. The device is in STOP_COPY then; after an error it is
    /// wherever that happened.
    pub(crate) fn save(
        device: &'a Device,
        plan: &Plan,
        sink: &mut dyn Sink,
        interrupt: &'a Interrupt,
        progress: &'a Progress,
    ) -> Result<Summary> {
        let mut summary = Summary::default();
        let pre_copy = device.features().pre_copy() && !plan.stop_only;
        let first = if pre_copy {
            device.use_precopy_info_v2();
            State::PreCopy
        } else {
            summary.stopped = Some(Instant::now());
            State::StopCopy
        };
        progress.expect(device.data_size().unwrap_or(0));
        let (step, data) = device.open_session(first)?;
        summary.steps.push(step);
        let buffer = vec![0; BUFFER];
        let mut source = Source {
            device,
            data,
            interrupt,
            progress,
            buffer,
            summary,
        };
        if pre_copy {
            source.pre_copy(plan, sink)?;
            source.stop()?;
        }
        source.stop_copy(sink)?;
        Ok(source.summary)
    }

    fn pre_copy(&mut self, plan: &Plan, sink: &mut dyn Sink) -> Result {
        let mut left = self.left()?;
        while self.summary.rounds.len() < plan.rounds as usize {
            let start = Instant::now();
            // What changes while it is read belongs to the next round.
            let bytes = self.round(left.bytes(), sink)?;
            left = self.left()?;
            let took = start.elapsed();
            let left_bytes = Some(left.bytes());
            self.summary.rounds.push(Round {
                bytes,
                left: left_bytes,
                took,
            });
            if left.initial == 0 && left.dirty <= plan.rest {
                break;
            }
        }
        Ok(())
    }

    /// Reads until there is nothing, or as much as there was.
    fn round(&mut self, most: u64, sink: &mut dyn Sink) -> Result<u64> {
        let mut bytes = 0;
        while bytes < most {
            match self.read(true)? {
                Got::Bytes(count) => bytes += self.forward(count, sink)?,
                Got::End => break,
            }
        }
        Ok(bytes)
    }

    /// Estimates of what is left. Data that was made before the flag was raised comes first; the
    /// estimates are of all that is to come, so there is nothing else to do about it.
    fn left(&self) -> Result<Left> {
        let info = ioctl::precopy_info(self.data.as_fd())
            .map_err(|error| self.failed("VFIO_MIG_GET_PRECOPY_INFO", &error))?;
        if info.flags & PRECOPY_INFO_REINIT != 0 {
            self.progress
                .say("the device was set up anew: its first pass begins again");
        }
        let left = Left {
            initial: info.initial_bytes,
            dirty: info.dirty_bytes,
        };
        self.progress
            .expect(self.summary.bytes().saturating_add(left.bytes()));
        Ok(left)
    }

    fn stop(&mut self) -> Result {
        self.summary.stopped = Some(Instant::now());
        let p2p = self.device.features().p2p().then_some(State::PreCopyP2p);
        for state in p2p.into_iter().chain([State::StopCopy]) {
            let (step, data) = self.device.set_state(state)?;
            if data.is_some() {
                let what = format!(
                    "{}: {} opened a second data file",
                    self.device.name(),
                    state.name()
                );
                return Err(
                    Error::new(Status::Failed, what).hint("That is a defect of its driver.")
                );
            }
            self.summary.steps.push(step);
        }
        Ok(())
    }

    fn stop_copy(&mut self, sink: &mut dyn Sink) -> Result {
        while let Got::Bytes(count) = self.read(false)? {
            self.summary.stop_copy += self.forward(count, sink)?;
        }
        Ok(())
    }

    fn forward(&mut self, count: usize, sink: &mut dyn Sink) -> Result<u64> {
        sink.put(&self.buffer[..count])?;
        self.progress.advance(count as u64);
        Ok(count as u64)
    }

    /// Reads once. In pre-copy there may be nothing for now, which is the end too.
    fn read(&mut self, pre_copy: bool) -> Result<Got> {
        let start = Instant::now();
        loop {
            // Also where the file says it is readable: this asks for signals.
            if self
                .interrupt
                .wait(self.data.as_fd(), PollFlags::IN, PAUSE)?
                == Wait::TimedOut
            {
                if pre_copy && self.left()? == Left::default() {
                    return Ok(Got::End);
                }
                if start.elapsed() > PATIENCE {
                    let what = format!(
                        "{} gave no data for {} s",
                        self.device.name(),
                        PATIENCE.as_secs()
                    );
                    return Err(Error::new(Status::Failed, what));
                }
                continue;
            }
            match self.data.read(&mut self.buffer) {
                // Some drivers say so in pre-copy too, where ENOMSG is right.
                Ok(0) => return Ok(Got::End),
                Ok(count) => return Ok(Got::Bytes(count)),
                Err(error) if pre_copy && error.raw_os_error() == Some(libc::ENOMSG) => {
                    return Ok(Got::End)
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                    ) => {}
                Err(error) => return Err(self.failed("cannot read the state", &error)),
            }
        }
    }

    fn failed(&self, what: &str, error: &io::Error) -> Error {
        Error::failed(format!("{}: {what}", self.device.name()), error)
    }
}
