// SPDX-License-Identifier: GPL-2.0

//! What `save`, `load` and `move` say of what they did.

use crate::device::{Device, Step};
use crate::source::Summary;
use crate::text::{bytes, time};
use std::fmt::Write;
use std::time::Duration;

fn steps(text: &mut String, name: &str, steps: &[Step]) {
    for step in steps {
        let (from, to) = (step.from.name(), step.to.name());
        let _ = writeln!(text, "{name}: {from} -> {to}  {}", time(step.took));
    }
}

fn transfer(text: &mut String, summary: &Summary) {
    for (number, round) in (1..).zip(&summary.rounds) {
        let left = round
            .left
            .map_or_else(String::new, |left| format!(", {} left", bytes(left)));
        let _ = writeln!(
            text,
            "round {number}: {} in {}{left}",
            bytes(round.bytes),
            time(round.took)
        );
    }
    let _ = writeln!(text, "stopped: {}", bytes(summary.stop_copy));
    let _ = writeln!(text, "total: {}", bytes(summary.bytes()));
}

/// After `save`; the device stood still for `still`.
pub(crate) fn saved(device: &Device, summary: &Summary, still: Option<Duration>) -> String {
    let mut text = String::new();
    steps(&mut text, device.name(), &summary.steps);
    transfer(&mut text, summary);
    if let Some(still) = still {
        let _ = writeln!(text, "downtime: {}", time(still));
    }
    text
}

/// After `load`.
pub(crate) fn loaded(device: &Device, target: &[Step], count: u64) -> String {
    let mut text = String::new();
    steps(&mut text, device.name(), target);
    let _ = writeln!(text, "total: {}", bytes(count));
    text
}

/// After `move`; no device ran for `downtime`.
pub(crate) fn moved(
    source: &Device,
    summary: &Summary,
    target: (&Device, &[Step]),
    downtime: Option<Duration>,
) -> String {
    let mut text = String::new();
    steps(&mut text, source.name(), &summary.steps);
    steps(&mut text, target.0.name(), target.1);
    transfer(&mut text, summary);
    if let Some(downtime) = downtime {
        let _ = writeln!(text, "downtime: {}", time(downtime));
    }
    text
}
