// SPDX-License-Identifier: GPL-2.0

//! Migration of a VF: suspending it in two halves, and moving its state.
//!
//! The PF gives the commands. What real firmware answers where the driver leaves it open is not
//! public; what is chosen here is strict: a command out of order is refused with BAD_RES_STATE.
//! [inferred throughout] The exceptions, which the driver needs, are said where they are.

mod image;
mod objects;
mod state;
mod transfer;

pub(crate) use transfer::Transfer;

use crate::command::{Call, Flow};
use crate::config::Config;
use crate::layout::command::{
    load_vhca_state_in, query_vhca_migration_state_in, query_vhca_migration_state_out,
    save_vhca_state_in, suspend_vhca_in,
};
use crate::layout::Slot;
use crate::nic::Nic;
use crate::status::{refuse, require, Result, Status};
use state::Opaque;
use std::collections::BTreeSet;
use transfer::Incoming;

/// The least that a chunk may be asked to be.
const CHUNK: u64 = 1 << 20;

/// `migration_state` of QUERY_VHCA_MIGRATION_STATE.
#[derive(Clone, Copy)]
enum MigrationState {
    Ready = 2,
    Dirty = 3,
    Init = 4,
}

/// What belongs to migration in a function.
#[derive(Debug)]
pub(crate) struct Vhca {
    initiator_suspended: bool,
    responder_suspended: bool,
    /// Slots that were rung while the function was suspended.
    pub(crate) held: u32,
    opaque: Opaque,
    outgoing: Option<Outgoing>,
    incoming: Incoming,
    /// How often there is still new initial state.
    reinits: u32,
    /// A SAVE or LOAD is under way.
    busy: bool,
}

/// An image of which parts have been saved.
#[derive(Debug)]
struct Outgoing {
    /// The checksum of the last piece.
    previous: u64,
    /// Of the next piece.
    sequence: u32,
    /// Pages that are to be saved, or saved again.
    dirty: BTreeSet<u32>,
}

impl Vhca {
    /// That of function `number` after a reset at time `now`.
    pub(crate) fn new(config: &Config, number: u16, now: u64) -> Self {
        Self {
            initiator_suspended: false,
            responder_suspended: false,
            held: 0,
            opaque: Opaque::new(config, number, now),
            outgoing: None,
            incoming: Incoming::None,
            reinits: 0,
            busy: false,
        }
    }

    /// Does it begin nothing by itself?
    pub(crate) fn suspended(&self) -> bool {
        self.initiator_suspended
    }

    /// Lets the opaque state change as it would have until `now`.
    fn advance(&mut self, now: u64) {
        let changed = self.opaque.advance(now, !self.initiator_suspended);
        if let Some(outgoing) = &mut self.outgoing {
            outgoing.dirty.extend(changed);
        }
    }
}

/// The VF that a command names.
fn subject(nic: &mut Nic, vhca_id: u32) -> Result<usize> {
    match nic.vf_by_id(vhca_id) {
        Some(vf) if nic.functions[vf].granted => {
            let now = nic.host.now();
            nic.functions[vf].vhca.advance(now);
            Ok(vf)
        }
        _ => refuse(Status::BadRes, "there is no such function to migrate"),
    }
}

/// SUSPEND_VHCA: `op_mod` 0 is the initiator, 1 the responder.
pub(crate) fn suspend(nic: &mut Nic, call: &Call<'_>, _: &mut [u8]) -> Result<Flow> {
    let vf = subject(nic, suspend_vhca_in::vhca_id.get(call.input))?;
    let vhca = &mut nic.functions[vf].vhca;
    let half = match call.op_mod {
        0 => &mut vhca.initiator_suspended,
        1 if !vhca.initiator_suspended => {
            return refuse(
                Status::BadResState,
                "the initiator is to be suspended first",
            );
        }
        1 => &mut vhca.responder_suspended,
        _ => return refuse(Status::BadParam, "neither initiator nor responder"),
    };
    require(!*half, Status::BadResState, "it is suspended already")?;
    *half = true;
    Ok(Flow::Done)
}

/// RESUME_VHCA: `op_mod` 0 is the responder, 1 the initiator: not as in SUSPEND_VHCA.
pub(crate) fn resume(nic: &mut Nic, call: &Call<'_>, _: &mut [u8]) -> Result<Flow> {
    let vf = subject(nic, suspend_vhca_in::vhca_id.get(call.input))?;
    let vhca = &mut nic.functions[vf].vhca;
    match call.op_mod {
        0 => {
            require(
                vhca.responder_suspended,
                Status::BadResState,
                "the responder is not suspended",
            )?;
            require(
                vhca.incoming.may_run() && !vhca.busy,
                Status::BadResState,
                "its state was loaded in part only",
            )?;
            vhca.responder_suspended = false;
            vhca.outgoing = None;
            vhca.incoming = Incoming::None;
        }
        1 => {
            require(
                vhca.initiator_suspended && !vhca.responder_suspended,
                Status::BadResState,
                "the initiator is not what is suspended",
            )?;
            vhca.initiator_suspended = false;
            let held = std::mem::take(&mut vhca.held);
            // Interrupts may have got lost on the way here.
            nic.raise_again(vf);
            nic.ring(vf, held);
            nic.ring_again(vf);
        }
        _ => return refuse(Status::BadParam, "neither initiator nor responder"),
    }
    Ok(Flow::Done)
}

