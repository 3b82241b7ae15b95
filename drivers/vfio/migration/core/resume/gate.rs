// SPDX-License-Identifier: GPL-2.0

//! Who is writing, and where the images are that have landed or are to land.

use super::ResumeFile;
use crate::{
    backend::{
        Backend,
        Landing, //
    },
    turn,
};
use kernel::prelude::*;
use vfio::{
    stream::Wait,
    task::Task, //
};

/// The most that is copied from user space before it is checked: it should still be in the cache for
/// its checksum, and who ends the session waits for that. Pieces much smaller take longer.
pub(super) const AT_ONCE: usize = 64 * 1024;

/// The image of the record that is being written.
pub(super) struct Filling<L> {
    pub(super) landing: L,
    /// Bytes that have landed and were not checked. Not all of the record.
    pub(super) unchecked: usize,
}

/// An image that has landed.
pub(super) struct Landed<L> {
    pub(super) landing: L,
    /// The byte of the stream that comes after it.
    pub(super) end: u64,
    pub(super) len: usize,
}

/// # Invariants
///
/// There are `images` images in here and in the hands of the writer and of the work item, at most
/// `depth`, and there is room for so many in `landed` and in `spare`.
pub(super) struct Gate<L> {
    pub(super) writing: bool,
    /// The session has ended or failed.
    pub(super) broken: bool,
    /// What belongs to the one that is writing.
    hands: Option<KBox<Hands<L>>>,
    /// Images to be loaded, in this order.
    pub(super) landed: KVec<Landed<L>>,
    /// Bytes of the one that is being loaded.
    pub(super) loading: Option<usize>,
    spare: KVec<L>,
    images: usize,
    depth: usize,
    /// Bytes that may be left to be loaded when a write ends.
    ahead: usize,
}

/// What a writer works with.
struct Hands<L> {
    /// Made by the first writer.
    bounce: Option<KVVec<u8>>,
    filling: Option<Filling<L>>,
    /// Of the record before, whose checksum is to come.
    whole: Option<Landed<L>>,
}

impl<L> Hands<L> {
    const fn new() -> Self {
        Self {
            bounce: None,
            filling: None,
            whole: None,
        }
    }
}

impl<L: Landing> Gate<L> {
    pub(super) fn new<B: Backend<Landing = L>>(backend: &B) -> Result<Self> {
        let depth = backend.depth().max(1);
        // INVARIANT: There are no images.
        Ok(Self {
            writing: false,
            broken: false,
            hands: Some(KBox::new(Hands::new(), GFP_KERNEL_ACCOUNT)?),
            landed: KVec::with_capacity(depth, GFP_KERNEL_ACCOUNT)?,
            loading: None,
            spare: KVec::with_capacity(depth, GFP_KERNEL_ACCOUNT)?,
            images: 0,
            depth,
            ahead: backend.ahead(),
        })
    }

    /// Whether all that landed is loaded.
    pub(super) fn is_drained(&self) -> bool {
        self.broken || (self.landed.is_empty() && self.loading.is_none())
    }

    /// Whether no more than may be is left to be loaded.
    fn is_settled(&self) -> bool {
        let landed: usize = self.landed.iter().map(|landed| landed.len).sum();
        // OVERFLOW: All of it is in memory.
        self.broken || landed + self.loading.unwrap_or(0) <= self.ahead
    }

    /// Whether a writer finds memory for another image.
    fn has_image(&self) -> bool {
        self.is_settled() && (!self.spare.is_empty() || self.images < self.depth)
    }

    /// Whether a writer finds memory for what comes next.
    pub(super) fn has_room(&self) -> bool {
        let filling = self
            .hands
            .as_ref()
            .is_some_and(|hands| hands.filling.is_some());
        filling || self.has_image()
    }

    /// An image was loaded.
    pub(super) fn give_back(&mut self, landing: L) -> Option<L> {
        if self.broken {
            self.images -= 1;
            return Some(landing);
        }
        // By the invariant there is room.
        let _ = self.spare.push_within_capacity(landing);
        None
    }

    /// Breaks the gate; returns all that is to be dropped without its lock.
    #[must_use]
    pub(super) fn end(&mut self) -> impl Sized {
        self.broken = true;
        (
            self.hands.take(),
            core::mem::take(&mut self.landed),
            core::mem::take(&mut self.spare),
        )
    }
}

/// The right to write, with what that needs.
pub(super) struct Writer<'a, B: Backend> {
    file: &'a Task<ResumeFile<B>>,
    /// Nothing after the end of the session.
    hands: Option<KBox<Hands<B::Landing>>>,
}

