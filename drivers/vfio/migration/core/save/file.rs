// SPDX-License-Identifier: GPL-2.0

//! What user space sees of a session that saves: `read()`, `poll()`, `VFIO_MIG_GET_PRECOPY_INFO`.
//!
//! Pre-copy has no end: where the uAPI wants `ENOMSG` or not-readable, that is decided from
//! [`Backend::pending`], under the lock of the session so that no chunk is in the making.

use super::{
    add,
    Entry,
    Hands,
    Item,
    SaveFile,
    Stage,
    IDENTITY_LEN, //
};
use crate::{
    backend::{
        Backend,
        Pending,
        Phase, //
    },
    turn,
};
use core::marker::PhantomData;
use kernel::{
    fs::File,
    iov::IovIterDest,
    prelude::*,
    sync::{
        poll::PollTable,
        Arc,
        ArcBorrow, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};
use vfio::{
    migration::PRECOPY_INFO_REINIT,
    stream::{
        events,
        StreamFile,
        Wait,
        GET_PRECOPY_INFO, //
    },
    task::Task, //
};

/// The most that is copied at once: it should still be in the cache after its checksum was made.
const AT_ONCE: usize = 64 * 1024;

/// Bytes of `struct vfio_precopy_info` that every version has.
const PRECOPY_INFO_SIZE: usize = 24;

/// The right to read, with what that needs: records leave in order, so one process does so at a time.
struct Reader<'a, B: Backend> {
    file: &'a Task<SaveFile<B>>,
    /// Nothing after the end of the session.
    hands: Option<KBox<Hands<B::Image>>>,
}

impl<'a, B: Backend> Reader<'a, B> {
    /// # Errors
    ///
    /// - `EAGAIN` if somebody is reading and `wait` does not allow to wait.
    /// - `ERESTARTSYS` for a signal.
    /// - `ENODEV` after the end of the session.
    fn enter(file: &'a Task<SaveFile<B>>, wait: Wait) -> Result<Self> {
        let mut queue = turn::take(&file.queue, &file.waker, wait, |queue| &mut queue.reading)?;
        let hands = queue.hands.take();
        drop(queue);
        Ok(Self { file, hands })
    }

    /// Copies from what is next; returns how much, and whether that is all that was to be copied.
    ///
    /// # Errors
    ///
    /// As [`SaveFile::next`], where nothing is in hand.
    fn copy(&mut self, out: &mut IovIterDest<'_>, wait: Wait) -> Result<Option<(usize, bool)>> {
        let hands = &mut **self.hands.as_mut().ok_or(ENODEV)?;
        let framer = hands.framer.as_mut().ok_or(ENODEV)?;
        let entry = match &mut hands.entry {
            Some(entry) => entry,
            none => match SaveFile::next(self.file, wait)? {
                Some(item) => none.insert(framer.open(item)),
                None => return Ok(None),
            },
        };
        let piece = framer.piece(entry, out.len().min(AT_ONCE));
        // No lock is held here: the memory may be this device's own.
        let copied = out.copy_to_iter(piece);
        let whole = copied == piece.len();
        entry.advance(copied);
        if entry.len() == 0 {
            let image = hands.entry.take().and_then(Entry::into_image);
            SaveFile::give_back(self.file, image);
        }
        Ok(Some((copied, whole)))
    }
}

impl<B: Backend> Drop for Reader<'_, B> {
    fn drop(&mut self) {
        let hands = self.hands.take();
        let mut queue = self.file.queue.lock();
        queue.reading = false;
        queue.in_hand = Pending::default();
        let unused = if matches!(queue.stage, Stage::Dead) {
            hands
        } else {
            if let Some(entry) = hands.as_ref().and_then(|hands| hands.entry.as_ref()) {
                add(&mut queue.in_hand, entry.is_initial(), entry.len());
            }
            queue.hands = hands;
            None
        };
        drop(queue);
        // May take the backend's locks.
        drop(unused);
        self.file.waker.wake();
    }
}

