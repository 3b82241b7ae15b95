// SPDX-License-Identifier: GPL-2.0

//! SUSPEND_VHCA, RESUME_VHCA, QUERY_VHCA_MIGRATION_STATE.

use super::{
    sealed::Encoded,
    Failure,
    Opcode, //
};
use crate::layout::migration::{
    query_vhca_migration_state_in as query_in,
    query_vhca_migration_state_out as query_out,
    resume_vhca_in as resume_in,
    resume_vhca_out as resume_out,
    suspend_vhca_in as suspend_in,
    suspend_vhca_out as suspend_out, //
};
use kernel::prelude::*;

/// One of the two ways in which a function takes part in traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It begins transactions, by itself or on behalf of its driver.
    Initiator,
    /// It answers those of others.
    Responder,
}

/// SUSPEND_VHCA: first the initiator, then the responder.
#[derive(Clone, Copy, Debug)]
pub struct Suspend(pub Side);

impl Encoded for Suspend {
    type Input = suspend_in::Bytes;
    type Reply = suspend_out::Bytes;
    type Output = ();

    const OPCODE: Opcode = Opcode::SuspendVhca;

    fn op_mod(&self) -> u16 {
        match self.0 {
            Side::Initiator => 0,
            Side::Responder => 1,
        }
    }

    fn input(&self, vhca_id: u16) -> Result<Self::Input, Failure> {
        let mut bytes = Self::Input::ZERO;
        suspend_in::vhca_id.put(&mut bytes.0, vhca_id)?;
        Ok(bytes)
    }

    fn output(&self, _reply: Self::Reply) -> Result<(), Failure> {
        Ok(())
    }
}

/// RESUME_VHCA: first the responder, then the initiator.
#[derive(Clone, Copy, Debug)]
pub struct Resume(pub Side);

impl Encoded for Resume {
    type Input = resume_in::Bytes;
    type Reply = resume_out::Bytes;
    type Output = ();

    const OPCODE: Opcode = Opcode::ResumeVhca;

    /// The numbers are not those of [`Suspend`].
    fn op_mod(&self) -> u16 {
        match self.0 {
            Side::Responder => 0,
            Side::Initiator => 1,
        }
    }

    fn input(&self, vhca_id: u16) -> Result<Self::Input, Failure> {
        let mut bytes = Self::Input::ZERO;
        resume_in::vhca_id.put(&mut bytes.0, vhca_id)?;
        Ok(bytes)
    }

    fn output(&self, _reply: Self::Reply) -> Result<(), Failure> {
        Ok(())
    }
}

/// QUERY_VHCA_MIGRATION_STATE: how much memory the next image takes.
#[derive(Clone, Copy, Debug)]
pub struct QueryMigrationState {
    /// What changed since the last image of a tracked function, rather than all of it.
    pub incremental: bool,
    /// The image will be taken in chunks; see [`Capabilities::chunks`](crate::Capabilities::chunks).
    pub chunk: bool,
}

/// The answer to [`QueryMigrationState`].
#[derive(Clone, Copy, Debug)]
pub struct Required {
    /// Bytes of the buffer that the next SAVE needs. Zero only of an incremental image.
    pub next: u32,
    /// Bytes of all that remains; with chunks it may be more than `next`.
    pub total: u64,
    /// How far the driver inside the function got; only to be relied upon if the device has it
    /// ([`Capabilities::migration_state`](crate::Capabilities::migration_state)).
    pub state: State,
}

/// The state of the function's driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum State {
    Uninitialized,
    Idle,
    Ready,
    Dirty,
    /// The function was initialised anew: pre-copy begins again.
    Init,
    Other(u8),
}

impl From<u8> for State {
    fn from(state: u8) -> Self {
        match state {
            0 => Self::Uninitialized,
            1 => Self::Idle,
            2 => Self::Ready,
            3 => Self::Dirty,
            4 => Self::Init,
            other => Self::Other(other),
        }
    }
}

impl Encoded for QueryMigrationState {
    type Input = query_in::Bytes;
    type Reply = query_out::Bytes;
    type Output = Required;

    const OPCODE: Opcode = Opcode::QueryVhcaMigrationState;

    fn input(&self, vhca_id: u16) -> Result<Self::Input, Failure> {
        let mut bytes = Self::Input::ZERO;
        query_in::vhca_id.put(&mut bytes.0, vhca_id)?;
        query_in::incremental.put(&mut bytes.0, self.incremental)?;
        query_in::chunk.put(&mut bytes.0, self.chunk)?;
        Ok(bytes)
    }

    fn output(&self, reply: Self::Reply) -> Result<Required, Failure> {
        let next = query_out::required_umem_size.get(&reply.0) as u32;
        if next == 0 && !self.incremental {
            return Err(Failure::Answer("a full image of no bytes"));
        }
        Ok(Required {
            next,
            total: if self.chunk {
                query_out::remaining_total_size
                    .get(&reply.0)
                    .max(next.into())
            } else {
                next.into()
            },
            state: State::from(query_out::migration_state.get(&reply.0) as u8),
        })
    }
}
