// SPDX-License-Identifier: GPL-2.0

//! The file of a session that resumes.
//!
//! What user space writes is checked and handed to the backend as it comes, in whatever pieces, and
//! is not kept. The first error stays: every later `write()` fails with it, and so does
//! `RESUMING -> STOP`. That arc only checks that the stream is complete.

use crate::{
    backend::{
        Backend,
        Failure,
        Waker, //
    },
    monitor::Monitor,
    protocol::stream::{
        ErrorClass,
        Event,
        Parser,
        {self as protocol}, //
    },
    turn,
    watched::Watched,
    Crc32c, //
};
use core::marker::PhantomData;
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
    new_mutex,
    stream::{
        self,
        events,
        Direction,
        StreamFile,
        Wait, //
    }, //
};

/// The most that is copied from user space at once.
const BOUNCE_SIZE: usize = 64 * 1024;

/// A session with its backend; it exists from [`ResumeFile::begin`] to [`ResumeFile::end`].
struct Session<B: Backend> {
    backend: Watched<B>,
    resume: B::Resume,
    parser: Parser<Crc32c>,
    /// The first error, which stays.
    failed: Option<Error>,
}

impl<B: Backend> Session<B> {
    /// Takes `bytes`, the next of the stream.
    fn feed(&mut self, bytes: &[u8]) -> Result {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.try_feed(bytes)
            .inspect_err(|error| self.failed = Some(*error))
    }

