// SPDX-License-Identifier: GPL-2.0

//! A bar on standard error, where that is a terminal; nothing elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// Progress of one transfer.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar with the text `what`. Its length is an estimate, unless `length` is known.
    pub(crate) fn new(what: &str, length: Option<u64>) -> Self {
        if !std::io::stderr().is_terminal() {
            return Progress(ProgressBar::hidden());
        }
        let bar = ProgressBar::new(length.unwrap_or(0));
        let style = "{msg} [{bar:30}] {bytes} of {total_bytes}  {bytes_per_sec}  {elapsed}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        Progress(bar)
    }

    /// There will be about so many bytes. More may come all the same.
    pub(crate) fn expect(&self, bytes: u64) {
        self.0.set_length(bytes.max(self.0.position()));
    }

    pub(crate) fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
        if Some(self.0.position()) > self.0.length() {
            self.0.set_length(self.0.position());
        }
    }

    /// Says something beside the bar.
    pub(crate) fn say(&self, text: &str) {
        self.0.suspend(|| eprintln!("vfio-migrate: {text}"));
    }

    /// Removes the bar.
    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