/// What `VFIO_MIG_GET_PRECOPY_INFO` tells.
struct PrecopyInfo {
    /// [`None`]: user space does not know output flags, and gets its own back.
    flags: Option<u32>,
    initial: u64,
    dirty: u64,
}

impl<B: Backend> SaveFile<B> {
    /// Whether pre-copy has come to an end for now: nothing queued and nothing to make.
    /// No, while a chunk is in the making.
    ///
    /// # Errors
    ///
    /// The backend's.
    fn is_idle(&self) -> Result<bool> {
        let Some(mut session) = self.session.try_lock() else {
            return Ok(false);
        };
        let Some(session) = &mut *session else {
            return Ok(false);
        };
        let queue = self.queue.lock();
        if queue.phase != Phase::PreCopy || !queue.is_open() || queue.has_data() {
            return Ok(false);
        }
        drop(queue);
        // The producer changes none of this without the lock of the session.
        let pending = session.pending()?;
        Ok(pending.initial == 0 && pending.dirty == 0)
    }

    /// Takes the next item, waiting for it if `wait` allows; [`None`] at the end of the stream.
    ///
    /// # Errors
    ///
    /// - `ENOMSG` at the end of what pre-copy has for now (uAPI rule T3).
    /// - `EAGAIN` if there is data to come and `wait` does not allow to wait for it.
    /// - `ERESTARTSYS` for a signal.
    /// - `ENODEV` after the end of the session.
    /// - The backend's.
    fn next(this: &Task<Self>, wait: Wait) -> Result<Option<Item<B::Image>>> {
        loop {
            let mut queue = this.queue.lock();
            let events = queue.events;
            if matches!(queue.stage, Stage::Dead) {
                return Err(ENODEV);
            }
            if let Ok(item) = queue.ready.remove(0) {
                queue.in_hand = Pending::default();
                add(&mut queue.in_hand, item.is_initial(), item.len());
                queue.identified = true;
                queue.owing = false;
                return Ok(Some(item));
            }
            match queue.stage {
                Stage::Complete => return Ok(None),
                Stage::Failed(error) => return Err(error),
                Stage::Open | Stage::Dead => {}
            }
            drop(queue);

            if this.is_idle()? {
                this.queue.lock().owing = false;
                return Err(ENOMSG);
            }
            Self::kick(this)?;
            let mut queue = this.queue.lock();
            if wait == Wait::No {
                queue.owing = true;
                return Err(EAGAIN);
            }
            if queue.events != events {
                continue;
            }
            this.monitor.stats.waits_for_chunk.add(1);
            if this.waker.0.wait_interruptible(&mut queue) {
                return Err(ERESTARTSYS);
            }
        }
    }

    /// Takes back the memory of an image that was read, to be filled again as long as more may come.
    fn give_back(this: &Task<Self>, image: Option<B::Image>) {
        let Some(image) = image else {
            return;
        };
        let mut queue = this.queue.lock();
        if !queue.is_open() {
            drop(queue);
            // May take the backend's locks.
            drop(image);
            return;
        }
        // By the invariant of `Queue` there is room.
        let _ = queue.spare.push_within_capacity(image);
        drop(queue);
        this.start();
    }

    fn read(this: &Task<Self>, out: &mut IovIterDest<'_>, wait: Wait) -> Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let mut reader = Reader::enter(this, wait)?;
        let mut done = 0;
        while !out.is_empty() {
            // What was copied is returned before anything is waited for or reported.
            let wait = if done > 0 { Wait::No } else { wait };
            match reader.copy(out, wait) {
                Ok(None) => break,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
                Ok(Some((copied, whole))) => {
                    done += copied;
                    // CAST: No buffer is longer than `isize::MAX`.
                    this.monitor.stats.bytes_saved.add(copied as u64);
                    if !whole && done == 0 {
                        return Err(EFAULT);
                    } else if !whole {
                        break;
                    }
                }
            }
        }
        Ok(done)
    }

