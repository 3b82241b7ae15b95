// SPDX-License-Identifier: GPL-2.0

//! The documentation names what there is.

use connectx_firmware::{command_names, OPTIONS};
use std::collections::BTreeSet;

const DOCUMENT: &str =
    include_str!("../../../../../../Documentation/driver-api/vfio-migration-connectx.rst");

/// The first cells of the rows of the tables in a section.
fn first_cells(section: &str) -> BTreeSet<&'static str> {
    let begin = DOCUMENT.find(&format!("\n{section}\n")).expect("a section");
    let text = &DOCUMENT[begin + section.len() + 3..];
    let end = text.find("\n====").unwrap_or(text.len());
    text[..end]
        .lines()
        .filter_map(|line| line.strip_prefix("  * - "))
        .skip(1)
        .flat_map(|cell| cell.split(", "))
        .map(|name| name.trim_matches('`'))
        .collect()
}

#[test]
fn commands() {
    let named = command_names().collect::<BTreeSet<_>>();
    assert_eq!(first_cells("Commands"), named);
}

#[test]
fn options() {
    let mut named: BTreeSet<_> = OPTIONS.iter().map(|choice| choice.name).collect();
    // Those of the plugin.
    named.extend(["vfs", "vectors", "trace"]);
    assert_eq!(first_cells("Options"), named);
}
