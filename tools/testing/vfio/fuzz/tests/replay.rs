// SPDX-License-Identifier: GPL-2.0

//! The corpus again: what the fuzzer once found, and samples of real streams.

use std::fs;
use std::path::Path;
use vfio_fuzz::TARGETS;

/// The inputs of a target: a line of hexadecimal digits each.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("corpus/{name}.hex"));
    let text =
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let digits = line.as_bytes().chunks(2);
            digits
                .map(|two| {
                    let two = std::str::from_utf8(two).expect("ASCII");
                    u8::from_str_radix(two, 16).expect("hexadecimal digits")
                })
                .collect()
        })
        .collect()
}

fn replay(name: &str) {
    let (_, run) = TARGETS
        .iter()
        .find(|(target, _)| *target == name)
        .expect("a target");
    let corpus = corpus(name);
    assert!(corpus.len() >= 10, "{} inputs", corpus.len());
    for (number, input) in corpus.iter().enumerate() {
        println!("{name}, input {number}");
        run(input);
    }
}

#[test]
fn stream() {
    replay("stream");
}

#[test]
fn made() {
    replay("made");
}

#[test]
fn image() {
    replay("image");
}

#[test]
fn device() {
    replay("device");
}

#[test]
fn connectx() {
    replay("connectx");
}

#[test]
fn the_empty_input_is_one_too() {
    for (_, run) in TARGETS {
        run(&[]);
    }
}
