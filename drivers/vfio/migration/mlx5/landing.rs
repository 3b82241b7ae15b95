// SPDX-License-Identifier: GPL-2.0

//! Where an image lands that is to be loaded.
//!
//! The header of a record says how large the image will be, but is not trusted: memory is allocated
//! for a little more than what has come.

use crate::memory::{
    Memory,
    Pool,
    Share, //
};
use core::mem;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use mlx5::{
    Buffer,
    Mkey, //
};
use vfio::task::Task;
use vfio_migration::backend;

/// The most bytes that are allocated ahead of what has come.
const STEP: usize = 8 << 20;

/// Memory for the images of records, one after the other.
pub(crate) struct Landing {
    share: Share,
    memory: Memory,
    /// Bytes that have come.
    len: usize,
}

impl Landing {
    /// Without any memory.
    pub(crate) fn new(pool: Arc<Task<Pool>>) -> Self {
        Self {
            share: Share::new(pool),
            memory: Memory::Buffer(Buffer::default()),
            len: 0,
        }
    }

    fn take(&mut self) -> Memory {
        mem::replace(&mut self.memory, Memory::Buffer(Buffer::default()))
    }

    /// Makes the memory `bytes` bytes long.
    fn grow(&mut self, bytes: usize) -> Result {
        self.share.grow(bytes)?;
        let mut buffer = match self.take() {
            Memory::Buffer(buffer) => buffer,
            // An error is final: what has landed is lost.
            Memory::Mkey(mkey) => mkey.into_buffer()?,
        };
        let result = buffer.grow(bytes);
        self.memory = Memory::Buffer(buffer);
        result
    }

    /// Has `load` take the image, of so many bytes, from memory that `key` lets the firmware read.
    ///
    /// # Errors
    ///
    /// Those of both.
    pub(crate) fn load(
        &mut self,
        key: impl FnOnce(Buffer) -> Result<Mkey>,
        load: impl FnOnce(&Mkey, usize) -> Result,
    ) -> Result {
        let mkey = match self.take() {
            Memory::Buffer(buffer) => key(buffer)?,
            Memory::Mkey(mkey) => mkey,
        };
        let result = load(&mkey, self.len);
        self.memory = Memory::Mkey(mkey);
        result
    }
}

impl backend::Landing for Landing {
    fn space(&mut self, left: u64) -> Result<&mut [u8]> {
        if self.memory.len() == self.len {
            let step = usize::try_from(left).unwrap_or(STEP).min(STEP);
            self.grow(self.len.checked_add(step).ok_or(EFBIG)?)?;
        }
        Ok(match &mut self.memory {
            Memory::Buffer(buffer) => buffer.piece_mut(self.len),
            Memory::Mkey(mkey) => mkey.piece_mut(self.len),
        })
    }

    fn advance(&mut self, count: usize) {
        self.len = self.len.saturating_add(count).min(self.memory.len());
    }

    fn last(&self, count: usize) -> &[u8] {
        let from = self.len.saturating_sub(count);
        let piece = match &self.memory {
            Memory::Buffer(buffer) => buffer.piece(from),
            Memory::Mkey(mkey) => mkey.piece(from),
        };
        piece.get(..self.len - from).unwrap_or(piece)
    }

    fn clear(&mut self) {
        self.len = 0;
    }

    fn free(&mut self) {
        self.clear();
        drop(self.take());
        self.share.give_back();
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let memory = self.take();
        self.share.discard(memory);
    }
}
