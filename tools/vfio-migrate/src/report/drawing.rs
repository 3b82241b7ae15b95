// SPDX-License-Identifier: GPL-2.0

//! The timeline as a drawing: for each device a bar of its states, below it the bytes until then and
//! the ends of rounds, and marks where something failed.

use super::timeline::{nanoseconds, Entry, Timeline, What};
use crate::text::bytes;
use svg::node::element::{Group, Line, Polyline, Rectangle, Text, Title};
use svg::Document;

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 20.0;
const TOP: f64 = 40.0;
const LANE: f64 = 150.0;
const BAR: f64 = 30.0;
const CURVE: f64 = 70.0;
const TICKS: u32 = 8;

/// The states, each with a colour that is told from the others without colour vision too.
const COLOURS: [(&str, &str); 8] = [
    ("RUNNING", "#9fd8a4"),
    ("RUNNING_P2P", "#cdebb0"),
    ("PRE_COPY", "#8ec7ef"),
    ("PRE_COPY_P2P", "#c3dff5"),
    ("STOP", "#c8c8c8"),
    ("STOP_COPY", "#f3b562"),
    ("RESUMING", "#c5a3dd"),
    ("ERROR", "#e0555a"),
];

fn colour(state: &str) -> &'static str {
    COLOURS
        .iter()
        .find(|(name, _)| *name == state)
        .map_or("#ffffff", |(_, colour)| colour)
}

fn text(x: f64, y: f64, size: u32, words: &str) -> Text {
    Text::new(words)
        .set("x", x)
        .set("y", y)
        .set("font-size", size)
}

/// Places times on the paper.
struct Scale {
    start: u64,
    length: f64,
}

impl Scale {
    fn x(&self, time: u64) -> f64 {
        let x = (time.saturating_sub(self.start)) as f64 / self.length;
        LEFT + x * (WIDTH - 2.0 * LEFT)
    }
}

fn states(timeline: &Timeline, device: usize, scale: &Scale, y: f64) -> Group {
    let mut group = Group::new();
    for span in timeline.spans(device) {
        let (x, end) = (scale.x(span.start), scale.x(span.end));
        let label = format!("{} {}", span.state, nanoseconds(span.end - span.start));
        let bar = Rectangle::new()
            .set("x", x)
            .set("y", y)
            .set("width", (end - x).max(0.5))
            .set("height", BAR)
            .set("fill", colour(&span.state))
            .set("stroke", "#404040")
            .set("stroke-width", 0.5)
            .add(Title::new(label.as_str()));
        group = group.add(bar);
        // Seven units are about the width of a letter.
        if end - x > 7.0 * span.state.len() as f64 {
            group = group.add(text(x + 4.0, y + BAR * 0.65, 11, &span.state));
        }
    }
    group
}

/// Bytes of device state over time.
fn curve(entries: &[&Entry], scale: &Scale, y: f64) -> Group {
    let chunks = || {
        entries.iter().filter_map(|entry| match entry.what {
            What::Chunks { bytes, .. } => Some((*entry, bytes)),
            _ => None,
        })
    };
    let total = chunks()
        .map(|(_, bytes)| bytes)
        .fold(0, u64::saturating_add);
    let mut group = Group::new();
    if total == 0 {
        return group;
    }
    let height = |sum: u64| y + CURVE - sum as f64 / total as f64 * CURVE;
    let mut points = String::new();
    let mut sum: u64 = 0;
    for (entry, more) in chunks() {
        points.push_str(&format!("{:.2},{:.2} ", scale.x(entry.start), height(sum)));
        sum = sum.saturating_add(more);
        points.push_str(&format!("{:.2},{:.2} ", scale.x(entry.end), height(sum)));
    }
    let line = Polyline::new()
        .set("points", points.trim_end())
        .set("fill", "none")
        .set("stroke", "#1f5f99")
        .set("stroke-width", 1.5);
    group = group.add(line);
    group.add(text(
        LEFT,
        y + 10.0,
        10,
        &format!("{} of state", bytes(total)),
    ))
}

