// SPDX-License-Identifier: GPL-2.0

//! The registers of the emulated device, in BAR0. Uses `core::` only.
//!
//! All registers are 32 bits, little endian, at multiples of 4. What is not a register reads as
//! zero and ignores writes; so do accesses of another width. The MSI-X table and pending bits have a
//! place in the BAR ([`MSIX_TABLE`], [`MSIX_PBA`]), but VFIO has user space emulate them.

use super::bytes::{
    Reader,
    Writer, //
};

/// Bytes of BAR0.
pub(crate) const SIZE: u64 = 4096;
/// Offset of the MSI-X table in BAR0.
pub(crate) const MSIX_TABLE: u32 = 0x800;
/// Offset of the MSI-X pending bits in BAR0.
pub(crate) const MSIX_PBA: u32 = 0xc00;

/// Value of [`Register::Id`]: "VMIG".
const ID: u32 = 0x4749_4d56;
const VERSION: u32 = 2;
const PERIOD_US: core::ops::RangeInclusive<u32> = 100..=10_000_000;
const PERIOD_DEFAULT_US: u32 = 10_000;

const STATUS_RUNNING: u32 = 1 << 0;
const CTRL_ENABLE: u32 = 1 << 0;
const CTRL_IRQ: u32 = 1 << 1;

