// SPDX-License-Identifier: GPL-2.0

//! `save`: a device's state to a file. The device runs on.

use crate::device::{By, Device};
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::output;
use crate::progress::Progress;
use crate::source::{Plan, Sink, Source};
use crate::summary;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Where a stream is saved.
enum Destination {
    /// A file, which gets its name when it is whole.
    New(NamedTempFile, PathBuf),
    /// Something that is there already and no regular file: a pipe, a device.
    Stream(Box<dyn Write>, PathBuf),
}

impl Destination {
    fn open(path: &Path) -> Result<Self> {
        let refused =
            |error: io::Error| Error::failed(format!("cannot write {}", path.display()), &error);
        if path.as_os_str() == "-" {
            return Ok(Destination::Stream(Box::new(io::stdout()), path.into()));
        }
        if fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
            let file = OpenOptions::new().write(true).open(path).map_err(refused)?;
            return Ok(Destination::Stream(Box::new(file), path.into()));
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
        Ok(Destination::New(file, path.into()))
    }

    fn refused(&self, error: &io::Error) -> Error {
        let (Destination::New(_, path) | Destination::Stream(_, path)) = self;
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
            Destination::New(file, _) => file.as_file().sync_all(),
            Destination::Stream(stream, _) => stream.flush(),
        };
        if let Err(error) = result {
            return Err(self.refused(&error));
        }
        match self {
            Destination::New(file, path) => persist(file, &path)
                .map_err(|error| Error::failed(format!("cannot write {}", path.display()), &error)),
            Destination::Stream(..) => Ok(()),
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

impl Sink for Destination {
    fn put(&mut self, bytes: &[u8]) -> Result {
        let result = match self {
            Destination::New(file, _) => file.write_all(bytes),
            Destination::Stream(stream, _) => stream.write_all(bytes),
        };
        result.map_err(|error| self.refused(&error))
    }
}

/// The command.
pub(crate) fn run(device: &str, file: &Path, plan: &Plan, by: By) -> Result {
    let interrupt = Interrupt::new()?;
    // A place that cannot be written to should not stop a device.
    let mut destination = Destination::open(file)?;
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

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        fs::write(&path, "old").unwrap();
        let mut file = Destination::open(&path).unwrap();
        file.put(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

        let mut file = Destination::open(&path).unwrap();
        file.put(b"new").unwrap();
        file.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_is_written_to_as_it_is() {
        let mut full = Destination::open(Path::new("/dev/full")).unwrap();
        let error = full.put(b"x").unwrap_err();
        assert_eq!(error.status, Status::Failed);
        assert!(error.to_string().contains("Make room"), "{error}");
        assert!(Destination::open(Path::new("/")).is_err());
        assert!(Destination::open(Path::new("/nowhere/file")).is_err());
    }
}
