// SPDX-License-Identifier: GPL-2.0

//! What user space sees of a session that saves: `read()`, `poll()`, `VFIO_MIG_GET_PRECOPY_INFO`.
//!
//! Pre-copy has no end: where the uAPI wants `ENOMSG` or not-readable, that is decided from
//! [`Backend::pending`], under the lock of the session so that no chunk is in the making.

use super::{
    add,
    Entry,
    SaveFile,
    Stage, //
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

/// Bytes of `struct vfio_precopy_info` that every version has.
const PRECOPY_INFO_SIZE: usize = 24;

/// The right to read: entries leave the queue in order, so one process does so at a time.
struct Reader<'a, B: Backend>(&'a SaveFile<B>);

impl<'a, B: Backend> Reader<'a, B> {
    /// # Errors
    ///
    /// - `EAGAIN` if somebody is reading and `wait` does not allow to wait.
    /// - `ERESTARTSYS` for a signal.
    fn enter(file: &'a SaveFile<B>, wait: Wait) -> Result<Self> {
        drop(turn::take(&file.queue, &file.waker, wait, |queue| {
            &mut queue.reading
        })?);
        Ok(Self(file))
    }
}

impl<B: Backend> Drop for Reader<'_, B> {
    fn drop(&mut self) {
        self.0.queue.lock().reading = false;
        self.0.waker.wake();
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
        if queue.phase != Phase::PreCopy || !queue.is_open() || !queue.ready.is_empty() {
            return Ok(false);
        }
        drop(queue);
        // The producer changes none of this without the lock of the session.
        let pending = session.pending()?;
        Ok(pending.initial == 0 && pending.dirty == 0)
    }

    /// Takes the next entry, waiting for it if `wait` allows; [`None`] at the end of the stream.
    ///
    /// # Errors
    ///
    /// - `ENOMSG` at the end of what pre-copy has for now (uAPI rule T3).
    /// - `EAGAIN` if there is data to come and `wait` does not allow to wait for it.
    /// - `ERESTARTSYS` for a signal.
    /// - `ENODEV` after the end of the session.
    /// - The backend's.
    fn next(this: &Task<Self>, wait: Wait) -> Result<Option<Entry<B::Image>>> {
        loop {
            let mut queue = this.queue.lock();
            let events = queue.events;
            if matches!(queue.stage, Stage::Dead) {
                return Err(ENODEV);
            }
            if let Ok(entry) = queue.ready.remove(0) {
                add(&mut queue.in_hand, entry.initial, entry.len());
                queue.owing = false;
                return Ok(Some(entry));
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

    /// Takes back an entry that a reader has copied from.
    fn give_back(this: &Task<Self>, entry: Entry<B::Image>) {
        let rest = entry.len();
        let mut queue = this.queue.lock();
        queue.in_hand = Pending::default();
        if matches!(queue.stage, Stage::Dead) {
            drop(queue);
            // May take the backend's locks.
            drop(entry);
            return;
        }
        // By the invariant of `Queue` neither push loses one.
        if rest > 0 {
            let _ = queue.ready.insert_within_capacity(0, entry);
        } else if let Some(image) = entry.into_image() {
            let _ = queue.spare.push_within_capacity(image);
            drop(queue);
            this.start();
        }
    }

    fn read(this: &Task<Self>, out: &mut IovIterDest<'_>, wait: Wait) -> Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let _reader = Reader::enter(this, wait)?;
        let mut done = 0;
        while !out.is_empty() {
            // What was copied is returned before anything is waited for or reported.
            let wait = if done > 0 { Wait::No } else { wait };
            let mut entry = match Self::next(this, wait) {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            };
            let mut fault = false;
            while !fault && !out.is_empty() && entry.len() > 0 {
                let piece = entry.piece();
                // No lock is held here: the memory may be this device's own.
                let copied = out.copy_to_iter(piece);
                fault = copied < piece.len() && !out.is_empty();
                entry.advance(copied);
                done += copied;
                // CAST: No buffer is longer than `isize::MAX`.
                this.monitor.stats.bytes_saved.add(copied as u64);
            }
            Self::give_back(this, entry);
            if fault && done == 0 {
                return Err(EFAULT);
            } else if fault {
                break;
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
        if queue.phase == Phase::StopCopy || !queue.ready.is_empty() {
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
            queue.ready.iter_mut().for_each(|b| b.initial = true);
        } else if again {
            queue.initial_is_dirty = true;
        }
        let unread = queue.unread();
        let (mut initial, mut dirty) = (
            unread.initial + pending.initial,
            unread.dirty + pending.dirty,
        );
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
