// SPDX-License-Identifier: GPL-2.0

//! The state of the emulated device: whatever a guest makes of it can be migrated.

use crate::emulated::{
    engine::Engine,
    registers::Registers, //
};
use crate::program::Program;

/// Bytes of BAR2 of the device.
const SIZE: u64 = 1 << 20;

/// A state that came from somewhere goes on without harm, and can be migrated again.
pub(crate) fn is_sound(registers: &Registers, engine: &Engine) {
    // What is not in the image, as how often a queue was turned on, starts again.
    let (bytes, image) = (registers.encode(), engine.encode());
    assert_eq!(Registers::decode(&bytes).map(|it| it.encode()), Some(bytes));
    assert_eq!(Engine::decode(&image).map(|it| it.encode()), Some(image));
    let mut registers = *registers;
    registers.next_tick();
    registers.count_irq();
    let mut engine = *engine;
    for first in 0..4 {
        work(&mut engine, first, true);
    }
}

/// One piece of work of the DMA engine, which is done or not.
fn work(engine: &mut Engine, first: usize, done: bool) {
    if engine.page().is_some() {
        engine.page_done(done);
    }
    if let Some(slot) = engine.slot(first) {
        engine.slot_done(&slot, done);
    }
}

/// A guest that does what the input says. What must hold: the state that it makes is accepted by
/// another device, and nothing panics.
pub fn device(input: &[u8]) {
    let mut program = Program::new(input);
    let (mut registers, mut engine) = (Registers::new(), Engine::new());
    let mut steps = 256;
    while !program.is_over() && steps > 0 {
        steps -= 1;
        match program.byte() % 8 {
            0..=2 => {
                // A register, or beside one.
                let offset = u64::from(program.half() % 0x800);
                engine.write(offset & !3, program.word());
            }
            3 => {
                let offset = u64::from(program.half() % 0x100);
                let width = [1, 2, 4, 8][usize::from(program.byte() % 4)];
                registers.write(offset, &program.long().to_le_bytes()[..width]);
            }
            4 => {
                let offset = u64::from(program.half());
                let mut out = [0; 4];
                registers.read(offset, true, SIZE, &mut out);
                engine.read(offset & !3);
            }
            5 | 6 => work(
                &mut engine,
                usize::from(program.byte() % 8),
                program.byte() % 4 > 0,
            ),
            _ => {
                registers.next_tick();
                registers.count_irq();
            }
        }
        is_sound(&registers, &engine);
    }
}
