// SPDX-License-Identifier: GPL-2.0

//! Rules by which calls of a backend fail, or take longer: their text, and when they apply.
//!
//! A rule is a line of `KEY=VALUE`. It says what happens (`errno`, `kind`, `done`, `delay_us`) and to
//! which calls (`after`, `at`, `times`); it counts from when it was made. Like the protocol, this uses
//! `core::` only.

use core::fmt;

/// Error numbers from here on are the kernel's own, which user space must not see.
const ERRNO_END: u16 = 512;
/// The longest delay: whoever waits for a call must not be taken for hung.
const DELAY_MAX_US: u32 = 10_000_000;

/// What is left of the device after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The state that it had before.
    Kept,
    /// No valid state.
    Lost,
}

/// How a call can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ways {
    /// By an error that keeps the state of the device.
    pub(crate) kept: bool,
    /// By an error that loses the device.
    pub(crate) lost: bool,
    /// By an error that keeps the state, though what the call is for was done: whoever gets it
    /// cannot tell, as nothing but a reset, or the end of the session, comes next.
    pub(crate) done: bool,
    /// The call has a position in the stream.
    pub(crate) position: bool,
}

/// A text that is no rule for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Invalid;

/// What happens to a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Action {
    /// How long it takes before anything else, in microseconds.
    pub(crate) delay_us: u32,
    /// How it fails, and with which error number.
    pub(crate) failure: Option<(Kind, u16)>,
    /// It reaches the backend before it fails, as if that had failed halfway.
    pub(crate) done: bool,
}

/// A rule, and what has come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    action: Action,
    after: u64,
    at: Option<u64>,
    times: Option<u64>,
    calls: u64,
    hits: u64,
}

impl Rule {
    /// The rule of a text; [`None`] for `off`, or nothing.
    ///
    /// # Errors
    ///
    /// Where the text has anything that is unknown, twice, or not possible for the call.
    pub(crate) fn parse(text: &str, ways: Ways) -> Result<Option<Self>, Invalid> {
        let text = text.trim();
        if text.is_empty() || text == "off" {
            return Ok(None);
        }
        let (mut errno, mut kind, mut done, mut delay_us) = (None, None, None, None);
        let (mut after, mut at, mut times) = (None, None, None);
        for word in text.split_ascii_whitespace() {
            match word.split_once('=').ok_or(Invalid)? {
                ("errno", value) => once(&mut errno, value.parse().ok())?,
                ("kind", "kept") => once(&mut kind, Some(Kind::Kept))?,
                ("kind", "lost") => once(&mut kind, Some(Kind::Lost))?,
                ("done", "0") => once(&mut done, Some(false))?,
                ("done", "1") => once(&mut done, Some(true))?,
                ("delay_us", value) => once(&mut delay_us, value.parse().ok())?,
                ("after", value) => once(&mut after, value.parse().ok())?,
                ("at", value) => once(&mut at, value.parse().ok())?,
                ("times", value) => once(&mut times, value.parse().ok())?,
                _ => return Err(Invalid),
            }
        }
        let failure = match errno {
            None if kind.is_some() || done.is_some() => return Err(Invalid),
            None => None,
            Some(errno) => {
                let default = if ways.kept { Kind::Kept } else { Kind::Lost };
                Some((kind.unwrap_or(default), errno))
            }
        };
        let done = done.unwrap_or(false);
        let possible = match failure {
            None => true,
            Some((_, errno)) if !(1..ERRNO_END).contains(&errno) => false,
            Some((Kind::Kept, _)) => ways.kept && (ways.done || !done),
            Some((Kind::Lost, _)) => ways.lost,
        };
        let action = Action {
            delay_us: delay_us.unwrap_or(0),
            failure,
            done,
        };
        if !possible
            || action.delay_us > DELAY_MAX_US
            || action == Action::default()
            || (at.is_some() && !ways.position)
        {
            return Err(Invalid);
        }
        Ok(Some(Self {
            action,
            after: after.unwrap_or(0),
            at,
            times,
            calls: 0,
            hits: 0,
        }))
    }

    /// What happens to the next call, whose data begins at byte `position` of the stream.
    pub(crate) fn next(&mut self, position: u64) -> Option<Action> {
        self.calls = self.calls.saturating_add(1);
        if self.calls <= self.after
            || self.at.is_some_and(|at| position < at)
            || self.times.is_some_and(|times| self.hits >= times)
        {
            return None;
        }
        self.hits = self.hits.saturating_add(1);
        Some(self.action)
    }
}