/// Declares the registers of a part of the device: for each a doc line, a name and its offset.
macro_rules! registers {
    ($(#[$part:meta])* $visible:vis enum $type:ident {
        $($(#[$meta:meta])* $name:ident = $offset:literal,)*
    }) => {
        $(#[$part])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visible enum $type {
            $($(#[$meta])* $name,)*
        }

        impl $type {
            /// The register at that offset.
            $visible fn at(offset: u64) -> Option<Self> {
                match offset {
                    $($offset => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use registers;

registers! {
    /// A register of the device as such; for the others see [`super::engine`].
    enum Register {
        /// Read-only: tells that this is the device.
        Id = 0x00,
        /// Read-only: version of this register map.
        Version = 0x04,
        /// Read-only: bit 0, the device may change by itself.
        Status = 0x08,
        /// Read-only: bytes of BAR2, low half.
        StateSizeLow = 0x0c,
        /// Read-only: bytes of BAR2, high half.
        StateSizeHigh = 0x10,
        /// Read-write: anything; part of the state.
        Scratch = 0x14,
        /// Read-write: bit 0 enables ticks, bit 1 has each raise vector 0.
        TickControl = 0x18,
        /// Read-write: microseconds between ticks, 100 to 10000000; other values are ignored.
        TickPeriod = 0x1c,
        /// Read-only: ticks done, low half.
        TickSequenceLow = 0x20,
        /// Read-only: ticks done, high half.
        TickSequenceHigh = 0x24,
        /// Write-only: raises the vector of that number.
        IrqRaise = 0x28,
        /// Read-only: interrupts raised.
        IrqCount = 0x2c,
        /// Write-only: any write asks pre-copy to begin anew, as a reconfigured device does.
        Reinit = 0x30,
    }
}

/// What a write asks of the device beyond the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing.
    None,
    /// Raise a vector.
    Raise(u32),
    /// Start or stop ticking, or tick at another rate.
    Tick,
    /// Begin pre-copy anew.
    Reinit,
}

/// The registers that hold something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registers {
    scratch: u32,
    control: u32,
    period_us: u32,
    sequence: u64,
    irq_count: u32,
}

impl Registers {
    /// Bytes of [`Self::encode`].
    pub(crate) const ENCODED: usize = 24;

    /// The registers after a reset.
    pub(crate) const fn new() -> Self {
        Self {
            scratch: 0,
            control: 0,
            period_us: PERIOD_DEFAULT_US,
            sequence: 0,
            irq_count: 0,
        }
    }

    /// Whether ticks are enabled.
    pub(crate) fn ticks(&self) -> bool {
        self.control & CTRL_ENABLE != 0
    }

    /// Whether each tick raises vector 0.
    pub(crate) fn tick_raises(&self) -> bool {
        self.control & CTRL_IRQ != 0
    }

    /// Microseconds between ticks.
    pub(crate) fn period_us(&self) -> u32 {
        self.period_us
    }

    /// Counts one more tick; returns the number of ticks.
    pub(crate) fn next_tick(&mut self) -> u64 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Counts one more interrupt.
    pub(crate) fn count_irq(&mut self) {
        self.irq_count = self.irq_count.wrapping_add(1);
    }

    /// Reads `out.len()` bytes at `offset`.
    pub(crate) fn read(&self, offset: u64, running: bool, state_size: u64, out: &mut [u8]) {
        let value = Register::at(offset).map_or(0, |register| match register {
            Register::Id => ID,
            Register::Version => VERSION,
            Register::Status => {
                if running {
                    STATUS_RUNNING
                } else {
                    0
                }
            }
            // CAST: The two halves.
            Register::StateSizeLow => state_size as u32,
            Register::StateSizeHigh => (state_size >> 32) as u32,
            Register::Scratch => self.scratch,
            Register::TickControl => self.control,
            Register::TickPeriod => self.period_us,
            // CAST: The two halves.
            Register::TickSequenceLow => self.sequence as u32,
            Register::TickSequenceHigh => (self.sequence >> 32) as u32,
            Register::IrqCount => self.irq_count,
            Register::IrqRaise | Register::Reinit => 0,
        });
        match out.len() {
            4 => out.copy_from_slice(&value.to_le_bytes()),
            _ => out.fill(0),
        }
    }

    /// Writes `data` at `offset`.
    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) -> Action {
        let (Some(register), Ok(value)) = (Register::at(offset), data.try_into()) else {
            return Action::None;
        };
        let value = u32::from_le_bytes(value);
        match register {
            Register::Scratch => self.scratch = value,
            Register::TickControl => {
                self.control = value & (CTRL_ENABLE | CTRL_IRQ);
                return Action::Tick;
            }
            Register::TickPeriod if PERIOD_US.contains(&value) => {
                self.period_us = value;
                return Action::Tick;
            }
            Register::IrqRaise => return Action::Raise(value),
            Register::Reinit => return Action::Reinit,
            Register::TickPeriod
            | Register::Id
            | Register::Version
            | Register::Status
            | Register::StateSizeLow
            | Register::StateSizeHigh
            | Register::TickSequenceLow
            | Register::TickSequenceHigh
            | Register::IrqCount => {}
        }
        Action::None
    }

    /// The registers for the image of the device: five little-endian numbers.
    pub(crate) fn encode(&self) -> [u8; Self::ENCODED] {
        let mut out = [0; Self::ENCODED];
        let mut at = Writer(&mut out);
        for word in [self.scratch, self.control, self.period_us, self.irq_count] {
            at.put(&word.to_le_bytes());
        }
        at.put(&self.sequence.to_le_bytes());
        out
    }

    /// The registers of an image; [`None`] if no device has such.
    pub(crate) fn decode(image: &[u8; Self::ENCODED]) -> Option<Self> {
        let mut image = Reader(image);
        // In the order of the image, as the fields are evaluated.
        let this = Self {
            scratch: image.u32()?,
            control: image.u32()?,
            period_us: image.u32()?,
            irq_count: image.u32()?,
            sequence: image.u64()?,
        };
        let valid =
            this.control & !(CTRL_ENABLE | CTRL_IRQ) == 0 && PERIOD_US.contains(&this.period_us);
        valid.then_some(this)
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    not(test),
    ::kernel::macros::kunit_tests(rust_vfio_migration_emulated_registers)
)]
mod tests {
    use super::*;

    fn read(registers: &Registers, offset: u64) -> u32 {
        let mut out = [0xff; 4];
        registers.read(offset, true, 0x1_0000_2000, &mut out);
        u32::from_le_bytes(out)
    }

    #[test]
    fn fixed_registers() {
        let mut registers = Registers::new();
        for (offset, value) in [(0, ID), (4, VERSION), (8, 1), (0xc, 0x2000), (0x10, 1)] {
            assert_eq!(registers.write(offset, &[0xff; 4]), Action::None);
            assert_eq!(read(&registers, offset), value);
        }
        assert_eq!(read(&registers, 0x34), 0);
        assert_eq!(read(&registers, 0x15), 0);
    }

    #[test]
    fn writes_act() {
        let mut registers = Registers::new();
        assert_eq!(registers.write(0x14, &7u32.to_le_bytes()), Action::None);
        assert_eq!(read(&registers, 0x14), 7);
        assert_eq!(registers.write(0x14, &[1, 2]), Action::None);
        assert_eq!(read(&registers, 0x14), 7);
        assert_eq!(registers.write(0x18, &u32::MAX.to_le_bytes()), Action::Tick);
        assert_eq!(read(&registers, 0x18), 3);
        assert_eq!(registers.write(0x1c, &99u32.to_le_bytes()), Action::None);
        assert_eq!(read(&registers, 0x1c), PERIOD_DEFAULT_US);
        assert_eq!(registers.write(0x28, &5u32.to_le_bytes()), Action::Raise(5));
        assert_eq!(registers.write(0x30, &0u32.to_le_bytes()), Action::Reinit);
    }

    #[test]
    fn an_image_is_checked_whole() {
        let mut registers = Registers::new();
        registers.write(0x14, &0xdead_beefu32.to_le_bytes());
        registers.write(0x18, &3u32.to_le_bytes());
        registers.next_tick();
        registers.count_irq();
        let image = registers.encode();
        assert_eq!(Registers::decode(&image), Some(registers));
        for (at, value) in [(4, 4), (9, 0), (11, 0xff)] {
            let mut broken = image;
            broken[at] = value;
            assert_eq!(Registers::decode(&broken), None);
        }
    }
}
