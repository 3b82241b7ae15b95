// SPDX-License-Identifier: GPL-2.0

//! The receive queue of a page tracker: its entry N is always for the Nth part of a buffer.

use super::memory::{
    Doorbell,
    Fragments, //
};
use crate::command::{
    queue::ReceiveQueue,
    Pf, //
};
use kernel::{
    prelude::*,
    sync::barrier::{
        dma_mb,
        Write, //
    },
};

/// Bytes of an entry: one segment.
const ENTRY: usize = 16;
/// Indices of the queue have so many bits.
const INDEX: u32 = 0xffff;

/// The memory of a receive queue, and how far both sides are.
pub(super) struct Ring {
    ring: Fragments,
    doorbell: Doorbell,
    pages: KVec<u64>,
    log_size: u32,
    /// How many messages were received.
    received: u32,
}

impl Ring {
    /// Of `1 << log_size` entries. The PF must be up until this is dropped.
    pub(super) fn new(pf: Pf, log_size: u32) -> Result<Self> {
        let ring = Fragments::new(pf, ENTRY << log_size)?;
        Ok(Self {
            pages: ring.addresses()?,
            doorbell: Doorbell::new(pf)?,
            ring,
            log_size,
            received: 0,
        })
    }

    /// What a queue pair has to know of it.
    pub(super) fn describe(&self, cqn: u32) -> ReceiveQueue<'_> {
        ReceiveQueue {
            log_size: self.log_size,
            cqn,
            doorbell: self.doorbell.address(),
            pages: &self.pages,
        }
    }

    /// Posts all entries, each for a message of `1 << log_message` bytes of the memory of `key`.
    pub(super) fn fill(&mut self, key: u32, log_message: u32) -> Result {
        for slot in 0..1usize << self.log_size {
            let at = slot * ENTRY;
            // CAST: Numbers of bytes.
            let place = (slot as u64) << log_message;
            self.ring.store(at, (1u32 << log_message).to_be())?;
            self.ring.store(at + 4, key.to_be())?;
            self.ring.store(at + 8, place.to_be())?;
        }
        self.post();
        Ok(())
    }

    /// All entries but those that were received and not posted again are the device's.
    fn post(&self) {
        // The entries are complete, and what was received is read.
        dma_mb(Write);
        let posted = self.received.wrapping_add(1 << self.log_size);
        self.doorbell.set(posted & INDEX);
    }

    /// The part of the buffer that the next message must be in, which took the entry `counter`.
    ///
    /// # Errors
    ///
    /// `EIO` if it is another one.
    pub(super) fn slot(&self, counter: u16) -> Result<usize> {
        let mask = (1 << self.log_size) - 1;
        let slot = self.received & mask;
        if u32::from(counter) & mask != slot {
            return Err(EIO);
        }
        // CAST: A number of entries.
        Ok(slot as usize)
    }

    /// Done with the next message: its entry is the device's again.
    pub(super) fn consume(&mut self) {
        self.received = self.received.wrapping_add(1);
        self.post();
    }
}
