// SPDX-License-Identifier: GPL-2.0

//! Migration of a ConnectX VF: what the core asks of it.
//!
//! Arcs suspend and resume the VF; images are made and loaded by work items. All commands go to the
//! firmware through the PF, and fail with `ENOTCONN` while that is down.
//!
//! The stream is that of the kernel's own driver: a record for each image, in the order in which the
//! firmware made them, and it is loaded so.

use crate::{
    commands::Commands,
    landing::Landing,
    memory::{
        Image,
        Pool, //
    },
    running::Running,
    save::Save, //
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
        LoadState,
        QueryMigrationState,
        Side, //
    },
    Direction,
    Function,
    Mkey,
    Pd, //
};
use vfio::{
    debugfs::Dir,
    task::{
        Queue,
        Task, //
    },
};
use vfio_migration::{
    backend::{
        Backend,
        Chunk,
        Failure,
        Pending,
        Phase,
        QuietArc,
        Waker, //
    },
    protocol::{
        fsm::Features,
        stream::{
            Identity,
            IdentityPolicy,
            Policy,
            REQUIREMENT_LEN, //
        },
    },
};

/// Version of what the streams say beyond the firmware's images.
const VERSION: u32 = 1;

/// What the administrator wants; see the parameters of the module.
pub(crate) struct Settings {
    /// Images of a session.
    pub(crate) depth: usize,
    /// Bytes of a chunk.
    pub(crate) chunk_size: u64,
    /// The most bytes of a device's images.
    pub(crate) limit: u64,
}

/// The backend of one VF.
#[pin_data]
pub(crate) struct Mlx5 {
    function: Function,
    commands: Arc<Commands>,
    waker: Waker,
    settings: Settings,
    running: Arc<Task<Running>>,
    pool: Arc<Task<Pool>>,
    /// That of the session's images, once there is one.
    #[pin]
    pd: Mutex<Option<Pd>>,
}

impl Mlx5 {
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        function: Function,
        commands: Arc<Commands>,
        settings: Settings,
        queue: Arc<Queue>,
    ) -> Result<Arc<Self>> {
        let waker = Waker::new()?;
        let pool = Pool::new(function.clone(), queue.clone(), settings.limit)?;
        let running = Running::new(function.clone(), queue, pool.clone())?;
        let init = pin_init!(Self {
            function,
            commands,
            waker,
            settings,
            running,
            pool,
            pd <- new_mutex!(None, "vfio_migration_mlx5::Mlx5::pd"),
        });
        Arc::pin_init(init, GFP_KERNEL)
    }

    pub(crate) fn function(&self) -> &Function {
        &self.function
    }

    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    pub(crate) fn pool(&self) -> &Arc<Task<Pool>> {
        &self.pool
    }

    pub(crate) fn chunk_size(&self) -> u64 {
        self.settings.chunk_size
    }

    /// The protection domain for images of the present session.
    pub(crate) fn pd(&self) -> Result<Pd> {
        let mut pd = self.pd.lock();
        if let Some(pd) = &*pd {
            return Ok(pd.clone());
        }
        Ok(pd.insert(Pd::new(&self.function)?).clone())
    }

    /// A session begins or is over: the next images need a domain that the firmware knows, even if
    /// the PF was down.
    fn forget_pd(&self) {
        let pd = self.pd.lock().take();
        if let Some(pd) = pd {
            Pool::discard(&self.pool, pd);
        }
    }
}

#[vtable]
impl Backend for Mlx5 {
    type Save = Save;
    type Resume = ();
    type Image = Image;
    type Landing = Landing;

    // The kernel's own driver writes no identity.
    const POLICY: Policy = Policy {
        identity: IdentityPolicy::Accepted,
        // CAST: What a SAVE or LOAD command can name.
        max_record: u32::MAX as u64,
    };
    const CHUNK_SIZE: usize = 1 << 20;

    fn depth(&self) -> usize {
        self.settings.depth
    }

    fn ahead(&self) -> usize {
        usize::try_from(self.settings.chunk_size).unwrap_or(usize::MAX)
    }

    fn features(&self) -> Features {
        Features::ALL
    }

    fn identity(&self) -> Identity {
        // The firmware knows best which of its images it takes.
        Identity {
            backend: Identity::name("mlx5"),
            backend_version: VERSION,
            requirement: [0; REQUIREMENT_LEN],
        }
    }

    fn waker(&self) -> &Waker {
        &self.waker
    }

    fn quiet(&self, arc: QuietArc) -> Result<(), Failure> {
        match arc {
            QuietArc::RunningToP2p => self.running.suspend(Side::Initiator),
            QuietArc::P2pToRunning => Running::resume(&self.running, Side::Initiator),
            QuietArc::P2pToStop => self.running.suspend(Side::Responder),
            QuietArc::StopToP2p => Running::resume(&self.running, Side::Responder),
            // There are none of these with the P2P states.
            QuietArc::RunningToStop | QuietArc::StopToRunning => Err(Failure::Kept(EINVAL)),
        }
    }

    fn begin_save(&self, phase: Phase) -> Result<Save, Failure> {
        self.forget_pd();
        Ok(Save::new(phase))
    }

    fn save(&self, save: &mut Save, spare: &mut Option<Image>) -> Result<Option<Chunk<Image>>> {
        self.next_image(save, spare)
    }

    fn pending(&self, save: &mut Save) -> Result<Pending> {
        self.pending_of(save)
    }

    fn stop_copy(&self, save: &mut Save) -> Result<(), Failure> {
        // With the P2P states, this begins in the one where the initiator is suspended.
        self.running.suspend(Side::Responder)?;
        save.stopped();
        Ok(())
    }

    fn end_save(&self, save: Save) -> Result {
        self.forget_pd();
        if save.is_tracked() {
            Running::abandon(&self.running);
        }
        Ok(())
    }

    fn begin_resume(&self) -> Result<(), Failure> {
        self.forget_pd();
        Ok(())
    }

    fn landing(&self) -> Result<Landing> {
        Ok(Landing::new(self.pool.clone()))
    }

    fn load_image(&self, image: &mut Landing) -> Result {
        image.load(
            |buffer| Ok(Mkey::new(&self.pd()?, buffer, Direction::ToDevice)?),
            |from, size| {
                let size = u32::try_from(size).map_err(|_| EFBIG)?;
                let access = self.function.enter()?;
                Ok(access.execute(&LoadState { from, size })?)
            },
        )
    }

    fn finish_resume(&self, _resume: &mut ()) -> Result {
        // Each image was taken; whether they are all that there is only the trailer says.
        self.forget_pd();
        Ok(())
    }

    fn data_size(&self) -> Result<u64> {
        let access = self.function.enter()?;
        let required = access.execute(&QueryMigrationState {
            incremental: false,
            chunk: self.function.capabilities().chunks,
        })?;
        Ok(required.total)
    }

    fn show<'a>(&'a self, dir: &Dir<'a>) {
        dir.file(c"commands", &*self.commands);
    }

    fn reset(&self) {
        self.forget_pd();
        self.running.reset();
        Pool::flush(&self.pool);
    }
}
