// SPDX-License-Identifier: GPL-2.0

//! The memory of images: bounded, and given back off the arcs.
//!
//! To free an image takes commands, and time in proportion to its size, and images go where sessions
//! end, in arcs. So what is dropped is handed to a work item, which comes again for what could not be
//! taken from the firmware. A reset, which takes its time anyway, waits for that: who goes on after it
//! has all of his memory again.
//!
//! Lock: `Pool::unused`, below all others, held for a few instructions.

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        new_mutex,
        Arc,
        Mutex, //
    },
    time::{
        msecs_to_jiffies,
        Msecs, //
    },
};
use mlx5::{
    Buffer,
    Function,
    Mkey,
    Pd, //
};
use vfio::{
    lock_class,
    task::{
        Queue,
        Run,
        Task, //
    }, //
};
use vfio_migration::backend;

/// When to try again what could not be taken back, since memory was scarce.
const AGAIN: Msecs = 1000;

/// Memory for an image.
pub(crate) enum Memory {
    /// The driver's.
    Buffer(Buffer),
    /// The firmware may access it.
    Mkey(Mkey),
}

impl Memory {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Buffer(buffer) => buffer.len(),
            Self::Mkey(mkey) => mkey.len(),
        }
    }
}

/// What is to be freed.
#[derive(Default)]
struct Unused {
    memory: KVec<Memory>,
    domains: KVec<Pd>,
}

impl Unused {
    /// With room for what a session leaves at most, so that no arc allocates it.
    fn new() -> Result<Self> {
        Ok(Self {
            memory: KVec::with_capacity(16, GFP_KERNEL)?,
            domains: KVec::with_capacity(2, GFP_KERNEL)?,
        })
    }

    fn is_empty(&self) -> bool {
        self.memory.is_empty() && self.domains.is_empty()
    }
}

/// Where unused memory of a device goes, and how much is in use.
#[pin_data]
pub(crate) struct Pool {
    function: Function,
    #[pin]
    unused: Mutex<Unused>,
    /// Bytes in use.
    used: Atomic<u64>,
    /// The most bytes that may be in use.
    limit: u64,
}

impl Pool {
    /// A pool of up to `limit` bytes.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        function: Function,
        queue: Arc<Queue>,
        limit: u64,
    ) -> Result<Arc<Task<Self>>> {
        let unused = Unused::new()?;
        let (name, key) = lock_class!("vfio_migration_mlx5_pool");
        let data = pin_init!(Self {
            function,
            unused <- new_mutex!(unused, "vfio_migration_mlx5::Pool"),
            used: Atomic::new(0),
            limit,
        });
        Arc::pin_init(Task::new(queue, name, key, data), GFP_KERNEL)
    }
}

impl Pool {
    /// Frees what is unused, and returns when that is done.
    pub(crate) fn flush(this: &Task<Self>) {
        this.cancel();
        Self::run(this);
    }

    /// Has `pd` be freed: no more keys of it are made.
    pub(crate) fn discard(this: &Task<Self>, pd: Pd) {
        Self::throw(this, pd, |unused| &mut unused.domains);
    }

    /// Has what could not be taken from the firmware be tried again.
    pub(crate) fn come_again(this: &Task<Self>) {
        this.start_after(msecs_to_jiffies(AGAIN));
    }

    fn throw<T>(this: &Task<Self>, what: T, list: impl FnOnce(&mut Unused) -> &mut KVec<T>) {
        let mut unused = this.unused.lock();
        let first = unused.is_empty();
        let list = list(&mut unused);
        // Without memory to remember it, it is freed here and now.
        let _ = list.reserve(1, GFP_KERNEL);
        let rejected = list.push_within_capacity(what).err();
        drop(unused);
        let start = first || rejected.is_some();
        drop(rejected);
        if start {
            // Not right now, or the arc that drops it may have to wait for the CPU.
            this.start_after(1);
        }
    }
}

impl Run for Pool {
    fn run(task: &Task<Self>) {
        let next = Unused::new().unwrap_or_default();
        let unused = core::mem::replace(&mut *task.unused.lock(), next);
        drop(unused);
        if !task.function.take_back() {
            Self::come_again(task);
        }
    }
}

/// What an image has of a pool.
pub(crate) struct Share {
    pool: Arc<Task<Pool>>,
    bytes: u64,
}

impl Share {
    pub(crate) fn new(pool: Arc<Task<Pool>>) -> Self {
        Self { pool, bytes: 0 }
    }

    /// Makes it at least `bytes` bytes.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if that is more than there may be.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result {
        // CAST: No buffer is longer than `isize::MAX`.
        let more = (bytes as u64).saturating_sub(self.bytes);
        // OVERFLOW: The sum is that of buffers.
        let used = self.pool.used.fetch_add(more, Relaxed) + more;
        if used > self.pool.limit {
            self.pool.used.fetch_sub(more, Relaxed);
            return Err(ENOMEM);
        }
        self.bytes += more;
        Ok(())
    }

    /// Gives all of it back.
    pub(crate) fn give_back(&mut self) {
        self.pool.used.fetch_sub(self.bytes, Relaxed);
        self.bytes = 0;
    }

    /// The same, and `memory` is to be freed.
    pub(crate) fn discard(&mut self, memory: Memory) {
        self.give_back();
        Pool::throw(&self.pool, memory, |unused| &mut unused.memory);
    }
}

/// An image that was saved, or memory for one.
pub(crate) struct Image {
    share: Share,
    /// Always there but while it is dropped.
    mkey: Option<Mkey>,
    /// Bytes of the image.
    size: usize,
}

impl Image {
    /// Memory for an image of up to `bytes` bytes, where `key` lets the firmware write.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or those of `key`.
    pub(crate) fn new(
        pool: &Arc<Task<Pool>>,
        bytes: usize,
        key: impl FnOnce(Buffer) -> Result<Mkey>,
    ) -> Result<Self> {
        let mut image = Self {
            share: Share::new(pool.clone()),
            mkey: None,
            size: 0,
        };
        image.share.grow(bytes)?;
        image.mkey = Some(key(Buffer::with_capacity(bytes)?)?);
        Ok(image)
    }

    /// Bytes that there is memory for.
    pub(crate) fn capacity(&self) -> usize {
        self.mkey.as_ref().map_or(0, Mkey::len)
    }

    /// The memory.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub(crate) fn mkey(&mut self) -> Result<&mut Mkey> {
        self.mkey.as_mut().ok_or(EINVAL)
    }

    /// Says that the image has `size` bytes.
    pub(crate) fn fill(&mut self, size: usize) {
        self.size = size.min(self.capacity());
    }
}

impl backend::Image for Image {
    fn size(&self) -> usize {
        self.size
    }

    fn piece(&self, offset: usize) -> &[u8] {
        let piece = self
            .mkey
            .as_ref()
            .map_or(&[][..], |mkey| mkey.piece(offset));
        let left = self.size.saturating_sub(offset);
        piece.get(..left).unwrap_or(piece)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        match self.mkey.take() {
            Some(mkey) => self.share.discard(Memory::Mkey(mkey)),
            None => self.share.discard(Memory::Buffer(Buffer::default())),
        }
    }
}
