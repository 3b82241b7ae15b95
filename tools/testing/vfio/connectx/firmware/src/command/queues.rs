// SPDX-License-Identifier: GPL-2.0

//! Event queues, completion queues, queue pairs.

use super::{Call, Flow};
use crate::layout::command::{
    create_cq_in, create_cq_out, create_eq_in, create_eq_out, create_qp_in, create_qp_out,
    destroy_cq_in, destroy_eq_in, destroy_qp_in, init2rtr_qp_in,
};
use crate::layout::context::{cqc, eqc, qpc};
use crate::layout::wire::event;
use crate::layout::Slot;
use crate::memory::{Pages, PAGE};
use crate::nic::Nic;
use crate::object::{Cq, Eq, Qp, QpState, Rq, MAX_LOG_QUEUE};
use crate::status::{refuse, require, Result, Status};

/// `rq_type` of a QP that receives nothing.
const ZERO_SIZE_RQ: u32 = 3;
/// Bytes of an entry of an event or completion queue.
const ENTRY: u64 = 64;
/// Bytes of the smallest entry of a receive queue.
const RQ_ENTRY: u64 = 16;

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
    let mut rqs = objects.qps.iter().filter_map(|(_, qp)| qp.rq.as_ref());
    require(
        !rqs.any(|rq| rq.cqn == number),
        Status::ResBusy,
        "the completion queue is in use",
    )?;
    objects.cqs.remove(number)?;
    Ok(Flow::Done)
}

pub(super) fn create_qp(nic: &mut Nic, call: &Call<'_>, output: &mut [u8]) -> Result<Flow> {
    let context = create_qp_in::qpc.of(call.input);
    let objects = &mut nic.functions[call.f].objects;
    let pd = qpc::pd.get(context);
    require(
        qpc::no_sq.get(context) == 1,
        Status::BadParam,
        "the model has no send queues",
    )?;
    require(
        objects.pds.get(pd).is_some(),
        Status::BadRes,
        "no such protection domain",
    )?;
    let rq = match qpc::rq_type.get(context) {
        ZERO_SIZE_RQ => None,
        0 => {
            let cqn = qpc::cqn_rcv.get(context);
            let (log_size, log_stride) = (
                qpc::log_rq_size.get(context),
                qpc::log_rq_stride.get(context),
            );
            require(
                objects.cqs.get(cqn).is_some(),
                Status::BadRes,
                "no such completion queue",
            )?;
            Some(Rq {
                log_size,
                log_stride,
                head: 0,
                doorbell: qpc::dbr_addr.get(context),
                cqn,
                pages: queue_pages(
                    create_qp_in::pas.of(call.input),
                    log_size,
                    RQ_ENTRY << log_stride,
                    qpc::page_offset.get(context),
                    qpc::log_page_size.get(context),
                )?,
            })
        }
        _ => return refuse(Status::BadParam, "the model has no such receive queues"),
    };
    let qp = Qp {
        pd,
        rq,
        ..Qp::default()
    };
    create_qp_out::qpn.put(output, objects.qps.add(qp)?);
    Ok(Flow::Done)
}

pub(super) fn destroy_qp(nic: &mut Nic, call: &Call<'_>, _: &mut [u8]) -> Result<Flow> {
    let number = destroy_qp_in::qpn.get(call.input);
    let objects = &mut nic.functions[call.f].objects;
    require(
        !objects
            .trackers
            .iter()
            .any(|(_, tracker)| tracker.qpn == number),
        Status::ResBusy,
        "a page tracker reports by this queue pair",
    )?;
    objects.qps.remove(number)?;
    Ok(Flow::Done)
}

pub(super) fn modify_qp(nic: &mut Nic, call: &Call<'_>, _: &mut [u8]) -> Result<Flow> {
    use QpState::{Error, Init, ReadyToReceive, ReadyToSend, Reset};

    let context = init2rtr_qp_in::qpc.of(call.input);
    let qpn = init2rtr_qp_in::qpn.get(call.input);
    let qp = nic.functions[call.f].objects.qps.find(qpn)?;
    let (from, to) = match call.opcode {
        0x502 => (Some(Reset), Init),
        0x503 => (Some(Init), ReadyToReceive),
        0x504 => (Some(ReadyToReceive), ReadyToSend),
        0x507 => (None, Error),
        _ => (None, Reset),
    };
    require(
        from.is_none_or(|from| from == qp.state),
        Status::BadQpState,
        "the queue pair is in another state",
    )?;
    qp.state = to;
    if to == ReadyToReceive {
        qp.remote = qpc::remote_qpn.get(context);
    }
    if let (Reset, Some(rq)) = (to, &mut qp.rq) {
        rq.head = 0;
    }
    Ok(Flow::Done)
}

const _: () = assert!(PAGE as u64 % ENTRY == 0);
