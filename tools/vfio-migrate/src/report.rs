// SPDX-License-Identifier: GPL-2.0

//! `report`: what the tracepoints `vfio_migration:*` saw, as a timeline in text and as a drawing.

mod drawing;
mod event;
mod timeline;

use crate::error::{Error, Result, Status};
use crate::output;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use timeline::Timeline;

const TRACE: &str = "/sys/kernel/tracing/trace";
const EVENTS: &str = "/sys/kernel/tracing/events/vfio_migration";

/// What the user asks for.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// A saved trace, as text; `-` is standard input
    #[arg(default_value = TRACE)]
    file: PathBuf,
    /// Draw the timeline into this file, too
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Only this device, by its name in the trace; may be given again
    #[arg(long, value_name = "NAME")]
    device: Vec<String>,
}

fn open(path: &Path) -> Result<Box<dyn Read>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path).map_err(|error| {
        let refused = Error::failed(format!("cannot open {}", path.display()), &error);
        match (path == Path::new(TRACE), error.kind()) {
            (true, io::ErrorKind::NotFound) => {
                refused.hint("Mount it with `mount -t tracefs tracefs /sys/kernel/tracing`.")
            }
            (true, io::ErrorKind::PermissionDenied) => refused.hint("Run it as root."),
            _ => refused,
        }
    })?;
    Ok(Box::new(file))
}

/// Why there may be nothing in a trace.
fn no_events(path: &Path) -> Error {
    let what = format!("{} holds no event of vfio_migration", path.display());
    let hint = match (path == Path::new(TRACE), Path::new(EVENTS).exists()) {
        (true, false) => format!("There is no {EVENTS}: is the module vfio_migration loaded?"),
        (true, true) => format!("Before the migration, say `echo 1 >{EVENTS}/enable`."),
        (false, _) => format!("Save it from {TRACE} or with `trace-cmd report`, as text."),
    };
    Error::new(Status::Failed, what).hint(hint)
}

/// The command.
pub(crate) fn run(arguments: &Arguments) -> Result {
    let path = &arguments.file;
    let mut timeline = Timeline::default();
    for line in BufReader::new(open(path)?).split(b'\n') {
        let line =
            line.map_err(|error| Error::failed(format!("cannot read {}", path.display()), &error))?;
        // The names of processes are any bytes.
        if let Some(event) = event::parse(&String::from_utf8_lossy(&line)) {
            if arguments.device.is_empty()
                || arguments.device.iter().any(|name| *name == event.device())
            {
                timeline.add(&event);
            }
        }
    }
    if timeline.is_empty() {
        return Err(no_events(path));
    }
    if let Some(file) = &arguments.svg {
        fs::write(file, drawing::draw(&timeline))
            .map_err(|error| Error::failed(format!("cannot write {}", file.display()), &error))?;
    }
    output::print(&timeline.to_string())
}
