// SPDX-License-Identifier: GPL-2.0

//! What a driver supplies: the device-specific half of live migration.
//!
//! The core owns the state machine, the sessions, the files, the record format, validation and all
//! locking; a backend acts on arcs and moves bytes. All methods may sleep. Those without a session
//! run with the lock of the state machine held, those with one with the lock of the session held,
//! so a backend needs no lock for what is in its sessions.
//!
//! State moves as [`Image`]s: memory that the backend fills and user space reads, or the other way
//! round. Each is the payload of one record. The core copies between them and user memory, without
//! a lock, so the bytes are copied once.

use crate::protocol::{
    fsm::{
        Arc as StateArc,
        Features, //
    },
    stream::{
        Identity,
        Policy, //
    },
};
mod image;

pub use image::{
    Buffer,
    Image,
    Landing,
    NoLanding, //
};

use kernel::{
    prelude::*,
    static_lock_class,
    sync::{
        poll::PollCondVarBox,
        Arc, //
    },
};
use vfio::debugfs::Dir;

/// Why an arc failed, and what that means for the state of the device.
#[derive(Debug)]
pub enum Failure {
    /// The device is still in the state that the arc leaves, or is again.
    Kept(Error),
    /// The device is in no valid state: only a reset helps (uAPI `ERROR`).
    Lost(Error),
}

impl Failure {
    /// The error, whatever it means.
    pub(crate) fn error(&self) -> Error {
        match self {
            Failure::Kept(error) | Failure::Lost(error) => *error,
        }
    }
}

impl From<Error> for Failure {
    /// An error that is passed on came before anything was changed.
    fn from(error: Error) -> Self {
        Failure::Kept(error)
    }
}

impl From<kernel::alloc::AllocError> for Failure {
    fn from(_: kernel::alloc::AllocError) -> Self {
        Failure::Kept(ENOMEM)
    }
}

/// An arc on which the device only changes how much it runs.
///
/// The other arcs begin, continue or end sessions, and have methods of their own in [`Backend`].
/// A backend matches on this without a wildcard, so that one that misses an arc does not compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuietArc {
    /// `RUNNING -> RUNNING_P2P` and `PRE_COPY -> PRE_COPY_P2P`: no new peer-to-peer DMA, and what
    /// was begun is done (uAPI rule B5).
    RunningToP2p,
    /// `RUNNING_P2P -> RUNNING` and `PRE_COPY_P2P -> PRE_COPY`.
    P2pToRunning,
    /// `RUNNING_P2P -> STOP`: the device does nothing any more (uAPI rule B1).
    P2pToStop,
    /// `STOP -> RUNNING_P2P`.
    StopToP2p,
    /// `RUNNING -> STOP`, without P2P states.
    RunningToStop,
    /// `STOP -> RUNNING`, without P2P states.
    StopToRunning,
}

impl QuietArc {
    /// The arc of the state machine, if it is one of these.
    pub(crate) const fn from_arc(arc: StateArc) -> Option<Self> {
        match arc {
            StateArc::RunningToRunningP2p | StateArc::PreCopyToPreCopyP2p => {
                Some(Self::RunningToP2p)
            }
            StateArc::RunningP2pToRunning | StateArc::PreCopyP2pToPreCopy => {
                Some(Self::P2pToRunning)
            }
            StateArc::RunningP2pToStop => Some(Self::P2pToStop),
            StateArc::StopToRunningP2p => Some(Self::StopToP2p),
            StateArc::RunningToStop => Some(Self::RunningToStop),
            StateArc::StopToRunning => Some(Self::StopToRunning),
            StateArc::StopToStopCopy
            | StateArc::StopCopyToStop
            | StateArc::StopToResuming
            | StateArc::ResumingToStop
            | StateArc::RunningToPreCopy
            | StateArc::PreCopyToRunning
            | StateArc::PreCopyToStopCopy
            | StateArc::RunningP2pToPreCopyP2p
            | StateArc::PreCopyP2pToRunningP2p
            | StateArc::PreCopyP2pToStopCopy => None,
        }
    }
}

/// Which data a session that saves makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The device runs: what it has now, then what changes.
    PreCopy,
    /// The device has stopped: all that is left, to the end.
    StopCopy,
}

/// A chunk that a backend made.
pub struct Chunk<I> {
    /// What it holds.
    pub image: I,
    /// Whether it belongs to the initial data of pre-copy (uAPI `initial_bytes`).
    pub initial: bool,
}

/// What pre-copy could still make now, as payload bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Initial data that was not made yet.
    pub initial: u64,
    /// Data that changed since it was made.
    pub dirty: u64,
    /// How often the initial data was started again in this session (uAPI
    /// `VFIO_PRECOPY_INFO_REINIT`).
    pub reinits: u32,
}

/// Tells user space that waits in `poll()` for pre-copy data that there is some again.
///
/// One for each device; may be used in any context.
#[derive(Clone)]
pub struct Waker(pub(crate) Arc<PollCondVarBox>);

impl Waker {
    /// Makes a waker that nobody waits for.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory.
    pub fn new() -> Result<Self> {
        let condvar = PollCondVarBox::new(c"vfio_migration::Waker", static_lock_class!())?;
        Ok(Self(Arc::new(condvar, GFP_KERNEL)?))
    }

    /// [`Pending`] went from nothing to something.
    pub fn wake(&self) {
        self.0.notify_all();
    }
}