    fn try_feed(&mut self, mut bytes: &[u8]) -> Result {
        let backend = &self.backend;
        loop {
            let event = self
                .parser
                .push_and_show(&mut bytes, |header| backend.seen(header))
                .map_err(|error| refuse(backend, error))?;
            match event {
                Event::More => return Ok(()),
                Event::Identity(identity) => backend.accept(&identity)?,
                Event::Data(data) => {
                    // CAST: The piece was taken from the stream.
                    let position = self.parser.bytes() - data.len() as u64;
                    backend.load(&mut self.resume, position, data)?;
                }
                // The size is a hint that no backend needs, and records have no meaning to them.
                Event::StopCopySize(_)
                | Event::DataBegin { .. }
                | Event::DataEnd
                | Event::Skipped { .. }
                | Event::End => {}
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

/// Who is writing.
struct Gate {
    writing: bool,
    /// The session has ended or failed.
    broken: bool,
    /// Made by the first writer; taken by the one that is writing.
    bounce: Option<KVVec<u8>>,
}

/// The file of a session that resumes; it may outlive the session and the device.
#[pin_data]
pub(crate) struct ResumeFile<B: Backend> {
    waker: Waker,
    monitor: Arc<Monitor>,
    #[pin]
    session: Mutex<Option<Session<B>>>,
    #[pin]
    gate: Mutex<Gate>,
}

/// The right to write, with the buffer to do so.
struct Writer<'a, B: Backend> {
    file: &'a ResumeFile<B>,
    bounce: Option<KVVec<u8>>,
}

impl<'a, B: Backend> Writer<'a, B> {
    /// # Errors
    ///
    /// - `EAGAIN` if somebody is writing and `wait` does not allow to wait.
    /// - `ERESTARTSYS` for a signal.
    fn enter(file: &'a ResumeFile<B>, wait: Wait) -> Result<Self> {
        let mut gate = turn::take(&file.gate, &file.waker, wait, |gate| &mut gate.writing)?;
        let bounce = gate.bounce.take();
        Ok(Self { file, bounce })
    }

    /// The buffer, allocated for the calling process if there was none.
    fn bounce(&mut self) -> Result<&mut [u8]> {
        if self.bounce.is_none() {
            self.bounce = Some(KVVec::zeroed(BOUNCE_SIZE, GFP_KERNEL_ACCOUNT)?);
        }
        Ok(self.bounce.as_mut().ok_or(ENOMEM)?)
    }
}

impl<B: Backend> Drop for Writer<'_, B> {
    fn drop(&mut self) {
        let mut gate = self.file.gate.lock();
        gate.writing = false;
        gate.bounce = self.bounce.take();
        drop(gate);
        self.file.waker.wake();
    }
}

impl<B: Backend> ResumeFile<B> {
    /// Makes the file of a session that is yet to begin.
    pub(crate) fn new(backend: &Watched<B>) -> Result<(Arc<Self>, ARef<File>)> {
        let gate = Gate {
            writing: false,
            broken: false,
            bounce: None,
        };
        let this = Arc::pin_init(
            pin_init!(Self {
                waker: backend.backend().waker().clone(),
                monitor: backend.monitor().clone(),
                session <- new_mutex!(None, "vfio_migration::ResumeFile::session"),
                gate <- new_mutex!(gate, "vfio_migration::ResumeFile::gate"),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        let file =
            stream::new::<ResumeStream<B>>(c"[vfio-resume]", this.clone(), Direction::Write)?;
        Ok((this, file))
    }

    /// Begins the session.
    pub(crate) fn begin(&self, backend: Watched<B>, resume: B::Resume) {
        *self.session.lock() = Some(Session {
            backend,
            resume,
            parser: Parser::new(B::POLICY),
            failed: None,
        });
    }

    /// `RESUMING -> STOP`.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        let result = match &mut *self.session.lock() {
            Some(session) => session.finish(),
            None => Err(ENODEV),
        };
        self.note(&result);
        Ok(result?)
    }

    /// Ends the session; whoever waits is woken. Waits for data that the backend has in hand.
    pub(crate) fn end(&self) {
        self.gate.lock().broken = true;
        let session = self.session.lock().take();
        drop(session);
        self.waker.wake();
    }

    fn feed(&self, bytes: &[u8]) -> Result {
        let result = match &mut *self.session.lock() {
            Some(session) => session.feed(bytes),
            None => Err(ENODEV),
        };
        self.note(&result);
        result
    }

    /// Has `poll()` tell of a failure.
    fn note(&self, result: &Result) {
        if result.is_err() {
            self.gate.lock().broken = true;
            self.waker.wake();
        }
    }

    /// # Errors
    ///
    /// - `ENODEV` after the end of the session.
    /// - `EINVAL`, `EMSGSIZE`, `EOPNOTSUPP`, `EBADMSG`: the stream is refused, for good.
    /// - `EFAULT` if nothing could be copied.
    /// - The backend's.
    fn write(&self, data: &mut IovIterSource<'_>, wait: Wait) -> Result<usize> {
        if data.is_empty() {
            return Ok(0);
        }
        let mut writer = Writer::enter(self, wait)?;
        // A stream that was refused before says so whatever comes.
        self.feed(&[])?;
        let bounce = writer.bounce()?;
        let mut done = 0;
        while !data.is_empty() {
            // No lock is held here: the memory may be this device's own.
            let copied = data.copy_from_iter(bounce);
            if copied == 0 {
                return if done > 0 { Ok(done) } else { Err(EFAULT) };
            }
            self.feed(bounce.get(..copied).unwrap_or(&[]))?;
            done += copied;
            // CAST: No buffer is longer than `isize::MAX`.
            self.monitor.stats.bytes_loaded.add(copied as u64);
        }
        Ok(done)
    }
}

/// The operations of a [`ResumeFile`].
struct ResumeStream<B>(PhantomData<B>);

#[vtable]
impl<B: Backend> StreamFile for ResumeStream<B> {
    // The code of this instance is in the module of the backend.
    type OwnerModule = B::OwnerModule;
    type Ptr = Arc<ResumeFile<B>>;

    fn write(
        this: ArcBorrow<'_, ResumeFile<B>>,
        data: &mut IovIterSource<'_>,
        wait: Wait,
    ) -> Result<usize> {
        ResumeFile::write(&this, data, wait)
    }

    fn poll(this: ArcBorrow<'_, ResumeFile<B>>, file: &File, table: PollTable<'_>) -> u32 {
        table.register_wait(file, &this.waker.0);
        let gate = this.gate.lock();
        match (gate.broken, gate.writing) {
            (true, _) => events::WRITABLE | events::ERROR,
            (false, true) => 0,
            (false, false) => events::WRITABLE,
        }
    }
}
