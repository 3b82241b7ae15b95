// SPDX-License-Identifier: GPL-2.0

//! Commands for a function as a whole: enabling, capabilities.

use super::{Call, Flow};
use crate::function::Phase;
use crate::layout::capability::{cmd_hca_cap, cmd_hca_cap_2, device_event_cap, kind, LENGTH};
use crate::layout::command::{
    access_register_in, enable_hca_in, query_adapter_out, query_adapter_param_block,
    query_hca_cap_in, query_issi_out, set_issi_in, CAPABILITY,
};
use crate::layout::wire::event;
use crate::layout::Slot;
use crate::nic::Nic;
use crate::object::{Objects, MAX_EQS, MAX_LOG_QUEUE, MAX_OBJECTS};
use crate::registers::{FREQUENCY_KHZ, LOG_BF_REG_SIZE};
use crate::status::{refuse, require, Result, Status};
use crate::tracker;
use crate::work::LOG_MAX_MESSAGE;

/// The only register of the port that the driver needs: the PF says what byte order it has.
const HOST_ENDIANNESS: u32 = 0x7004;
/// Steps of the interface: the driver takes the first.
const SUPPORTED_ISSI: u32 = 1 << 1;
/// The port is one of Ethernet; with InfiniBand enabling a VF takes more commands.
const ETHERNET: u32 = 1;
/// Entries of a queue of a QP, as a power of two: the field has 4 bits.
const LOG_MAX_QP: u32 = 15;
/// Bytes of the largest entry of a send queue: `ds` has 6 bits.
const MAX_WQE_SQ: u32 = 63 * 16;
/// And of a receive queue: the field for the stride has 3 bits.
const MAX_WQE_RQ: u32 = 16 << 7;
const VENDOR: u32 = 0x02c9;
const BOARD: &[u8; 16] = b"VFIO_MODEL_00001";

pub(super) fn enable_hca(nic: &mut Nic, call: &Call<'_>, _: &mut [u8]) -> Result<Flow> {
    let number = enable_hca_in::function_id.get(call.input) as usize;
    if number == 0 {
        let function = &mut nic.functions[call.f];
        require(
            function.granted,
            Status::BadSysState,
            "the physical function has not enabled this one",
        )?;
        function.phase = function.phase.max(Phase::Enabled);
        return Ok(Flow::Done);
    }
    let vf = other(nic, call.f, number)?;
    nic.functions[vf].granted = true;
    let pages = nic.config.vf_pages;
    nic.request_pages(vf, i64::from(pages));
    Ok(Flow::Done)
}

pub(super) fn disable_hca(nic: &mut Nic, call: &Call<'_>, _: &mut [u8]) -> Result<Flow> {
    let number = enable_hca_in::function_id.get(call.input) as usize;
    if number == 0 {
        let function = &mut nic.functions[call.f];
        function.phase = Phase::Disabled;
        function.objects = Objects::default();
        return Ok(Flow::Done);
    }
    let vf = other(nic, call.f, number)?;
    nic.functions[vf].granted = false;
    let pages = nic.functions[vf].firmware_pages.len();
    nic.request_pages(vf, -(pages as i64));
    Ok(Flow::Done)
}

/// The function that the PF means by `number`.
pub(super) fn other(nic: &Nic, f: usize, number: usize) -> Result<usize> {
    if f != 0 && f != number {
        return refuse(
            Status::BadParam,
            "only the physical function may name others",
        );
    }
    require(
        number < nic.functions.len(),
        Status::BadParam,
        "there is no such function",
    )?;
    Ok(number)
}

pub(super) fn query_issi(_: &mut Nic, _: &Call<'_>, output: &mut [u8]) -> Result<Flow> {
    query_issi_out::supported_issi_dw0.put(output, SUPPORTED_ISSI);
    Ok(Flow::Done)
}

pub(super) fn set_issi(_: &mut Nic, call: &Call<'_>, _: &mut [u8]) -> Result<Flow> {
    let step = set_issi_in::current_issi.get(call.input);
    require(
        step < 32 && SUPPORTED_ISSI >> step & 1 == 1,
        Status::BadParam,
        "no such step of the interface",
    )?;
    Ok(Flow::Done)
}

pub(super) fn access_register(_: &mut Nic, call: &Call<'_>, _: &mut [u8]) -> Result<Flow> {
    let register = access_register_in::register_id.get(call.input);
    require(
        register == HOST_ENDIANNESS && call.f == 0,
        Status::BadParam,
        "there is no such register",
    )?;
    Ok(Flow::Done)
}

pub(super) fn init_hca(nic: &mut Nic, call: &Call<'_>, _: &mut [u8]) -> Result<Flow> {
    let wanted = match call.f {
        0 => nic.config.boot_pages + nic.config.init_pages,
        _ => 0,
    };
    let function = &mut nic.functions[call.f];
    require(
        function.firmware_pages.len() >= wanted as usize,
        Status::BadSysState,
        "the firmware lacks pages",
    )?;
    require(
        function.phase == Phase::Enabled,
        Status::BadSysState,
        "the function is initialised already",
    )?;
    function.phase = Phase::Initialised;
    Ok(Flow::Done)
}

pub(super) fn teardown_hca(nic: &mut Nic, call: &Call<'_>, _: &mut [u8]) -> Result<Flow> {
    let function = &mut nic.functions[call.f];
    function.phase = Phase::Enabled;
    // What the driver set before it initialised the function stays.
    let capabilities = function.objects.capabilities.take();
    function.objects = Objects {
        capabilities,
        ..Objects::default()
    };
    Ok(Flow::Done)
}

