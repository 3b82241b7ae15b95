// SPDX-License-Identifier: GPL-2.0

//! How much a VF runs, and whether the firmware tracks changes of its state.
//!
//! Tracking is begun by an image of pre-copy and ended by the last image of stop-copy. A session that
//! is given up leaves it on, and ending it takes commands and memory for what has changed: so a work
//! item does that once the VF runs again, or whoever suspends it. To go on it need not have been
//! done: a VF that is resumed does not wait for what a session left.
//!
//! Locks: `Running::turn`, held over the commands that suspend and those that end tracking; below it
//! `Running::now`, held over none.

use crate::memory::{
    Image,
    Pool, //
};
use kernel::{
    prelude::*,
    sync::{
        new_mutex,
        Arc,
        Mutex, //
    },
};
use mlx5::{
    command::{
        QueryMigrationState,
        Resume,
        SaveState,
        Side,
        Suspend, //
    },
    Access,
    Direction,
    Failure as CommandFailure,
    Function,
    Mkey,
    Pd,
    Status, //
};
use vfio::{
    lock_class,
    task::{
        Queue,
        Run,
        Task, //
    }, //
};
use vfio_migration::backend::Failure;

/// What is known of the VF.
#[derive(Clone, Copy, Default)]
struct Now {
    initiator_suspended: bool,
    responder_suspended: bool,
    /// Tracking is on, without a session that wants it.
    stale: bool,
}

/// The VF's two sides.
#[pin_data]
pub(crate) struct Running {
    function: Function,
    pool: Arc<Task<Pool>>,
    #[pin]
    turn: Mutex<()>,
    #[pin]
    now: Mutex<Now>,
}

/// What a command's failure means for a VF that was to change how much it runs.
fn judge(failure: CommandFailure) -> Failure {
    match failure {
        // The firmware says that it did nothing.
        CommandFailure::Refused { .. } => Failure::Kept(failure.into()),
        CommandFailure::Answer(_) | CommandFailure::Transport(_) => Failure::Lost(failure.into()),
    }
}

impl Running {
    /// Of a VF that runs.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        function: Function,
        queue: Arc<Queue>,
        pool: Arc<Task<Pool>>,
    ) -> Result<Arc<Task<Self>>> {
        let (name, key) = lock_class!("vfio_migration_mlx5_running");
        let data = pin_init!(Self {
            function,
            pool,
            turn <- new_mutex!((), "vfio_migration_mlx5::Running::turn"),
            now <- new_mutex!(Now::default(), "vfio_migration_mlx5::Running::now"),
        });
        Arc::pin_init(Task::new(queue, name, key, data), GFP_KERNEL)
    }

    /// Suspends a side: first the initiator, then the responder.
    pub(crate) fn suspend(&self, side: Side) -> Result<(), Failure> {
        let _turn = self.turn.lock();
        let access = self.function.enter()?;
        self.settle(&access);
        access.execute(&Suspend(side)).map_err(judge)?;
        *self.now.lock().side(side) = true;
        Ok(())
    }

    /// Resumes a side, in the other order.
    pub(crate) fn resume(this: &Task<Self>, side: Side) -> Result<(), Failure> {
        let access = this.function.enter()?;
        access.execute(&Resume(side)).map_err(judge)?;
        let mut now = this.now.lock();
        *now.side(side) = false;
        if now.may_settle() {
            this.start();
        }
        Ok(())
    }

    /// A session that had tracking on is over.
    pub(crate) fn abandon(this: &Task<Self>) {
        let mut now = this.now.lock();
        now.stale = true;
        if now.may_settle() {
            this.start();
        }
    }

    /// A session is about to track: it takes over what is there.
    pub(crate) fn adopt(&self) {
        let _turn = self.turn.lock();
        self.now.lock().stale = false;
    }

    /// Whether the VF begins nothing now, or as soon as who suspends it is through.
    pub(crate) fn initiator_suspended(&self) -> bool {
        let _turn = self.turn.lock();
        self.now.lock().initiator_suspended
    }

    /// The VF was reset.
    pub(crate) fn reset(&self) {
        let _turn = self.turn.lock();
        *self.now.lock() = Now::default();
    }

    /// Ends tracking that nobody wants, if that can be done now. The caller has the turn.
    fn settle(&self, access: &Access<'_>) {
        if !self.now.lock().begin_settling() {
            return;
        }
        // A failure means that the firmware goes on tracking: that is slower for the VF, and wrong for
        // nobody, since the next image says anew whether to track.
        if let Err(failure) = self.end_tracking(access) {
            pr_warn!("changes of the state are still tracked: {failure}\n");
        }
    }

    fn end_tracking(&self, access: &Access<'_>) -> Result<(), CommandFailure> {
        let changed = access.execute(&QueryMigrationState {
            incremental: true,
            chunk: false,
        });
        let changed = match changed {
            Ok(required) => required.next,
            // It did not begin.
            Err(failure) if failure.status() == Some(Status::BadResourceState) => return Ok(()),
            Err(failure) => return Err(failure),
        };
        let mut scratch = None;
        if changed > 0 {
            // CAST: A `usize` has at least 32 bits.
            scratch = Some(Image::new(&self.pool, changed as usize, |buffer| {
                let pd = Pd::new(&self.function)?;
                Ok(Mkey::new(&pd, buffer, Direction::FromDevice)?)
            })?);
        }
        let key = scratch.as_mut().map(Image::mkey).transpose()?;
        access.execute(&SaveState::cleanup(key))?;
        Ok(())
    }
}

impl Now {
    fn side(&mut self, side: Side) -> &mut bool {
        match side {
            Side::Initiator => &mut self.initiator_suspended,
            Side::Responder => &mut self.responder_suspended,
        }
    }

    /// While the responder is suspended, the command would make an image of all.
    fn may_settle(&self) -> bool {
        self.stale && !self.responder_suspended
    }

    fn begin_settling(&mut self) -> bool {
        let may = self.may_settle();
        self.stale &= !may;
        may
    }
}

impl Run for Running {
    fn run(task: &Task<Self>) {
        let _turn = task.turn.lock();
        // If the PF is down, so is the tracking.
        if let Ok(access) = task.function.enter() {
            task.settle(&access);
        }
    }
}
