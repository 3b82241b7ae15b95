// SPDX-License-Identifier: GPL-2.0

//! The documentation names what there is.

use connectx_firmware::{command_names, OPTIONS};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const DOCUMENT: &str =
    include_str!("../../../../../../Documentation/dev-tools/vfio-connectx-model.rst");

/// The rows of the table in a section, without the first: their cells.
fn rows(section: &str) -> Vec<Vec<String>> {
    let begin = DOCUMENT.find(&format!("\n{section}\n")).expect("a section");
    let text = &DOCUMENT[begin + section.len() + 3..];
    let text = &text[..text.find("\n====").unwrap_or(text.len())];
    let mut rows = Vec::new();
    for line in text.lines() {
        if let Some(cell) = line.strip_prefix("  * - ") {
            rows.push(vec![cell.to_string()]);
        } else if let Some(cell) = line.strip_prefix("    - ") {
            rows.last_mut().expect("a row").push(cell.to_string());
        }
    }
    rows.remove(0);
    rows
}

/// The first cells of the rows.
fn first_cells(section: &str) -> BTreeSet<String> {
    let first = rows(section).into_iter().map(|row| row[0].clone());
    first
        .flat_map(|cell| cell.split(", ").map(str::to_string).collect::<Vec<_>>())
        .map(|name| name.trim_matches('`').to_string())
        .collect()
}

#[test]
fn commands() {
    let named = command_names().map(str::to_string).collect();
    assert_eq!(first_cells("Commands"), named);
}

/// Each command's files are there, and so are its tests.
#[test]
fn files_and_tests() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |folder: &str, file: &str| {
        let path = here.join(folder).join(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let mut tests = String::new();
    for entry in fs::read_dir(here.join("tests")).expect("tests") {
        tests += &fs::read_to_string(entry.expect("a file").path()).expect("a test");
    }
    for row in rows("Commands") {
        assert_eq!(row.len(), 3, "{row:?}");
        for (cell, folder) in row[1..].iter().zip(["src", "tests"]) {
            for name in cell
                .split('`')
                .skip(1)
                .step_by(2)
                .filter(|name| !name.is_empty())
            {
                if name.ends_with(".rs") {
                    read(folder, name);
                } else {
                    assert!(tests.contains(&format!("fn {name}(")), "{name}");
                }
            }
        }
    }
}

#[test]
fn options() {
    let choices = OPTIONS.iter().map(|choice| choice.name);
    // And those of the plugin.
    let named = choices.chain(["vfs", "vectors", "msi", "trace"]);
    let named: BTreeSet<_> = named.map(str::to_string).collect();
    assert_eq!(first_cells("Options"), named);
}
