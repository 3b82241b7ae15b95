// SPDX-License-Identifier: GPL-2.0

//! How numbers and tables look.

use std::time::Duration;

/// A number of bytes, and where it is large a second time in units.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..=9999 => format!("{count} B"),
        _ => format!("{count} B ({})", indicatif::BinaryBytes(count)),
    }
}

/// A time with three digits or more.
pub(crate) fn time(time: Duration) -> String {
    let ns = time.as_nanos();
    match ns {
        0..=999 => format!("{ns} ns"),
        1_000..=999_999 => format!("{:.2} us", ns as f64 / 1e3),
        1_000_000..=999_999_999 => format!("{:.2} ms", ns as f64 / 1e6),
        _ => format!("{:.3} s", ns as f64 / 1e9),
    }
}

/// Rows with their columns one below the other; blanks at the ends of lines are left out.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1 << 20), "1048576 B (1.00 MiB)");
        assert_eq!(time(Duration::from_nanos(999)), "999 ns");
        assert_eq!(time(Duration::from_micros(5)), "5.00 us");
        assert_eq!(time(Duration::from_millis(1500)), "1.500 s");
    }

    #[test]
    fn columns_are_one_below_the_other() {
        let rows = [["a", "bc"], ["def", "g"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "a    bc\ndef  g\n");
    }
}
