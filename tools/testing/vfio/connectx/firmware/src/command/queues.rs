// SPDX-License-Identifier: GPL-2.0

//! Event queues and completion queues.

use super::{Call, Flow};
use crate::layout::command::{
    create_cq_in, create_cq_out, create_eq_in, create_eq_out, destroy_cq_in, destroy_eq_in,
};
use crate::layout::context::{cqc, eqc};
use crate::layout::wire::event;
use crate::layout::Slot;
use crate::memory::{Pages, PAGE};
use crate::nic::Nic;
use crate::object::{Cq, Eq, MAX_LOG_QUEUE};
use crate::status::{require, Result, Status};

/// Bytes of an entry of an event or completion queue.
const ENTRY: u64 = 64;

/// The pages of a queue of `entries` of `size` bytes.
fn queue_pages(
    array: &[u8],
    log_entries: u32,
    size: u64,
    offset: u32,
    log_page: u32,
) -> Result<Pages> {
    require(
        log_entries <= MAX_LOG_QUEUE,
        Status::ExceedLim,
        "a larger queue than the model has",
    )?;
    require(
        offset == 0 && log_page == 0,
        Status::BadParam,
        "the model has queues of whole pages of 4 KiB only",
    )?;
    Pages::parse(array, size << log_entries)
}

pub(super) fn create_eq(nic: &mut Nic, call: &Call<'_>, output: &mut [u8]) -> Result<Flow> {
    let context = create_eq_in::eq_context_entry.of(call.input);
    let objects = &mut nic.functions[call.f].objects;
    let log_size = eqc::log_eq_size.get(context);
    let events = create_eq_in::event_bitmask.get(call.input);
    require(
        objects.uars.get(eqc::uar_page.get(context)).is_some(),
        Status::BadRes,
        "no such page of doorbells",
    )?;
    let commands = events >> event::CMD & 1 == 1;
    require(
        !commands || objects.command_eq.is_none(),
        Status::BadResState,
        "there is an event queue for commands already",
    )?;
    let eq = Eq {
        log_size,
        vector: eqc::intr.get(context),
        events,
        pages: queue_pages(
            create_eq_in::pas.of(call.input),
            log_size,
            ENTRY,
            eqc::page_offset.get(context),
            eqc::log_page_size.get(context),
        )?,
        ..Eq::default()
    };
    let number = objects.eqs.add(eq)?;
    if commands {
        objects.command_eq = Some(number);
    }
    create_eq_out::eq_number.put(output, number);
    Ok(Flow::Done)
}

pub(super) fn destroy_eq(nic: &mut Nic, call: &Call<'_>, _: &mut [u8]) -> Result<Flow> {
    let number = destroy_eq_in::eq_number.get(call.input);
    let objects = &mut nic.functions[call.f].objects;
    require(
        !objects.cqs.iter().any(|(_, cq)| cq.eqn == number),
        Status::ResBusy,
        "the event queue is in use",
    )?;
    objects.eqs.remove(number)?;
    if objects.command_eq == Some(number) {
        objects.command_eq = None;
    }
    Ok(Flow::Done)
}

pub(super) fn create_cq(nic: &mut Nic, call: &Call<'_>, output: &mut [u8]) -> Result<Flow> {
    let context = create_cq_in::cq_context.of(call.input);
    let objects = &mut nic.functions[call.f].objects;
    let (log_size, eqn) = (
        cqc::log_cq_size.get(context),
        cqc::c_eqn_or_apu_element.get(context),
    );
    require(
        cqc::cqe_sz.get(context) == 0,
        Status::BadParam,
        "the model has completions of 64 bytes only",
    )?;
    require(
        objects.uars.get(cqc::uar_page.get(context)).is_some(),
        Status::BadRes,
        "no such page of doorbells",
    )?;
    require(
        objects.eqs.get(eqn).is_some(),
        Status::BadRes,
        "no such event queue",
    )?;
    let cq = Cq {
        log_size,
        eqn,
        doorbell: cqc::dbr_addr.get(context),
        pages: queue_pages(
            create_cq_in::pas.of(call.input),
            log_size,
            ENTRY,
            cqc::page_offset.get(context),
            cqc::log_page_size.get(context),
        )?,
        ..Cq::default()
    };
    create_cq_out::cqn.put(output, objects.cqs.add(cq)?);
    Ok(Flow::Done)
}

pub(super) fn destroy_cq(nic: &mut Nic, call: &Call<'_>, _: &mut [u8]) -> Result<Flow> {
    let number = destroy_cq_in::cqn.get(call.input);
    let objects = &mut nic.functions[call.f].objects;
    let mut users = objects.qps.iter().flat_map(|(_, qp)| qp.cqns());
    require(
        !users.any(|cqn| cqn == number),
        Status::ResBusy,
        "the completion queue is in use",
    )?;
    objects.cqs.remove(number)?;
    Ok(Flow::Done)
}

const _: () = assert!(PAGE as u64 % ENTRY == 0);
