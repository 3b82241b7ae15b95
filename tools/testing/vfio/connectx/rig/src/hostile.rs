// SPDX-License-Identifier: GPL-2.0

//! Drivers and streams that mean no good, made of bytes: for a fuzzer, and for tests with random
//! bytes. Most bytes become something that nearly makes sense.

use crate::driver::{Rig, PAGE};
use crate::pairs::{Pair, Send};
use connectx_firmware::layout::{Bits, Quad, Slot};
use connectx_firmware::opcodes;

/// One that there is not.
const NO_COMMAND: u16 = 0xfff;
const FUNCTIONS: usize = 3;

/// Bytes that are used up; then all is zero.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()])) % limit
    }

    fn number(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// Numbers that mean something more often than others.
    fn value(&mut self) -> u32 {
        let n = u32::from(self.byte());
        match n % 8 {
            0..4 => n / 8,
            4 => 0x10_0000 + n / 8 * 2 * PAGE as u32,
            5 => 1 << (n / 8),
            6 => u32::MAX,
            _ => self.number() as u32,
        }
    }

    fn length(&mut self) -> usize {
        match self.byte() % 5 {
            0 => 16,
            1 => 0x40,
            2 => 0x110,
            3 => 0x1010,
            _ => 8 + self.below(0x400),
        }
    }

    fn address(&mut self) -> u64 {
        match self.byte() % 4 {
            0 => self.below(0x40) as u64,
            1 => 0x1_0000 + self.below(0x100) as u64,
            2 => 0x1_1000 + self.below(0x100) as u64,
            _ => self.number(),
        }
    }
}

/// Does to a card what `data` says, and then looks whether a reset mends it.
///
/// # Panics
///
/// If the firmware does, or does not work any more.
pub fn play(data: &[u8]) {
    let options = [
        ("chunk", "on"),
        ("image", "8K"),
        ("dirty", "50"),
        ("vf-pages", "3"),
    ];
    let mut rig = Rig::running(&options, FUNCTIONS as u16 - 1);
    let mut bytes = Bytes(data);
    let mut pair = None;
    while !bytes.0.is_empty() {
        step(&mut rig, &mut pair, &mut bytes);
    }
    rig.nic.reset(0);
    rig.idle(1_000_000);
    rig.init(0);
    rig.enable(1);
    rig.init(1);
    rig.number(1, 0x802, 0);
}

fn step(rig: &mut Rig, pair: &mut Option<Pair>, bytes: &mut Bytes<'_>) {
    let kind = bytes.byte() % 32;
    match kind {
        0..14 => command(rig, bytes),
        14..17 => {
            let size = 1 << (bytes.byte() % 4);
            let (f, address, value) = (bytes.below(FUNCTIONS + 1), bytes.address(), bytes.number());
            rig.nic.write(f as u16, address, value, size);
        }
        17 => {
            let size = 1 << (bytes.byte() % 4);
            rig.nic
                .read(bytes.below(FUNCTIONS + 1) as u16, bytes.address(), size);
        }
        18..20 => {
            let (f, address) = (bytes.below(FUNCTIONS), bytes.below(0x8000) as u64);
            let value = bytes.number();
            let mut shared = rig.machine.lock();
            shared.memory[f].write(0x10_0000 + address, &value.to_le_bytes());
        }
        20..22 => rig.idle(bytes.below(1000) as u64 * 100_000),
        22 => rig.nic.reset(bytes.below(FUNCTIONS + 1) as u16),
        23 => load(rig, bytes),
        _ => work(rig, pair, bytes),
    }
}

/// Queues of VF 1 on a fresh card.
fn fresh_pair(rig: &mut Rig) -> Pair {
    rig.nic.reset(0);
    rig.init(0);
    rig.enable(1);
    rig.enable(2);
    rig.init(1);
    let uar = rig.number(1, 0x802, 0);
    let eq = rig.create_eq(1, uar, 4, 1, u64::MAX);
    rig.pair(1, uar, eq.number, 3, 4)
}

