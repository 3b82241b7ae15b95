// SPDX-License-Identifier: GPL-2.0

//! BAR 0 of a function: the initialisation segment and the pages of doorbells (UARs).
//!
//! All registers are big-endian. Accesses may be of 1 to 8 bytes; what is not a register reads as
//! zero and swallows writes.

use crate::layout::wire::mlx5_cmd_layout;
use crate::nic::Nic;

/// The first page of doorbells; what lies below are registers and the MSI-X tables.
pub const UAR_FIRST: u32 = 16;
/// The last one: BAR 0 has 1 MiB.
pub const UAR_LAST: u32 = 255;
/// Bytes of a page of doorbells.
pub const UAR_SIZE: u64 = 4096;

/// Slots of a command queue, as a power of two.
const LOG_SLOTS: u32 = 5;
/// Bytes of a slot, as a power of two.
const LOG_STRIDE: u32 = mlx5_cmd_layout::SIZE.ilog2();

/// The version that the driver prints: major, minor, subminor.
const VERSION: (u32, u32, u32) = (22, 42, 1000);
/// Of the command interface; the driver knows no other.
const INTERFACE: u32 = 5;
/// Bytes of a doorbell of send queues: half of what the capabilities say, as they are used by turns.
const SQ_DOORBELL: u64 = 1 << (LOG_BF_REG_SIZE - 1);
/// Bytes of two of them, as a power of two.
pub(crate) const LOG_BF_REG_SIZE: u32 = 9;
/// One clock tick is a nanosecond.
pub(crate) const FREQUENCY_KHZ: u32 = 1_000_000;

mod offset {
    pub(super) const FW_REV: u64 = 0x0;
    pub(super) const CMDIF_REV: u64 = 0x4;
    pub(super) const CMDQ_ADDR_H: u64 = 0x10;
    pub(super) const CMDQ_ADDR_L: u64 = 0x14;
    pub(super) const CMD_DBELL: u64 = 0x18;
    pub(super) const TIMER_H: u64 = 0x1000;
    pub(super) const TIMER_L: u64 = 0x1004;
    pub(super) const HEALTH_COUNTER: u64 = 0x1010;

    /// In a page of doorbells.
    pub(super) const CQ_ARM: u64 = 0x20;
    pub(super) const EQ_ARM: u64 = 0x40;
    pub(super) const EQ_UPDATE: u64 = 0x48;
    /// The first of the send queues' doorbells; the page is full of them from here on.
    pub(super) const SQ: u64 = 0x800;
}

impl Nic {
    /// Reads `size` bytes, 1 to 8, at `address` of BAR 0; the first byte is the lowest of the value.
    pub fn read(&self, function: u16, address: u64, size: u32) -> u64 {
        let mut value = [0; 8];
        for (offset, byte) in (0..u64::from(size)).zip(&mut value) {
            let place = address.wrapping_add(offset);
            let register = self.register(usize::from(function), place & !3);
            *byte = register.to_be_bytes()[(place & 3) as usize];
        }
        u64::from_le_bytes(value)
    }

    fn register(&self, f: usize, address: u64) -> u32 {
        let Some(function) = self.functions.get(f) else {
            return u32::MAX;
        };
        let queue = &function.queue;
        let now = self.host.now();
        match address {
            offset::FW_REV => VERSION.1 << 16 | VERSION.0,
            offset::CMDIF_REV => INTERFACE << 16 | VERSION.2,
            offset::CMDQ_ADDR_H => (queue.address >> 32) as u32,
            offset::CMDQ_ADDR_L => {
                queue.address as u32 | queue.nic_interface << 8 | LOG_SLOTS << 4 | LOG_STRIDE
            }
            offset::TIMER_H => (now >> 32) as u32,
            offset::TIMER_L => now as u32,
            // Ten a second; the driver looks every two seconds whether it moves.
            offset::HEALTH_COUNTER => (now / 100_000_000) as u32 & 0x7fff_ffff | 1 << 30,
            _ => 0,
        }
    }

    /// Writes `size` bytes, 1 to 8, at `address` of BAR 0.
    pub fn write(&mut self, function: u16, address: u64, value: u64, size: u32) {
        let f = usize::from(function);
        if f < self.functions.len() {
            self.write_register(f, address, value, size);
        }
        self.settle();
    }

    fn write_register(&mut self, f: usize, address: u64, value: u64, size: u32) {
        let first = (value as u32).swap_bytes();
        let second = ((value >> 32) as u32).swap_bytes();
        let queue = &mut self.functions[f].queue;
        match (address, size) {
            (offset::CMDQ_ADDR_H, 4) => {
                queue.address = u64::from(first) << 32 | queue.address & 0xffff_ffff;
            }
            (offset::CMDQ_ADDR_L, 4) => {
                queue.address = queue.address & !0xffff_ffff | u64::from(first & !0xfff);
                queue.nic_interface = first >> 8 & 7;
            }
            (offset::CMD_DBELL, 4) => self.ring(f, first),
            _ if address >= u64::from(UAR_FIRST) * UAR_SIZE => {
                let page = (address / UAR_SIZE) as u32;
                if self.functions[f].objects.uars.get(page).is_none() {
                    self.trace(f, format_args!("doorbell in page {page}, which nobody has"));
                    return;
                }
                match (address % UAR_SIZE, size) {
                    (offset::CQ_ARM, 8) => self.arm_cq(f, second & 0xff_ffff, first & 0xff_ffff),
                    (offset::EQ_ARM, 4) => self.update_eq(f, first >> 24, first & 0xff_ffff, true),
                    (offset::EQ_UPDATE, 4) => {
                        self.update_eq(f, first >> 24, first & 0xff_ffff, false);
                    }
                    // The begin of an entry. More of it may follow, but it is read from memory.
                    (place @ offset::SQ.., 8) => {
                        if place % SQ_DOORBELL == 0 {
                            self.ring_sq(f, page, second >> 8);
                        }
                    }
                    (place, _) => {
                        self.trace(f, format_args!("doorbell at {place:#x} of {size} bytes"));
                    }
                }
            }
            _ => self.trace(
                f,
                format_args!("write of {value:#x}, {size} bytes, at {address:#x}"),
            ),
        }
    }
}
