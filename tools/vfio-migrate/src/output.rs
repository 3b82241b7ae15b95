// SPDX-License-Identifier: GPL-2.0

//! Standard output. That its reader has gone, as `head` does, is no error.

use crate::error::{Error, Result};
use std::io::{self, BufWriter, Stdout, Write};

/// Standard output, or nothing once nobody reads it.
pub(crate) struct Output {
    to: BufWriter<Stdout>,
    closed: bool,
}

impl Output {
    pub(crate) fn new() -> Self {
        Output {
            to: BufWriter::new(io::stdout()),
            closed: false,
        }
    }

    fn unless_closed<T>(&mut self, result: io::Result<T>, otherwise: T) -> io::Result<T> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(otherwise)
            }
            result => result,
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Ok(bytes.len());
        }
        let result = self.to.write(bytes);
        self.unless_closed(result, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let result = self.to.flush();
        self.unless_closed(result, ())
    }
}

/// Prints a text as it is.
pub(crate) fn print(text: &str) -> Result {
    let mut output = Output::new();
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .map_err(|error| Error::failed("standard output", &error))
}
