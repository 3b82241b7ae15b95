// SPDX-License-Identifier: GPL-2.0

//! A DMA engine with four registers of 64 bits, little-endian, and a buffer.
//!
//! | offset | register | |
//! |---|---|---|
//! | 0x00 | address | in the memory of the user |
//! | 0x08 | length | in bytes, up to the size of the buffer |
//! | 0x10 | command | writing it starts a transfer; see [`Command`] |
//! | 0x18 | result | of the last transfer: 0, a negative error number, or 1 or 2 while it lasts |

use kernel::{
    prelude::*,
    sync::{
        new_mutex,
        Arc,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
};
use vfio::{
    dma::{
        Direction,
        UserMemory, //
    },
    task::{
        Run,
        Task, //
    },
};

/// Bytes of registers.
pub(crate) const REGISTERS: usize = 0x20;
/// Bytes of the buffer.
pub(crate) const BUFFER: usize = 4 * PAGE;

const PAGE: usize = kernel::page::PAGE_SIZE;
/// In a command: it is done in the background, by a thread that is not the user's.
const BACKGROUND: u64 = 1 << 8;
/// How long [`Command::Hold`] keeps memory pinned.
const HOLD: Delta = Delta::from_millis(300);

/// As a result: the transfer has begun.
const BUSY: i64 = 1;
/// As a result: the transfer has memory pinned and keeps it.
const HELD: i64 = 2;

/// What a transfer does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    /// Memory to the buffer.
    Read,
    /// The buffer to memory.
    Write,
    /// As `Read`, with the memory pinned.
    PinnedRead,
    /// As `Write`, with the memory pinned.
    PinnedWrite,
    /// As `PinnedWrite`, with a pause before the data is written.
    Hold,
    /// `Write` again and again, until it cannot or another command comes.
    RepeatWrite,
    /// `PinnedWrite` again and again, until the device is not open or another command comes.
    RepeatPinnedWrite,
}

impl TryFrom<u64> for Command {
    type Error = Error;

    fn try_from(number: u64) -> Result<Self> {
        Ok(match number {
            1 => Command::Read,
            2 => Command::Write,
            3 => Command::PinnedRead,
            4 => Command::PinnedWrite,
            5 => Command::Hold,
            6 => Command::RepeatWrite,
            7 => Command::RepeatPinnedWrite,
            _ => return Err(EINVAL),
        })
    }
}

/// The engine of one device.
#[pin_data]
pub(crate) struct Engine {
    memory: Arc<UserMemory>,
    #[pin]
    inner: Mutex<Inner>,
}

struct Inner {
    address: u64,
    length: u64,
    command: u64,
    result: i64,
    buffer: KVVec<u8>,
}

