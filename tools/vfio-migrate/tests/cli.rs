// SPDX-License-Identifier: GPL-2.0

//! The program as its users meet it, where that needs no device: exit statuses, messages, output.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The example of `Documentation/driver-api/vfio-migration-stream.rst`: the lines of its dumps.
fn example() -> Vec<u8> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../Documentation/driver-api/vfio-migration-stream.rst");
    let text = fs::read_to_string(document).unwrap();
    let mut bytes = Vec::new();
    for line in text
        .lines()
        .filter(|line| line.ends_with('|') && line.contains("  |"))
    {
        let (hex, _) = line.split_once("  |").unwrap();
        for word in hex.split_whitespace().skip(1) {
            bytes.push(u8::from_str_radix(word, 16).unwrap());
        }
    }
    assert_eq!(bytes.len(), 0xe5);
    bytes
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_vfio-migrate"))
}

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Checks a file with these bytes.
fn check(bytes: &[u8]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state");
    fs::write(&file, bytes).unwrap();
    run(&["check", file.to_str().unwrap()])
}

#[test]
fn check_prints_the_records_of_the_documents_example() {
    let output = check(&example());
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output);
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .collect();
    let records = [
        "IDENTITY",
        "DATA",
        "STOP_COPY_SIZE",
        "DATA",
        "CHECKSUM",
        "TRAILER",
    ];
    assert_eq!(names[1..7], records, "{text}");
    assert!(
        text.contains("backend example version 1, requires 1000"),
        "{text}"
    );
    assert!(text.contains("0xd242e878"), "{text}");
    assert!(
        text.contains("6 records, 17 bytes of device state, 229 bytes in all"),
        "{text}"
    );
}

#[test]
fn check_refuses_each_cut_and_each_flipped_bit() {
    let whole = example();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state");
    let status = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        run(&["check", "-q", file.to_str().unwrap()]).status.code()
    };
    for len in 0..whole.len() {
        assert!(matches!(status(&whole[..len]), Some(4 | 6)), "{len} bytes");
    }
    for bit in (0..whole.len() * 8).step_by(3) {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(status(&bytes), Some(4 | 6)), "bit {bit}");
    }
    assert_eq!(status(&whole), Some(0));
}

#[test]
fn check_says_where_the_damage_is() {
    let mut bytes = example();
    bytes[0x65] ^= 1;
    let output = check(&bytes);
    assert_eq!(output.status.code(), Some(4));
    let text = err(&output);
    assert!(text.contains("the record at byte 157 of 229"), "{text}");
    assert!(text.contains("a checksum does not match"), "{text}");
}

#[test]
fn check_reads_standard_input_and_says_what_it_does_not_know() {
    let mut child = program()
        .args(["check", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), &[0x5a; 4000]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(6));
    assert!(
        err(&output).contains("4000 bytes of an unknown format"),
        "{}",
        err(&output)
    );
}

#[test]
fn errors_name_the_thing_and_the_way_out() {
    let output = run(&["check", "/nowhere/state"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("cannot open /nowhere/state"),
        "{}",
        err(&output)
    );
    assert_eq!(run(&["check", "/"]).status.code(), Some(1));
    assert_eq!(run(&["no-such-command"]).status.code(), Some(2));
    assert_eq!(
        run(&["save", "--rounds", "0", "a", "b"]).status.code(),
        Some(2)
    );
    for device in ["fd:77", "fd:x", "fd:0", "0000:ff:1f.7"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state");
        let output = run(&["save", device, file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(3), "{}", err(&output));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn report_reads_a_trace_and_draws_it() {
    let dir = tempfile::tempdir().unwrap();
    let (trace, drawing) = (dir.path().join("trace"), dir.path().join("trace.svg"));
    let (trace, drawing) = (trace.to_str().unwrap(), drawing.to_str().unwrap());
    let line =
        "m-1 [000] ..... 1.5: vfio_migration_arc: device=X from=STOP to=RUNNING ret=0 ns=10\n";
    fs::write(trace, [b"\xff\xfe\n", line.as_bytes()].concat()).unwrap();
    let output = run(&["report", trace, "--svg", drawing]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("STOP -> RUNNING"));
    assert!(fs::read_to_string(drawing).unwrap().contains("STOP"));

    let output = run(&["report", trace, "--device", "Y"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("holds no event"), "{}", err(&output));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state");
    fs::write(&file, example()).unwrap();
    let mut child = program()
        .args(["check", file.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(err(&output), "");
}
