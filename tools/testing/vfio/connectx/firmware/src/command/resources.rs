// SPDX-License-Identifier: GPL-2.0

//! Domains, pages of doorbells, memory keys.

use super::{Call, Flow};
use crate::layout::command::{
    alloc_pd_out, alloc_uar_out, create_mkey_in, create_mkey_out, dealloc_pd_in, dealloc_uar_in,
    destroy_mkey_in,
};
use crate::layout::context::mkc;
use crate::layout::Slot;
use crate::memory::Pages;
use crate::nic::Nic;
use crate::object::{Mkey, MAX_PAGES};
use crate::status::{require, Result, Status};
use std::ops::RangeInclusive;

/// `access_mode_1_0` of a key with a table of translations.
const MTT: u32 = 1;
/// The sizes of its pages, as powers of two.
const LOG_PAGE: RangeInclusive<u32> = 12..=31;

pub(super) fn alloc_pd(nic: &mut Nic, call: &Call<'_>, output: &mut [u8]) -> Result<Flow> {
    let pd = nic.functions[call.f].objects.pds.add(())?;
    alloc_pd_out::pd.put(output, pd);
    Ok(Flow::Done)
}

pub(super) fn dealloc_pd(nic: &mut Nic, call: &Call<'_>, _: &mut [u8]) -> Result<Flow> {
    let pd = dealloc_pd_in::pd.get(call.input);
    let objects = &mut nic.functions[call.f].objects;
    let used = objects.mkeys.iter().any(|(_, mkey)| mkey.pd == pd)
        || objects.qps.iter().any(|(_, qp)| qp.pd == pd);
    require(!used, Status::ResBusy, "the protection domain is in use")?;
    objects.pds.remove(pd)?;
    Ok(Flow::Done)
}

pub(super) fn alloc_uar(nic: &mut Nic, call: &Call<'_>, output: &mut [u8]) -> Result<Flow> {
    let uar = nic.functions[call.f].objects.uars.add(())?;
    alloc_uar_out::uar.put(output, uar);
    Ok(Flow::Done)
}

pub(super) fn dealloc_uar(nic: &mut Nic, call: &Call<'_>, _: &mut [u8]) -> Result<Flow> {
    let uar = dealloc_uar_in::uar.get(call.input);
    let objects = &mut nic.functions[call.f].objects;
    let mut sqs = objects.qps.iter().filter_map(|(_, qp)| qp.sq.as_ref());
    require(
        !sqs.any(|sq| sq.uar == uar),
        Status::ResBusy,
        "the page of doorbells is in use",
    )?;
    objects.uars.remove(uar)?;
    Ok(Flow::Done)
}

pub(super) fn create_mkey(nic: &mut Nic, call: &Call<'_>, output: &mut [u8]) -> Result<Flow> {
    let context = create_mkey_in::memory_key_mkey_entry.of(call.input);
    let objects = &mut nic.functions[call.f].objects;
    require(
        mkc::access_mode_1_0.get(context) == MTT,
        Status::BadParam,
        "the model has memory keys with translations only",
    )?;
    let log_page = mkc::log_page_size.get(context);
    require(
        LOG_PAGE.contains(&log_page),
        Status::BadParam,
        "the model has pages of 4 KiB to 2 GiB only",
    )?;
    let pd = mkc::pd.get(context);
    require(
        objects.pds.get(pd).is_some(),
        Status::BadRes,
        "no such protection domain",
    )?;
    let (start, length) = (mkc::start_addr.get(context), mkc::len.get(context));
    require(
        length != 0 && start.checked_add(length).is_some(),
        Status::BadParam,
        "no such range of memory",
    )?;
    require(
        start % 4096 == 0,
        Status::BadParam,
        "the model has memory keys that begin with a page only",
    )?;
    let mkey = Mkey {
        variant: mkc::mkey_7_0.get(context) as u8,
        pd,
        qpn: mkc::qpn.get(context),
        readable: mkc::lr.get(context) == 1,
        writable: mkc::lw.get(context) == 1,
        remote_writable: mkc::rw.get(context) == 1,
        start,
        length,
        pages: Pages::parse_blocks(create_mkey_in::klm_pas_mtt.of(call.input), length, log_page)?,
    };
    require(
        objects.pages() + mkey.pages.0.len() <= MAX_PAGES,
        Status::ExceedLim,
        "more memory than the model maps",
    )?;
    create_mkey_out::mkey_index.put(output, objects.mkeys.add(mkey)?);
    Ok(Flow::Done)
}

pub(super) fn destroy_mkey(nic: &mut Nic, call: &Call<'_>, _: &mut [u8]) -> Result<Flow> {
    let index = destroy_mkey_in::mkey_index.get(call.input);
    nic.functions[call.f].objects.mkeys.remove(index)?;
    Ok(Flow::Done)
}
