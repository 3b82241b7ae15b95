// SPDX-License-Identifier: GPL-2.0

//! `check`: is a saved stream whole and undamaged, as far as can be told without a device?

use crate::error::{Error, Result, Status};
use crate::ioctl;
use crate::output::Output;
use crate::progress::Progress;
use crate::text;
use crate::walk::{self, Findings, Format, Record};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Opens a file to read a stream from, `-` being standard input; its length where it has one.
pub(crate) fn open(path: &Path) -> Result<(File, Option<u64>)> {
    let open = || -> io::Result<(File, Option<u64>)> {
        let file = match path.as_os_str() == "-" {
            true => ioctl::duplicate(libc::STDIN_FILENO)?.into(),
            false => File::open(path)?,
        };
        let meta = file.metadata()?;
        if meta.is_dir() {
            return Err(io::Error::from_raw_os_error(libc::EISDIR));
        }
        Ok((file, meta.is_file().then_some(meta.len())))
    };
    open().map_err(|error| Error::failed(format!("cannot open {}", path.display()), &error))
}

/// A reader that moves a bar.
struct Counted<'a>(File, &'a Progress);

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.advance(count as u64);
        Ok(count)
    }
}

fn row(record: &Record) -> String {
    let name = walk::tag_name(record.header.tag);
    let row = format!(
        "{:>12} {:>12}  {name:<14}  {}",
        record.offset, record.header.size, record.detail
    );
    row.trim_end().to_owned()
}

/// What the findings come to, as a result and a line for people.
pub(crate) fn judge(path: &Path, findings: &Findings) -> Result<String> {
    let name = path.display();
    let Findings {
        bytes,
        records,
        data,
        ..
    } = *findings;
    if let Some((error, offset)) = findings.refused {
        let what = format!(
            "{name}: the record at byte {offset} of {bytes}: {}",
            error.describe()
        );
        let hint = match findings.format {
            Format::Identified => "Save or copy it again; no device takes this.",
            _ => "It looks like a stream of mlx5_vfio_pci or virtio_vfio_pci that is damaged or cut off.",
        };
        return Err(Error::new(Status::Refused, what).hint(hint));
    }
    match findings.format {
        Format::Identified => Ok(format!(
            "whole and undamaged: {records} records, {data} bytes of device state, {bytes} bytes in all"
        )),
        Format::Records => Ok(format!(
            "well formed: {records} records, {data} bytes of device state, {bytes} bytes in all; \
             it has no identity and no checksums, so only its device can tell whether it is whole"
        )),
        Format::Mtty => Ok(format!(
            "a stream of the sample driver mtty, {bytes} bytes; it has no checksums, so only its \
             device can tell whether it is whole"
        )),
        Format::Unknown => Err(Error::new(
            Status::UnknownFormat,
            format!("{name}: {bytes} bytes of an unknown format: nothing could be checked"),
        )
        .hint("Only the device it was saved from, or one like it, can tell what this is.")),
    }
}

/// Reads a file and says what it is; `on_record` is told of each record.
pub(crate) fn inspect(
    path: &Path,
    on_record: &mut dyn FnMut(&Record) -> io::Result<()>,
) -> Result<Findings> {
    let (input, length) = open(path)?;
    let progress = Progress::new("checking", length);
    let mut input = Counted(input, &progress);
    walk::walk(&mut input, on_record).map_err(|error| Error::failed(path.display(), &error))
}

/// The command.
pub(crate) fn run(path: &Path, quiet: bool) -> Result {
    let refused = |error: io::Error| Error::failed("standard output", &error);
    let mut output = Output::new();
    let mut first = true;
    let findings = inspect(path, &mut |record| {
        if quiet {
            return Ok(());
        }
        if first {
            first = false;
            writeln!(output, "{:>12} {:>12}  record", "offset", "size")?;
        }
        writeln!(output, "{}", row(record))
    })?;
    let verdict = judge(path, &findings);
    if let Ok(line) = &verdict {
        writeln!(output, "{}: {line}", path.display()).map_err(refused)?;
    }
    output.flush().map_err(refused)?;
    verdict.map(drop)
}

/// For `load`: refuses a file that no device takes. What cannot be checked passes.
pub(crate) fn before_loading(path: &Path) -> Result<String> {
    let findings = inspect(path, &mut |_| Ok(()))?;
    match judge(path, &findings) {
        Err(error) if error.status == Status::UnknownFormat => Ok(format!(
            "{} of a format that cannot be checked",
            text::bytes(findings.bytes)
        )),
        other => other,
    }
}