/// The device-specific half of live migration.
#[vtable]
pub trait Backend: Sized + Send + Sync + 'static {
    /// A session that saves. Dropped without [`Backend::end_save`] where the device is reset.
    type Save: Send + Unpin;
    /// A session that resumes. Dropped without [`Backend::finish_resume`] where the device is reset.
    type Resume: Send + Unpin;
    /// What [`Backend::save`] makes. Dropped where there is no more use for it, also in arcs.
    type Image: Image;
    /// Where data lands for [`Backend::load_image`]; [`NoLanding`] for a backend that takes it in
    /// pieces by [`Backend::load`]. Dropped as `Image` is.
    type Landing: Landing;

    /// What streams are accepted.
    const POLICY: Policy;

    /// Bytes of an image that is not the last of its phase; with more of them a stream has less
    /// framing than was told.
    const CHUNK_SIZE: usize;

    /// How many images a session has at most, each with memory of its own; at least 1, constant.
    fn depth(&self) -> usize {
        3
    }

    /// Bytes of images that may be left to be loaded when the `write()` of another ends: what is not
    /// loaded when the source has stopped adds to the time that the guest stands still.
    fn ahead(&self) -> usize {
        8 << 20
    }

    /// The optional states that the device has; constant.
    fn features(&self) -> Features;

    /// What the streams of this device say of it, and what they ask of the device that takes them.
    fn identity(&self) -> Identity;

    /// Checks a stream's identity, whose backend name is this one's, before any data of it. By
    /// itself it takes that of a device that says of itself what this one says.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the stream is of a device that this one cannot become.
    fn accept(&self, identity: &Identity) -> Result {
        if *identity == self.identity() {
            Ok(())
        } else {
            Err(EOPNOTSUPP)
        }
    }

    /// The waker of this device.
    fn waker(&self) -> &Waker;

    /// Acts on an arc without a session of its own.
    fn quiet(&self, arc: QuietArc) -> Result<(), Failure>;

    /// Begins to save. Must not take time in proportion to the size of the state.
    fn begin_save(&self, phase: Phase) -> Result<Self::Save, Failure>;

    /// Memory for [`Backend::save`], allocated by the process that reads; [`None`] if that allocates
    /// what it needs, for which the process is charged that began the session.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is none; the reader may try again.
    fn image() -> Result<Option<Self::Image>> {
        Ok(None)
    }

    /// Makes the next chunk, in the memory of `spare` if that will do; [`None`] when there is
    /// nothing (more) now, which in [`Phase::StopCopy`] is the end. Runs in a work queue, not in an
    /// arc.
    ///
    /// # Errors
    ///
    /// After `ENOMEM` it is called again when an image was read, if there is one. Every other error
    /// ends the stream, `EAGAIN` as `EIO`.
    fn save(
        &self,
        save: &mut Self::Save,
        spare: &mut Option<Self::Image>,
    ) -> Result<Option<Chunk<Self::Image>>>;

    /// What pre-copy could make now. Must not take time in proportion to the size of the state.
    ///
    /// # Errors
    ///
    /// Where the device does not answer; this ends nothing.
    fn pending(&self, save: &mut Self::Save) -> Result<Pending>;

    /// Stops the device and goes on in [`Phase::StopCopy`] (`PRE_COPY -> STOP_COPY` and
    /// `PRE_COPY_P2P -> STOP_COPY`).
    fn stop_copy(&self, save: &mut Self::Save) -> Result<(), Failure>;

    /// Ends a session. A failure is always one that lost the device: the session is gone.
    fn end_save(&self, save: Self::Save) -> Result;

    /// Begins to resume; the state of the device may be gone from now on (uAPI rule R1). Must not
    /// take time in proportion to the size of the state.
    fn begin_resume(&self) -> Result<Self::Resume, Failure>;

    /// Takes a piece of the data, cut anywhere. Not called where data lands in images.
    ///
    /// # Errors
    ///
    /// Whatever can be known to be wrong should fail here: `EINVAL`, `EBADMSG`, `ENOMEM`. The
    /// session takes nothing after an error.
    fn load(&self, _resume: &mut Self::Resume, _data: &[u8]) -> Result {
        Err(EINVAL)
    }

    /// Makes what the payload of a record can land in; its memory is allocated later, by the process
    /// that writes.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn landing(&self) -> Result<Self::Landing> {
        Err(EINVAL)
    }

    /// Takes an image that has landed, whole and with the right checksum if it has one. Runs in a
    /// work queue, for one image after the other, while others land.
    ///
    /// # Errors
    ///
    /// Any; the next `write()` fails with it, and at the latest `RESUMING -> STOP`.
    fn load_image(&self, _image: &mut Self::Landing) -> Result {
        Err(EINVAL)
    }

    /// Checks that the data is complete and puts it to use. Must not take time in proportion to
    /// the size of the state.
    ///
    /// # Errors
    ///
    /// `ENODATA` if the data is not complete. The device stays in `RESUMING`.
    fn finish_resume(&self, resume: &mut Self::Resume) -> Result;

    /// Upper bound, in bytes of payload, of what a stop-copy would take now; not zero.
    ///
    /// # Errors
    ///
    /// Where the device does not answer.
    fn data_size(&self) -> Result<u64>;

    /// Makes files of its own in the device's folder in debugfs, beside those of the core.
    fn show<'a>(&'a self, _dir: &Dir<'a>) {}

    /// First open of the device.
    fn open(&self) -> Result {
        Ok(())
    }

    /// Resets the device from whatever it is in to running. There are no sessions any more.
    /// Infallible.
    fn reset(&self);

    /// Last close: as [`Backend::reset`], and nothing of the last user is left for the next.
    fn close(&self) {
        self.reset();
    }
}