/// Takes a value that was read, for a key that had none.
fn once<T>(slot: &mut Option<T>, value: Option<T>) -> Result<(), Invalid> {
    if slot.is_some() {
        return Err(Invalid);
    }
    *slot = Some(value.ok_or(Invalid)?);
    Ok(())
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((kind, errno)) = self.action.failure {
            let kind = match kind {
                Kind::Kept => "kept",
                Kind::Lost => "lost",
            };
            write!(
                f,
                "errno={errno} kind={kind} done={} ",
                u8::from(self.action.done)
            )?;
        }
        write!(f, "delay_us={} after={}", self.action.delay_us, self.after)?;
        if let Some(at) = self.at {
            write!(f, " at={at}")?;
        }
        if let Some(times) = self.times {
            write!(f, " times={times}")?;
        }
        write!(f, " calls={} hits={}", self.calls, self.hits)
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(not(test), ::kernel::macros::kunit_tests(rust_vfio_migration_rule))]
mod tests {
    use super::*;

    const ALL: Ways = Ways {
        kept: true,
        lost: true,
        done: true,
        position: true,
    };

    const KEPT_EIO: Option<(Kind, u16)> = Some((Kind::Kept, 5));

    fn rule(text: &str) -> Option<Rule> {
        Rule::parse(text, ALL).ok().flatten()
    }

    /// Which of the first eight calls the rule applies to, as bits; each has 100 bytes.
    fn hits(text: &str) -> Option<u8> {
        let mut rule = rule(text)?;
        let mut hits = 0;
        for call in 0..8 {
            hits |= u8::from(rule.next(100 * call).is_some()) << call;
        }
        Some(hits)
    }

    #[test]
    fn nothing_and_off_are_no_rule() {
        for text in ["", "\n", "off", " off\n"] {
            assert_eq!(Rule::parse(text, ALL), Ok(None));
        }
    }

    #[test]
    fn a_rule_says_what_happens() {
        let rows = [
            ("errno=5", 0, KEPT_EIO, false),
            ("kind=lost errno=19\n", 0, Some((Kind::Lost, 19)), false),
            ("delay_us=7", 7, None, false),
            ("delay_us=7\tkind=kept errno=5 done=0", 7, KEPT_EIO, false),
            ("done=1 kind=lost errno=19", 0, Some((Kind::Lost, 19)), true),
            ("errno=5 done=1", 0, KEPT_EIO, true),
        ];
        for (text, delay_us, failure, done) in rows {
            let action = rule(text).and_then(|mut rule| rule.next(0));
            let wanted = Action {
                delay_us,
                failure,
                done,
            };
            assert_eq!(action, Some(wanted));
        }
    }

    #[test]
    fn a_rule_says_which_calls() {
        let rows = [
            ("errno=5", 0b1111_1111),
            ("errno=5 times=2", 0b0000_0011),
            ("errno=5 after=3", 0b1111_1000),
            ("errno=5 after=3 times=1", 0b0000_1000),
            ("errno=5 at=0", 0b1111_1111),
            ("errno=5 at=200", 0b1111_1100),
            ("errno=5 at=201 times=1", 0b0000_1000),
            ("errno=5 at=201 after=5", 0b1110_0000),
            ("errno=5 times=0", 0),
        ];
        for (text, calls) in rows {
            assert_eq!(hits(text), Some(calls));
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "on",
            "errno",
            "errno=",
            "errno=EIO",
            "errno=0",
            "errno=-5",
            "errno=512",
            "errno=5 errno=5",
            "kind=lost",
            "done=1",
            "delay_us=5 done=1",
            "errno=5 done=2",
            "errno=5 kind=broken",
            "errno=5, times=1",
            "after=3",
            "delay_us=0",
            "delay_us=10000001",
            "delay_us=4294967296",
            "errno=5 what=1",
            "errno=5 off",
        ] {
            assert_eq!(Rule::parse(text, ALL), Err(Invalid));
        }
    }

    #[test]
    fn what_a_call_cannot_do_is_refused() {
        let none = Ways {
            kept: false,
            lost: false,
            done: false,
            position: false,
        };
        assert_eq!(Rule::parse("errno=5", none), Err(Invalid));
        assert_eq!(Rule::parse("delay_us=5 at=1", none), Err(Invalid));
        assert!(Rule::parse("delay_us=5", none).is_ok());

        let kept = Ways { kept: true, ..none };
        assert!(Rule::parse("errno=5", kept).is_ok());
        assert_eq!(Rule::parse("errno=5 kind=lost", kept), Err(Invalid));
        assert_eq!(Rule::parse("errno=5 done=1", kept), Err(Invalid));
        let done = Ways { done: true, ..kept };
        assert!(Rule::parse("errno=5 done=1", done).is_ok());

        let lost = Ways { lost: true, ..none };
        let mut rule = Rule::parse("errno=5", lost).ok().flatten();
        let failure = rule.as_mut().and_then(|rule| rule.next(0)?.failure);
        assert_eq!(failure, Some((Kind::Lost, 5)));
        assert_eq!(Rule::parse("errno=5 kind=kept", lost), Err(Invalid));
    }
}
