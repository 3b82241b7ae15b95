// SPDX-License-Identifier: GPL-2.0

//! The reader of streams.

use crate::allocating_nothing;
use crate::driver::protocol::stream::{
    Event,
    Parser,
    Policy,
    Writer, //
};
use crate::model::{
    self,
    Stream, //
};
use crate::program::Program;
use crate::samples::{
    data_record,
    read,
    Cut,
    Outcome,
    Random,
    TableCrc,
    ACCEPTED,
    MAX_RECORD,
    REQUIRED, //
};

/// The most damaged copies of one stream.
const DAMAGED: usize = 256;

/// Any bytes as a stream. What must hold:
///
/// - The driver's reader accepts what the model accepts, gives the same records, and in whatever
///   pieces the same events; an error stays.
/// - It allocates nothing.
/// - What is accepted as a stream with identity is whole and sealed: no part of it is accepted, nor
///   anything more, nor with a bit flipped; and the driver's writer can write it.
pub fn stream(input: &[u8]) {
    let accepted = model::compare(input);
    for policy in [REQUIRED, ACCEPTED] {
        allocating_nothing(|| take(policy, input));
    }
    if accepted {
        let outcome = read(ACCEPTED, input, Cut::Whole);
        if outcome.identity.is_some() {
            assert!(outcome.ended);
            is_sealed(input);
            is_written(&outcome);
        }
    }
}

/// Reads a stream and keeps nothing of it.
fn take(policy: Policy, mut input: &[u8]) {
    let mut parser = Parser::<TableCrc>::new(policy);
    while let Ok(event) = parser.push(&mut input) {
        match event {
            Event::More => return,
            Event::DataBegin { size } => assert!((1..=MAX_RECORD).contains(&size)),
            _ => {}
        }
    }
}

fn is_refused(stream: &[u8]) {
    for policy in [REQUIRED, ACCEPTED] {
        assert!(read(policy, stream, Cut::Whole).result.is_err());
    }
}

/// No stream that differs a little is accepted. Of a long one some places are tried, which the stream
/// itself decides, so that each run tries the same.
fn is_sealed(stream: &[u8]) {
    let mut random = Random::new(u64::from(crate::samples::crc32c(stream)));
    let mut some = |count: usize| -> Vec<usize> {
        match count {
            0..=DAMAGED => (0..count).collect(),
            _ => (0..DAMAGED).map(|_| random.below(count)).collect(),
        }
    };
    for length in some(stream.len()) {
        is_refused(&stream[..length]);
    }
    let mut copy = stream.to_vec();
    for bit in some(8 * stream.len()) {
        copy[bit / 8] ^= 1 << (bit % 8);
        is_refused(&copy);
        copy[bit / 8] ^= 1 << (bit % 8);
    }
    for more in [0, 1, 0xff] {
        copy.push(more);
        is_refused(&copy);
        copy.pop();
    }
}

/// The writer can write what was read, and that reads the same.
fn is_written(outcome: &Outcome) {
    let mut writer = Writer::<TableCrc>::new();
    let identity = outcome.identity.as_ref().expect("it is identified");
    let mut written = writer.identity(identity).to_vec();
    for estimate in &outcome.estimates {
        written.extend(writer.stop_copy_size(*estimate));
        written.extend(writer.checksum());
    }
    for state in &outcome.records {
        written.extend(data_record(&mut writer, state));
    }
    written.extend(writer.trailer());
    let again = read(REQUIRED, &written, Cut::Whole);
    assert_eq!(again.result, Ok(()));
    assert_eq!(again.identity, outcome.identity);
    assert_eq!(again.estimates, outcome.estimates);
    assert_eq!(again.records, outcome.records);
}

/// A stream that the input says how to put together, with the right checksums where that is asked for,
/// and how to damage. A fuzzer does not find checksums by itself.
pub fn made(input: &[u8]) {
    let mut program = Program::new(input);
    let mut made = Stream::default();
    // Whoever wants more may say so in more bytes; this bounds the time.
    let mut steps = 64;
    while !program.is_over() && steps > 0 {
        steps -= 1;
        made = step(made, &mut program);
    }
    stream(&made.bytes);
}

fn step(mut made: Stream, program: &mut Program<'_>) -> Stream {
    const OPTIONAL: u32 = 1;

    match program.byte() % 16 {
        0 | 1 => {
            let most = usize::from(program.byte() % 64);
            made.data(program.bytes(most))
        }
        2 => {
            let (length, value) = (program.half() % 5000, program.byte());
            made.data(&vec![value; length.into()])
        }
        3 => made.stop_copy_size(program.long()),
        4 | 5 => made.checksum(),
        6 => {
            let (flags, tag) = (u32::from(program.byte()), program.word());
            let most = usize::from(program.byte());
            made.record(flags, tag, program.bytes(most))
        }
        7 => {
            let tag = [2, 3, 0x5652_0004, u32::MAX][usize::from(program.byte() % 4)];
            let most = usize::from(program.byte());
            made.record(OPTIONAL, tag, program.bytes(most))
        }
        8 => made.identity(),
        9 => {
            // One that differs in a few bytes.
            let mut identity = model::identity();
            for _ in 0..program.byte() % 8 {
                let at = usize::from(program.byte()) % identity.len();
                identity[at] = program.byte();
            }
            made.record(OPTIONAL, 0x5652_0001, &identity)
        }
        10 | 11 => made.trailer(),
        12 => {
            let (bytes, records, data) = (program.half(), program.byte(), program.half());
            made.trailer_of(bytes.into(), records.into(), data.into())
        }
        13 => {
            let (size, flags) = (program.long(), program.byte());
            made.header(size, flags.into(), program.word())
        }
        14 => {
            let most = usize::from(program.byte());
            made.bytes.extend(program.bytes(most));
            made
        }
        _ => {
            let (way, at, count) = (program.byte(), program.half(), program.byte());
            damage(&mut made.bytes, way, at.into(), count.into());
            made
        }
    }
}

fn damage(bytes: &mut Vec<u8>, way: u8, at: usize, count: usize) {
    if bytes.is_empty() {
        return;
    }
    let at = at % bytes.len();
    let end = (at + count).min(bytes.len());
    match way % 4 {
        0 => bytes.truncate(at),
        1 => bytes[at] ^= 1 << (count % 8),
        2 => drop(bytes.drain(at..end)),
        _ => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
    }
}
