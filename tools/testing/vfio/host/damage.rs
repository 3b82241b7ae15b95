// SPDX-License-Identifier: GPL-2.0

//! Damaged streams must be refused, and nothing may follow from how they are cut.

use crate::samples::{
    read,
    read_all_ways,
    realistic,
    small,
    Cut,
    Random,
    ACCEPTED,
    REQUIRED, //
};

#[test]
fn undamaged_streams_are_accepted() {
    for policy in [REQUIRED, ACCEPTED] {
        assert_eq!(read_all_ways(policy, &small()).result, Ok(()));
        let (stream, state) = realistic();
        let outcome = read_all_ways(policy, &stream);
        assert_eq!(outcome.result, Ok(()));
        assert_eq!(outcome.state(), state);
    }
}

#[test]
fn every_cut_in_two_is_accepted() {
    let (stream, _) = realistic();
    let outcome = read(REQUIRED, &stream, Cut::Whole);
    for at in 1..stream.len() {
        assert_eq!(read(REQUIRED, &stream, Cut::InTwo(at)), outcome);
    }
}

#[test]
fn any_truncation_is_refused() {
    for policy in [REQUIRED, ACCEPTED] {
        for stream in [small(), realistic().0] {
            for length in 0..stream.len() {
                for cut in [Cut::Whole, Cut::Random(length as u64)] {
                    assert!(read(policy, &stream[..length], cut).result.is_err());
                }
            }
        }
    }
}

#[test]
fn any_flipped_bit_is_refused() {
    for policy in [REQUIRED, ACCEPTED] {
        let mut stream = small();
        for bit in 0..stream.len() * 8 {
            stream[bit / 8] ^= 1 << (bit % 8);
            assert!(read_all_ways(policy, &stream).result.is_err());
            stream[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn any_flipped_bit_of_a_long_stream_is_refused() {
    let (mut stream, _) = realistic();
    for bit in 0..stream.len() * 8 {
        stream[bit / 8] ^= 1 << (bit % 8);
        assert!(read(REQUIRED, &stream, Cut::Whole).result.is_err());
        stream[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn any_two_flipped_bits_are_refused() {
    let mut stream = small();
    let bits = stream.len() * 8;
    for first in 0..bits {
        stream[first / 8] ^= 1 << (first % 8);
        for second in first + 1..bits {
            stream[second / 8] ^= 1 << (second % 8);
            assert!(read(REQUIRED, &stream, Cut::Whole).result.is_err());
            stream[second / 8] ^= 1 << (second % 8);
        }
        stream[first / 8] ^= 1 << (first % 8);
    }
}

/// A place for a piece of at most `most` bytes in `stream`.
fn piece(random: &mut Random, stream: &[u8], most: usize) -> std::ops::Range<usize> {
    let start = random.below(stream.len());
    let length = 1 + random.below(most.min(stream.len() - start));
    start..start + length
}

/// Where each record of a stream starts, and where the last ends.
fn boundaries(stream: &[u8]) -> Vec<usize> {
    let mut at = 0;
    let mut boundaries = vec![at];
    while let Some(size) = stream.get(at..at + 8) {
        at += 16 + u64::from_le_bytes(size.try_into().unwrap()) as usize;
        boundaries.push(at);
    }
    boundaries
}

/// Damages a stream as memory, networks and people do.
fn damage(random: &mut Random, stream: &mut Vec<u8>, records: &[usize]) {
    if stream.is_empty() {
        return;
    }
    let at = random.below(stream.len());
    let mut record = || {
        let index = random.below(records.len() - 1);
        let clamp = |at: usize| at.min(stream.len());
        clamp(records[index])..clamp(records[index + 1])
    };
    let (one, other) = (record(), record());
    match random.below(12) {
        0 | 1 => stream[at] ^= 1 << random.below(8),
        2 => stream[at] = random.next() as u8,
        3 => {
            let range = piece(random, stream, 16);
            let noise = random.bytes(range.len());
            stream[range].copy_from_slice(&noise);
        }
        4 => {
            let range = piece(random, stream, 600);
            stream[range].fill(0);
        }
        5 => {
            let range = piece(random, stream, 64);
            stream.drain(range);
        }
        6 => {
            let length = 1 + random.below(32);
            let noise = random.bytes(length);
            stream.splice(at..at, noise);
        }
        7 => {
            let range = piece(random, stream, 64);
            let copy = stream[range].to_vec();
            stream.splice(at..at, copy);
        }
        8 => stream.truncate(at),
        9 => {
            stream.drain(one);
        }
        10 => {
            let copy = stream[one].to_vec();
            stream.splice(other.start..other.start, copy);
        }
        _ => {
            let (first, second) = (stream[one.clone()].to_vec(), stream[other.clone()].to_vec());
            if one.end <= other.start {
                stream.splice(other, first);
                stream.splice(one, second);
            }
        }
    }
}

#[test]
fn random_damage_is_refused() {
    let (original, state) = realistic();
    let records = boundaries(&original);
    let mut random = Random::new(0xda3a6e);
    let mut refused = 0;
    for _ in 0..150_000 {
        let mut stream = original.clone();
        for _ in 0..=random.below(3) {
            damage(&mut random, &mut stream, &records);
        }
        let cut = Cut::Random(random.next());
        let outcome = read(REQUIRED, &stream, Cut::Whole);
        match outcome.result {
            // Damage may undo itself, or replace something by its like.
            Ok(()) => {
                assert_eq!(outcome.state(), state);
                assert!(stream == original);
            }
            Err(_) => refused += 1,
        }
        assert_eq!(read(REQUIRED, &stream, cut), outcome);

        // Without an identity nothing proves that a stream is whole; with one, everything does.
        let outcome = read(ACCEPTED, &stream, Cut::Whole);
        if outcome.result.is_ok() && outcome.identity.is_some() {
            assert!(stream == original);
        }
    }
    assert!(refused > 100_000, "{refused}");
}
