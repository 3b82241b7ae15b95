// SPDX-License-Identifier: GPL-2.0

//! What the device asks of the machine it is in.

use core::fmt;

/// A DMA that did not happen: no mapping, no bus mastering, or the device's own BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaError;

/// The machine. Functions are numbered from 0, the PF; n is the n-th VF.
pub trait Host: Send {
    /// Reads from the address space of `function`.
    ///
    /// # Errors
    ///
    /// If any byte could not be read; `data` is then not to be used.
    fn dma_read(&mut self, function: u16, iova: u64, data: &mut [u8]) -> Result<(), DmaError>;

    /// Writes to the address space of `function`.
    ///
    /// # Errors
    ///
    /// If any byte could not be written; others may have been.
    fn dma_write(&mut self, function: u16, iova: u64, data: &[u8]) -> Result<(), DmaError>;

    /// Raises MSI-X `vector` of `function`; one that it has not is ignored.
    fn interrupt(&mut self, function: u16, vector: u16);

    /// Nanoseconds of the machine's time; never falls.
    fn now(&self) -> u64;

    /// Asks for [`crate::Nic::tick`] when [`Self::now`] is `time` or later; replaces what was
    /// asked for before. With `None` it is not needed.
    fn wake(&mut self, time: Option<u64>);

    /// Something that a person who looks for a defect wants to know.
    fn trace(&mut self, line: fmt::Arguments<'_>);
}
