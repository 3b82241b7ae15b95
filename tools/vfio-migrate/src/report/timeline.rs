// SPDX-License-Identifier: GPL-2.0

//! The events of a trace, put in order and added up. As text it is a table and a few sums.

use super::event::Event;
use crate::text::{bytes, table, time};
use std::fmt;
use std::time::Duration;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A change of state; `failed` holds the error of one that failed.
    Arc {
        from: String,
        to: String,
        failed: Option<String>,
        ns: u64,
    },
    /// Device state was made or taken, in so many pieces.
    Chunks {
        phase: String,
        count: u64,
        bytes: u64,
        ns: u64,
    },
    /// A round of pre-copy ended.
    Round { number: String, bytes: u64 },
    /// Records of the stream, other than those that are counted as chunks.
    Records {
        direction: String,
        count: u64,
        bytes: u64,
    },
    /// Firmware has done a command, so often.
    Commands {
        name: String,
        count: u64,
        failed: u64,
        ns: u64,
    },
    /// The device was reset.
    Reset { from: String, ns: u64 },
    /// Something failed.
    Error { place: String, error: String },
    /// An event that is not known here.
    Other { name: String, fields: String },
}

/// Something that happened to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Nanoseconds; of the first event, where several were added up.
    pub(super) start: u64,
    /// Nanoseconds; of the last event.
    pub(super) end: u64,
    pub(super) device: usize,
    pub(super) what: What,
}

/// A time that a device was in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) state: String,
}

/// All that a trace says.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// In the order in which they first came.
    pub(super) devices: Vec<String>,
    pub(super) entries: Vec<Entry>,
}

impl Timeline {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds the next event of the trace.
    pub(super) fn add(&mut self, event: &Event) {
        let name = event.device();
        let device = self
            .devices
            .iter()
            .position(|known| known == name)
            .unwrap_or_else(|| {
                self.devices.push(name.to_owned());
                self.devices.len() - 1
            });
        let text = |key: &str| event.text(key).to_owned();
        let number = |key: &str| event.number(key).unwrap_or(0);
        let what = match event.name.as_str() {
            "arc" => What::Arc {
                from: text("from"),
                to: text("to"),
                failed: Some(text("ret")).filter(|ret| !matches!(ret.as_str(), "0" | "")),
                ns: number("ns"),
            },
            "chunk" => What::Chunks {
                phase: text("phase"),
                count: 1,
                bytes: number("len"),
                ns: number("ns"),
            },
            "round" => What::Round {
                number: text("round"),
                bytes: number("bytes"),
            },
            "record" => What::Records {
                direction: text("direction"),
                count: 1,
                bytes: number("size"),
            },
            "reset" => What::Reset {
                from: text("from"),
                ns: number("ns"),
            },
            "command" => What::Commands {
                name: text("command"),
                count: 1,
                failed: u64::from(text("status") != "0"),
                ns: number("ns"),
            },
            "error" => What::Error {
                place: text("where"),
                error: text("error"),
            },
            name => What::Other {
                name: name.to_owned(),
                fields: event.rest(),
            },
        };
        if !self.merge(device, event.time, &what) {
            let start = event.time;
            self.entries.push(Entry {
                start,
                end: start,
                device,
                what,
            });
        }
    }

    /// Adds to what came before of the same device, where it is more of the same.
    fn merge(&mut self, device: usize, now: u64, new: &What) -> bool {
        // Commands, chunks and records come in turns.
        let recent = self
            .entries
            .iter_mut()
            .rev()
            .filter(|entry| entry.device == device);
        for entry in recent.take(5) {
            match (&mut entry.what, new) {
                (
                    What::Chunks {
                        phase,
                        count,
                        bytes,
                        ns,
                    },
                    What::Chunks {
                        phase: new_phase,
                        bytes: more,
                        ns: longer,
                        ..
                    },
                ) if phase == new_phase => {
                    *count += 1;
                    *bytes = bytes.saturating_add(*more);
                    *ns = ns.saturating_add(*longer);
                }
                (
                    What::Records {
                        direction,
                        count,
                        bytes,
                    },
                    What::Records {
                        direction: new_direction,
                        bytes: more,
                        ..
                    },
                ) if direction == new_direction => {
                    *count += 1;
                    *bytes = bytes.saturating_add(*more);
                }
                (
                    What::Commands {
                        name,
                        count,
                        failed,
                        ns,
                    },
                    What::Commands {
                        name: new_name,
                        failed: new_failed,
                        ns: longer,
                        ..
                    },
                ) if name == new_name => {
                    *count += 1;
                    *failed += new_failed;
                    *ns = ns.saturating_add(*longer);
                }
                (What::Chunks { .. } | What::Records { .. } | What::Commands { .. }, _) => continue,
                _ => return false,
            }
            entry.end = now;
            return true;
        }
        false
    }

    /// The first and the last time.
    pub(super) fn range(&self) -> (u64, u64) {
        let start = self
            .entries
            .iter()
            .map(|entry| entry.start.saturating_sub(entry.ns()))
            .min();
        let end = self.entries.iter().map(|entry| entry.end).max();
        (start.unwrap_or(0), end.unwrap_or(0))
    }

