// SPDX-License-Identifier: GPL-2.0

//! Tables of reStructuredText, and numbers in them.

use crate::sample::{Data, Figure, Quantity};

/// A simple table: a line for each row, the first of which is the header.
pub(crate) fn simple(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let widths = rows.iter().filter_map(|row| row.get(column));
        widths
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
            .max(1)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |cells: Vec<String>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    let border = line(widths.iter().map(|width| "=".repeat(*width)).collect());
    let mut text = border.clone();
    for (number, row) in rows.iter().enumerate() {
        text += &line(row.clone());
        if number == 0 {
            text += &border;
        }
    }
    text + &border + "\n"
}

/// How a number is shown.
#[derive(Clone, Copy)]
pub(crate) struct Unit {
    /// What it is divided by.
    pub(crate) by: f64,
}

pub(crate) const MILLISECONDS: Unit = Unit { by: 1e6 };
pub(crate) const MICROSECONDS: Unit = Unit { by: 1e3 };
pub(crate) const SECONDS: Unit = Unit { by: 1e9 };
pub(crate) const MIB: Unit = Unit { by: 1048576.0 };
pub(crate) const MIB_OF_KIB: Unit = Unit { by: 1024.0 };
pub(crate) const ONE: Unit = Unit { by: 1.0 };

/// Three digits that count.
fn digits(value: f64) -> String {
    match value {
        v if v == v.trunc() && v < 1e4 => format!("{v}"),
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v if v >= 0.9995 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}

fn number(figure: Figure, unit: Unit) -> String {
    let text = digits(figure.median / unit.by);
    // What is repeated to a percent needs no remark.
    match (figure.spread * 100.0).round() {
        percent if percent >= 1.0 => format!("{text} ±{percent} %"),
        _ => text,
    }
}

/// `FIRST | SECOND`, or a dash for what was not measured.
pub(crate) fn pair(data: &Data, quantity: &Quantity, unit: Unit) -> String {
    let [one, two] = data.get(quantity).map(|figure| match figure {
        Some(figure) => number(figure, unit),
        None => "-".to_owned(),
    });
    if one == "-" && two == "-" {
        return one;
    }
    format!("{one} | {two}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::tests::data;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let rows = [["a", "bcd"], ["efgh", "i"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(
            simple(&rows),
            "====  ===\na     bcd\n====  ===\nefgh  i\n====  ===\n\n"
        );
    }

    #[test]
    fn numbers_have_three_digits() {
        let all = [0.01234, 0.5678, 1.234, 12.34, 123.4, 12345.6, 7.0].map(digits);
        assert_eq!(all, ["0.012", "0.568", "1.23", "12.3", "123", "12346", "7"]);
    }

    #[test]
    fn spread_and_what_is_missing() {
        let data = data();
        let quantity = Quantity::new("arc_ns", "STOP -> STOP_COPY", "1M");
        assert_eq!(
            pair(&data, &quantity, MILLISECONDS),
            "3.15 ±33 % | 6.29 ±33 %"
        );
        assert_eq!(pair(&data, &Quantity::new("arc_ns", "", "1M"), ONE), "-");
    }
}
