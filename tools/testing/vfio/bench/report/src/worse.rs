// SPDX-License-Identifier: GPL-2.0

//! Where the second driver is worse than the first, and why.

use crate::sample::{words, Data, Quantity};
use crate::table::simple;
use std::collections::BTreeMap;

/// Less than that is not said to be worse.
const LIMIT: f64 = 1.05;

/// Reasons by the beginning of `MEASURE WHAT`; the first that fits counts.
pub(crate) struct Reasons(Vec<(String, String)>);

impl Reasons {
    /// Reads lines of `BEGINNING<tab>REASON`; `#` begins a comment.
    ///
    /// # Errors
    ///
    /// A line has no tab.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let pair = |line: &str| match line.split_once('\t') {
            Some((beginning, reason)) => Ok((beginning.to_owned(), reason.trim().to_owned())),
            None => Err(format!("a reason without a tab: {line}")),
        };
        lines.map(pair).collect::<Result<_, _>>().map(Self)
    }

    fn of(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(start, _)| name.starts_with(start));
        found.map_or("not known", |(_, reason)| reason)
    }
}

/// How much worse the second is; below 1 it is better.
fn ratio(data: &Data, quantity: &Quantity) -> Option<f64> {
    let [one, two] = data.get(quantity);
    let (one, two) = (one?.median, two?.median);
    match quantity.measure.as_str() {
        // Sizes, and parts of what is there as a whole.
        "bytes" | "transfer_wait_ns" | "transfer_read_ns" | "transfer_write_ns" => None,
        measure if measure.ends_with("_bps") => Some(one / two),
        _ => Some(two / one),
    }
    .filter(|ratio| ratio.is_finite())
}

fn setting(quantity: &Quantity) -> String {
    let mut text = words(&quantity.image);
    if quantity.chunk == "on" {
        text += ", chunks";
    }
    if quantity.bandwidth != "0" {
        text += &format!(", {}/s", words(&quantity.bandwidth));
    }
    if quantity.dirty != "0" {
        text += &format!(", {} pages/s", quantity.dirty);
    }
    text
}

/// A table of what is worse, with the worst case of each.
pub(crate) fn table(data: &Data, reasons: &Reasons) -> String {
    let mut found: BTreeMap<(String, String), (usize, f64, String)> = BTreeMap::new();
    for (quantity, _) in data.all() {
        let Some(ratio) = ratio(data, quantity).filter(|ratio| *ratio > LIMIT) else {
            continue;
        };
        let name = format!("{} {}", quantity.measure, quantity.what);
        let worst = found
            .entry((name.trim().to_owned(), quantity.clock.clone()))
            .or_insert((0, 0.0, String::new()));
        worst.0 += 1;
        if ratio > worst.1 {
            (worst.1, worst.2) = (ratio, setting(quantity));
        }
    }
    if found.is_empty() {
        return format!("Nothing that was measured is worse by more than {LIMIT} times.\n\n");
    }
    let mut rows = vec![["Figure", "Clock", "Cases", "Worst", "There", "Why"]
        .map(str::to_owned)
        .to_vec()];
    for ((name, clock), (count, ratio, there)) in found {
        let why = reasons.of(&name).to_owned();
        let worst = format!("{ratio:.2}");
        rows.push(vec![name, clock, count.to_string(), worst, there, why]);
    }
    simple(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::tests::data;

    #[test]
    fn what_is_worse_has_its_reason() {
        let reasons = Reasons::parse("# why\narc_ns STOP ->\tit is slow\n").unwrap();
        let text = table(&data(), &reasons);
        assert!(
            text.contains("arc_ns STOP -> STOP_COPY  exact  2      2.00"),
            "{text}"
        );
        assert!(text.contains("it is slow"), "{text}");
        assert!(Reasons::parse("no tab").is_err());
    }
}