    fn events(this: &Task<Self>) -> u32 {
        let queue = this.queue.lock();
        match queue.stage {
            Stage::Dead | Stage::Failed(_) => return events::READABLE | events::ERROR,
            Stage::Complete => return events::READABLE,
            Stage::Open => {}
        }
        if queue.phase == Phase::StopCopy || queue.has_data() {
            return events::READABLE;
        }
        drop(queue);
        // There will be a chunk unless there is nothing to make; without memory for its buffer,
        // `read()` says so.
        match this.is_idle() {
            // Who was told to wait for data is told that there is none.
            Ok(true) if this.queue.lock().owing => events::READABLE,
            Ok(true) => 0,
            _ => match Self::kick(this) {
                Ok(()) => 0,
                Err(_) => events::READABLE,
            },
        }
    }

    /// # Errors
    ///
    /// `EINVAL` outside pre-copy.
    fn precopy_info(&self) -> Result<PrecopyInfo> {
        let mut session = self.session.lock();
        let Some(session) = &mut *session else {
            return Err(EINVAL);
        };
        if self.queue.lock().phase != Phase::PreCopy {
            return Err(EINVAL);
        }
        let pending = session.pending()?;
        let v2 = session.device.precopy_info_v2();

        let mut queue = self.queue.lock();
        let again = pending.reinits != queue.reinits;
        queue.reinits = pending.reinits;
        if again && v2 {
            // What is queued comes first, and counts with the new initial data: there is no dirty
            // data before that is read (P10, P11).
            queue.all_initial();
        } else if again {
            queue.initial_is_dirty = true;
        }
        let unread = queue.unread();
        let (mut initial, mut dirty) = (
            unread.initial + pending.initial,
            unread.dirty + pending.dirty,
        );
        if !queue.identified && initial + dirty > 0 {
            initial += IDENTITY_LEN;
        }
        if again && v2 {
            initial += dirty;
            dirty = 0;
        } else if queue.initial_is_dirty {
            dirty += initial;
            initial = 0;
        }
        let flags = match (v2, again) {
            (false, _) => None,
            (true, false) => Some(0),
            (true, true) => Some(PRECOPY_INFO_REINIT),
        };
        Ok(PrecopyInfo {
            flags,
            initial,
            dirty,
        })
    }
}

/// The operations of a [`SaveFile`].
pub(super) struct SaveStream<B>(PhantomData<B>);

#[vtable]
impl<B: Backend> StreamFile for SaveStream<B> {
    // The code of this instance is in the module of the backend.
    type OwnerModule = B::OwnerModule;
    type Ptr = Arc<Task<SaveFile<B>>>;

    fn read(
        this: ArcBorrow<'_, Task<SaveFile<B>>>,
        out: &mut IovIterDest<'_>,
        wait: Wait,
    ) -> Result<usize> {
        SaveFile::read(&this, out, wait)
    }

    fn poll(this: ArcBorrow<'_, Task<SaveFile<B>>>, file: &File, table: PollTable<'_>) -> u32 {
        table.register_wait(file, &this.waker.0);
        SaveFile::events(&this)
    }

    /// `VFIO_MIG_GET_PRECOPY_INFO`.
    ///
    /// # Errors
    ///
    /// - `ENOTTY` for any other command.
    /// - `EFAULT` for a bad pointer, `EINVAL` for a small `argsz` or outside pre-copy.
    fn ioctl(this: ArcBorrow<'_, Task<SaveFile<B>>>, cmd: u32, arg: usize) -> Result {
        if cmd != GET_PRECOPY_INFO {
            return Err(ENOTTY);
        }
        let user = UserSlice::new(UserPtr::from_addr(arg), PRECOPY_INFO_SIZE);
        let (mut reader, mut writer) = user.reader_writer();
        let argsz: u32 = reader.read()?;
        let flags: u32 = reader.read()?;
        reader.read_slice(&mut [0; PRECOPY_INFO_SIZE - 8])?;
        if (argsz as usize) < PRECOPY_INFO_SIZE {
            return Err(EINVAL);
        }
        let info = this.precopy_info()?;
        writer.write(&argsz)?;
        writer.write(&info.flags.unwrap_or(flags))?;
        writer.write(&info.initial)?;
        writer.write(&info.dirty)
    }
}
