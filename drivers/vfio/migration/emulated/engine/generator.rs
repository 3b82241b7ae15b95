// SPDX-License-Identifier: GPL-2.0

//! The generator of the DMA engine. Uses `core::` only.

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

/// Bytes of a page that the generator writes.
pub(crate) const PAGE: usize = 4096;

/// No page is overwritten before its number was consumed.
const CTRL_WAIT: u32 = 1 << 2;

const PERIOD_US: RangeInclusive<u32> = 10..=10_000_000;
const PERIOD_DEFAULT_US: u32 = 1000;
const PAGES: RangeInclusive<u32> = 1..=65536;

registers! {
    /// A register of the generator.
    pub(super) enum GeneratorRegister {
        /// Read-write: bit 0 enables it, bit 1 has each page raise vector 1, bit 2 has it wait for
        /// the reader.
        Control = 0x40,
        /// Read-write: microseconds between pages, 10 to 10000000; other values are ignored.
        Period = 0x44,
        /// Read-write: address of the ring, low half; the low 12 bits are zero.
        AddressLow = 0x48,
        /// Read-write: address of the ring, high half.
        AddressHigh = 0x4c,
        /// Read-write: pages of the ring, 1 to 65536; other values are ignored.
        Pages = 0x50,
        /// Read-only: pages that could not be written; each is tried again.
        Errors = 0x54,
        /// Read-only: pages written, low half.
        SequenceLow = 0x58,
        /// Read-only: pages written, high half.
        SequenceHigh = 0x5c,
        /// Read-write: low half of the number of the last page that the reader is done with.
        Consumed = 0x60,
    }
}

/// Writes numbered pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generator {
    control: u32,
    period_us: u32,
    address: u64,
    pages: u32,
    errors: u32,
    sequence: u64,
    consumed: u32,
}

/// A page to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// Where, in guest memory.
    pub(crate) address: u64,
    /// Its number; the first is 1.
    pub(crate) number: u64,
}

impl Generator {
    pub(super) const fn new() -> Self {
        Self {
            control: 0,
            period_us: PERIOD_DEFAULT_US,
            address: 0,
            pages: 1,
            errors: 0,
            sequence: 0,
            consumed: 0,
        }
    }

    pub(super) fn read(&self, register: GeneratorRegister) -> u32 {
        use GeneratorRegister as R;
        match register {
            R::Control => self.control,
            R::Period => self.period_us,
            // CAST: The two halves, here and below.
            R::AddressLow => self.address as u32,
            R::AddressHigh => (self.address >> 32) as u32,
            R::Pages => self.pages,
            R::Errors => self.errors,
            R::SequenceLow => self.sequence as u32,
            R::SequenceHigh => (self.sequence >> 32) as u32,
            R::Consumed => self.consumed,
        }
    }

    pub(super) fn write(&mut self, register: GeneratorRegister, value: u32) {
        use GeneratorRegister as R;
        match register {
            R::Control => self.control = value & (CTRL_ENABLE | CTRL_IRQ | CTRL_WAIT),
            R::Period if PERIOD_US.contains(&value) => self.period_us = value,
            R::AddressLow => set_low(&mut self.address, value & !0xfff),
            R::AddressHigh => set_high(&mut self.address, value),
            R::Pages if PAGES.contains(&value) => self.pages = value,
            R::Consumed => self.consumed = value,
            R::Period | R::Pages | R::Errors | R::SequenceLow | R::SequenceHigh => {}
        }
    }

    /// The next page, if there may be one now.
    pub(super) fn page(&self) -> Option<Page> {
        // CAST: The low half.
        let ahead = (self.sequence as u32).wrapping_sub(self.consumed);
        let full = self.control & CTRL_WAIT != 0 && ahead >= self.pages;
        if self.control & CTRL_ENABLE == 0 || full {
            return None;
        }
        let slot = self.sequence.checked_rem(u64::from(self.pages))?;
        // CAST: A page is smaller than 4 GiB.
        let address = self.address.checked_add(slot * PAGE as u64)?;
        let number = self.sequence.wrapping_add(1);
        Some(Page { address, number })
    }

    /// Microseconds between pages.
    pub(super) fn period_us(&self) -> u32 {
        self.period_us
    }

    /// The next page was written, or could not be; whether that raises the vector.
    pub(super) fn page_done(&mut self, written: bool) -> bool {
        if !written {
            self.errors = self.errors.wrapping_add(1);
            return false;
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.control & CTRL_IRQ != 0
    }

    /// Puts it into an image.
    pub(super) fn encode(&self, out: &mut Writer<'_>) {
        let Self {
            control,
            period_us,
            address,
            pages,
            errors,
            sequence,
            consumed,
        } = *self;
        out.put(&address.to_le_bytes());
        out.put(&sequence.to_le_bytes());
        for word in [control, period_us, pages, errors, consumed, 0] {
            out.put(&word.to_le_bytes());
        }
    }

    /// Takes it from an image; [`None`] if no device has such.
    pub(super) fn decode(image: &mut Reader<'_>) -> Option<Self> {
        // In the order of the image, as the fields are evaluated.
        let this = Self {
            address: image.u64()?,
            sequence: image.u64()?,
            control: image.u32()?,
            period_us: image.u32()?,
            pages: image.u32()?,
            errors: image.u32()?,
            consumed: image.u32()?,
        };
        let valid = image.u32()? == 0
            && this.control & !(CTRL_ENABLE | CTRL_IRQ | CTRL_WAIT) == 0
            && this.address & 0xfff == 0
            && PERIOD_US.contains(&this.period_us)
            && PAGES.contains(&this.pages);
        valid.then_some(this)
    }
}
