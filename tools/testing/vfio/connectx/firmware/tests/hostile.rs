// SPDX-License-Identifier: GPL-2.0

//! Drivers and streams that mean no good: nothing panics, and after a reset all is well.

use connectx_firmware::layout::Slot;
use connectx_firmware::layout::{Bits, Quad};
use connectx_rig::{Rig, PAGE};
use proptest::collection::vec;
use proptest::prelude::*;

/// The opcodes that there are, and one that there is not.
const OPCODES: &[u16] = &[
    0x100, 0x101, 0x102, 0x103, 0x104, 0x105, 0x107, 0x108, 0x109, 0x10a, 0x10b, 0x115, 0x116,
    0x117, 0x118, 0x119, 0x200, 0x202, 0x301, 0x302, 0x400, 0x401, 0x500, 0x501, 0x502, 0x503,
    0x504, 0x507, 0x50a, 0x800, 0x801, 0x802, 0x803, 0x805, 0xa00, 0xa01, 0xa02, 0xa03, 0xfff,
];

#[derive(Clone, Debug)]
enum Step {
    /// A command with some dwords that are not zero; the addresses in it are often mapped.
    Command {
        f: usize,
        opcode: u16,
        op_mod: u16,
        length: usize,
        outlen: usize,
        dwords: Vec<(usize, u32)>,
    },
    Write(usize, u64, u64, u32),
    Read(usize, u64, u32),
    /// Bytes somewhere in the queue or a mailbox.
    Poke(usize, u64, Vec<u8>),
    Idle(u64),
    Reset(u16),
    /// An image of VF 1, damaged at some places, is loaded by VF 2.
    Load(Vec<(usize, u8)>),
}

/// Numbers that mean something more often than others.
fn value() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0u32..40,
        2 => (0u32..40).prop_map(|n| 0x10_0000 + n * 2 * PAGE as u32),
        2 => (0u32..32).prop_map(|bit| 1 << bit),
        1 => Just(u32::MAX),
        1 => any::<u32>(),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let lengths = || {
        prop_oneof![
            Just(16usize),
            Just(0x40),
            Just(0x110),
            8usize..0x400,
            Just(0x1010)
        ]
    };
    let command = (
        0usize..3,
        prop::sample::select(OPCODES),
        prop_oneof![4 => 0u16..3, 1 => any::<u16>()],
        lengths(),
        lengths(),
        vec((0usize..0x130, value()), 0..12),
    )
        .prop_map(
            |(f, opcode, op_mod, length, outlen, dwords)| Step::Command {
                f,
                opcode,
                op_mod,
                length,
                outlen,
                dwords,
            },
        );
    let address = || {
        prop_oneof![
            0u64..0x40,
            0x1_0000u64..0x1_0100,
            0x1_1000u64..0x1_1100,
            any::<u64>()
        ]
    };
    let size = || prop::sample::select(vec![1u32, 2, 4, 8]);
    prop_oneof![
        12 => command,
        3 => (0usize..4, address(), any::<u64>(), size()).prop_map(|(f, a, v, s)| Step::Write(f, a, v, s)),
        1 => (0usize..4, address(), size()).prop_map(|(f, a, s)| Step::Read(f, a, s)),
        2 => (0usize..3, 0u64..0x8000, vec(any::<u8>(), 1..80)).prop_map(|(f, a, b)| Step::Poke(f, a, b)),
        2 => (0u64..100_000_000).prop_map(Step::Idle),
        1 => (0u16..4).prop_map(Step::Reset),
        1 => vec((0usize..20_000, 1u8..), 0..3).prop_map(Step::Load),
    ]
}

fn run(rig: &mut Rig, step: Step) {
    match step {
        Step::Command {
            f,
            opcode,
            op_mod,
            length,
            outlen,
            dwords,
        } => {
            rig.set_queue(f);
            rig.command(f, opcode, op_mod, length.max(16), outlen, |input| {
                for (index, value) in dwords {
                    Bits::new(8 + index * 4, 31, 0).put(input, value);
                }
            });
        }
        Step::Write(f, address, value, size) => rig.nic.write(f as u16, address, value, size),
        Step::Read(f, address, size) => {
            rig.nic.read(f as u16, address, size);
        }
        Step::Poke(f, address, bytes) => {
            rig.machine.lock().memory[f].write(0x10_0000 + address, &bytes);
        }
        Step::Idle(nanos) => rig.idle(nanos),
        Step::Reset(function) => rig.nic.reset(function),
        Step::Load(damage) => {
            rig.nic.reset(0);
            for f in 0..3 {
                rig.set_queue(f);
            }
            rig.init(0);
            rig.enable(1);
            rig.enable(2);
            rig.init(1);
            let uar = rig.number(1, 0x802, 0);
            rig.create_eq(1, uar, 4, 1, 1 << 10);
            rig.stop(1);
            rig.stop(2);
            let mut image = rig.save_all(1);
            let length = image.len();
            for (place, bits) in damage {
                image[place % length] ^= bits;
            }
            // With a checksum that fits, so that it is read to the end.
            let sum = image[..length - 8]
                .iter()
                .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
                    (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
                });
            Quad::at(length - 8).put(&mut image, sum);
            rig.load(2, &image);
            rig.resume(2, true);
            rig.resume(2, false);
            rig.idle(1_000_000);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_a_reset_mends_all(steps in vec(step(), 1..60)) {
        let mut rig = Rig::running(&[("chunk", "on"), ("image", "8K"), ("dirty", "50"), ("vf-pages", "3")], 2);
        for step in steps {
            run(&mut rig, step);
        }
        rig.nic.reset(0);
        rig.idle(1_000_000);
        rig.init(0);
        rig.enable(1);
        rig.init(1);
        rig.number(1, 0x802, 0);
    }
}
