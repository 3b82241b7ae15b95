// SPDX-License-Identifier: GPL-2.0

//! The file of a session that resumes.
//!
//! What user space writes is checked as it comes, in whatever pieces. A backend takes device state
//! in these pieces, or as whole images: then it lands in their memory, and a work item loads one
//! after the other, each once its checksum was seen, while the next ones land. Who writes the last
//! byte of an image waits while too much is left to be loaded ([`Backend::ahead`]), and who writes
//! that of the stream until nothing is. The first error stays: every later `write()` fails with it,
//! and so does `RESUMING -> STOP`. That arc only checks that the stream is complete.
//!
//! This file has the session and the stream, [`gate`] the writer and the images.

mod gate;

use crate::{
    backend::{
        Backend,
        Failure,
        Landing,
        Waker, //
    },
    monitor::Monitor,
    protocol::stream::{
        ErrorClass,
        Event,
        Parser,
        {self as protocol}, //
    },
    watched::Watched,
    Crc32c, //
};
use core::marker::PhantomData;
use gate::{
    Filling,
    Gate,
    Writer,
    AT_ONCE, //
};
use kernel::{
    fs::File,
    iov::IovIterSource,
    prelude::*,
    sync::{
        aref::ARef,
        poll::PollTable,
        Arc,
        ArcBorrow,
        Mutex, //
    },
};
use vfio::{
    lock_class,
    new_mutex,
    stream::{
        self,
        events,
        Direction,
        StreamFile,
        Wait, //
    },
    task::{
        Queue as WorkQueue,
        Run,
        Task, //
    }, //
};

/// A session with its backend; it exists from [`ResumeFile::begin`] to [`ResumeFile::end`].
struct Session<B: Backend> {
    backend: Watched<B>,
    resume: B::Resume,
    parser: Parser<Crc32c>,
    /// Bytes of the present record that have landed.
    record_len: usize,
    /// The first error, which stays.
    failed: Option<Error>,
}

/// What the bytes that were taken mean for images.
#[derive(Default)]
struct Fed {
    /// The present record is whole: this many bytes before that byte of the stream.
    whole: Option<(u64, usize)>,
    /// A whole record may be loaded.
    commit: bool,
    /// The stream is at its end.
    end: bool,
}

/// What comes next.
struct Next {
    /// Bytes of device state that are to land in an image; 0 if something else comes.
    left: u64,
    /// The most that may be taken at once.
    most: usize,
}

impl<B: Backend> Session<B> {
    /// Takes `bytes`, the next of the stream.
    fn feed(&mut self, bytes: &[u8]) -> Result<Fed> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.try_feed(bytes)
            .inspect_err(|error| self.failed = Some(*error))
    }

    fn next(&self) -> Result<Next> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if !B::HAS_LOAD_IMAGE {
            return Ok(Next {
                left: 0,
                most: usize::MAX,
            });
        }
        // Not past what is next, so that all device state lands in images.
        Ok(Next {
            left: self.parser.data_left(),
            most: usize::try_from(self.parser.needed()).unwrap_or(usize::MAX),
        })
    }

    fn try_feed(&mut self, mut bytes: &[u8]) -> Result<Fed> {
        let mut fed = Fed::default();
        let backend = &self.backend;
        loop {
            let event = self
                .parser
                .push_and_show(&mut bytes, |header| backend.seen(header))
                .map_err(|error| refuse(backend, error))?;
            match event {
                Event::More => return Ok(fed),
                Event::Identity(identity) => backend.accept(&identity)?,
                Event::DataBegin { .. } => {
                    self.record_len = 0;
                    // The record before had no checksum, which is for its writer to decide.
                    fed.commit = true;
                }
                Event::Data(data) if B::HAS_LOAD_IMAGE => self.record_len += data.len(),
                Event::Data(data) => {
                    // CAST: The piece was taken from the stream.
                    let position = self.parser.bytes() - data.len() as u64;
                    backend.load(&mut self.resume, position, data)?;
                }
                Event::DataEnd => {
                    fed.whole = Some((self.parser.bytes(), self.record_len));
                    // Without checksums there is nothing to wait for.
                    if !self.parser.is_identified() {
                        fed.commit = true;
                        backend.unprotected();
                    }
                }
                Event::Checked => fed.commit = true,
                Event::End => {
                    fed.commit = true;
                    fed.end = true;
                }
                // The size is a hint that no backend needs.
                Event::StopCopySize(_) | Event::Skipped { .. } => {}
            }
        }
    }

    /// Checks that the stream is complete and has the backend put it to use. A failure stays: the
    /// user can only give up, by a reset (R6).
    fn finish(&mut self) -> Result {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let complete = self.parser.finish();
        complete
            .map_err(|error| refuse(&self.backend, error))
            .and_then(|()| self.backend.finish_resume(&mut self.resume))
            .inspect_err(|error| self.failed = Some(*error))
    }
}