/// The bytes of a piece with this many pages.
fn piece_size(nic: &Nic, vf: usize, pages: usize, last: bool) -> u64 {
    let tail = match last {
        true => image::TAIL + objects::encode(&nic.functions[vf]).len() as u64,
        false => 0,
    };
    image::FRAME + pages as u64 * image::PAGE_RECORD + tail
}

/// The least that the next chunk of so many bytes needs.
fn chunk_size(nic: &Nic, vf: usize, total: u64) -> u64 {
    total.min(CHUNK.max(piece_size(nic, vf, 1, true)))
}

/// QUERY_VHCA_MIGRATION_STATE: how many bytes a SAVE needs.
pub(crate) fn query(nic: &mut Nic, call: &Call<'_>, output: &mut [u8]) -> Result<Flow> {
    let vf = subject(nic, query_vhca_migration_state_in::vhca_id.get(call.input))?;
    let incremental = query_vhca_migration_state_in::incremental.get(call.input) == 1;
    let chunk = query_vhca_migration_state_in::chunk.get(call.input) == 1;
    let track_state = nic.config.migration_state;
    let vhca = &mut nic.functions[vf].vhca;
    let stopped = vhca.responder_suspended;
    let mut state = MigrationState::Ready;
    let total = if incremental {
        if vhca.outgoing.is_some() && track_state && vhca.reinits > 0 && !stopped {
            vhca.reinits -= 1;
            state = MigrationState::Init;
            let page = vhca.opaque.touch();
            vhca.outgoing.iter_mut().for_each(|outgoing| {
                outgoing.dirty.insert(page);
            });
        }
        match vhca.outgoing.as_ref().map(|outgoing| outgoing.dirty.len()) {
            Some(0) if !stopped => 0,
            Some(dirty) => {
                if !matches!(state, MigrationState::Init) {
                    state = MigrationState::Dirty;
                }
                piece_size(nic, vf, dirty, stopped)
            }
            // The driver asks when it gives up a pre-copy whose first SAVE failed.
            None if !stopped => 0,
            None => {
                return refuse(
                    Status::BadResState,
                    "nothing was saved that this could add to",
                )
            }
        }
    } else {
        let pages = vhca.opaque.pages();
        piece_size(nic, vf, pages, true)
    };
    // While it runs the driver tells user space this as what is dirty.
    let required = match chunk && nic.config.chunk && stopped {
        true => chunk_size(nic, vf, total),
        false => total,
    };
    if track_state {
        query_vhca_migration_state_out::migration_state.put(output, state as u32);
    }
    let required = u32::try_from(required).unwrap_or(u32::MAX);
    query_vhca_migration_state_out::required_umem_size.put(output, required);
    query_vhca_migration_state_out::remaining_total_size.put(output, total);
    Ok(Flow::Done)
}

/// SAVE_VHCA_STATE. What it does follows from the state of the function: of one whose responder is
/// suspended the rest is saved; of another a part, with `set_track`, or else saving is given up.
pub(crate) fn save(nic: &mut Nic, call: &Call<'_>, _: &mut [u8]) -> Result<Flow> {
    let vf = subject(nic, save_vhca_state_in::vhca_id.get(call.input))?;
    let incremental = save_vhca_state_in::incremental.get(call.input) == 1;
    let track = save_vhca_state_in::set_track.get(call.input) == 1;
    let size = u64::from(save_vhca_state_in::size.get(call.input));
    let reinit = nic.config.reinit;
    let vhca = &mut nic.functions[vf].vhca;
    let stopped = vhca.responder_suspended;
    require(!vhca.busy, Status::ResBusy, "its state is being moved")?;
    if !stopped && !track {
        require(
            !incremental,
            Status::BadResState,
            "the rest is saved of a suspended function only",
        )?;
        vhca.outgoing = None;
        return Ok(Flow::Done);
    }
    require(
        !(stopped && track),
        Status::BadResState,
        "a suspended function does not change",
    )?;
    require(
        !incremental || vhca.outgoing.is_some(),
        Status::BadResState,
        "nothing was saved that this could add to",
    )?;
    if !incremental {
        vhca.outgoing = Some(Outgoing {
            previous: 0,
            sequence: 0,
            dirty: (0..vhca.opaque.pages() as u32).collect(),
        });
        vhca.reinits = if track { reinit } else { 0 };
    }
    let transfer = Transfer::save(nic, vf, call.input, stopped, size)?;
    Ok(Flow::Transfer(Box::new(transfer)))
}

/// LOAD_VHCA_STATE: a piece as a SAVE wrote it.
pub(crate) fn load(nic: &mut Nic, call: &Call<'_>, _: &mut [u8]) -> Result<Flow> {
    let vf = subject(nic, load_vhca_state_in::vhca_id.get(call.input))?;
    let vhca = &nic.functions[vf].vhca;
    require(
        vhca.responder_suspended,
        Status::BadResState,
        "a function is loaded only while it is suspended",
    )?;
    require(!vhca.busy, Status::ResBusy, "its state is being moved")?;
    Ok(Flow::Transfer(Box::new(Transfer::load(
        nic, vf, call.input,
    )?)))
}