pub(super) fn query_adapter(_: &mut Nic, _: &Call<'_>, output: &mut [u8]) -> Result<Flow> {
    let adapter = query_adapter_out::query_adapter_struct.of_mut(output);
    query_adapter_param_block::ieee_vendor_id.put(adapter, VENDOR);
    let psid = query_adapter_param_block::vsd_contd_psid.of_mut(adapter);
    psid[..BOARD.len()].copy_from_slice(BOARD);
    Ok(Flow::Done)
}

pub(super) fn query_hca_cap(nic: &mut Nic, call: &Call<'_>, output: &mut [u8]) -> Result<Flow> {
    let of = match query_hca_cap_in::other_function.get(call.input) {
        0 => call.f,
        _ => other(
            nic,
            call.f,
            query_hca_cap_in::function_id.get(call.input) as usize,
        )?,
    };
    let (kind, current) = (call.op_mod >> 1, call.op_mod & 1 == 1);
    let mut data = [0; LENGTH];
    match kind {
        kind::GENERAL => {
            let set = nic.functions[of].objects.capabilities.as_deref();
            match set.filter(|_| current) {
                Some(set) => data[..set.len()].copy_from_slice(set),
                None => general(nic, of, &mut data),
            }
            // A function knows itself, whatever was set or loaded.
            cmd_hca_cap::vhca_id.put(&mut data, nic.functions[of].vhca_id());
        }
        kind::GENERAL_2 => general_2(nic, of, &mut data),
        kind::DEVICE_EVENT => {
            let events = 1 << event::OBJECT_CHANGE;
            device_event_cap::user_affiliated_events.put(&mut data, events);
        }
        kind::ADV_VIRTUALIZATION if nic.config.tracker && of == 0 => {
            tracker::capabilities(&nic.config, &mut data);
        }
        _ => return refuse(Status::BadParam, "there is no such kind of capabilities"),
    }
    let room = CAPABILITY.of_mut(output);
    let length = room.len().min(data.len());
    room[..length].copy_from_slice(&data[..length]);
    Ok(Flow::Done)
}

fn general(nic: &Nic, f: usize, data: &mut [u8]) {
    let log_objects = MAX_OBJECTS.ilog2();
    cmd_hca_cap::page_request_disable.put(data, u32::from(nic.config.vf_pages == 0));
    cmd_hca_cap::hca_cap_2.put(data, 1);
    cmd_hca_cap::event_cap.put(data, 1);
    cmd_hca_cap::log_max_qp.put(data, log_objects);
    cmd_hca_cap::log_max_cq.put(data, log_objects);
    cmd_hca_cap::log_max_mkey.put(data, log_objects);
    cmd_hca_cap::log_max_pd.put(data, log_objects);
    cmd_hca_cap::log_max_eq.put(data, MAX_EQS.ilog2());
    cmd_hca_cap::max_num_eqs.put(data, MAX_EQS);
    cmd_hca_cap::log_max_msg.put(data, LOG_MAX_MESSAGE);
    cmd_hca_cap::log_max_qp_sz.put(data, LOG_MAX_QP);
    cmd_hca_cap::log_max_cq_sz.put(data, MAX_LOG_QUEUE);
    cmd_hca_cap::max_wqe_sz_sq.put(data, MAX_WQE_SQ);
    cmd_hca_cap::max_wqe_sz_rq.put(data, MAX_WQE_RQ);
    cmd_hca_cap::num_ports.put(data, 1);
    cmd_hca_cap::port_type.put(data, ETHERNET);
    cmd_hca_cap::rc.put(data, 1);
    cmd_hca_cap::log_pg_sz.put(data, 12);
    cmd_hca_cap::bf.put(data, 1);
    cmd_hca_cap::log_bf_reg_size.put(data, LOG_BF_REG_SIZE);
    cmd_hca_cap::device_frequency_khz.put(data, FREQUENCY_KHZ);
    cmd_hca_cap::migration.put(data, u32::from(f == 0));
    cmd_hca_cap::adv_virtualization.put(data, u32::from(f == 0 && nic.config.tracker));
}

fn general_2(nic: &Nic, f: usize, data: &mut [u8]) {
    cmd_hca_cap_2::migratable.put(data, u32::from(f != 0));
    cmd_hca_cap_2::migration_multi_load.put(data, 1);
    cmd_hca_cap_2::migration_tracking_state.put(data, 1);
    cmd_hca_cap_2::migration_in_chunks.put(data, u32::from(nic.config.chunk));
    cmd_hca_cap_2::migration_state.put(data, u32::from(nic.config.migration_state));
}

pub(super) fn set_hca_cap(nic: &mut Nic, call: &Call<'_>, _: &mut [u8]) -> Result<Flow> {
    require(
        nic.functions[call.f].phase == Phase::Enabled,
        Status::BadSysState,
        "capabilities are set before the function is initialised",
    )?;
    require(
        call.op_mod >> 1 == kind::GENERAL,
        Status::BadParam,
        "these capabilities cannot be set",
    )?;
    let data = CAPABILITY.of(call.input);
    nic.functions[call.f].objects.capabilities = Some(data[..data.len().min(LENGTH)].to_vec());
    Ok(Flow::Done)
}
