// SPDX-License-Identifier: GPL-2.0

//! A backend as the core calls it.
//!
//! Every call of a backend that does something passes here: it is measured, its failure is noted,
//! and it can be made to fail or to take longer ([`crate::monitor`]). A call that is made to fail does
//! not reach the backend, unless that is asked for.

use crate::{
    backend::{
        Backend,
        Chunk,
        Failure,
        Image,
        Pending,
        Phase,
        QuietArc, //
    },
    monitor::{
        since,
        Call,
        Direction,
        Monitor,
        Restart, //
    },
    protocol::{
        fsm::{
            Arc as StateArc,
            State, //
        },
        stream::{
            Header,
            Identity, //
        },
    },
};
use kernel::{
    prelude::*,
    sync::Arc,
    time::Instant, //
};

/// A backend and its monitor, in a session or outside.
pub(crate) struct Watched<B> {
    backend: Arc<B>,
    monitor: Arc<Monitor>,
    /// The number of the session; 0 outside.
    session: u64,
}

impl<B: Backend> Watched<B> {
    pub(crate) fn new(backend: Arc<B>, monitor: Arc<Monitor>) -> Self {
        Self {
            backend,
            monitor,
            session: 0,
        }
    }

    /// The same backend, for a session that begins.
    pub(crate) fn session(&self, direction: Direction) -> Self {
        Self {
            backend: self.backend.clone(),
            monitor: self.monitor.clone(),
            session: self.monitor.session(direction),
        }
    }

    /// The same backend in the same session, for another thread.
    pub(crate) fn share(&self) -> Self {
        Self {
            backend: self.backend.clone(),
            monitor: self.monitor.clone(),
            session: self.session,
        }
    }

    /// The backend, for what is constant.
    pub(crate) fn backend(&self) -> &B {
        &self.backend
    }

    pub(crate) fn monitor(&self) -> &Arc<Monitor> {
        &self.monitor
    }

    fn call<T>(
        &self,
        call: Call,
        position: u64,
        act: impl FnOnce(&B) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let act = || {
            act(&self.backend).inspect_err(|failure| {
                self.monitor.error(call.name(), failure.error(), "backend");
            })
        };
        let Some(fault) = self.monitor.fault(call, position) else {
            return act();
        };
        if fault.done {
            // What it makes is gone, as if it had failed halfway.
            act()?;
        }
        let error = fault.failure.error();
        self.monitor.error(call.name(), error, "injected");
        Err(fault.failure)
    }

    /// A call that has nothing to do with the state of the device, or keeps it.
    fn call_kept<T>(
        &self,
        call: Call,
        position: u64,
        act: impl FnOnce(&B) -> Result<T>,
    ) -> Result<T> {
        self.call(call, position, |backend| Ok(act(backend)?))
            .map_err(|failure| failure.error())
    }

    /// A call whose error is one of the stream, where `EAGAIN` would ask user space to try again.
    fn call_stream<T>(
        &self,
        call: Call,
        position: u64,
        act: impl FnOnce(&B) -> Result<T>,
    ) -> Result<T> {
        self.call_kept(call, position, |backend| {
            act(backend).map_err(|error| if error == EAGAIN { EIO } else { error })
        })
    }

    /// A call that cannot fail; no rule for it can say so.
    fn call_infallible<T>(&self, call: Call, act: impl FnOnce(&B) -> T) -> T {
        let failure = self.monitor.fault(call, 0);
        debug_assert!(failure.is_none());
        act(&self.backend)
    }

    pub(crate) fn accept(&self, identity: &Identity) -> Result {
        self.call_kept(Call::Accept, 0, |backend| {
            if identity.backend != backend.identity().backend {
                return Err(EOPNOTSUPP);
            }
            backend.accept(identity)
        })
    }

    pub(crate) fn quiet(&self, arc: StateArc) -> Result<(), Failure> {
        let quiet = QuietArc::from_arc(arc).ok_or(EINVAL)?;
        self.call(Call::Arc(arc), 0, |backend| backend.quiet(quiet))
    }

    pub(crate) fn begin_save(&self, arc: StateArc, phase: Phase) -> Result<B::Save, Failure> {
        self.call(Call::Arc(arc), 0, |backend| backend.begin_save(phase))
    }