impl<'a, B: Backend> Writer<'a, B> {
    /// # Errors
    ///
    /// - `EAGAIN` if somebody is writing and `wait` does not allow to wait.
    /// - `ERESTARTSYS` for a signal.
    pub(super) fn enter(file: &'a Task<ResumeFile<B>>, wait: Wait) -> Result<Self> {
        let mut gate = turn::take(&file.gate, &file.waker, wait, |gate| &mut gate.writing)?;
        let hands = gate.hands.take();
        Ok(Self { file, hands })
    }

    fn hands(&mut self) -> Result<&mut Hands<B::Landing>> {
        Ok(self.hands.as_mut().ok_or(ENODEV)?)
    }

    /// A buffer, allocated for the calling process if there was none.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn bounce(&mut self) -> Result<&mut [u8]> {
        let hands = self.hands()?;
        if hands.bounce.is_none() {
            hands.bounce = Some(KVVec::zeroed(AT_ONCE, GFP_KERNEL_ACCOUNT)?);
        }
        Ok(hands.bounce.as_mut().ok_or(ENOMEM)?)
    }

    /// The image for the present record, once there is one to be had.
    ///
    /// # Errors
    ///
    /// - `EAGAIN`, `ERESTARTSYS` as for [`Writer::enter`], if others have to be loaded before.
    /// - `ENODEV` if the session ends meanwhile, or what it fails with; `ENOMEM`.
    pub(super) fn filling(&mut self, wait: Wait) -> Result<&mut Filling<B::Landing>> {
        if self.hands()?.filling.is_none() {
            let landing = self.new_landing(wait)?;
            self.hands()?.filling = Some(Filling {
                landing,
                unchecked: 0,
            });
        }
        self.hands()?.filling.as_mut().ok_or(ENOMEM)
    }

    fn new_landing(&self, wait: Wait) -> Result<B::Landing> {
        let file = self.file;
        let mut gate = file.gate.lock();
        loop {
            if gate.broken {
                drop(gate);
                return Err(file.next().err().unwrap_or(ENODEV));
            }
            if gate.has_image() {
                if let Some(landing) = gate.spare.pop() {
                    return Ok(landing);
                }
                gate.images += 1;
                break;
            }
            if wait == Wait::No {
                return Err(EAGAIN);
            }
            file.monitor.stats.waits_for_load.add(1);
            if file.waker.0.wait_interruptible(&mut gate) {
                return Err(ERESTARTSYS);
            }
        }
        drop(gate);
        let landing = file.new_landing();
        if landing.is_err() {
            file.gate.lock().images -= 1;
        }
        landing
    }

    /// The record in the image is whole: `len` bytes before byte `end` of the stream.
    pub(super) fn whole(&mut self, end: u64, len: usize) {
        let Some(hands) = &mut self.hands else {
            return;
        };
        debug_assert!(hands.whole.is_none());
        let filling = hands.filling.take();
        hands.whole = filling.map(|Filling { landing, .. }| Landed { landing, end, len });
    }

    /// Has the whole record loaded, if there is one; `wait` says whether to wait for those before.
    ///
    /// A signal ends the wait and changes nothing: who writes the next record waits, too.
    pub(super) fn commit(&mut self, wait: Wait) {
        let hands = self.hands.as_mut();
        let Some(landed) = hands.and_then(|hands| hands.whole.take()) else {
            return;
        };
        let mut gate = self.file.gate.lock();
        if gate.broken {
            drop(gate);
            drop(landed);
            return;
        }
        // By the invariant of `Gate` there is room.
        let _ = gate.landed.push_within_capacity(landed);
        drop(gate);
        self.file.start();
        self.wait(wait, Gate::is_settled);
    }

    /// Waits until all that was committed is loaded, or for a signal.
    pub(super) fn drain(&self, wait: Wait) {
        self.wait(wait, Gate::is_drained);
    }

    fn wait(&self, wait: Wait, done: fn(&Gate<B::Landing>) -> bool) {
        if wait == Wait::No {
            return;
        }
        let mut gate = self.file.gate.lock();
        if !done(&gate) {
            self.file.monitor.stats.waits_for_load.add(1);
        }
        while !done(&gate) && !self.file.waker.0.wait_interruptible(&mut gate) {}
    }
}

impl<B: Backend> Drop for Writer<'_, B> {
    fn drop(&mut self) {
        let hands = self.hands.take();
        let mut gate = self.file.gate.lock();
        gate.writing = false;
        let unused = if gate.broken {
            hands
        } else {
            gate.hands = hands;
            None
        };
        drop(gate);
        drop(unused);
        self.file.waker.wake();
    }
}
