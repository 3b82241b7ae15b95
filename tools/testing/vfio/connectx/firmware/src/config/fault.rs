// SPDX-License-Identifier: GPL-2.0

//! Faults: commands that do not end as they should.
//!
//! A fault is `COMMAND:WHICH:ACTION`. WHICH counts the commands of that name, of all functions, from
//! 1 since the option was set; `*` is all. ACTION is one of
//!
//! - `status=S` or `status=S/SYNDROME`: it does nothing and ends with this status (numbers, `0x`
//!   allowed)
//! - `stall=TIME`: it is executed that much later
//! - `lost`: it is executed, and the event that would say so is not posted
//! - `silent`: it is not executed and never ends
//! - `object`, `qp`, `cq`: a page tracker that is to report ends with this kind of error instead
//! - `mute`: a page tracker that is to report says nothing

use super::{number, time};
use crate::command;
use std::time::Duration;

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub(crate) opcode: u16,
    /// Which of them, from 1; `None` is each.
    pub(crate) which: Option<u64>,
    pub(crate) action: Action,
    /// How many there were.
    pub(crate) seen: u64,
}

/// What happens to the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It ends with this status and syndrome, undone.
    Status(u8, u32),
    /// It comes later.
    Stall(Duration),
    /// Its event is not posted.
    Lost,
    /// It never ends.
    Silent,
    /// A page tracker fails.
    Tracker(Error),
}

/// How a page tracker fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// The object enters its error state and says so.
    Object,
    /// Its queue pair fails.
    Qp,
    /// The completion queue of the reports fails.
    Cq,
    /// It neither reports nor ends.
    Mute,
}

impl Fault {
    /// Counts a command; what happens to this one?
    pub(crate) fn strike(&mut self, opcode: u16) -> Option<Action> {
        if self.opcode != opcode {
            return None;
        }
        self.seen += 1;
        (self.which.is_none() || self.which == Some(self.seen)).then_some(self.action)
    }
}

pub(super) fn parse(text: &str) -> Option<Vec<Fault>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    text.split('+').map(one).collect()
}

fn one(text: &str) -> Option<Fault> {
    let mut parts = text.splitn(3, ':');
    let name = parts.next()?;
    let opcode = command::COMMANDS
        .iter()
        .find(|command| command.name == name)?
        .opcode;
    let which = match parts.next()? {
        "*" => None,
        text => Some(number(text).filter(|&n| n > 0)?),
    };
    let action = match parts.next()? {
        "lost" => Action::Lost,
        "silent" => Action::Silent,
        "object" => Action::Tracker(Error::Object),
        "qp" => Action::Tracker(Error::Qp),
        "cq" => Action::Tracker(Error::Cq),
        "mute" => Action::Tracker(Error::Mute),
        text => match text.split_once('=')? {
            ("stall", length) => Action::Stall(time(length)?),
            ("status", numbers) => {
                let (status, syndrome) = numbers.split_once('/').unwrap_or((numbers, "0"));
                let status = u8::try_from(integer(status)?).ok().filter(|&s| s != 0)?;
                Action::Status(status, integer(syndrome)?)
            }
            _ => return None,
        },
    };
    Some(Fault {
        opcode,
        which,
        action,
        seen: 0,
    })
}

fn integer(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults() {
        let mut faults =
            parse("SAVE_VHCA_STATE:2:status=0x9/0xabcd+CREATE_EQ:*:stall=5ms").unwrap();
        assert_eq!(faults[0].strike(0x118), None);
        assert_eq!(faults[0].strike(0x119), None);
        assert_eq!(faults[0].strike(0x118), Some(Action::Status(9, 0xabcd)));
        assert_eq!(faults[0].strike(0x118), None);
        assert_eq!(
            faults[1].strike(0x301),
            Some(Action::Stall(Duration::from_millis(5)))
        );
        assert_eq!(
            parse("MODIFY_GENERAL_OBJECT:1:qp").unwrap()[0].action,
            Action::Tracker(Error::Qp)
        );
        for wrong in [
            "SAVE",
            "SAVE_VHCA_STATE:1",
            "SAVE_VHCA_STATE:0:lost",
            "SAVE_VHCA_STATE:1:status=0",
            "SAVE_VHCA_STATE:1:status=256",
            "NO_SUCH_COMMAND:1:lost",
            "SAVE_VHCA_STATE:1:lost+",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