/// Notes why a stream is refused; returns the error number.
fn refuse<B: Backend>(backend: &Watched<B>, error: protocol::Error) -> Error {
    let number = errno(error);
    backend.refused(number, error.describe());
    number
}

/// The error number for a stream that is refused.
fn errno(error: protocol::Error) -> Error {
    match error.class() {
        ErrorClass::Invalid => EINVAL,
        ErrorClass::TooLarge => EMSGSIZE,
        ErrorClass::Incompatible => EOPNOTSUPP,
        ErrorClass::Corrupt => EBADMSG,
        ErrorClass::Incomplete => ENODATA,
    }
}

/// The file of a session that resumes; it may outlive the session and the device.
#[pin_data]
pub(crate) struct ResumeFile<B: Backend> {
    waker: Waker,
    monitor: Arc<Monitor>,
    #[pin]
    session: Mutex<Option<Session<B>>>,
    /// The backend as the work item uses it, which does not wait for the session.
    #[pin]
    loader: Mutex<Option<Watched<B>>>,
    #[pin]
    gate: Mutex<Gate<B::Landing>>,
}

impl<B: Backend> ResumeFile<B> {
    /// Makes the file of a session that is yet to begin.
    pub(crate) fn new(
        work: Arc<WorkQueue>,
        backend: &Watched<B>,
    ) -> Result<(Arc<Task<Self>>, ARef<File>)> {
        let gate = Gate::new(backend.backend())?;
        let data = pin_init!(Self {
            waker: backend.backend().waker().clone(),
            monitor: backend.monitor().clone(),
            session <- new_mutex!(None, "vfio_migration::ResumeFile::session"),
            loader <- new_mutex!(None, "vfio_migration::ResumeFile::loader"),
            gate <- new_mutex!(gate, "vfio_migration::ResumeFile::gate"),
        });
        let (name, key) = lock_class!("vfio_migration_resume");
        let task = Task::new(work, name, key, data);
        let this = Arc::pin_init(task, GFP_KERNEL_ACCOUNT)?;
        let file =
            stream::new::<ResumeStream<B>>(c"[vfio-resume]", this.clone(), Direction::Write)?;
        Ok((this, file))
    }

    /// Begins the session.
    pub(crate) fn begin(&self, backend: Watched<B>, resume: B::Resume) {
        *self.loader.lock() = Some(backend.share());
        *self.session.lock() = Some(Session {
            backend,
            resume,
            parser: Parser::new(B::POLICY),
            record_len: 0,
            failed: None,
        });
    }