    /// Makes the next chunk, at byte `position` of the stream.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if the backend made an empty chunk.
    /// - The backend's.
    pub(crate) fn save(
        &self,
        save: &mut B::Save,
        phase: Phase,
        position: u64,
        spare: &mut Option<B::Image>,
    ) -> Result<Option<Chunk<B::Image>>> {
        let start = Instant::now();
        let made = self.call_stream(Call::Save, position, |backend| {
            match backend.save(save, spare)? {
                Some(chunk) if chunk.image.size() == 0 => Err(EINVAL),
                made => Ok(made),
            }
        })?;
        if let Some(chunk) = &made {
            let phase = Some(phase);
            let len = chunk.image.size();
            self.monitor
                .chunk(self.session, phase, len, chunk.initial, since(start));
        }
        Ok(made)
    }

    pub(crate) fn pending(&self, save: &mut B::Save) -> Result<Pending> {
        self.call_stream(Call::Pending, 0, |backend| backend.pending(save))
    }

    pub(crate) fn stop_copy(&self, arc: StateArc, save: &mut B::Save) -> Result<(), Failure> {
        self.call(Call::Arc(arc), 0, |backend| backend.stop_copy(save))
    }

    pub(crate) fn end_save(&self, arc: StateArc, save: B::Save) -> Result<(), Failure> {
        self.call(Call::Arc(arc), 0, |backend| {
            backend.end_save(save).map_err(Failure::Lost)
        })
    }

    pub(crate) fn begin_resume(&self, arc: StateArc) -> Result<B::Resume, Failure> {
        self.call(Call::Arc(arc), 0, |backend| backend.begin_resume())
    }

    /// Hands on a piece of data, which begins at byte `position` of the stream.
    pub(crate) fn load(&self, resume: &mut B::Resume, position: u64, data: &[u8]) -> Result {
        let start = Instant::now();
        self.call_stream(Call::Load, position, |backend| backend.load(resume, data))?;
        self.monitor
            .chunk(self.session, None, data.len(), false, since(start));
        Ok(())
    }

    /// Hands on an image that has landed: `len` bytes before byte `end` of the stream.
    pub(crate) fn load_image(&self, image: &mut B::Landing, end: u64, len: usize) -> Result {
        let start = Instant::now();
        self.call_stream(Call::Load, end, |backend| backend.load_image(image))?;
        self.monitor
            .chunk(self.session, None, len, false, since(start));
        Ok(())
    }

    pub(crate) fn finish_resume(&self, resume: &mut B::Resume) -> Result {
        let call = Call::Arc(StateArc::ResumingToStop);
        self.call_kept(call, 0, |backend| backend.finish_resume(resume))
    }

    pub(crate) fn data_size(&self) -> Result<u64> {
        self.call_kept(Call::DataSize, 0, B::data_size)
    }

    pub(crate) fn open(&self) -> Result {
        self.call_kept(Call::Open, 0, B::open)
    }

    /// Has the device run again, which was in state `from`.
    pub(crate) fn restart(&self, cause: Restart, from: State) {
        let start = Instant::now();
        match cause {
            Restart::Reset => self.call_infallible(Call::Reset, B::reset),
            Restart::Close => self.call_infallible(Call::Close, B::close),
        }
        self.monitor.set_state(State::Running);
        self.monitor.restart(cause, from, since(start));
    }

    /// The number of the session.
    pub(crate) fn number(&self) -> u64 {
        self.session
    }

    /// The header of a record was accepted.
    pub(crate) fn seen(&self, header: Header) {
        self.monitor.record(self.session, header, Direction::Load);
    }

    /// A record of device state has no checksum.
    pub(crate) fn unprotected(&self) {
        self.monitor.stats.unprotected.add(1);
    }

    /// A round is over; see [`Monitor::round`].
    pub(crate) fn round(&self, round: u64, bytes: u64) {
        self.monitor.round(self.session, round, bytes);
    }

    /// The stream was refused.
    pub(crate) fn refused(&self, error: Error, cause: &'static str) {
        self.monitor.error(c"stream", error, cause);
    }
}
