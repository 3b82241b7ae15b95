// SPDX-License-Identifier: GPL-2.0

//! The DMA engine of the emulated device, as its registers see it. Uses `core::` only.
//!
//! A *generator* that writes numbered pages into a ring of pages in guest memory by itself, and
//! [`QUEUES`] *queues* whose descriptors, in guest memory, have the device copy between guest memory
//! and BAR2. What is here decides what to do next and takes down what was done; it accesses nothing.

pub(crate) mod generator;
pub(crate) mod queue;

use super::bytes::{
    Reader,
    Writer, //
};
use core::ops::Range;
use generator::{
    Generator,
    GeneratorRegister,
    Page, //
};
use queue::{
    Queue,
    QueueRegister,
    Slot, //
};

/// Where the registers are in BAR0.
pub(crate) const REGISTERS: Range<u64> = 0x40..0x200;
/// Queues of descriptors.
pub(crate) const QUEUES: usize = 4;
const QUEUE_REGISTERS: Range<u64> = 0x100..0x200;
const QUEUE_STRIDE: u64 = 0x40;

const CTRL_ENABLE: u32 = 1 << 0;
const CTRL_IRQ: u32 = 1 << 1;

/// Sets one half of `value`.
fn set_low(value: &mut u64, half: u32) {
    *value = *value & !0xffff_ffff | u64::from(half);
}

/// Sets one half of `value`.
fn set_high(value: &mut u64, half: u32) {
    *value = *value & 0xffff_ffff | u64::from(half) << 32;
}

/// The registers of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Engine {
    generator: Generator,
    queues: [Queue; QUEUES],
}

impl Engine {
    /// Bytes of [`Self::encode`].
    pub(crate) const ENCODED: usize = 40 + QUEUES * 32;

    /// The registers after a reset.
    pub(crate) const fn new() -> Self {
        Self {
            generator: Generator::new(),
            queues: [Queue::new(); QUEUES],
        }
    }

    /// The queue whose registers are at `offset`, and which of them it is.
    fn queue_at(offset: u64) -> Option<(usize, QueueRegister)> {
        if !QUEUE_REGISTERS.contains(&offset) {
            return None;
        }
        let at = offset - QUEUE_REGISTERS.start;
        let register = QueueRegister::at(at & (QUEUE_STRIDE - 1))?;
        Some((usize::try_from(at / QUEUE_STRIDE).ok()?, register))
    }

    /// The register at `offset` of BAR0.
    pub(crate) fn read(&self, offset: u64) -> u32 {
        if let Some(register) = GeneratorRegister::at(offset) {
            return self.generator.read(register);
        }
        Self::queue_at(offset)
            .and_then(|(queue, register)| Some(self.queues.get(queue)?.read(register)))
            .unwrap_or(0)
    }

    /// Writes the register at `offset` of BAR0.
    pub(crate) fn write(&mut self, offset: u64, value: u32) {
        if let Some(register) = GeneratorRegister::at(offset) {
            self.generator.write(register, value);
        } else if let Some((queue, register)) = Self::queue_at(offset) {
            if let Some(queue) = self.queues.get_mut(queue) {
                queue.write(register, value);
            }
        }
    }

    /// Microseconds between pages of the generator.
    pub(crate) fn period_us(&self) -> u32 {
        self.generator.period_us()
    }

    /// The generator's next page, if there may be one when it is due.
    pub(crate) fn page(&self) -> Option<Page> {
        self.generator.page()
    }

    /// The next page was written, or could not be; whether that raises its vector.
    pub(crate) fn page_done(&mut self, written: bool) -> bool {
        self.generator.page_done(written)
    }

    /// The next descriptor, of the queues from `first` on, around.
    pub(crate) fn slot(&self, first: usize) -> Option<Slot> {
        let order = (first..QUEUES).chain(0..first.min(QUEUES));
        let slot = |queue: usize| self.queues.get(queue)?.slot(queue);
        order.into_iter().find_map(slot)
    }

    /// A descriptor is done, or its queue cannot go on; whether that raises the queue's vector.
    pub(crate) fn slot_done(&mut self, slot: &Slot, done: bool) -> bool {
        let queue = self.queues.get_mut(slot.queue);
        queue.is_some_and(|queue| queue.slot_done(slot, done))
    }

    /// The registers for the image of the device.
    pub(crate) fn encode(&self) -> [u8; Self::ENCODED] {
        let mut out = [0; Self::ENCODED];
        let mut at = Writer(&mut out);
        self.generator.encode(&mut at);
        self.queues.iter().for_each(|queue| queue.encode(&mut at));
        out
    }

    /// The registers of an image; [`None`] if no device has such.
    pub(crate) fn decode(image: &[u8; Self::ENCODED]) -> Option<Self> {
        let mut image = Reader(image);
        let mut this = Self::new();
        this.generator = Generator::decode(&mut image)?;
        for queue in &mut this.queues {
            *queue = Queue::decode(&mut image)?;
        }
        Some(this)
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    not(test),
    ::kernel::macros::kunit_tests(rust_vfio_migration_emulated_engine)
)]
mod tests {
    use super::{
        queue::{
            Descriptor,
            Way,
            COPY, //
        },
        *, //
    };

    const QUEUE_1: u64 = 0x140;

    fn generator() -> Engine {
        let mut engine = Engine::new();
        for (offset, value) in [(0x48, 0x1_2fff), (0x4c, 7), (0x50, 2), (0x40, 7)] {
            engine.write(offset, value);
        }
        engine
    }

