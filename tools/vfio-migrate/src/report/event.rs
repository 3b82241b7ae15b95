// SPDX-License-Identifier: GPL-2.0

//! One line of a trace, as `/sys/kernel/tracing/trace` and `trace-cmd report` have it:
//!
//! ```text
//!   qemu-system-812  [001] .....   33.061250: vfio_migration_arc: device=X from=STOP to=RUNNING ret=0 ns=5120
//! ```
//!
//! The fields are found by their names, in any order, and there may be more of them.

const PREFIX: &str = "vfio_migration_";

/// An event of this project's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Nanoseconds of the trace's clock.
    pub(super) time: u64,
    /// Which event, without the prefix that all have.
    pub(super) name: String,
    fields: Vec<(String, String)>,
}

/// The event that a line is about; [`None`] for any other line.
pub(super) fn parse(line: &str) -> Option<Event> {
    let (before, after) = line.split_once(&format!(": {PREFIX}"))?;
    let (name, fields) = after.split_once(':')?;
    let time = seconds(before.rsplit(char::is_whitespace).next()?)?;
    let mut event = Event {
        time,
        name: name.to_owned(),
        fields: Vec::new(),
    };
    for word in fields.split_whitespace() {
        match (word.split_once('='), event.fields.last_mut()) {
            (Some((key, value)), _) => event.fields.push((key.to_owned(), value.to_owned())),
            // A value of several words.
            (None, Some((_, value))) => {
                value.push(' ');
                value.push_str(word);
            }
            (None, None) => {}
        }
    }
    Some(event)
}

/// A time in seconds, to nanoseconds.
fn seconds(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.')?;
    if part.is_empty() || part.len() > 9 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part: u64 = format!("{part:0<9}").parse().ok()?;
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(part)
}

impl Event {
    /// A field; empty where there is none.
    pub(super) fn text(&self, key: &str) -> &str {
        let field = self.fields.iter().find(|(name, _)| name == key);
        field.map_or("", |(_, value)| value.trim_matches('"'))
    }

    /// A field that is a number, decimal or with 0x.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        let text = self.text(key);
        match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        }
    }

    /// The device that the event is about.
    pub(super) fn device(&self) -> &str {
        match self.text("device") {
            "" => "?",
            device => device,
        }
    }

    /// All fields but the device, for an event that is not known here.
    pub(super) fn rest(&self) -> String {
        let fields = self.fields.iter().filter(|(key, _)| key != "device");
        let fields: Vec<String> = fields
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        fields.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_trace_is_read() {
        let line = "     vfio-migrate-77    [001] d..1.    12.345678: vfio_migration_arc: device=0000:01:00.1 \
                    from=RUNNING to=PRE_COPY ret=0 ns=5120 later=x";
        let event = parse(line).unwrap();
        assert_eq!((event.time, event.name.as_str()), (12_345_678_000, "arc"));
        assert_eq!(event.device(), "0000:01:00.1");
        assert_eq!(
            (event.text("from"), event.number("ns")),
            ("RUNNING", Some(5120))
        );
        assert_eq!((event.text("none"), event.number("from")), ("", None));
        assert_eq!(
            event.rest(),
            "from=RUNNING to=PRE_COPY ret=0 ns=5120 later=x"
        );
    }

    #[test]
    fn names_and_values_may_have_blanks() {
        let line = "my: task 1-5 [000] 7.000000001: vfio_migration_error: where=the first arc error=-5 text=\"a b\"";
        let event = parse(line).unwrap();
        assert_eq!(
            (event.time, event.text("where")),
            (7_000_000_001, "the first arc")
        );
        assert_eq!((event.device(), event.text("text")), ("?", "a b"));
        assert_eq!(
            parse("x-1 [000] 7.0: vfio_migration_record: tag=0x56520001")
                .unwrap()
                .number("tag"),
            Some(0x5652_0001)
        );
    }

    #[test]
    fn other_lines_are_not() {
        for line in [
            "",
            "# tracer: nop",
            "x-1 [000] 7.0: sched_switch: prev=1",
            "x-1 [000] seven: vfio_migration_arc: device=x",
            "x-1 [000] 7.: vfio_migration_arc: device=x",
            "x-1 [000] 99999999999999999999.0: vfio_migration_arc: device=x",
            "x-1 [000] 7.0: vfio_migration_arc",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