impl Engine {
    /// An engine that accesses `memory`.
    pub(crate) fn new(memory: Arc<UserMemory>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            memory,
            inner <- new_mutex!(
                Inner {
                    address: 0,
                    length: 0,
                    command: 0,
                    result: 0,
                    buffer: KVVec::from_elem(0, BUFFER, GFP_KERNEL)?,
                },
                "vfio_migration_test::Engine"
            ),
        })
    }

    pub(crate) fn read_buffer(&self, offset: usize, out: &mut [u8]) -> Result {
        let inner = self.inner.lock();
        let end = offset.checked_add(out.len()).ok_or(EINVAL)?;
        out.copy_from_slice(inner.buffer.get(offset..end).ok_or(EINVAL)?);
        Ok(())
    }

    pub(crate) fn write_buffer(&self, offset: usize, data: &[u8]) -> Result {
        let mut inner = self.inner.lock();
        let end = offset.checked_add(data.len()).ok_or(EINVAL)?;
        inner
            .buffer
            .get_mut(offset..end)
            .ok_or(EINVAL)?
            .copy_from_slice(data);
        Ok(())
    }

    pub(crate) fn read_register(&self, offset: usize, out: &mut [u8]) -> Result {
        let inner = self.inner.lock();
        let value = match offset {
            0x00 => inner.address,
            0x08 => inner.length,
            0x10 => inner.command,
            // CAST: The two's complement.
            0x18 => inner.result as u64,
            _ => return Err(EINVAL),
        };
        let value = value.to_le_bytes();
        out.copy_from_slice(value.get(..out.len()).ok_or(EINVAL)?);
        Ok(())
    }

    pub(crate) fn write_register(this: &Task<Self>, offset: usize, data: &[u8]) -> Result {
        let value = u64::from_le_bytes(data.try_into().map_err(|_| EINVAL)?);
        let mut inner = this.inner.lock();
        match offset {
            0x00 => inner.address = value,
            0x08 => inner.length = value,
            0x10 => {
                inner.command = value;
                inner.result = BUSY;
                drop(inner);
                if value & BACKGROUND != 0 {
                    this.start();
                } else {
                    this.transfer();
                }
            }
            _ => return Err(EINVAL),
        }
        Ok(())
    }

    /// Does the command once; returns whether to do it again.
    fn transfer(&self) -> bool {
        let (number, done) = match self.try_transfer() {
            Ok(number) => (number, 0),
            Err((number, error)) => (number, i64::from(error.to_errno())),
        };
        let mut inner = self.inner.lock();
        // Another command has come meanwhile: its own transfer says how it went.
        if inner.command != number {
            return true;
        }
        // CAST: The number of an error.
        let closed = done == i64::from(ENODEV.to_errno());
        let again = match Command::try_from(number & !BACKGROUND) {
            Ok(Command::RepeatWrite) => done == 0,
            // Memory comes and goes.
            Ok(Command::RepeatPinnedWrite) => !closed,
            _ => false,
        };
        if !again {
            inner.result = done;
        }
        again
    }

    fn try_transfer(&self) -> Result<u64, (u64, Error)> {
        let inner = self.inner.lock();
        let (number, address, length) = (inner.command, inner.address, inner.length);
        drop(inner);
        self.perform(number, address, length)
            .map(|()| number)
            .map_err(|error| (number, error))
    }

    /// One transfer, with no lock held over the access to memory.
    fn perform(&self, number: u64, address: u64, length: u64) -> Result {
        let command = Command::try_from(number & !BACKGROUND)?;
        let length = usize::try_from(length).map_err(|_| EINVAL)?;
        if length > BUFFER {
            return Err(EINVAL);
        }
        let mut data = KVVec::from_elem(0, length, GFP_KERNEL)?;
        match command {
            Command::Read => self.memory.read(address, &mut data)?,
            Command::PinnedRead => {
                let (first, offset, count) = pages(address, length);
                self.memory
                    .pin(first, count, Direction::Read)?
                    .read(offset, &mut data)?;
            }
            Command::Write | Command::RepeatWrite => {
                self.read_buffer(0, &mut data)?;
                return self.memory.write(address, &data);
            }
            Command::PinnedWrite | Command::Hold | Command::RepeatPinnedWrite => {
                let (first, offset, count) = pages(address, length);
                self.read_buffer(0, &mut data)?;
                let pinned = self.memory.pin(first, count, Direction::Write)?;
                if command == Command::Hold {
                    self.inner.lock().result = HELD;
                    fsleep(HOLD);
                }
                return pinned.write(offset, &data);
            }
        }
        self.write_buffer(0, &data)
    }
}

/// The first page of a range, where in it the range begins, and the number of pages.
fn pages(address: u64, length: usize) -> (u64, usize, usize) {
    // CAST: Below the size of a page.
    let offset = address as usize % PAGE;
    // CAST: As above.
    let first = address - offset as u64;
    (first, offset, (offset + length).div_ceil(PAGE))
}

impl Run for Engine {
    fn run(task: &Task<Self>) {
        if task.transfer() {
            task.start();
        }
    }
}