    /// The states of a device, from the first one that is known to the end of the trace.
    pub(super) fn spans(&self, device: usize) -> Vec<Span> {
        let (start, end) = self.range();
        let mut spans: Vec<Span> = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.device == device) {
            let (from, to) = match &entry.what {
                What::Arc {
                    from,
                    to,
                    failed: None,
                    ..
                } => (from.as_str(), to.as_str()),
                What::Reset { from, .. } => (from.as_str(), "RUNNING"),
                _ => continue,
            };
            match spans.last_mut() {
                Some(last) => last.end = entry.end,
                None => spans.push(Span {
                    start,
                    end: entry.end,
                    state: from.to_owned(),
                }),
            }
            spans.push(Span {
                start: entry.end,
                end,
                state: to.to_owned(),
            });
        }
        spans
    }

    /// Sums of one device, as lines.
    fn sums(&self, device: usize) -> String {
        let own = || self.entries.iter().filter(|entry| entry.device == device);
        let mut states: Vec<(String, u64)> = Vec::new();
        for span in self.spans(device) {
            let took = span.end - span.start;
            match states.iter_mut().find(|(state, _)| *state == span.state) {
                Some((_, sum)) => *sum += took,
                None => states.push((span.state, took)),
            }
        }
        let rounds = own()
            .filter(|entry| matches!(entry.what, What::Round { .. }))
            .count();
        let errors = own()
            .filter(|entry| {
                matches!(
                    entry.what,
                    What::Error { .. }
                        | What::Arc {
                            failed: Some(_),
                            ..
                        }
                )
            })
            .count();
        let state: u64 = own()
            .map(|entry| match entry.what {
                What::Chunks { bytes, .. } => bytes,
                _ => 0,
            })
            .fold(0, u64::saturating_add);
        let still: u64 = self
            .spans(device)
            .iter()
            .filter(|span| !runs(&span.state))
            .map(|span| span.end - span.start)
            .sum();

        let mut text = format!("{}\n", self.devices[device]);
        let states = states
            .iter()
            .map(|(state, ns)| format!("{state} {}", nanoseconds(*ns)));
        let states: Vec<String> = states.collect();
        if !states.is_empty() {
            text.push_str(&format!("  states:  {}\n", states.join(", ")));
            text.push_str(&format!("  stopped: {}\n", nanoseconds(still)));
        }
        text.push_str(&format!(
            "  moved:   {} in {rounds} rounds and what followed\n",
            bytes(state)
        ));
        text.push_str(&format!("  failed:  {errors}\n"));
        let mut commands: Vec<(&str, u64, u64)> = Vec::new();
        for entry in own() {
            if let What::Commands {
                name, count, ns, ..
            } = &entry.what
            {
                match commands.iter_mut().find(|(known, ..)| known == name) {
                    Some((_, n, sum)) => {
                        *n += count;
                        *sum = sum.saturating_add(*ns);
                    }
                    None => commands.push((name, *count, *ns)),
                }
            }
        }
        for (name, count, ns) in commands {
            text.push_str(&format!("  {name}: {count} in {}\n", nanoseconds(ns)));
        }
        text
    }
}

/// Whether a device runs in a state, for its guest.
pub(super) fn runs(state: &str) -> bool {
    matches!(
        state,
        "RUNNING" | "RUNNING_P2P" | "PRE_COPY" | "PRE_COPY_P2P"
    )
}

pub(super) fn nanoseconds(ns: u64) -> String {
    time(Duration::from_nanos(ns))
}

impl Entry {
    /// How long it took, by what the event says.
    fn ns(&self) -> u64 {
        match self.what {
            What::Arc { ns, .. } | What::Reset { ns, .. } => ns,
            _ => 0,
        }
    }

