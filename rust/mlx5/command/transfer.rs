// SPDX-License-Identifier: GPL-2.0

//! SAVE_VHCA_STATE and LOAD_VHCA_STATE.

use super::{
    sealed::Encoded,
    Failure,
    Opcode, //
};
use crate::{
    layout::migration::{
        load_vhca_state_in as load_in,
        load_vhca_state_out as load_out,
        save_vhca_state_in as save_in,
        save_vhca_state_out as save_out, //
    },
    memory::{
        Direction,
        Mkey, //
    },
    status::Status,
};
use kernel::prelude::*;

/// SAVE_VHCA_STATE: puts an image of the function into memory.
///
/// A function that changed under it may be refused with [`Status::BadResourceState`].
pub struct SaveState<'a> {
    into: Option<&'a mut Mkey>,
    incremental: bool,
    track: bool,
    cleanup: bool,
}

/// The answer to [`SaveState`].
#[derive(Clone, Copy, Debug)]
pub struct Saved {
    /// Bytes of the image, from the beginning of the memory; 1 up to its length, but of a clean-up.
    pub image: u32,
    /// Bytes that the next image of a series needs; 0 after the last.
    pub next: u32,
}

impl<'a> SaveState<'a> {
    /// An image that fits all of `into`, of what changed since the last one (`incremental`) or of
    /// everything; `track` what changes from then on.
    pub fn image(into: &'a mut Mkey, incremental: bool, track: bool) -> Self {
        Self {
            into: Some(into),
            incremental,
            track,
            cleanup: false,
        }
    }

    /// No image, but an end of tracking. If the firmware says that an increment would need memory
    /// it wants to have some.
    pub fn cleanup(scratch: Option<&'a mut Mkey>) -> Self {
        Self {
            into: scratch,
            incremental: false,
            track: false,
            cleanup: true,
        }
    }

    fn len(&self) -> usize {
        self.into.as_ref().map_or(0, |mkey| mkey.len())
    }
}

impl Encoded for SaveState<'_> {
    type Input = save_in::Bytes;
    type Reply = save_out::Bytes;
    type Output = Saved;

    const OPCODE: Opcode = Opcode::SaveVhcaState;
    const EXPECTED: &'static [Status] = &[Status::NotReady, Status::BadResourceState];

    fn input(&self, vhca_id: u16) -> Result<Self::Input, Failure> {
        let mut bytes = Self::Input::ZERO;
        save_in::vhca_id.put(&mut bytes.0, vhca_id)?;
        save_in::incremental.put(&mut bytes.0, self.incremental)?;
        save_in::set_track.put(&mut bytes.0, self.track)?;
        if let Some(mkey) = &self.into {
            save_in::mkey.put(&mut bytes.0, mkey.key(Direction::FromDevice)?)?;
            save_in::size.put(&mut bytes.0, mkey.len() as u64)?;
        }
        Ok(bytes)
    }

    fn output(&self, reply: Self::Reply) -> Result<Saved, Failure> {
        let saved = Saved {
            image: save_out::actual_image_size.get(&reply.0) as u32,
            next: save_out::next_required_umem_size.get(&reply.0) as u32,
        };
        if !self.cleanup && saved.image == 0 {
            return Err(Failure::Answer("an image of no bytes"));
        }
        if saved.image as usize > self.len() {
            return Err(Failure::Answer("an image larger than its memory"));
        }
        Ok(saved)
    }

    fn begin(&self) {
        if let Some(mkey) = &self.into {
            mkey.give(mkey.len());
        }
    }

    fn end(&self) {
        if let Some(mkey) = &self.into {
            mkey.take(mkey.len());
        }
    }
}

/// LOAD_VHCA_STATE: the function becomes what an image says. Images of one series are loaded one by
/// one, in their order.
pub struct LoadState<'a> {
    /// The image is at the beginning of this memory.
    pub from: &'a Mkey,
    /// Its bytes, exactly.
    pub size: u32,
}

impl Encoded for LoadState<'_> {
    type Input = load_in::Bytes;
    type Reply = load_out::Bytes;
    type Output = ();

    const OPCODE: Opcode = Opcode::LoadVhcaState;

    fn input(&self, vhca_id: u16) -> Result<Self::Input, Failure> {
        if self.size == 0 || self.size as usize > self.from.len() {
            return Err(EINVAL.into());
        }
        let mut bytes = Self::Input::ZERO;
        load_in::vhca_id.put(&mut bytes.0, vhca_id)?;
        load_in::mkey.put(&mut bytes.0, self.from.key(Direction::ToDevice)?)?;
        load_in::size.put(&mut bytes.0, self.size)?;
        Ok(bytes)
    }

    fn output(&self, _reply: Self::Reply) -> Result<(), Failure> {
        Ok(())
    }

    fn begin(&self) {
        self.from.give(self.size as usize);
    }

    fn end(&self) {
        self.from.take(self.size as usize);
    }
}
