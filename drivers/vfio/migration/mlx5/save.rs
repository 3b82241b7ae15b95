// SPDX-License-Identifier: GPL-2.0

//! A session that saves: which images are asked of the firmware, and into what memory.
//!
//! - In pre-copy: a full image, with which tracking begins; then increments, as long as there are
//!   changes. They are never taken in chunks.
//! - Stopped: the last increment, or a full image where there was no pre-copy; in chunks if the
//!   firmware can, so that it makes one while the one before is read. The last ends tracking.
//! - A VF that changed too much for an image of pre-copy is refused one
//!   ([`Status::BadResourceState`]). Pre-copy then has nothing more to offer, and the image of the
//!   stopped VF is a full one.

use crate::{
    backend::Mlx5,
    memory::Image, //
};
use kernel::prelude::*;
use mlx5::{
    command::{
        QueryMigrationState,
        Required,
        SaveState,
        Saved,
        State, //
    },
    Direction,
    Failure as CommandFailure,
    Mkey,
    Status, //
};
use vfio_migration::backend::{
    Chunk,
    Pending,
    Phase, //
};

/// How far the images are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// There is none yet.
    None,
    /// A full image was made; tracking is on.
    Tracked,
    /// Pre-copy was refused an image; tracking may be on.
    Refused,
    /// The VF has stopped, and the next of the chunks needs so many bytes, of so many that are left.
    Chunks { next: u32, left: u64 },
    /// All was made; tracking is off.
    Complete,
}

/// The session.
pub(crate) struct Save {
    phase: Phase,
    progress: Progress,
    /// How often the VF was initialised anew, as far as it was noticed.
    reinits: u32,
    /// It was since the last image.
    is_anew: bool,
}

impl Save {
    pub(crate) fn new(phase: Phase) -> Self {
        Self {
            phase,
            progress: Progress::None,
            reinits: 0,
            is_anew: false,
        }
    }

    /// The VF has stopped.
    pub(crate) fn stopped(&mut self) {
        self.phase = Phase::StopCopy;
    }

    /// Whether the firmware may have been told to track.
    pub(crate) fn is_tracked(&self) -> bool {
        matches!(self.progress, Progress::Tracked | Progress::Refused)
    }

    /// Notes what the firmware says of the driver inside the VF.
    fn note(&mut self, state: State) {
        if state == State::Init && self.progress == Progress::Tracked && !self.is_anew {
            self.is_anew = true;
            self.reinits += 1;
        }
    }
}

impl Mlx5 {
    fn required(
        &self,
        save: &mut Save,
        incremental: bool,
        chunk: bool,
    ) -> Result<Required, CommandFailure> {
        let access = self.function().enter()?;
        let required = access.execute(&QueryMigrationState { incremental, chunk })?;
        if self.function().capabilities().migration_state {
            save.note(required.state);
        }
        Ok(required)
    }

    /// Memory for an image: that of `spare` if it is large enough.
    fn image(&self, spare: &mut Option<Image>, bytes: u64) -> Result<Image> {
        let bytes = usize::try_from(bytes).map_err(|_| ENOMEM)?;
        match spare.take() {
            Some(image) if image.capacity() >= bytes => Ok(image),
            small => {
                drop(small);
                Image::new(self.pool(), bytes, |buffer| {
                    Ok(Mkey::new(&self.pd()?, buffer, Direction::FromDevice)?)
                })
            }
        }
    }

    fn fill(
        &self,
        image: &mut Image,
        incremental: bool,
        track: bool,
    ) -> Result<Saved, CommandFailure> {
        let access = self.function().enter()?;
        let saved = access.execute(&SaveState::image(image.mkey()?, incremental, track))?;
        // CAST: A `usize` has at least 32 bits.
        image.fill(saved.image as usize);
        Ok(saved)
    }

    /// The next image of a session, if there is something to make one of.
    pub(crate) fn next_image(
        &self,
        save: &mut Save,
        spare: &mut Option<Image>,
    ) -> Result<Option<Chunk<Image>>> {
        match save.phase {
            Phase::PreCopy => self.next_running(save, spare),
            Phase::StopCopy => self.next_stopped(save, spare),
        }
    }

    /// Whether the next image of pre-copy is an increment; [`None`] if there is none for now.
    fn is_next_incremental(&self, save: &Save) -> Option<bool> {
        match save.progress {
            Progress::None => Some(false),
            // The firmware tells the VF's changes only while it runs.
            Progress::Tracked if !self.running().initiator_suspended() => Some(true),
            _ => None,
        }
    }

    fn next_running(
        &self,
        save: &mut Save,
        spare: &mut Option<Image>,
    ) -> Result<Option<Chunk<Image>>> {
        let Some(incremental) = self.is_next_incremental(save) else {
            return Ok(None);
        };
        let required = self.required(save, incremental, false)?;
        if required.next == 0 {
            return Ok(None);
        }
        // The state may grow until the image is made.
        let bytes = u64::from(required.next);
        let mut image = self.image(spare, bytes.saturating_add(bytes / 8))?;
        self.running().adopt();
        match self.fill(&mut image, incremental, true) {
            Ok(_) => {}
            Err(failure) if failure.status() == Some(Status::BadResourceState) => {
                save.progress = Progress::Refused;
                *spare = Some(image);
                return Ok(None);
            }
            Err(failure) => {
                // Tracking may have begun.
                save.progress = Progress::Refused;
                return Err(failure.into());
            }
        }
        save.progress = Progress::Tracked;
        let anew = core::mem::take(&mut save.is_anew);
        let initial = !incremental || anew;
        Ok(Some(Chunk { image, initial }))
    }

    fn next_stopped(
        &self,
        save: &mut Save,
        spare: &mut Option<Image>,
    ) -> Result<Option<Chunk<Image>>> {
        let chunks = self.function().capabilities().chunks;
        let (incremental, next, left) = match save.progress {
            Progress::Complete => return Ok(None),
            Progress::Chunks { next, left } => (true, next, left),
            Progress::None | Progress::Refused | Progress::Tracked => {
                let incremental = save.progress == Progress::Tracked;
                let required = self.required(save, incremental, chunks)?;
                (incremental, required.next, required.total)
            }
        };
        let next = u64::from(next);
        let bytes = match chunks {
            true => next.max(left.min(self.chunk_size())),
            false => next,
        };
        // The last image ends tracking, also if it has nothing to tell.
        let mut image = self.image(spare, bytes.max(1))?;
        let saved = self.fill(&mut image, incremental, false)?;
        save.progress = if chunks && saved.next > 0 {
            Progress::Chunks {
                next: saved.next,
                left: left.saturating_sub(saved.image.into()),
            }
        } else {
            Progress::Complete
        };
        let initial = false;
        Ok(Some(Chunk { image, initial }))
    }

    /// What pre-copy could make now.
    pub(crate) fn pending_of(&self, save: &mut Save) -> Result<Pending> {
        let mut pending = Pending {
            reinits: save.reinits,
            ..Pending::default()
        };
        let Some(incremental) = self.is_next_incremental(save) else {
            return Ok(pending);
        };
        let bytes = self.required(save, incremental, false)?.next.into();
        pending.reinits = save.reinits;
        match incremental && !save.is_anew {
            true => pending.dirty = bytes,
            false => pending.initial = bytes,
        }
        Ok(pending)
    }
}
