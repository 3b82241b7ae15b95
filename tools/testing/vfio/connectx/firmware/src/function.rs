// SPDX-License-Identifier: GPL-2.0

//! One function of the card.

use crate::migration::Vhca;
use crate::object::Objects;

/// How far the driver has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    #[default]
    Disabled,
    /// ENABLE_HCA
    Enabled,
    /// INIT_HCA
    Initialised,
}

/// The command queue as the registers give it.
#[derive(Clone, Debug, Default)]
pub(crate) struct CommandQueue {
    pub(crate) address: u64,
    pub(crate) nic_interface: u32,
    /// Slots that were rung and have not completed.
    pub(crate) busy: u32,
}

/// The PF or a VF.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) number: u16,
    /// Rises with each reset: what was begun before is then not finished.
    pub(crate) generation: u64,
    /// The PF's driver allowed this VF to be used.
    pub(crate) granted: bool,
    /// Memory that drivers gave to the firmware for this function.
    pub(crate) firmware_pages: Vec<u64>,
    pub(crate) phase: Phase,
    pub(crate) queue: CommandQueue,
    pub(crate) objects: Objects,
    pub(crate) vhca: Vhca,
}

impl Function {
    pub(crate) fn new(number: u16, vhca: Vhca) -> Self {
        Self {
            number,
            generation: 0,
            granted: number == 0,
            firmware_pages: Vec::new(),
            phase: Phase::default(),
            queue: CommandQueue::default(),
            objects: Objects::default(),
            vhca,
        }
    }

    /// The state after a reset. What the PF's driver said of a VF stays, and the memory it gave for
    /// it, too: it takes that back when it disables the VF.
    pub(crate) fn reset(&mut self, vhca: Vhca) {
        *self = Self {
            generation: self.generation + 1,
            granted: self.granted,
            firmware_pages: std::mem::take(&mut self.firmware_pages),
            ..Self::new(self.number, vhca)
        };
    }

    /// The id by which commands for migration name this function. [inferred: any value will do]
    pub(crate) fn vhca_id(&self) -> u32 {
        match self.number {
            0 => 1,
            n => 0x10 + u32::from(n),
        }
    }
}
