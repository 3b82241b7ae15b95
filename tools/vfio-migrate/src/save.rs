// SPDX-License-Identifier: GPL-2.0

//! `save`: a device's state to a file. The device runs on.

use crate::device::{By, Device};
use crate::error::{Error, Result};
use crate::interrupt::{Interrupt, Wait};
use crate::ioctl;
use crate::output;
use crate::progress::Progress;
use crate::source::{Plan, Sink, Source};
use crate::summary;
use rustix::event::PollFlags;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::NamedTempFile;

/// Where a stream is saved.
enum Place {
    /// A file, which gets its name when it is whole.
    New(NamedTempFile, PathBuf),
    /// Something that is there already and no regular file: a pipe, a device.
    Stream(File, PathBuf),
}

/// As much as can be written to a pipe at once, without waiting, when `poll()` says that there is
/// room.
const PIPE_BUF: usize = 4096;

/// How long one wait for a reader is.
const PAUSE: Duration = Duration::from_secs(1);

/// A destination, and what may interrupt the wait for it.
struct Destination<'a> {
    place: Place,
    interrupt: &'a Interrupt,
}

impl<'a> Destination<'a> {
    fn open(path: &Path, interrupt: &'a Interrupt) -> Result<Self> {
        let place = Place::open(path)?;
        Ok(Destination { place, interrupt })
    }

    fn finish(self) -> Result {
        self.place.finish()
    }
}

impl Place {
    fn open(path: &Path) -> Result<Self> {
        let refused =
            |error: io::Error| Error::failed(format!("cannot write {}", path.display()), &error);
        if path.as_os_str() == "-" {
            let file = ioctl::duplicate(libc::STDOUT_FILENO).map_err(refused)?;
            return Ok(Place::Stream(file.into(), path.into()));
        }
        if fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
            let file = OpenOptions::new().write(true).open(path).map_err(refused)?;
            return Ok(Place::Stream(file, path.into()));
        }
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let name = path
            .file_name()
            .ok_or_else(|| refused(libc_error(libc::EISDIR)))?;
        // Only its owner may read it: it may hold what the guest keeps secret.
        let file = tempfile::Builder::new()
            .prefix(&format!(".{}.", name.to_string_lossy()))
            .suffix(".partial")
            .tempfile_in(folder)
            .map_err(refused)?;
        Ok(Place::New(file, path.into()))
    }

    fn refused(&self, error: &io::Error) -> Error {
        let (Place::New(_, path) | Place::Stream(_, path)) = self;
        let refused = Error::failed(format!("cannot write {}", path.display()), error);
        match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => refused.hint(
                "Make room, or save elsewhere. `vfio-migrate info` shows how much it may be.",
            ),
            _ => refused,
        }
    }

    /// The stream is whole: it is on the disk, and has its name.
    fn finish(mut self) -> Result {
        let result = match &mut self {
            Place::New(file, _) => file.as_file().sync_all(),
            Place::Stream(stream, _) => stream.flush(),
        };
        if let Err(error) = result {
            return Err(self.refused(&error));
        }
        match self {
            Place::New(file, path) => persist(file, &path)
                .map_err(|error| Error::failed(format!("cannot write {}", path.display()), &error)),
            Place::Stream(..) => Ok(()),
        }
    }
}

fn libc_error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

fn persist(file: NamedTempFile, path: &Path) -> io::Result<()> {
    let folder = file
        .path()
        .parent()
        .map_or_else(|| ".".into(), Path::to_path_buf);
    file.persist(path).map_err(|error| error.error)?;
    // The name is on the disk too.
    File::open(folder)?.sync_all()
}

impl Sink for Destination<'_> {
    fn put(&mut self, mut bytes: &[u8]) -> Result {
        let result = match &mut self.place {
            // The file itself: the errors of what is around it have no numbers.
            Place::New(file, _) => file.as_file_mut().write_all(bytes),
            // Its reader may take its time, and a signal is not to wait for that.
            Place::Stream(file, _) => loop {
                if bytes.is_empty() {
                    return Ok(());
                }
                let ready = self.interrupt.wait(file.as_fd(), PollFlags::OUT, PAUSE)?;
                if ready == Wait::TimedOut {
                    continue;
                }
                match file.write(&bytes[..bytes.len().min(PIPE_BUF)]) {
                    Ok(0) => break Err(libc_error(libc::EIO)),
                    Ok(count) => bytes = &bytes[count..],
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => break Err(error),
                }
            },
        };
        result.map_err(|error| self.place.refused(&error))
    }
}

/// The command.
pub(crate) fn run(device: &str, file: &Path, plan: &Plan, by: By) -> Result {
    let interrupt = Interrupt::new()?;
    // A place that cannot be written to should not stop a device.
    let mut destination = Destination::open(file, &interrupt)?;
    let device = Device::open(device, by)?;
    let progress = Progress::new("saving", None);
    let saved = Source::save(&device, plan, &mut destination, &interrupt, &progress)
        .and_then(|summary| destination.finish().map(|()| summary));
    progress.end();
    match saved {
        Err(error) => Err(device.recover(error, true)),
        Ok(summary) => {
            device
                .run_again()
                .map_err(|error| device.recover(error, true))?;
            let text = summary::saved(&device, &summary, summary.stopped.map(|at| at.elapsed()));
            // Standard output may be the stream itself.
            if file.as_os_str() == "-" {
                eprint!("{text}");
                Ok(())
            } else {
                output::print(&text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;
    use crate::interrupt::tests::alone;

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole() {
        let _alone = alone();
        let interrupt = Interrupt::new().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        fs::write(&path, "old").unwrap();
        let mut file = Destination::open(&path, &interrupt).unwrap();
        file.put(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

        let mut file = Destination::open(&path, &interrupt).unwrap();
        file.put(b"new").unwrap();
        file.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_is_written_to_as_it_is() {
        let _alone = alone();
        let interrupt = Interrupt::new().unwrap();
        let mut full = Destination::open(Path::new("/dev/full"), &interrupt).unwrap();
        let error = full.put(b"x").unwrap_err();
        assert_eq!(error.status, Status::Failed);
        assert!(error.to_string().contains("Make room"), "{error}");
        assert!(Place::open(Path::new("/")).is_err());
        assert!(Place::open(Path::new("/nowhere/file")).is_err());
    }
}
