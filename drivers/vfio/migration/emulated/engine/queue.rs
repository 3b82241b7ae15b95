// SPDX-License-Identifier: GPL-2.0

//! A queue of the DMA engine, and its descriptors. Uses `core::` only.

use super::{
    super::{
        bytes::{
            Reader,
            Writer, //
        },
        registers::registers, //
    },
    set_high,
    set_low,
    CTRL_ENABLE,
    CTRL_IRQ, //
};
use core::ops::RangeInclusive;

/// The most bytes of one copy.
pub(crate) const COPY: usize = 65536;

const SIZE: RangeInclusive<u32> = 1..=1024;

registers! {
    /// A register of a queue.
    pub(super) enum QueueRegister {
        /// Read-write while the queue is off: address of the descriptors, low half; the low 5 bits
        /// are zero.
        RingLow = 0x00,
        /// Read-write while the queue is off: address of the descriptors, high half.
        RingHigh = 0x04,
        /// Read-write while the queue is off: descriptors of the ring, a power of two up to 1024;
        /// other values are ignored.
        Size = 0x08,
        /// Read-write: bit 0 turns it on, with nothing to do; bit 1 has each descriptor that is done
        /// raise the queue's vector, 2 plus its number.
        Control = 0x0c,
        /// Read-write: descriptors that were ever there to be done. Ignored if that makes more than
        /// the ring has.
        Producer = 0x10,
        /// Read-only: descriptors done.
        Consumer = 0x14,
        /// Read-only: descriptors that could not be read, or whose status could not be written. The
        /// queue is then off.
        Errors = 0x18,
    }
}

/// Does what descriptors say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Queue {
    ring: u64,
    size: u32,
    control: u32,
    producer: u32,
    consumer: u32,
    errors: u32,
    /// How often it was turned on or off, so that what was begun before is told apart. Not part of
    /// the state: nothing is under way when that is saved.
    turns: u32,
}

/// A descriptor to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Of which queue.
    pub(crate) queue: usize,
    /// Where it is in guest memory.
    pub(crate) address: u64,
    turns: u32,
}

/// Which way a copy goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From guest memory to BAR2.
    ToDevice,
    /// From BAR2 to guest memory.
    ToMemory,
}

/// What a descriptor asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    /// In guest memory.
    pub(crate) address: u64,
    /// In BAR2.
    pub(crate) offset: u64,
    /// Bytes; 1 to [`COPY`].
    pub(crate) len: usize,
    /// Which way.
    pub(crate) way: Way,
}

/// The status that the device writes to a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It was done.
    Done = 1,
    /// It asks for what no device does.
    Invalid = 2,
    /// Guest memory could not be accessed.
    Failed = 3,
}

impl Queue {
    const DESCRIPTOR: u64 = Descriptor::LEN as u64;

    pub(super) const fn new() -> Self {
        Self {
            ring: 0,
            size: 1,
            control: 0,
            producer: 0,
            consumer: 0,
            errors: 0,
            turns: 0,
        }
    }

    fn is_on(&self) -> bool {
        self.control & CTRL_ENABLE != 0
    }

    pub(super) fn read(&self, register: QueueRegister) -> u32 {
        use QueueRegister as R;
        match register {
            // CAST: The two halves.
            R::RingLow => self.ring as u32,
            R::RingHigh => (self.ring >> 32) as u32,
            R::Size => self.size,
            R::Control => self.control,
            R::Producer => self.producer,
            R::Consumer => self.consumer,
            R::Errors => self.errors,
        }
    }

    pub(super) fn write(&mut self, register: QueueRegister, value: u32) {
        use QueueRegister as R;
        match register {
            R::Control => {
                let was_on = self.is_on();
                self.control = value & (CTRL_ENABLE | CTRL_IRQ);
                if self.is_on() && !was_on {
                    (self.producer, self.consumer) = (0, 0);
                }
                if self.is_on() != was_on {
                    self.turns = self.turns.wrapping_add(1);
                }
            }
            R::Producer if self.is_on() && value.wrapping_sub(self.consumer) <= self.size => {
                self.producer = value;
            }
            R::RingLow if !self.is_on() => {
                // CAST: A descriptor is smaller than 4 GiB.
                set_low(&mut self.ring, value & !(Self::DESCRIPTOR as u32 - 1));
            }
            R::RingHigh if !self.is_on() => set_high(&mut self.ring, value),
            R::Size if !self.is_on() && Self::is_size(value) => self.size = value,
            R::Producer | R::RingLow | R::RingHigh | R::Size | R::Consumer | R::Errors => {}
        }
    }

    fn is_size(size: u32) -> bool {
        SIZE.contains(&size) && size.is_power_of_two()
    }

    /// The next descriptor, if there is one; this is the queue with the number `queue`.
    pub(super) fn slot(&self, queue: usize) -> Option<Slot> {
        if !self.is_on() || self.producer == self.consumer {
            return None;
        }
        let index = self.consumer & (self.size - 1);
        let address = self.ring.checked_add(u64::from(index) * Self::DESCRIPTOR)?;
        let turns = self.turns;
        Some(Slot {
            queue,
            address,
            turns,
        })
    }

    /// The descriptor is done, or the queue cannot go on; whether that raises the vector.
    pub(super) fn slot_done(&mut self, slot: &Slot, done: bool) -> bool {
        if self.turns != slot.turns {
            return false;
        }
        if done {
            self.consumer = self.consumer.wrapping_add(1);
        } else {
            self.errors = self.errors.wrapping_add(1);
            self.control &= !CTRL_ENABLE;
            self.turns = self.turns.wrapping_add(1);
        }
        self.control & CTRL_IRQ != 0
    }

    /// Puts it into an image.
    pub(super) fn encode(&self, out: &mut Writer<'_>) {
        let Self {
            ring,
            size,
            control,
            producer,
            consumer,
            errors,
            turns: _,
        } = *self;
        out.put(&ring.to_le_bytes());
        for word in [size, control, producer, consumer, errors, 0] {
            out.put(&word.to_le_bytes());
        }
    }

    /// Takes it from an image; [`None`] if no device has such.
    pub(super) fn decode(image: &mut Reader<'_>) -> Option<Self> {
        // In the order of the image, as the fields are evaluated.
        let this = Self {
            ring: image.u64()?,
            size: image.u32()?,
            control: image.u32()?,
            producer: image.u32()?,
            consumer: image.u32()?,
            errors: image.u32()?,
            turns: 0,
        };
        let valid = image.u32()? == 0
            && this.control & !(CTRL_ENABLE | CTRL_IRQ) == 0
            && this.ring & (Self::DESCRIPTOR - 1) == 0
            && Self::is_size(this.size)
            && this.producer.wrapping_sub(this.consumer) <= this.size;
        valid.then_some(this)
    }
}

impl Descriptor {
    /// Bytes in guest memory: {le64 address, le64 offset, le32 length, le32 command, le32 status,
    /// le32 of the guest}.
    pub(crate) const LEN: usize = 32;
    /// Offset of the status.
    pub(crate) const STATUS: u64 = 24;

    /// What a descriptor says; [`None`] if it asks for what no device does.
    pub(crate) fn decode(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let mut bytes = Reader(bytes);
        let (address, offset) = (bytes.u64()?, bytes.u64()?);
        let len = usize::try_from(bytes.u32()?).ok()?;
        let way = match bytes.u32()? {
            1 => Way::ToDevice,
            2 => Way::ToMemory,
            _ => return None,
        };
        (1..=COPY).contains(&len).then_some(Self {
            address,
            offset,
            len,
            way,
        })
    }
}