    fn queue() -> Engine {
        let mut engine = Engine::new();
        for (offset, value) in [(0x00, 0x101f), (0x04, 1), (0x08, 2), (0x0c, 3), (0x10, 1)] {
            engine.write(QUEUE_1 + offset, value);
        }
        engine
    }

    #[test]
    fn pages_go_round_and_wait_for_the_reader() {
        let mut engine = generator();
        for (address, number) in [(0x7_0001_2000, 1), (0x7_0001_3000, 2)] {
            assert_eq!(engine.page(), Some(Page { address, number }));
            assert!(engine.page_done(true));
        }
        assert_eq!(engine.page(), None);
        engine.write(0x60, 1);
        let (address, number) = (0x7_0001_2000, 3);
        assert_eq!(engine.page(), Some(Page { address, number }));
        assert!(!engine.page_done(false));
        assert_eq!((engine.read(0x54), engine.read(0x58)), (1, 2));
        // Without waiting it goes on.
        engine.write(0x60, 0);
        engine.write(0x40, 1);
        assert_eq!(engine.page(), Some(Page { address, number }));
        engine.write(0x40, 0);
        assert_eq!(engine.page(), None);
    }

    #[test]
    fn a_ring_at_the_end_of_all_memory_does_not_wrap() {
        let mut engine = generator();
        engine.write(0x48, u32::MAX);
        engine.write(0x4c, u32::MAX);
        assert!(engine.page().is_some());
        engine.page_done(true);
        assert_eq!(engine.page(), None);
    }

    #[test]
    fn descriptors_are_done_in_order() {
        let mut engine = queue();
        let at = |engine: &Engine| engine.slot(0).map(|slot| (slot.queue, slot.address));
        assert_eq!(at(&engine), Some((1, 0x1_0000_1000)));
        engine.write(QUEUE_1 + 0x10, 3);
        assert_eq!(engine.read(QUEUE_1 + 0x10), 1);
        engine.write(QUEUE_1 + 0x10, 2);
        for _ in 0..2 {
            let slot = engine.slot(2).unwrap();
            assert!(engine.slot_done(&slot, true));
        }
        assert_eq!(at(&engine), None);
        engine.write(QUEUE_1 + 0x10, 3);
        assert_eq!(at(&engine), Some((1, 0x1_0000_1000)));
        // While it is on, it stays where it is.
        engine.write(QUEUE_1, 0x2000);
        engine.write(QUEUE_1 + 0x08, 4);
        assert_eq!(at(&engine), Some((1, 0x1_0000_1000)));
    }

    #[test]
    fn a_queue_that_cannot_go_on_is_off() {
        let mut engine = queue();
        let slot = engine.slot(0).unwrap();
        assert!(engine.slot_done(&slot, false));
        assert_eq!(engine.slot(0), None);
        let registers = [0x0c, 0x14, 0x18].map(|offset| engine.read(QUEUE_1 + offset));
        assert_eq!(registers, [2, 0, 1]);
    }

    #[test]
    fn what_was_begun_before_the_queue_was_turned_off_does_not_count() {
        let mut engine = queue();
        let slot = engine.slot(0).unwrap();
        for control in [0, 3] {
            engine.write(QUEUE_1 + 0x0c, control);
            assert!(!engine.slot_done(&slot, true));
            assert_eq!(engine.read(QUEUE_1 + 0x14), 0);
        }
    }

    #[test]
    fn descriptors_are_checked() {
        let mut bytes = [0; Descriptor::LEN];
        bytes[8] = 1;
        bytes[18] = 1;
        bytes[20] = 2;
        let good = Descriptor {
            address: 0,
            offset: 1,
            len: COPY,
            way: Way::ToMemory,
        };
        assert_eq!(Descriptor::decode(&bytes), Some(good));
        for (at, value) in [(16, 1), (18, 0), (19, 1), (20, 0), (20, 3), (23, 1)] {
            let mut broken = bytes;
            broken[at] = value;
            assert_eq!(Descriptor::decode(&broken), None);
        }
    }

    #[test]
    fn an_image_is_checked_whole() {
        let mut engine = queue();
        engine.write(0x48, 0x5000);
        engine.page_done(true);
        let image = engine.encode();
        let decoded = Engine::decode(&image).unwrap();
        assert_eq!(decoded.encode(), image);
        assert_eq!((decoded.read(0x48), decoded.read(0x58)), (0x5000, 1));
        assert_eq!(decoded.slot(0).unwrap().address, 0x1_0000_1000);
        for (at, value) in [
            (0, 1),
            (16, 8),
            (23, 255),
            (24, 0),
            (39, 1),
            (72, 1),
            (80, 3),
            (84, 4),
        ] {
            let mut broken = image;
            broken[at] = value;
            assert_eq!(Engine::decode(&broken), None);
        }
    }

    #[test]
    fn what_is_no_register_does_nothing() {
        let mut engine = Engine::new();
        for offset in (0..0x1000).filter(|offset| !REGISTERS.contains(offset)) {
            engine.write(offset, u32::MAX);
            assert_eq!(engine.read(offset), 0);
        }
        for offset in [0x54, 0x58, 0x5c, 0x114, 0x118, 0x11c, 0x41, 0x101] {
            engine.write(offset, u32::MAX);
        }
        assert_eq!(engine, Engine::new());
    }
}
