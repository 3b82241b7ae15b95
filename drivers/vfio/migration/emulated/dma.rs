// SPDX-License-Identifier: GPL-2.0

//! The DMA engine at work: does what its registers ask for ([`crate::engine`]), one access after the
//! other, in a task of its own.
//!
//! An access to guest memory may wait for user space, so no lock is held meanwhile. Who stops the
//! engine first takes its permission away, under the lock, and then waits until it is idle: what was
//! begun is then done, counted, logged and signalled, and nothing more begins. Only a killed thread
//! does not wait. If that was in an arc, the engine runs on; if it was in a reset, what was under way
//! does not count.
//!
//! The device cannot tell the memory of another device from that of the guest: in P2P states the
//! engine begins nothing at all (uAPI rule B5).

use crate::{
    device::Device,
    engine::{
        generator::{
            Page,
            PAGE, //
        },
        queue::{
            Descriptor,
            Slot,
            Status,
            Way,
            COPY, //
        },
        Engine, //
    },
    log::Log,
};
use kernel::{
    prelude::*,
    sync::{
        new_mutex,
        Arc,
        Mutex, //
    },
    time::{
        msecs_to_jiffies,
        Delta,
        Instant,
        Jiffies,
        Monotonic, //
    },
};
use vfio::{
    busy::Busy,
    dma::UserMemory,
    task::{
        Run,
        Task, //
    },
};

/// The vector of the generator.
const GENERATOR_VECTOR: u32 = 1;
/// The vector of the first queue; the others follow.
const QUEUE_VECTOR: u32 = 2;
/// The most pages of the generator that it makes up for.
const PAGES_LATE: i64 = 1024;

/// What was taken on.
#[derive(Clone, Copy)]
enum Job {
    Page(Page),
    Slot(Slot),
}

/// What the engine is and may do.
struct Inner {
    engine: Engine,
    /// Whether anything may begin.
    allowed: bool,
    /// Counts resets: what was begun before the last one does not count.
    epoch: u32,
    /// When the last page of the generator was due.
    last_page: Instant<Monotonic>,
    /// The queue whose turn it is.
    turn: usize,
    /// For the one who works; he has it while he does.
    buffer: KVVec<u8>,
}

/// The engine of one device, as data of the task that does the work.
#[pin_data]
pub(crate) struct Dma {
    memory: Arc<UserMemory>,
    device: Arc<Task<Device>>,
    busy: Busy,
    #[pin]
    log: Log,
    #[pin]
    inner: Mutex<Inner>,
}

