// SPDX-License-Identifier: GPL-2.0

//! The document of the format must say what the code does.

use crate::{
    driver::protocol::stream::{
        self,
        Error,
        Identity,
        Writer, //
    },
    samples::{
        data_record,
        read_all_ways,
        TableCrc,
        REQUIRED, //
    }, //
};

const DOCUMENT: &str =
    include_str!("../../../../Documentation/driver-api/vfio-migration-stream.rst");

/// The stream of the example, record by record.
fn example() -> Vec<Vec<u8>> {
    let mut requirement = [0; 32];
    requirement[0] = 0x10;
    let mut writer = Writer::<TableCrc>::new();
    let identity = writer.identity(&Identity {
        backend: Identity::name("example"),
        backend_version: 1,
        requirement,
    });
    let mut records = vec![
        identity.to_vec(),
        data_record(&mut writer, b"while running"),
    ];
    records.push(writer.stop_copy_size(4).to_vec());
    records.push(data_record(&mut writer, b"rest"));
    records.push(writer.checksum().to_vec());
    records.push(writer.trailer().to_vec());
    records
}

/// The records as the document shows them: each line has an offset, up to 16 bytes and their text.
fn dump(records: &[Vec<u8>]) -> Vec<String> {
    let mut offset = 0;
    let mut lines = Vec::new();
    for record in records {
        for row in record.chunks(16) {
            let hex: Vec<_> = row.iter().map(|byte| format!("{byte:02x}")).collect();
            let text: String = row
                .iter()
                .map(|byte| match byte {
                    b' '..=b'~' => char::from(*byte),
                    _ => '.',
                })
                .collect();
            lines.push(format!("{offset:04x}  {:47}  |{text}|", hex.join(" ")));
            offset += row.len();
        }
    }
    lines
}

/// The lines of a section, from its title to the next.
fn section(title: &str) -> impl Iterator<Item = &'static str> {
    let start = DOCUMENT.find(&format!("\n{title}\n")).expect(title);
    let mut lines = DOCUMENT[start..].lines().skip(3).peekable();
    std::iter::from_fn(move || {
        let line = lines.next()?;
        let ends = lines.peek().is_some_and(|next| {
            !line.is_empty() && !next.is_empty() && next.trim_matches('=').is_empty()
        });
        (!ends).then_some(line)
    })
}

#[test]
fn example_is_what_the_writer_writes() {
    let shown: Vec<_> = section("Example")
        .map(str::trim)
        .filter(|line| line.ends_with('|'))
        .collect();
    let written = dump(&example());
    assert_eq!(shown, written, "\n{}\n", written.join("\n"));
}

#[test]
fn example_is_accepted() {
    let outcome = read_all_ways(REQUIRED, &example().concat());
    assert_eq!(outcome.result, Ok(()));
    assert_eq!(outcome.state(), b"while runningrest");
}

#[test]
fn every_error_is_listed() {
    let text: Vec<_> = section("Errors").collect();
    let table = text.join("\n");
    let rows = text
        .iter()
        .filter(|line| line.starts_with("  * - "))
        .count();
    for error in Error::ALL {
        let row = format!("  * - {}\n    - {:?}\n", error.describe(), error.class());
        assert!(table.contains(&row), "{row}");
    }
    // Of each of the two tables the first row is the head; the first table has the classes.
    assert_eq!(rows, 2 + 5 + Error::ALL.len());
}

#[test]
fn every_tag_is_listed() {
    for (tag, name) in [
        (stream::TAG_DATA, "DATA"),
        (stream::TAG_STOP_COPY_SIZE, "STOP_COPY_SIZE"),
        (stream::TAG_IDENTITY, "IDENTITY"),
        (stream::TAG_CHECKSUM, "CHECKSUM"),
        (stream::TAG_TRAILER, "TRAILER"),
    ] {
        let row = format!("  * - {name}\n    - 0x{tag:08x}\n");
        assert!(DOCUMENT.contains(&row), "{row}");
    }
}
