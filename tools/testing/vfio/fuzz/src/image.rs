// SPDX-License-Identifier: GPL-2.0

//! The image of the emulated device.

use crate::allocating_nothing;
use crate::device::is_sound;
use crate::emulated::{
    config,
    engine::Engine,
    image::{
        device_item,
        pages_header,
        Decoder,
        Error,
        Piece,
        DEVICE_LEN,
        HEADER,
        PAGE, //
    },
    registers::Registers, //
};
use crate::program::Program;
use crate::samples::Random;

/// What becomes of an image.
#[derive(Debug, PartialEq)]
struct Outcome {
    memory: Vec<u8>,
    /// How often each page was begun to be written.
    covered: Vec<bool>,
    end: bool,
    result: Result<(Registers, Engine, [u8; config::SIZE]), Error>,
}

/// Decodes an image in pieces whose lengths `cut` says.
fn decode(size: usize, image: &[u8], mut cut: impl FnMut() -> usize) -> Outcome {
    let mut decoder = Decoder::new(size);
    let mut outcome = Outcome {
        memory: vec![0; size],
        covered: vec![false; size],
        end: false,
        result: Err(Error::Incomplete),
    };
    let mut left = image;
    while !left.is_empty() {
        let (mut input, rest) = left.split_at(cut().clamp(1, left.len()));
        left = rest;
        loop {
            match allocating_nothing(|| decoder.next(&mut input)) {
                Ok(Piece::More) => break,
                Ok(Piece::Memory { offset, bytes }) => {
                    assert!(!outcome.end && !bytes.is_empty());
                    let range = offset..offset + bytes.len();
                    outcome.memory[range.clone()].copy_from_slice(bytes);
                    outcome.covered[range].fill(true);
                }
                Ok(Piece::Device) => {
                    assert!(!outcome.end);
                    outcome.end = true;
                }
                Err(error) => {
                    outcome.result = Err(error);
                    return outcome;
                }
            }
        }
        assert!(input.is_empty());
    }
    outcome.result = decoder.device();
    outcome
}

fn whole(size: usize, image: &[u8]) -> Outcome {
    decode(size, image, || usize::MAX)
}

/// An image that the input says how to put together. What must hold:
///
/// - In whatever pieces it comes, the same becomes of it; nothing is allocated, nothing is put
///   outside the memory.
/// - What is accepted gave each page of the memory, and ended with a device that makes the same
///   item again; no part of it is accepted, nor anything more.
pub fn image(input: &[u8]) {
    let mut program = Program::new(input);
    let pages = 1 + usize::from(program.byte() % 4);
    let seed = program.byte();
    let image = put_together(&mut program, pages);
    let size = pages * PAGE;

    let outcome = whole(size, &image);
    let mut random = Random::new(seed.into());
    assert_eq!(decode(size, &image, || 1 + random.below(64)), outcome);
    let mut random = Random::new(seed.into());
    assert_eq!(decode(size, &image, || 1 + random.below(8192)), outcome);

    if let Ok((registers, engine, config)) = &outcome.result {
        assert!(outcome.end && outcome.covered.iter().all(|covered| *covered));
        let item = device_item(registers, engine, config);
        assert_eq!(image[image.len() - item.len()..], item);
        is_sound(registers, engine);
        let mut more = image.clone();
        more.push(0);
        assert_eq!(whole(size, &more).result, Err(Error::Invalid));
        for _ in 0..8 {
            let part = &image[..random.below(image.len())];
            assert_eq!(whole(size, part).result, Err(Error::Incomplete));
        }
    }
}

fn put_together(program: &mut Program<'_>, pages: usize) -> Vec<u8> {
    let mut image = Vec::new();
    let mut steps = 24;
    while !program.is_over() && steps > 0 {
        steps -= 1;
        match program.byte() % 8 {
            0 | 1 => {
                let (first, count) = (program.byte() % 5, program.byte() % 5);
                image.extend(pages_header(first.into(), count.into()));
                image.resize(image.len() + usize::from(count) * PAGE, program.byte());
            }
            // All pages, so that a device may follow.
            2 => {
                image.extend(pages_header(0, pages));
                image.resize(image.len() + pages * PAGE, program.byte());
            }
            3 | 4 => {
                let mut item = device_item(&Registers::new(), &Engine::new(), &[7; config::SIZE]);
                for _ in 0..program.byte() % 64 {
                    let at = usize::from(program.half()) % item.len();
                    item[at] = program.byte();
                }
                image.extend(item);
            }
            5 => {
                let mut item = [0; HEADER + DEVICE_LEN];
                item[..HEADER].copy_from_slice(
                    &device_item(&Registers::new(), &Engine::new(), &[0; config::SIZE])[..HEADER],
                );
                let bytes = program.bytes(DEVICE_LEN);
                item[HEADER..HEADER + bytes.len()].copy_from_slice(bytes);
                image.extend(item);
            }
            6 => {
                let most = program.byte();
                image.extend(program.bytes(most.into()));
            }
            _ => image.truncate(usize::from(program.half())),
        }
    }
    image
}