    /// `RESUMING -> STOP`.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        let mut gate = self.gate.lock();
        while !gate.is_drained() {
            self.waker.0.wait(&mut gate);
        }
        drop(gate);
        let result = match &mut *self.session.lock() {
            Some(session) => session.finish(),
            None => Err(ENODEV),
        };
        self.note(&result);
        Ok(result?)
    }

    /// Ends the session; whoever waits is woken. Waits for data that the backend has in hand.
    pub(crate) fn end(&self) {
        let unused = self.gate.lock().end();
        let session = self.session.lock().take();
        let loader = self.loader.lock().take();
        drop((session, loader, unused));
        self.waker.wake();
    }

    fn new_landing(&self) -> Result<B::Landing> {
        match &*self.session.lock() {
            Some(session) => session.backend.backend().landing(),
            None => Err(ENODEV),
        }
    }

    fn next(&self) -> Result<Next> {
        match &*self.session.lock() {
            Some(session) => session.next(),
            None => Err(ENODEV),
        }
    }

    fn feed(&self, bytes: &[u8]) -> Result<Fed> {
        let result = match &mut *self.session.lock() {
            Some(session) => session.feed(bytes),
            None => Err(ENODEV),
        };
        self.note(&result);
        result
    }

    /// Has the session look at what has landed, if there is enough of it to be worth it. A record
    /// that is incomplete is that also without its last bytes, so nothing is told too late.
    fn check(&self, filling: &mut Filling<B::Landing>, full: bool) -> Result<Fed> {
        let mut fed = Fed::default();
        while full && filling.unchecked > 0 {
            let bytes = filling.landing.last(filling.unchecked);
            if bytes.is_empty() {
                return Err(self.fail(EINVAL));
            }
            fed = self.feed(bytes)?;
            filling.unchecked -= bytes.len();
        }
        Ok(fed)
    }

    /// Ends the session with an error; returns the one that it ended with.
    fn fail(&self, error: Error) -> Error {
        let error = match &mut *self.session.lock() {
            Some(session) => *session.failed.get_or_insert(error),
            None => ENODEV,
        };
        self.note::<()>(&Err(error));
        error
    }

    /// Has `poll()` tell of a failure.
    fn note<T>(&self, result: &Result<T>) {
        if result.is_err() {
            self.gate.lock().broken = true;
            self.waker.wake();
        }
    }

    /// Takes some of what `data` has; returns how much.
    ///
    /// # Errors
    ///
    /// As [`ResumeFile::write`].
    fn take(
        &self,
        writer: &mut Writer<'_, B>,
        data: &mut IovIterSource<'_>,
        wait: Wait,
    ) -> Result<usize> {
        let Next { left, most } = self.next()?;
        // No lock is held where data is copied: the memory may be this device's own.
        let (copied, fed) = if left > 0 {
            let filling = writer.filling(wait)?;
            let left = usize::try_from(left).unwrap_or(usize::MAX) - filling.unchecked;
            // CAST: A `usize` has at most 64 bits.
            let space = match filling.landing.space(left as u64) {
                Ok(space) => space,
                Err(error) => {
                    // At the limit of his memory the user needs what this has of it.
                    filling.landing.free();
                    return Err(self.fail(error));
                }
            };
            let room = space.len().min(left).min(AT_ONCE - filling.unchecked);
            let space = space.get_mut(..room).unwrap_or(&mut []);
            let copied = data.copy_from_iter(space);
            filling.landing.advance(copied);
            filling.unchecked += copied;
            let full = filling.unchecked == AT_ONCE || copied == left;
            (copied, self.check(filling, full)?)
        } else {
            let bounce = writer.bounce()?;
            let room = bounce.len().min(most);
            let bounce = bounce.get_mut(..room).unwrap_or(&mut []);
            let copied = data.copy_from_iter(bounce);
            (copied, self.feed(bounce.get(..copied).unwrap_or(&[]))?)
        };
        if copied == 0 {
            return Err(EFAULT);
        }
        if let Some((end, len)) = fed.whole {
            writer.whole(end, len);
        }
        if fed.commit {
            writer.commit(wait);
        }
        if fed.end {
            // After a signal the arc waits.
            writer.drain(wait);
            self.next()?;
        }
        Ok(copied)
    }

    /// # Errors
    ///
    /// - `ENODEV` after the end of the session.
    /// - `EINVAL`, `EMSGSIZE`, `EOPNOTSUPP`, `EBADMSG`: the stream is refused, for good.
    /// - `ENOMEM` if there is no memory for the state; this is for good, too.
    /// - `EFAULT` if nothing could be copied; it may be tried again.
    /// - `EAGAIN` if all memory is in use by what is being loaded and `wait` does not allow to wait.
    /// - The backend's.
    fn write(this: &Task<Self>, data: &mut IovIterSource<'_>, wait: Wait) -> Result<usize> {
        if data.is_empty() {
            return Ok(0);
        }
        let mut writer = Writer::enter(this, wait)?;
        let mut done = 0;
        while !data.is_empty() {
            match this.take(&mut writer, data, wait) {
                Ok(copied) => {
                    done += copied;
                    // CAST: No buffer is longer than `isize::MAX`.
                    this.monitor.stats.bytes_loaded.add(copied as u64);
                }
                // The stream is as good as before: what was taken is told first.
                Err(EFAULT | EAGAIN | ERESTARTSYS | ENOMEM) if done > 0 && this.next().is_ok() => {
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

impl<B: Backend> Run for ResumeFile<B> {
    /// Loads what has landed.
    fn run(task: &Task<Self>) {
        loop {
            let mut gate = task.gate.lock();
            if gate.broken {
                return;
            }
            let Ok(mut landed) = gate.landed.remove(0) else {
                return;
            };
            gate.loading = Some(landed.len);
            drop(gate);

            let result = match &*task.loader.lock() {
                Some(backend) => backend.load_image(&mut landed.landing, landed.end, landed.len),
                None => Err(ENODEV),
            };
            if let (Err(error), Some(session)) = (result, &mut *task.session.lock()) {
                session.failed.get_or_insert(error);
            }
            landed.landing.clear();

            let mut gate = task.gate.lock();
            gate.loading = None;
            gate.broken |= result.is_err();
            let unused = gate.give_back(landed.landing);
            drop(gate);
            drop(unused);
            task.waker.wake();
        }
    }
}

/// The operations of a [`ResumeFile`].
struct ResumeStream<B>(PhantomData<B>);

#[vtable]
impl<B: Backend> StreamFile for ResumeStream<B> {
    // The code of this instance is in the module of the backend.
    type OwnerModule = B::OwnerModule;
    type Ptr = Arc<Task<ResumeFile<B>>>;

    fn write(
        this: ArcBorrow<'_, Task<ResumeFile<B>>>,
        data: &mut IovIterSource<'_>,
        wait: Wait,
    ) -> Result<usize> {
        ResumeFile::write(&this, data, wait)
    }

    fn poll(this: ArcBorrow<'_, Task<ResumeFile<B>>>, file: &File, table: PollTable<'_>) -> u32 {
        table.register_wait(file, &this.waker.0);
        let gate = this.gate.lock();
        match (gate.broken, gate.writing || !gate.has_room()) {
            (true, _) => events::WRITABLE | events::ERROR,
            (false, true) => 0,
            (false, false) => events::WRITABLE,
        }
    }
}