impl Dma {
    /// An engine that may run, between `memory` and the memory of `device`. The log leaves out one
    /// of `lose` pages.
    pub(crate) fn new(
        memory: Arc<UserMemory>,
        device: Arc<Task<Device>>,
        lose: u32,
    ) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let inner = Inner {
                engine: Engine::new(),
                allowed: true,
                epoch: 0,
                last_page: Instant::now(),
                turn: 0,
                buffer: KVVec::zeroed(COPY.max(PAGE), GFP_KERNEL_ACCOUNT)?,
            };
            Ok(try_pin_init!(Self {
                memory,
                device,
                busy: Busy::new(),
                log <- Log::new(lose),
                inner <- new_mutex!(inner, "vfio_migration_emulated::Dma::inner"),
            }? Error))
        })
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// The register at `offset` of BAR0.
    pub(crate) fn read(&self, offset: u64) -> u32 {
        self.inner.lock().engine.read(offset)
    }

    /// Writes the register at `offset` of BAR0. A stopped engine takes note of it.
    pub(crate) fn write(task: &Task<Self>, offset: u64, value: u32) {
        let mut inner = task.inner.lock();
        let waited = inner.engine.page().is_none();
        inner.engine.write(offset, value);
        if waited {
            // The time in which there was no page to write is none that was lost.
            inner.last_page = Instant::now();
        }
        drop(inner);
        task.start();
    }

    /// Lets the engine run.
    pub(crate) fn resume(task: &Task<Self>) {
        let mut inner = task.inner.lock();
        inner.allowed = true;
        inner.last_page = Instant::now();
        drop(inner);
        task.start();
    }

    /// Stops the engine: when this returns, nothing is under way and nothing begins.
    ///
    /// # Errors
    ///
    /// `EINTR` if the calling thread is killed while user space keeps an access waiting. The engine
    /// then runs as before.
    pub(crate) fn pause(task: &Task<Self>) -> Result {
        let before = core::mem::replace(&mut task.inner.lock().allowed, false);
        task.busy.wait().map_err(|_| {
            if before {
                Self::resume(task);
            }
            EINTR
        })
    }

    /// The registers, for the image.
    pub(crate) fn engine(&self) -> Engine {
        self.inner.lock().engine
    }

    /// Takes the registers of another device, which were checked, over. The engine is stopped.
    pub(crate) fn restore(&self, engine: Engine) {
        self.inner.lock().engine = engine;
    }

    /// Makes the engine as it was when it was made, and running.
    pub(crate) fn reset(&self) {
        self.inner.lock().allowed = false;
        // Who is killed does not wait for his own memory; see the top of this file.
        let _ = self.busy.wait();
        let mut inner = self.inner.lock();
        inner.engine = Engine::new();
        inner.epoch = inner.epoch.wrapping_add(1);
        inner.allowed = true;
    }

    /// Takes the next job on, with the buffer for it and the epoch that it is of.
    fn begin(&self) -> Option<(Job, KVVec<u8>, u32)> {
        let mut inner = self.inner.lock();
        if !inner.allowed {
            return None;
        }
        let job = match inner.due_page() {
            Some(page) => Job::Page(page),
            None => {
                let slot = inner.engine.slot(inner.turn)?;
                inner.turn = slot.queue + 1;
                Job::Slot(slot)
            }
        };
        self.busy.begin();
        let buffer = core::mem::replace(&mut inner.buffer, KVVec::new());
        Some((job, buffer, inner.epoch))
    }

    /// Does a job; returns whether it was done.
    fn perform(&self, job: &Job, buffer: &mut [u8]) -> bool {
        match job {
            Job::Page(page) => self.write_page(page, buffer).is_ok(),
            Job::Slot(slot) => self.serve(slot, buffer).is_ok(),
        }
    }

    fn write_page(&self, page: &Page, buffer: &mut [u8]) -> Result {
        let bytes = buffer.get_mut(..PAGE).ok_or(EINVAL)?;
        for pair in bytes.chunks_exact_mut(16) {
            let (number, inverse) = pair.split_at_mut(8);
            number.copy_from_slice(&page.number.to_le_bytes());
            inverse.copy_from_slice(&(!page.number).to_le_bytes());
        }
        self.write_memory(page.address, bytes)
    }

    /// Does what a descriptor says and writes its status.
    ///
    /// # Errors
    ///
    /// Those of an access to the descriptor.
    fn serve(&self, slot: &Slot, buffer: &mut [u8]) -> Result {
        let mut bytes = [0; Descriptor::LEN];
        self.memory.read(slot.address, &mut bytes)?;
        let status = Descriptor::decode(&bytes)
            .map_or(Status::Invalid, |descriptor| self.copy(&descriptor, buffer));
        // CAST: The number of the status.
        let status = (status as u32).to_le_bytes();
        self.write_memory(slot.address.saturating_add(Descriptor::STATUS), &status)
    }

    fn copy(&self, descriptor: &Descriptor, buffer: &mut [u8]) -> Status {
        let state = self.device.memory();
        let Some(bytes) = buffer.get_mut(..descriptor.len) else {
            return Status::Invalid;
        };
        let Ok(offset) = usize::try_from(descriptor.offset) else {
            return Status::Invalid;
        };
        let inside = offset
            .checked_add(descriptor.len)
            .is_some_and(|end| end <= state.size());
        if !inside {
            return Status::Invalid;
        }
        let done = match descriptor.way {
            Way::ToDevice => self
                .memory
                .read(descriptor.address, bytes)
                .and_then(|()| state.write(offset, bytes)),
            Way::ToMemory => state
                .read(offset, bytes)
                .and_then(|()| self.write_memory(descriptor.address, bytes)),
        };
        done.map_or(Status::Failed, |()| Status::Done)
    }

    /// Writes to guest memory, which is logged even if it fails: a part may have been written.
    fn write_memory(&self, address: u64, bytes: &[u8]) -> Result {
        let done = self.memory.write(address, bytes);
        self.log.wrote(address, bytes.len());
        done
    }

    /// Takes down what became of a job.
    fn finish(&self, job: &Job, done: bool, buffer: KVVec<u8>, epoch: u32) {
        let mut inner = self.inner.lock();
        inner.buffer = buffer;
        if inner.epoch == epoch {
            let (raises, vector) = match job {
                Job::Page(_) => (inner.engine.page_done(done), GENERATOR_VECTOR),
                Job::Slot(slot) => {
                    // CAST: A handful.
                    let vector = QUEUE_VECTOR + slot.queue as u32;
                    (inner.engine.slot_done(slot, done), vector)
                }
            };
            if raises {
                self.device.interrupt(vector);
            }
        }
        drop(inner);
        self.busy.end();
    }
}

impl Inner {
    fn period(&self) -> i64 {
        i64::from(self.engine.period_us()) * 1000
    }

    /// The page of the generator that is due now, if one is.
    fn due_page(&mut self) -> Option<Page> {
        let page = self.engine.page()?;
        let late = self.last_page.elapsed().as_nanos();
        if late < self.period() {
            return None;
        }
        self.last_page = match late.checked_div(self.period())? > PAGES_LATE {
            true => Instant::now(),
            false => self.last_page + Delta::from_nanos(self.period()),
        };
        Some(page)
    }

    /// When to look again for a page that is due, if no register is written before.
    fn next_look(&self) -> Option<Jiffies> {
        self.engine.page().filter(|_| self.allowed)?;
        Some(msecs_to_jiffies(self.engine.period_us().div_ceil(1000)).max(1))
    }
}

impl Run for Dma {
    fn run(task: &Task<Self>) {
        while let Some((job, mut buffer, epoch)) = task.begin() {
            let done = task.perform(&job, &mut buffer);
            task.finish(&job, done, buffer, epoch);
        }
        let again = task.inner.lock().next_look();
        if let Some(delay) = again {
            task.start_after(delay);
        }
    }
}
