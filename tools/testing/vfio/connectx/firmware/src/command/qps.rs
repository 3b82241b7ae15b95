// SPDX-License-Identifier: GPL-2.0

//! Queue pairs: RC, with a receive queue, a send queue, both or none.

use super::{Call, Flow};
use crate::layout::command::{
    create_qp_in, create_qp_out, destroy_qp_in, init2rtr_qp_in, query_qp_in, query_qp_out,
};
use crate::layout::context::qpc;
use crate::layout::Slot;
use crate::memory::Pages;
use crate::nic::Nic;
use crate::object::{Objects, Qp, QpState, Rq, Sq, WQEBB};
use crate::status::{refuse, require, Result, Status};

/// `st` of a reliable connection.
const RC: u32 = 0;
/// `rq_type` of a QP that receives nothing.
const ZERO_SIZE_RQ: u32 = 3;
/// Bit of `opt_param_mask`: `rwe` has a value.
const OPTPAR_RWE: u32 = 1 << 3;

/// The CQ that a queue names.
fn cq(objects: &Objects, cqn: u32) -> Result<u32> {
    match objects.cqs.get(cqn) {
        Some(_) => Ok(cqn),
        None => refuse(Status::BadRes, "no such completion queue"),
    }
}

fn receive_queue(objects: &Objects, context: &[u8]) -> Result<Option<Rq>> {
    match qpc::rq_type.get(context) {
        ZERO_SIZE_RQ => Ok(None),
        0 => Ok(Some(Rq {
            log_size: qpc::log_rq_size.get(context),
            log_stride: qpc::log_rq_stride.get(context),
            head: 0,
            cqn: cq(objects, qpc::cqn_rcv.get(context))?,
        })),
        _ => refuse(Status::BadParam, "the model has no such receive queues"),
    }
}

fn send_queue(objects: &Objects, context: &[u8]) -> Result<Option<Sq>> {
    if qpc::no_sq.get(context) == 1 {
        return Ok(None);
    }
    let uar = qpc::uar_page.get(context);
    require(
        objects.uars.get(uar).is_some(),
        Status::BadRes,
        "no such page of doorbells",
    )?;
    Ok(Some(Sq {
        log_size: qpc::log_sq_size.get(context),
        cqn: cq(objects, qpc::cqn_snd.get(context))?,
        uar,
        ..Sq::default()
    }))
}

pub(super) fn create_qp(nic: &mut Nic, call: &Call<'_>, output: &mut [u8]) -> Result<Flow> {
    let context = create_qp_in::qpc.of(call.input);
    let objects = &mut nic.functions[call.f].objects;
    let pd = qpc::pd.get(context);
    require(
        qpc::st.get(context) == RC,
        Status::BadParam,
        "the model has reliable connections only",
    )?;
    require(
        objects.pds.get(pd).is_some(),
        Status::BadRes,
        "no such protection domain",
    )?;
    let mut qp = Qp {
        pd,
        doorbell: qpc::dbr_addr.get(context),
        rq: receive_queue(objects, context)?,
        sq: send_queue(objects, context)?,
        ..Qp::default()
    };
    // Of a QP without queues, as the driver makes one for a page tracker, this is left over.
    if qp.bytes() != 0 {
        require(
            qpc::page_offset.get(context) == 0 && qpc::log_page_size.get(context) == 0,
            Status::BadParam,
            "the model has queues of whole pages of 4 KiB only",
        )?;
        let unit = WQEBB as u64;
        require(
            qp.sq.is_none() || qp.rq.as_ref().is_none_or(|rq| rq.bytes() % unit == 0),
            Status::BadParam,
            "the send queue begins in the middle of an entry",
        )?;
        qp.pages = Pages::parse(create_qp_in::pas.of(call.input), qp.bytes())?;
    }
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
    let optional = init2rtr_qp_in::opt_param_mask.get(call.input);
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
    match to {
        Init => qp.remote_write = qpc::rwe.get(context) == 1,
        ReadyToReceive => qp.remote = qpc::remote_qpn.get(context),
        ReadyToSend => qp.rnr_retry = qpc::rnr_retry.get(context),
        Reset => {
            if let Some(rq) = &mut qp.rq {
                rq.head = 0;
            }
            if let Some(sq) = &mut qp.sq {
                (sq.head, sq.progress, sq.tries, sq.rung) = (0, 0, 0, false);
            }
        }
        Error => {
            nic.fail_qp(call.f, qpn);
            return Ok(Flow::Done);
        }
    }
    if matches!(to, ReadyToReceive | ReadyToSend) && optional & OPTPAR_RWE != 0 {
        qp.remote_write = qpc::rwe.get(context) == 1;
    }
    qp.state = to;
    Ok(Flow::Done)
}

pub(super) fn query_qp(nic: &mut Nic, call: &Call<'_>, output: &mut [u8]) -> Result<Flow> {
    let qpn = query_qp_in::qpn.get(call.input);
    let qp = nic.functions[call.f].objects.qps.find(qpn)?;
    let context = query_qp_out::qpc.of_mut(output);
    let state = match qp.state {
        QpState::Reset => 0,
        QpState::Init => 1,
        QpState::ReadyToReceive => 2,
        QpState::ReadyToSend => 3,
        QpState::Error => 6,
    };
    qpc::state.put(context, state);
    qpc::st.put(context, RC);
    qpc::pd.put(context, qp.pd);
    qpc::remote_qpn.put(context, qp.remote);
    qpc::rnr_retry.put(context, qp.rnr_retry);
    qpc::rwe.put(context, u32::from(qp.remote_write));
    qpc::dbr_addr.put(context, qp.doorbell);
    match &qp.rq {
        Some(rq) => {
            qpc::log_rq_size.put(context, rq.log_size);
            qpc::log_rq_stride.put(context, rq.log_stride);
            qpc::cqn_rcv.put(context, rq.cqn);
            qpc::hw_rq_counter.put(context, rq.head);
        }
        None => qpc::rq_type.put(context, ZERO_SIZE_RQ),
    }
    match &qp.sq {
        Some(sq) => {
            qpc::log_sq_size.put(context, sq.log_size);
            qpc::uar_page.put(context, sq.uar);
            qpc::cqn_snd.put(context, sq.cqn);
            qpc::hw_sq_wqebb_counter.put(context, sq.head);
        }
        None => qpc::no_sq.put(context, 1),
    }
    Ok(Flow::Done)
}
