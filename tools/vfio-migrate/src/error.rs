// SPDX-License-Identifier: GPL-2.0

//! Errors: what went wrong, what to do about it, and the exit status that says so to scripts.

use std::fmt;
use std::io;

/// Why the program ends as it does. The numbers are documented in
/// `Documentation/driver-api/vfio-migrate.rst`; 2 is clap's, for wrong usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// The device, a file or the system refused something.
    Failed,
    /// There is no such device, it cannot be opened, or it does not migrate.
    Unavailable,
    /// A stream is damaged, cut off, or of another device.
    Refused,
    /// A device that should run again does not.
    NotRunning,
    /// The file has a format that nothing is known about.
    UnknownFormat,
    /// A signal asked to end.
    Signal(i32),
}

impl Status {
    /// The number for `exit()`.
    pub(crate) fn code(self) -> u8 {
        match self {
            Status::Failed => 1,
            Status::Unavailable => 3,
            Status::Refused => 4,
            Status::NotRunning => 5,
            Status::UnknownFormat => 6,
            // As a shell has it.
            Status::Signal(signal) => u8::try_from(128 + signal).unwrap_or(255),
        }
    }
}

/// An error as the user sees it.
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) status: Status,
    what: String,
    hint: Option<String>,
}

/// The result of nearly everything here.
pub(crate) type Result<T = ()> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(status: Status, what: impl Into<String>) -> Self {
        Error {
            status,
            what: what.into(),
            hint: None,
        }
    }

    /// Something that the system refused.
    pub(crate) fn failed(what: impl fmt::Display, error: &io::Error) -> Self {
        Error::new(Status::Failed, format!("{what}: {}", describe(error)))
    }

    /// A device that cannot be used.
    pub(crate) fn unavailable(what: impl Into<String>) -> Self {
        Error::new(Status::Unavailable, what)
    }

    /// Adds what the user can do.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what else went wrong, while this error was dealt with.
    pub(crate) fn and(mut self, status: Status, more: &str) -> Self {
        self.what = format!("{}; {more}", self.what);
        self.status = status;
        self
    }

    /// Adds in what state things were left.
    pub(crate) fn note(mut self, note: &str) -> Self {
        self.what = format!("{}; {note}", self.what);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  {hint}"),
            None => Ok(()),
        }
    }
}

/// The text of an error of the system, without Rust's remark about its number.
pub(crate) fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// What a device means by refusing a stream with this number, and whether it blames the stream.
pub(crate) fn stream_refused(what: &str, error: &io::Error) -> Error {
    let meaning = match error.raw_os_error() {
        Some(libc::EINVAL) => "the stream breaks the format, or does not fit the device",
        Some(libc::EMSGSIZE) => "a record of the stream is larger than the device accepts",
        Some(libc::EOPNOTSUPP) => {
            "the stream is of another device, or of another version of its format"
        }
        Some(libc::EBADMSG) => "the stream is damaged: a checksum does not match",
        Some(libc::ENODATA) => "the stream is not complete",
        Some(libc::ENOSPC | libc::EFBIG) => "the stream is longer than the device expects",
        _ => return Error::failed(what, error),
    };
    Error::new(Status::Refused, format!("{what}: {}", describe(error))).hint(format!(
        "The device says: {meaning}. `vfio-migrate check` looks into a saved one."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_differ() {
        let all = [
            Status::Failed,
            Status::Unavailable,
            Status::Refused,
            Status::NotRunning,
            Status::UnknownFormat,
            Status::Signal(libc::SIGINT),
            Status::Signal(libc::SIGTERM),
        ];
        let mut codes: Vec<u8> = all.iter().map(|status| status.code()).collect();
        // 0 is success, 2 wrong usage.
        codes.extend([0, 2]);
        codes.sort_unstable();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 130, 143]);
    }

    #[test]
    fn a_refusal_blames_the_stream_only_where_it_is_to_blame() {
        let error = |number| stream_refused("x", &io::Error::from_raw_os_error(number));
        assert_eq!(error(libc::EBADMSG).status, Status::Refused);
        assert_eq!(error(libc::EIO).status, Status::Failed);
        assert!(!error(libc::EIO).to_string().contains("os error"));
    }
}
