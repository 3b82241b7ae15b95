// SPDX-License-Identifier: GPL-2.0

//! Makes and reads streams with this project's code, for the stock driver to read and of its making.
//!
//! Usage: `stream images >IMAGES`, `stream write <IMAGES >STREAM`, `stream read <STREAM >IMAGES`.
//!
//! An image is what firmware would have made: its size as le64, and its bytes.

#[path = "../../../../drivers/vfio/migration/core"]
#[allow(dead_code, unused_imports)]
mod driver {
    pub(crate) mod protocol;
}

use std::io::{
    self,
    Read,
    Write, //
};

use driver::protocol::stream::{
    Crc,
    Event,
    Identity,
    IdentityPolicy,
    Parser,
    Policy,
    Writer,
    REQUIREMENT_LEN, //
};

/// A CRC32C that computes each bit.
struct Bitwise;

impl Crc for Bitwise {
    fn update(crc: u32, bytes: &[u8]) -> u32 {
        bytes.iter().fold(crc, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
            })
        })
    }
}

/// Images of sizes around those of pages, with bytes that differ.
fn images() -> Vec<Vec<u8>> {
    let mut number = 1u32;
    [1, 15, 16, 4095, 4096, 4097, 70_000, 8]
        .into_iter()
        .map(|length| {
            (0..length)
                .map(|_| {
                    number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (number >> 24) as u8
                })
                .collect()
        })
        .collect()
}

fn encode(images: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for image in images {
        bytes.extend((image.len() as u64).to_le_bytes());
        bytes.extend(image);
    }
    bytes
}

fn decode(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut images = Vec::new();
    while let Some((size, rest)) = bytes.split_first_chunk() {
        let (image, rest) = rest.split_at(u64::from_le_bytes(*size) as usize);
        images.push(image.to_vec());
        bytes = rest;
    }
    assert!(bytes.is_empty());
    images
}

/// Makes a stream with everything in it that a stock driver does not know.
fn write(images: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = Writer::<Bitwise>::new();
    let mut stream = writer
        .identity(&Identity {
            backend: Identity::name("oracle"),
            backend_version: 1,
            requirement: [0xff; REQUIREMENT_LEN],
        })
        .to_vec();
    stream.extend(writer.checksum());
    stream.extend(writer.stop_copy_size(10_000));
    for image in images {
        stream.extend(writer.data(image.len() as u64));
        writer.payload(image);
        stream.extend(image);
        stream.extend(writer.checksum());
    }
    stream.extend(writer.trailer());
    stream
}

/// Reads a stream that has no identity.
fn read(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut parser = Parser::<Bitwise>::new(Policy {
        identity: IdentityPolicy::Accepted,
        max_record: u64::from(u32::MAX),
    });
    let mut images: Vec<Vec<u8>> = Vec::new();
    let mut estimates = Vec::new();
    for mut piece in stream.chunks(1000) {
        loop {
            match parser.push(&mut piece).expect("the stream is refused") {
                Event::More => break,
                Event::DataBegin { .. } => images.push(Vec::new()),
                Event::Data(bytes) => images.last_mut().expect("it has begun").extend(bytes),
                Event::DataEnd => {}
                Event::StopCopySize(size) => estimates.push(size),
                event => panic!("{event:?} from a stock driver"),
            }
        }
    }
    parser.finish().expect("the stream is incomplete");
    // The stock driver gives the size of the buffer for its first image: whole pages.
    assert_eq!(estimates, [images[0].len().next_multiple_of(4096) as u64]);
    images
}

fn main() {
    let command = std::env::args().nth(1);
    let input = || {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).expect("cannot read");
        bytes
    };
    let output = match command.as_deref() {
        Some("images") => encode(&images()),
        Some("write") => write(&decode(&input())),
        Some("read") => encode(&read(&input())),
        _ => panic!("usage: stream images|write|read"),
    };
    io::stdout().write_all(&output).expect("cannot write");
}
