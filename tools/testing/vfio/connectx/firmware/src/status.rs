// SPDX-License-Identifier: GPL-2.0

//! How a command ends.

use core::fmt;

/// Status of a command, as in the first byte of its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Done.
    Ok = 0x00,
    /// The device itself failed.
    InternalErr = 0x01,
    /// No such command.
    BadOp = 0x02,
    /// A parameter is wrong.
    BadParam = 0x03,
    /// The function is not ready for this.
    BadSysState = 0x04,
    /// No such object.
    BadRes = 0x05,
    /// The object is in use.
    ResBusy = 0x06,
    /// More than the device has.
    ExceedLim = 0x08,
    /// The object, or function, is not in a state for this.
    BadResState = 0x09,
    /// The QP is not in the state that this begins in.
    BadQpState = 0x10,
    /// The input is too short.
    BadInputLen = 0x50,
    /// There is too little room for the output.
    BadOutputLen = 0x51,
}

/// Why a command failed: what the driver sees, and what a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Status, in the numbers of [`Status`]; a fault that was asked for may be any.
    pub(crate) status: u8,
    /// Tells the reasons apart; it is made of the reason's text.
    pub(crate) syndrome: u32,
    /// For the trace.
    pub(crate) reason: &'static str,
}

impl Failure {
    /// A failure with a syndrome of its own.
    pub(crate) const fn new(status: Status, reason: &'static str) -> Self {
        Self {
            status: status as u8,
            syndrome: syndrome(reason),
            reason,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:#x} ({:#010x}: {})",
            self.status, self.syndrome, self.reason
        )
    }
}

/// FNV-1a of the text.
const fn syndrome(text: &str) -> u32 {
    let bytes = text.as_bytes();
    let mut sum = 0x811c_9dc5_u32;
    let mut i = 0;
    while i < bytes.len() {
        sum = (sum ^ bytes[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    sum
}

/// What a handler of a command gives.
pub(crate) type Result<T> = core::result::Result<T, Failure>;

/// `Err` of this status and reason.
pub(crate) fn refuse<T>(status: Status, reason: &'static str) -> Result<T> {
    Err(Failure::new(status, reason))
}

/// Refuses unless `good`.
pub(crate) fn require(good: bool, status: Status, reason: &'static str) -> Result<()> {
    if good {
        Ok(())
    } else {
        refuse(status, reason)
    }
}
