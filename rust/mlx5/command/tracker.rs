// SPDX-License-Identifier: GPL-2.0

//! CREATE_GENERAL_OBJECT, MODIFY_GENERAL_OBJECT, QUERY_GENERAL_OBJECT, DESTROY_GENERAL_OBJECT for
//! page trackers.

use super::{
    sealed::Encoded,
    Failure,
    Opcode, //
};
use crate::layout::tracker::{
    create_page_track_obj_in,
    general_obj_in_cmd_hdr as head,
    general_obj_out_cmd_hdr as reply_head,
    modify_page_track_obj_in,
    page_track,
    page_track_range,
    query_page_track_obj_out, //
};
use core::ops::RangeInclusive;
use kernel::prelude::*;

/// The type of the object, which commands have in place of a modifier.
pub(crate) const PAGE_TRACK: u16 = 0x46;

/// `track_type`: writes by DMA.
const WRITES: u32 = 1;

/// `modify_field_select`: the range, and the state.
const SELECT_RANGE: u64 = 1 << 0;
const SELECT_STATE: u64 = 1 << 1;

/// The state of a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrackerState {
    /// It has nothing to say.
    Tracking,
    /// It sends messages.
    Reporting,
    /// It has failed.
    Error,
}

impl TrackerState {
    /// From the field, or the immediate of a message; `None` if there is no such state.
    pub(crate) fn new(state: u64) -> Option<Self> {
        match state {
            0 => Some(Self::Tracking),
            1 => Some(Self::Reporting),
            2 => Some(Self::Error),
            _ => None,
        }
    }

    fn value(self) -> u32 {
        match self {
            Self::Tracking => 0,
            Self::Reporting => 1,
            Self::Error => 2,
        }
    }
}

fn length(range: &RangeInclusive<u64>) -> Result<u64, Failure> {
    range
        .end()
        .checked_sub(*range.start())
        .and_then(|more| more.checked_add(1))
        .ok_or(Failure::Transport(EOVERFLOW))
}

/// Has the firmware track what the function writes.
pub(crate) struct CreateTracker<'a> {
    /// The size of pages, as a power of two.
    pub(crate) log_page: u32,
    /// The size of messages, as a power of two.
    pub(crate) log_message: u32,
    /// The sum of all ranges, rounded up to a power of two.
    pub(crate) log_space: u32,
    /// The queue pair that it sends messages by.
    pub(crate) qpn: u32,
    pub(crate) ranges: &'a [RangeInclusive<u64>],
}

impl Encoded for CreateTracker<'_> {
    type Input = KVVec<u8>;
    type Reply = reply_head::Bytes;
    type Output = u32;

    const OPCODE: Opcode = Opcode::CreateGeneralObject;

    fn op_mod(&self) -> u16 {
        PAGE_TRACK
    }

    fn input(&self, vhca_id: u16) -> Result<KVVec<u8>, Failure> {
        const BASE: usize = create_page_track_obj_in::obj_context.first();
        let size = self.ranges.len() * page_track_range::SIZE;
        let size = create_page_track_obj_in::SIZE + size;
        let mut input = KVVec::from_elem(0, size, GFP_KERNEL_ACCOUNT)?;
        let bytes = &mut input[..];
        page_track::vhca_id.at(BASE).put(bytes, vhca_id)?;
        page_track::track_type.at(BASE).put(bytes, WRITES)?;
        page_track::log_addr_space_size
            .at(BASE)
            .put(bytes, self.log_space)?;
        page_track::log_page_size
            .at(BASE)
            .put(bytes, self.log_page)?;
        page_track::log_msg_size
            .at(BASE)
            .put(bytes, self.log_message)?;
        page_track::reporting_qpn.at(BASE).put(bytes, self.qpn)?;
        let count = u32::try_from(self.ranges.len()).map_err(Error::from)?;
        page_track::num_ranges.at(BASE).put(bytes, count)?;
        let array = bytes.chunks_exact_mut(page_track_range::SIZE);
        let array = array.skip(create_page_track_obj_in::SIZE / page_track_range::SIZE);
        for (entry, range) in array.zip(self.ranges) {
            page_track_range::start_address.put(entry, *range.start())?;
            page_track_range::length.put(entry, length(range)?)?;
        }
        Ok(input)
    }

    fn output(&self, reply: Self::Reply) -> Result<u32, Failure> {
        // CAST: The field has 32 bits.
        Ok(reply_head::obj_id.get(&reply.0) as u32)
    }
}

// The ranges follow the object at a multiple of their size.
const _: () = assert!(create_page_track_obj_in::SIZE % page_track_range::SIZE == 0);

/// Has a tracker report what was written in a range; that is clean then.
pub(crate) struct Report<'a> {
    pub(crate) id: u32,
    pub(crate) range: &'a RangeInclusive<u64>,
}

impl Encoded for Report<'_> {
    type Input = modify_page_track_obj_in::Bytes;
    type Reply = reply_head::Bytes;
    type Output = ();

    const OPCODE: Opcode = Opcode::ModifyGeneralObject;

    fn op_mod(&self) -> u16 {
        PAGE_TRACK
    }

    fn input(&self, _vhca_id: u16) -> Result<Self::Input, Failure> {
        const BASE: usize = modify_page_track_obj_in::obj_context.first();
        let mut input = Self::Input::ZERO;
        let bytes = &mut input.0;
        head::obj_id.put(bytes, self.id)?;
        page_track::modify_field_select
            .at(BASE)
            .put(bytes, SELECT_RANGE | SELECT_STATE)?;
        page_track::range_start_address
            .at(BASE)
            .put(bytes, *self.range.start())?;
        page_track::length
            .at(BASE)
            .put(bytes, length(self.range)?)?;
        page_track::state
            .at(BASE)
            .put(bytes, TrackerState::Reporting.value())?;
        Ok(input)
    }

    fn output(&self, _reply: Self::Reply) -> Result<(), Failure> {
        Ok(())
    }
}

/// Asks for the state of a tracker.
pub(crate) struct QueryTracker {
    pub(crate) id: u32,
}

impl Encoded for QueryTracker {
    type Input = head::Bytes;
    type Reply = query_page_track_obj_out::Bytes;
    type Output = TrackerState;

    const OPCODE: Opcode = Opcode::QueryGeneralObject;

    fn op_mod(&self) -> u16 {
        PAGE_TRACK
    }

    fn input(&self, _vhca_id: u16) -> Result<Self::Input, Failure> {
        object(self.id)
    }

    fn output(&self, reply: Self::Reply) -> Result<TrackerState, Failure> {
        const BASE: usize = query_page_track_obj_out::obj_context.first();
        TrackerState::new(page_track::state.at(BASE).get(&reply.0))
            .ok_or(Failure::Answer("a page tracker in no state"))
    }
}

/// Ends a tracker.
pub(crate) struct DestroyTracker {
    pub(crate) id: u32,
}

impl Encoded for DestroyTracker {
    type Input = head::Bytes;
    type Reply = reply_head::Bytes;
    type Output = ();

    const OPCODE: Opcode = Opcode::DestroyGeneralObject;

    fn op_mod(&self) -> u16 {
        PAGE_TRACK
    }

    fn input(&self, _vhca_id: u16) -> Result<Self::Input, Failure> {
        object(self.id)
    }

    fn output(&self, _reply: Self::Reply) -> Result<(), Failure> {
        Ok(())
    }
}

/// Names a tracker, and no more.
fn object(id: u32) -> Result<head::Bytes, Failure> {
    let mut bytes = head::Bytes::ZERO;
    head::obj_id.put(&mut bytes.0, id)?;
    Ok(bytes)
}