    /// In words, and how long it took.
    pub(super) fn words(&self) -> (String, String) {
        let took = |ns: &u64| {
            if *ns == 0 {
                String::new()
            } else {
                nanoseconds(*ns)
            }
        };
        match &self.what {
            What::Arc {
                from,
                to,
                failed: None,
                ns,
            } => (format!("{from} -> {to}"), took(ns)),
            What::Arc {
                from,
                to,
                failed: Some(error),
                ns,
            } => (format!("{from} -> {to} FAILED: {error}"), took(ns)),
            What::Chunks {
                phase,
                count,
                bytes: sum,
                ns,
            } => (
                format!("  {count} chunks of {phase}: {}", bytes(*sum)),
                took(ns),
            ),
            What::Round { number, bytes: sum } => {
                (format!("  round {number}: {}", bytes(*sum)), String::new())
            }
            What::Records {
                direction,
                count,
                bytes: sum,
            } => (
                format!("  {count} records, {direction}: {}", bytes(*sum)),
                String::new(),
            ),
            What::Commands {
                name,
                count,
                failed,
                ns,
            } => {
                let failed = match failed {
                    0 => String::new(),
                    failed => format!(", {failed} FAILED"),
                };
                (format!("  {count} {name}{failed}"), took(ns))
            }
            What::Reset { from, ns } => (format!("reset from {from}"), took(ns)),
            What::Error { place, error } => (format!("ERROR in {place}: {error}"), String::new()),
            What::Other { name, fields } => (format!("  {name}: {fields}"), String::new()),
        }
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, _) = self.range();
        let mut rows = vec![["TIME", "DEVICE", "WHAT", "TOOK"]
            .map(str::to_owned)
            .to_vec()];
        for entry in &self.entries {
            let (words, took) = entry.words();
            let at = (entry.start - start) as f64 / 1e9;
            rows.push(vec![
                format!("{at:.6} s"),
                self.devices[entry.device].clone(),
                words,
                took,
            ]);
        }
        f.write_str(&table(&rows))?;
        for device in 0..self.devices.len() {
            write!(f, "\n{}", self.sums(device))?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::event;
    use super::*;

    const TRACE: &str = "\
# tracer: nop
 m-1 [000] ..... 10.000100: vfio_migration_arc: device=src from=RUNNING to=PRE_COPY ret=0 ns=100000
 m-1 [000] ..... 10.000150: vfio_migration_arc: device=dst from=STOP to=RESUMING ret=0 ns=1000
 m-1 [000] ..... 10.000200: vfio_migration_chunk: device=src session=1 phase=pre_copy len=4096 initial=1 ns=500
 m-1 [000] ..... 10.000210: vfio_migration_record: device=src session=1 tag=0 flags=0 size=4096 direction=save
 m-1 [000] ..... 10.000300: vfio_migration_chunk: device=src session=1 phase=pre_copy len=4096 initial=1 ns=500
 m-1 [000] ..... 10.000310: vfio_migration_record: device=src session=1 tag=0 flags=0 size=4096 direction=save
 m-1 [000] ..... 10.000400: vfio_migration_round: device=src session=1 round=1 bytes=8192
 m-1 [000] ..... 10.001400: vfio_migration_arc: device=src from=PRE_COPY to=STOP_COPY ret=0 ns=2000
 m-1 [000] ..... 10.001500: vfio_migration_chunk: device=src session=1 phase=stop_copy len=100 initial=0 ns=500
 m-1 [000] ..... 10.001510: vfio_migration_command: device=src command=SAVE_VHCA_STATE status=0 ns=400
 m-1 [000] ..... 10.001520: vfio_migration_command: device=src command=DESTROY_MKEY status=0 ns=10
 m-1 [000] ..... 10.001530: vfio_migration_command: device=src command=SAVE_VHCA_STATE status=9 ns=600
 m-1 [000] ..... 10.001600: vfio_migration_error: device=dst where=load error=-74
 m-1 [000] ..... 10.001700: vfio_migration_arc: device=dst from=RESUMING to=STOP ret=-74 ns=10
 m-1 [000] ..... 10.002400: vfio_migration_reset: device=src from=STOP_COPY ns=9
 m-1 [000] ..... 10.003400: vfio_migration_new: device=src text=a <b> & c
";

    /// The timeline of [`TRACE`].
    pub(crate) fn timeline() -> Timeline {
        let mut timeline = Timeline::default();
        for event in TRACE.lines().filter_map(event::parse) {
            timeline.add(&event);
        }
        timeline
    }

    #[test]
    fn events_are_put_in_order_and_added_up() {
        let timeline = timeline();
        assert_eq!(timeline.devices, ["src", "dst"]);
        assert_eq!(timeline.range(), (10_000_000_000, 10_003_400_000));
        let words: Vec<String> = timeline
            .entries
            .iter()
            .map(|entry| entry.words().0)
            .collect();
        assert_eq!(
            words,
            [
                "RUNNING -> PRE_COPY",
                "STOP -> RESUMING",
                "  2 chunks of pre_copy: 8192 B",
                "  2 records, save: 8192 B",
                "  round 1: 8192 B",
                "PRE_COPY -> STOP_COPY",
                "  1 chunks of stop_copy: 100 B",
                "  2 SAVE_VHCA_STATE, 1 FAILED",
                "  1 DESTROY_MKEY",
                "ERROR in load: -74",
                "RESUMING -> STOP FAILED: -74",
                "reset from STOP_COPY",
                "  new: text=a <b> & c",
            ]
        );
        let spans = timeline.spans(0);
        let states: Vec<_> = spans.iter().map(|span| span.state.as_str()).collect();
        assert_eq!(states, ["RUNNING", "PRE_COPY", "STOP_COPY", "RUNNING"]);
        assert_eq!(spans[2].end - spans[2].start, 1_000_000);
        // What failed does not change the state.
        assert_eq!(timeline.spans(1).last().unwrap().state, "RESUMING");
    }

    #[test]
    fn the_text_has_the_sums() {
        let text = timeline().to_string();
        assert!(
            text.contains("0.000100 s  src     RUNNING -> PRE_COPY"),
            "{text}"
        );
        assert!(text.contains("stopped: 1.00 ms"), "{text}");
        assert!(text.contains("moved:   8292 B in 1 rounds"), "{text}");
        assert!(text.contains("failed:  2"), "{text}");
        assert!(text.contains("SAVE_VHCA_STATE: 2 in 1.00 us"), "{text}");
    }
}