/// Ends of rounds, and what failed.
fn marks(entries: &[&Entry], scale: &Scale, y: f64) -> Group {
    let mut group = Group::new();
    for entry in entries {
        let (colour, wide) = match &entry.what {
            What::Round { .. } => ("#707070", 0.7),
            What::Error { .. }
            | What::Arc {
                failed: Some(_), ..
            } => ("#c00000", 2.0),
            What::Reset { .. } => ("#000000", 1.5),
            _ => continue,
        };
        let x = scale.x(entry.end);
        let (words, _) = entry.words();
        let line = Line::new()
            .set("x1", x)
            .set("x2", x)
            .set("y1", y)
            .set("y2", y + BAR + CURVE)
            .set("stroke", colour)
            .set("stroke-width", wide)
            .add(Title::new(words.trim()));
        group = group.add(line);
    }
    group
}

fn axis(scale: &Scale, y: f64) -> Group {
    let mut group = Group::new();
    for tick in 0..=TICKS {
        let part = f64::from(tick) / f64::from(TICKS);
        let x = LEFT + part * (WIDTH - 2.0 * LEFT);
        let line = Line::new()
            .set("x1", x)
            .set("x2", x)
            .set("y1", TOP - 10.0)
            .set("y2", y)
            .set("stroke", "#dddddd")
            .set("stroke-width", 0.5);
        let label = nanoseconds((part * scale.length) as u64);
        let anchor = if tick == TICKS { "end" } else { "start" };
        group = group
            .add(line)
            .add(text(x, y + 14.0, 10, &label).set("text-anchor", anchor));
    }
    group
}

fn legend(y: f64) -> Group {
    let mut group = Group::new();
    let step = (WIDTH - 2.0 * LEFT) / COLOURS.len() as f64;
    for (place, (state, colour)) in (0u32..).zip(COLOURS) {
        let x = LEFT + f64::from(place) * step;
        let sample = Rectangle::new()
            .set("x", x)
            .set("y", y)
            .set("width", 12)
            .set("height", 12)
            .set("fill", colour)
            .set("stroke", "#404040")
            .set("stroke-width", 0.5);
        group = group.add(sample).add(text(x + 16.0, y + 10.0, 10, state));
    }
    group
}

/// The drawing, as a file of its own.
pub(super) fn draw(timeline: &Timeline) -> String {
    let (start, end) = timeline.range();
    let scale = Scale {
        start,
        length: end.saturating_sub(start).max(1) as f64,
    };
    let bottom = TOP + LANE * timeline.devices.len() as f64;
    let height = bottom + 60.0;
    let paper = Rectangle::new()
        .set("width", WIDTH)
        .set("height", height)
        .set("fill", "#ffffff");
    let mut document = Document::new()
        .set("viewBox", (0.0, 0.0, WIDTH, height))
        .set("width", WIDTH)
        .set("height", height)
        .set("font-family", "sans-serif")
        .add(paper)
        .add(text(LEFT, 22.0, 15, "Migration of VFIO devices"))
        .add(axis(&scale, bottom));
    for (place, name) in (0u32..).zip(&timeline.devices) {
        let y = TOP + LANE * f64::from(place);
        let device = place as usize;
        let entries: Vec<&Entry> = timeline
            .entries
            .iter()
            .filter(|entry| entry.device == device)
            .collect();
        document = document
            .add(text(LEFT, y + 12.0, 12, name))
            .add(states(timeline, device, &scale, y + 18.0))
            .add(curve(&entries, &scale, y + 18.0 + BAR))
            .add(marks(&entries, &scale, y + 18.0));
    }
    let mut drawing = document.add(legend(bottom + 30.0)).to_string();
    drawing.push('\n');
    drawing
}

#[cfg(test)]
mod tests {
    use super::super::timeline::tests::timeline;
    use super::*;

    #[test]
    fn all_of_the_timeline_is_drawn() {
        let drawing = draw(&timeline());
        assert!(drawing.starts_with("<svg "), "{drawing}");
        for part in [
            "\nsrc\n",
            "\ndst\n",
            "STOP_COPY 1.00 ms",
            "round 1: 8192 B",
            "ERROR in load: -74",
            "reset from STOP_COPY",
            "8292 B of state",
            "#c00000",
        ] {
            assert!(drawing.contains(part), "{part} is not in\n{drawing}");
        }
    }

    #[test]
    fn what_comes_from_the_trace_is_no_markup() {
        let mut timeline = timeline();
        timeline.devices[0] = "<a&b>".to_owned();
        let drawing = draw(&timeline);
        assert!(drawing.contains("&lt;a&amp;b&gt;"), "{drawing}");
        assert!(!drawing.contains("<a&b>"));
    }
}
