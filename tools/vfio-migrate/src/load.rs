// SPDX-License-Identifier: GPL-2.0

//! `load`: a saved state to a device, which then runs with it.

use crate::check;
use crate::device::{By, Device, Step};
use crate::error::{Error, Result};
use crate::interrupt::{Interrupt, Wait};
use crate::output;
use crate::progress::Progress;
use crate::source::{Sink, BUFFER};
use crate::summary;
use crate::target::Target;
use rustix::event::PollFlags;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

/// How long one wait for input is.
const PAUSE: Duration = Duration::from_secs(1);

/// What to do beside the loading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extra {
    /// Look through the file first.
    pub(crate) check: bool,
    /// Keep the device open until a signal.
    pub(crate) hold: bool,
}

/// The command.
pub(crate) fn run(device: &str, file: &Path, extra: Extra, by: By) -> Result {
    let interrupt = Interrupt::new()?;
    // Standard input comes only once.
    if extra.check && file.as_os_str() != "-" {
        check::before_loading(file)?;
    }
    let (mut input, length) = check::open(file)?;
    let device = Device::open(device, by)?;
    let progress = Progress::new("loading", length);
    let loaded = feed(&device, &mut input, file, &interrupt, &progress);
    progress.end();
    // What was loaded halfway is nobody's state.
    let (steps, bytes) = loaded.map_err(|error| device.recover(error, false))?;
    output::print(&summary::loaded(&device, &steps, bytes))?;
    hold(extra.hold, &device, &interrupt)
}

fn feed(
    device: &Device,
    input: &mut File,
    file: &Path,
    interrupt: &Interrupt,
    progress: &Progress,
) -> Result<(Vec<Step>, u64)> {
    let mut target = Target::open(device, interrupt)?;
    let mut buffer = vec![0; BUFFER];
    let mut bytes = 0;
    loop {
        // Standard input may keep us waiting.
        if interrupt.wait(input.as_fd(), PollFlags::IN, PAUSE)? == Wait::TimedOut {
            continue;
        }
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                target.put(&buffer[..count])?;
                progress.advance(count as u64);
                bytes += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => interrupt.check()?,
            Err(error) => {
                return Err(Error::failed(
                    format!("cannot read {}", file.display()),
                    &error,
                ))
            }
        }
    }
    Ok((target.run()?, bytes))
}

/// Keeps a device open that would be reset when it is closed.
pub(crate) fn hold(wanted: bool, device: &Device, interrupt: &Interrupt) -> Result {
    if !wanted {
        return Ok(());
    }
    eprintln!(
        "vfio-migrate: {} runs; interrupt to close it",
        device.name()
    );
    interrupt.wait_for_signal()
}
