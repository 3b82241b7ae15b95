// SPDX-License-Identifier: GPL-2.0

//! The state machine of one device.
//!
//! Walks the arcs of [`crate::protocol::fsm`], and keeps state and sessions in step: a session
//! exists exactly in the states that have one. An arc never waits for user space nor for data;
//! it waits for at most the one chunk that a backend has in hand.

use crate::{
    backend::{
        Backend,
        Failure,
        Phase, //
    },
    monitor::{
        since,
        Direction,
        Monitor,
        Restart, //
    },
    protocol::{
        fsm::{
            self,
            Arc as StateArc,
            ArcKind,
            State, //
        },
        stream, //
    },
    resume::ResumeFile,
    save::{
        framing,
        SaveFile, //
    },
    watched::Watched, //
};
use kernel::{
    device,
    fs::File,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Mutex, //
    },
    time::Instant, //
};
use vfio::{
    debugfs::Dir,
    migration::{
        AsHandle,
        Operations, //
    },
    new_mutex,
    task::{
        Queue,
        Task, //
    },
};

/// Live migration of a device with the backend `B`.
#[pin_data]
pub struct Migration<B: Backend> {
    backend: Watched<B>,
    queue: Arc<Queue>,
    #[pin]
    inner: Mutex<Inner<B>>,
}

/// # Invariants
///
/// `session` is what `state` says: see [`Session`].
struct Inner<B: Backend> {
    state: State,
    session: Session<B>,
}

enum Session<B: Backend> {
    /// In `RUNNING`, `RUNNING_P2P`, `STOP` and `ERROR`.
    None,
    /// In `PRE_COPY`, `PRE_COPY_P2P` and `STOP_COPY`.
    Save(Arc<Task<SaveFile<B>>>),
    /// In `RESUMING`.
    Resume(Arc<Task<ResumeFile<B>>>),
}

impl<B: Backend> Migration<B> {
    /// A device that is running: the VFIO device of `parent`, whose name it has in traces. Chunks are
    /// made on `queue`.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory.
    pub fn new(
        parent: &device::Device,
        backend: Arc<B>,
        queue: Arc<Queue>,
    ) -> Result<impl PinInit<Self, Error>> {
        let monitor = Monitor::new(parent.name(), backend.features())?;
        let monitor = Arc::pin_init(monitor, GFP_KERNEL_ACCOUNT)?;
        Ok(try_pin_init!(Self {
            backend: Watched::new(backend, monitor),
            queue,
            inner <- new_mutex!(
                Inner { state: State::Running, session: Session::None },
                "vfio_migration::Migration::inner"
            ),
        }? Error))
    }

    /// The backend.
    pub fn backend(&self) -> &B {
        self.backend.backend()
    }

    fn monitor(&self) -> &Monitor {
        self.backend.monitor()
    }

    /// Ends any session and has the backend begin anew, from any state.
    fn restart(&self, cause: Restart) {
        let mut inner = self.inner.lock();
        inner.end_session();
        self.backend.restart(cause, inner.state);
        inner.state = State::Running;
    }

    /// Performs one arc. On an error the state is unchanged, or `ERROR`.
    fn perform(
        &self,
        inner: &mut Inner<B>,
        arc: StateArc,
        device: &dyn AsHandle,
    ) -> Result<Option<ARef<File>>> {
        let start = Instant::now();
        let result = self.try_perform(inner, arc, device);
        match &result {
            Ok(_) => inner.state = arc.to(),
            Err(Failure::Kept(_)) => {}
            Err(Failure::Lost(_)) => {
                inner.end_session();
                inner.state = State::Error;
            }
        }
        self.monitor().set_state(inner.state);
        let result = result.map_err(|failure| failure.error());
        self.monitor()
            .arc(arc, result.as_ref().err().copied(), since(start));
        result
    }

    /// Notes that there is no file for a session; there is no session yet.
    fn no_file(&self, arc: StateArc, error: Error) -> Failure {
        self.monitor()
            .error(arc.word(), error, "no file for the session");
        Failure::Kept(error)
    }