/// Something is posted to one of two queue pairs, which may be gone or in any state.
fn work(rig: &mut Rig, pair: &mut Option<Pair>, bytes: &mut Bytes<'_>) {
    let pair = pair.get_or_insert_with(|| fresh_pair(rig));
    let end = bytes.below(2);
    match bytes.byte() % 8 {
        0 => *pair = fresh_pair(rig),
        1 => {
            let data = segment(pair, bytes);
            rig.post_receive(pair, end, data);
        }
        2 => {
            rig.poll_all(pair);
        }
        3 => {
            let (place, index) = (bytes.below(2) as u64 * 4, bytes.value());
            rig.poke(1, pair.ends[end].doorbell + place, &index.to_be_bytes());
        }
        _ => {
            let opcode = [0, 8, 9, 0xa, 0xb, 0x11][bytes.below(6)];
            let data: Vec<_> = (0..bytes.below(7)).map(|_| segment(pair, bytes)).collect();
            let mut send = Send::new(opcode, &data);
            if opcode & 0xe == 8 {
                let (key, address, _) = segment(pair, bytes);
                send = send.to(address, key);
            }
            send.signalled = bytes.byte() % 4 != 0;
            send.inline = (bytes.byte() % 4 == 0).then(|| vec![7; bytes.below(900)]);
            rig.post_send(pair, end, &send);
        }
    }
    if bytes.byte() % 4 != 0 {
        rig.ring(pair, end);
    }
}

/// Key, address and bytes, most of which are good.
fn segment(pair: &Pair, bytes: &mut Bytes<'_>) -> (u32, u64, u32) {
    let key = match bytes.byte() {
        0 => bytes.value(),
        _ => pair.key,
    };
    let address = match bytes.byte() {
        0 => bytes.number(),
        _ => bytes.below(5 * PAGE) as u64,
    };
    let length = match bytes.byte() {
        0 => bytes.value(),
        _ => bytes.below(2 * PAGE) as u32,
    };
    (key, address, length)
}

fn command(rig: &mut Rig, bytes: &mut Bytes<'_>) {
    let f = bytes.below(FUNCTIONS);
    let opcodes: Vec<u16> = opcodes().chain([NO_COMMAND]).collect();
    let opcode = opcodes[bytes.below(opcodes.len())];
    let op_mod = match bytes.byte() {
        255 => bytes.number() as u16,
        n => u16::from(n) % 3,
    };
    let (length, outlen) = (bytes.length().max(16), bytes.length());
    let dwords: Vec<(usize, u32)> = (0..bytes.byte() % 12)
        .map(|_| (8 + bytes.below(0x130) * 4, bytes.value()))
        .collect();
    rig.set_queue(f);
    rig.command(f, opcode, op_mod, length, outlen, |input| {
        for (place, value) in dwords {
            Bits::new(place, 31, 0).put(input, value);
        }
    });
}

/// An image of VF 1, damaged at some places, is loaded by VF 2.
fn load(rig: &mut Rig, bytes: &mut Bytes<'_>) {
    let mut pair = fresh_pair(rig);
    rig.suspend(1, false).unwrap();
    let send = Send::new(0xa, &[(pair.key, 0, 0x1800)]);
    rig.send(&mut pair, 0, &send);
    rig.suspend(1, true).unwrap();
    rig.stop(2);
    let mut image = rig.save_all(1);
    let length = image.len();
    for _ in 0..bytes.byte() % 4 {
        let place = match bytes.byte() % 2 {
            0 => bytes.below(0x40),
            // The objects are at the end.
            _ => length - 1 - bytes.below(length.min(0x1800)),
        };
        image[place] ^= bytes.byte();
    }
    if bytes.byte() % 4 != 0 {
        // With a checksum that fits, so that it is read to the end.
        let sum = image[..length - 8]
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
                (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
            });
        Quad::at(length - 8).put(&mut image, sum);
    }
    rig.load(2, &image);
    rig.resume(2, true);
    rig.resume(2, false);
    rig.idle(1_000_000);
}
