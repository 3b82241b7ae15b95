// SPDX-License-Identifier: GPL-2.0

//! General objects; the only kind is the page tracker.

use super::{Call, Flow};
use crate::config::Action;
use crate::layout::command::{
    create_page_track_obj_in, general_obj_in_cmd_hdr, general_obj_out_cmd_hdr,
    query_page_track_obj_out,
};
use crate::layout::object::PAGE_TRACK;
use crate::layout::Slot;
use crate::nic::Nic;
use crate::status::{require, Result, Status};

/// Refuses other kinds, and all if the device has no tracker.
fn check(nic: &Nic, call: &Call<'_>) -> Result<u32> {
    let kind = general_obj_in_cmd_hdr::obj_type.get(call.input);
    require(
        kind == PAGE_TRACK && nic.config.tracker,
        Status::BadParam,
        "there is no such kind of object",
    )?;
    Ok(general_obj_in_cmd_hdr::obj_id.get(call.input))
}

pub(super) fn create(nic: &mut Nic, call: &Call<'_>, output: &mut [u8]) -> Result<Flow> {
    check(nic, call)?;
    let id = nic.create_tracker(create_page_track_obj_in::obj_context.of(call.input))?;
    general_obj_out_cmd_hdr::obj_id.put(output, id);
    Ok(Flow::Done)
}

pub(super) fn modify(nic: &mut Nic, call: &Call<'_>, _: &mut [u8]) -> Result<Flow> {
    let id = check(nic, call)?;
    let context = create_page_track_obj_in::obj_context.of(call.input);
    nic.modify_tracker(id, context)?;
    match call.fault {
        Some(Action::Tracker(error)) => nic.fail_tracker(id, error),
        _ => nic.report(),
    }
    Ok(Flow::Done)
}

pub(super) fn query(nic: &mut Nic, call: &Call<'_>, output: &mut [u8]) -> Result<Flow> {
    let id = check(nic, call)?;
    let context = query_page_track_obj_out::obj_context.of_mut(output);
    nic.functions[0].objects.trackers.find(id)?.query(context);
    general_obj_out_cmd_hdr::obj_id.put(output, id);
    Ok(Flow::Done)
}

pub(super) fn destroy(nic: &mut Nic, call: &Call<'_>, _: &mut [u8]) -> Result<Flow> {
    let id = check(nic, call)?;
    nic.functions[0].objects.trackers.remove(id)?;
    Ok(Flow::Done)
}