    fn try_perform(
        &self,
        inner: &mut Inner<B>,
        arc: StateArc,
        device: &dyn AsHandle,
    ) -> Result<Option<ARef<File>>, Failure> {
        match (arc.kind(), &inner.session) {
            (ArcKind::Quiet, _) => {
                self.backend.quiet(arc)?;
                Ok(None)
            }
            (ArcKind::OpenSave, Session::None) => {
                let phase = match arc.to() {
                    State::StopCopy => Phase::StopCopy,
                    _ => Phase::PreCopy,
                };
                // The file first: from the device on nothing may fail.
                let (session, file) = SaveFile::new(self.queue.clone(), &self.backend, phase)
                    .map_err(|error| self.no_file(arc, error))?;
                let save = self.backend.begin_save(arc, phase)?;
                let watched = self.backend.session(Direction::Save);
                session.begin(watched, device.handle(), save);
                inner.session = Session::Save(session);
                Ok(Some(file))
            }
            (ArcKind::ContinueSave, Session::Save(session)) => {
                SaveFile::stop_copy(session, arc)?;
                Ok(None)
            }
            (ArcKind::CloseSave, Session::Save(session)) => {
                let save = session.end();
                inner.session = Session::None;
                if let Some(save) = save {
                    self.backend.end_save(arc, save)?;
                }
                Ok(None)
            }
            (ArcKind::OpenResume, Session::None) => {
                let (session, file) = ResumeFile::new(self.queue.clone(), &self.backend)
                    .map_err(|error| self.no_file(arc, error))?;
                let resume = self.backend.begin_resume(arc)?;
                session.begin(self.backend.session(Direction::Load), resume);
                inner.session = Session::Resume(session);
                Ok(Some(file))
            }
            (ArcKind::CloseResume, Session::Resume(session)) => {
                session.finish()?;
                inner.end_session();
                Ok(None)
            }
            // By the invariant of `Inner`, there are no other pairs.
            (
                ArcKind::OpenSave
                | ArcKind::ContinueSave
                | ArcKind::CloseSave
                | ArcKind::OpenResume
                | ArcKind::CloseResume,
                _,
            ) => Err(Failure::Kept(EINVAL)),
        }
    }
}

impl<B: Backend> Inner<B> {
    /// Ends the session, if there is one, without asking the backend.
    fn end_session(&mut self) {
        match core::mem::replace(&mut self.session, Session::None) {
            Session::None => {}
            Session::Save(session) => drop(session.end()),
            Session::Resume(session) => session.end(),
        }
    }
}

impl<B: Backend> Operations for Migration<B> {
    type State = State;

    fn flags(&self) -> u32 {
        self.backend().features().flags()
    }

    fn registered<'a>(&'a self, dir: &Dir<'a>) {
        self.monitor().show(dir);
        self.backend().show(dir);
    }

    /// # Errors
    ///
    /// - `EINVAL` if the uAPI has no path from the present state to `new` (rules S11 to S13, S15).
    /// - The backend's, and `ENOMEM`, `ENFILE`: the state is then one of the path's, or `ERROR`
    ///   (S17).
    fn set_state(&self, device: &dyn AsHandle, new: State) -> Result<Option<ARef<File>>> {
        let features = self.backend().features();
        let mut inner = self.inner.lock();
        if new == State::Error {
            return Err(EINVAL);
        }
        let mut file = None;
        while inner.state != new {
            let arc = fsm::next(features, inner.state, new).ok_or(EINVAL)?;
            // Only the last arc of a path opens a session (A10), so no file is dropped here.
            file = self.perform(&mut inner, arc, device)?;
        }
        Ok(file)
    }

    fn state(&self) -> Result<State> {
        Ok(self.inner.lock().state)
    }

    fn data_size(&self) -> Result<u64> {
        let payload = self.backend.data_size()?;
        // CAST: A few hundred bytes.
        let ends = (stream::IDENTITY_RECORD_LEN + stream::TRAILER_RECORD_LEN) as u64;
        payload
            .checked_add(framing::<B>(payload))
            .and_then(|n| n.checked_add(ends))
            .ok_or(EOVERFLOW)
    }

    fn open(&self) -> Result {
        self.backend.open()
    }

    fn close(&self) {
        self.restart(Restart::Close);
    }

    fn reset(&self) {
        self.restart(Restart::Reset);
    }
}
