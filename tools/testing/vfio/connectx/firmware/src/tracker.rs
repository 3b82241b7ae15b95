// SPDX-License-Identifier: GPL-2.0

//! The page tracker: which pages a function wrote to by DMA.
//!
//! It belongs to the PF. A report goes through a queue pair of the PF whose other end is a QP of the
//! driver: each message is an array of addresses, and the completion's immediate says whether more
//! follow. [inferred from what the driver makes of them: no public text says so]

use crate::config::{Config, Error};
use crate::event::OVERRUN;
use crate::layout::capability::adv_virtualization_cap as cap;
use crate::layout::object::{page_track, page_track_range, page_track_report_entry, PAGE_TRACK};
use crate::layout::wire::{
    completion, event, mlx5_eqe_cq_err, mlx5_eqe_obj_change, mlx5_eqe_qp_srq,
};
use crate::layout::Slot;
use crate::memory::User;
use crate::nic::{Event, Nic};
use crate::object::QpState;
use crate::status::{require, Result, Status};
use std::collections::BTreeSet;
use std::time::Duration;

/// The most trackers.
pub(crate) const MAX_TRACKERS: u32 = 8;
/// The most ranges of one.
const MAX_RANGES: u32 = 64;
const LOG_ADDRESS: core::ops::RangeInclusive<u32> = 12..=63;
const LOG_PAGE: core::ops::RangeInclusive<u32> = 12..=21;
/// The smallest message.
const LOG_MESSAGE_MIN: u32 = 6;

/// `track_type` of a tracker of DMA writes.
const WRITES: u32 = 1;
/// What `modify_field_select` may name: the range, and the state.
const SELECT_RANGE: u64 = 1;
const SELECT_STATE: u64 = 2;

/// Where the state is in an immediate.
const IMM_STATE: u32 = 28;
/// How long a report that has no room waits before it looks again.
const PATIENCE: Duration = Duration::from_millis(10);

/// State of a tracker, as in `state` and in the immediate of its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Tracking = 0,
    Reporting = 1,
    Error = 2,
}

/// A tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tracker {
    /// The function that is tracked.
    f: usize,
    log_page: u32,
    log_message: u32,
    /// The QP of the PF that messages go out by.
    pub(crate) qpn: u32,
    /// First and last byte of each range.
    ranges: Vec<(u64, u64)>,
    /// Numbers of pages.
    dirty: BTreeSet<u64>,
    state: State,
    /// What is still to be reported.
    report: BTreeSet<u64>,
    /// It says nothing any more.
    mute: bool,
}

impl Tracker {
    /// Writes what it is.
    pub(crate) fn query(&self, context: &mut [u8]) {
        page_track::state.put(context, self.state as u32);
        page_track::track_type.put(context, WRITES);
        page_track::log_page_size.put(context, self.log_page);
        page_track::log_msg_size.put(context, self.log_message);
        page_track::reporting_qpn.put(context, self.qpn);
        page_track::num_ranges.put(context, self.ranges.len() as u32);
    }

    fn write(&mut self, first: u64, last: u64) {
        for (from, to) in &self.ranges {
            let (from, to) = ((*from).max(first), (*to).min(last));
            if from <= to {
                self.dirty
                    .extend(from >> self.log_page..=to >> self.log_page);
            }
        }
    }
}

/// Writes the capabilities.
pub(crate) fn capabilities(config: &Config, data: &mut [u8]) {
    cap::pg_track_log_max_num.put(data, MAX_TRACKERS.ilog2());
    cap::pg_track_max_num_range.put(data, MAX_RANGES);
    cap::pg_track_log_min_addr_space.put(data, *LOG_ADDRESS.start());
    cap::pg_track_log_max_addr_space.put(data, *LOG_ADDRESS.end());
    cap::pg_track_log_min_msg_size.put(data, config.log_message.min(12));
    cap::pg_track_log_max_msg_size.put(data, config.log_message);
    cap::pg_track_log_min_page_size.put(data, *LOG_PAGE.start());
    cap::pg_track_log_max_page_size.put(data, *LOG_PAGE.end());
}

/// First and last byte.
fn range(start: u64, length: u64) -> Result<(u64, u64)> {
    let last = start.checked_add(length).filter(|_| length != 0);
    match last {
        Some(end) => Ok((start, end - 1)),
        None => crate::status::refuse(Status::BadParam, "no such range of addresses"),
    }
}

impl Nic {
    /// Makes a tracker and gives its number.
    pub(crate) fn create_tracker(&mut self, context: &[u8]) -> Result<u32> {
        let f = self.vf_by_id(page_track::vhca_id.get(context));
        let Some(f) = f else {
            return crate::status::refuse(Status::BadRes, "no such function to track");
        };
        let count = page_track::num_ranges.get(context);
        let array = page_track::track_range.of(context);
        require(
            page_track::track_type.get(context) == WRITES
                && LOG_ADDRESS.contains(&page_track::log_addr_space_size.get(context))
                && LOG_PAGE.contains(&page_track::log_page_size.get(context)),
            Status::BadParam,
            "no such kind of tracker",
        )?;
        let log_message = page_track::log_msg_size.get(context);
        require(
            (LOG_MESSAGE_MIN..=self.config.log_message).contains(&log_message),
            Status::BadParam,
            "no such size of messages",
        )?;
        require(
            (1..=MAX_RANGES).contains(&count)
                && array.len() >= count as usize * page_track_range::SIZE,
            Status::BadParam,
            "no such number of ranges",
        )?;
        let ranges = array
            .chunks_exact(page_track_range::SIZE)
            .take(count as usize)
            .map(|r| {
                range(
                    page_track_range::start_address.get(r),
                    page_track_range::length.get(r),
                )
            })
            .collect::<Result<_>>()?;
        let qpn = page_track::reporting_qpn.get(context);
        let objects = &mut self.functions[0].objects;
        require(
            objects.qps.get(qpn).is_some(),
            Status::BadRes,
            "no such queue pair",
        )?;
        objects.trackers.add(Tracker {
            f,
            log_page: page_track::log_page_size.get(context),
            log_message,
            qpn,
            ranges,
            dirty: BTreeSet::new(),
            state: State::Tracking,
            report: BTreeSet::new(),
            mute: false,
        })
    }

    /// Lets a tracker report what was written in a range; those pages are clean then.
    pub(crate) fn modify_tracker(&mut self, id: u32, context: &[u8]) -> Result<()> {
        let tracker = self.functions[0].objects.trackers.find(id)?;
        require(
            page_track::modify_field_select.get(context) == SELECT_RANGE | SELECT_STATE
                && page_track::state.get(context) == State::Reporting as u32,
            Status::BadParam,
            "a tracker can only be told to report a range",
        )?;
        require(
            tracker.state == State::Tracking,
            Status::BadResState,
            "the tracker reports already, or has failed",
        )?;
        let (first, last) = range(
            page_track::range_start_address.get(context),
            page_track::length.get(context),
        )?;
        let (first, last) = (first >> tracker.log_page, last >> tracker.log_page);
        tracker.report = tracker.dirty.range(first..=last).copied().collect();
        for page in &tracker.report {
            tracker.dirty.remove(page);
        }
        tracker.state = State::Reporting;
        Ok(())
    }

    /// Function `f` writes.
    pub(crate) fn track_write(&mut self, f: usize, iova: u64, length: usize) {
        let Some(last) = (length as u64).checked_sub(1) else {
            return;
        };
        let last = iova.saturating_add(last);
        for (_, tracker) in self.functions[0].objects.trackers.iter_mut() {
            if tracker.f == f && f != 0 {
                tracker.write(iova, last);
            }
        }
    }

    /// Sends what the reporting trackers have to say, as far as there is room for it.
    pub(crate) fn report(&mut self) {
        let trackers = &self.functions[0].objects.trackers;
        let reporting: Vec<u32> = trackers
            .iter()
            .filter(|(_, tracker)| tracker.state == State::Reporting && !tracker.mute)
            .map(|(id, _)| id)
            .collect();
        let mut waits = false;
        for id in reporting {
            while self.send(id) {}
            let tracker = self.functions[0].objects.trackers.get(id);
            waits |= tracker.is_some_and(|tracker| tracker.state == State::Reporting);
        }
        if waits && !self.report_pending {
            self.report_pending = true;
            let generation = self.functions[0].generation;
            self.after(PATIENCE, Event::Report { generation });
        }
    }

    /// Sends a message of tracker `id`; false if there is nothing to send, or no room for it.
    fn send(&mut self, id: u32) -> bool {
        let objects = &self.functions[0].objects;
        let Some(tracker) = objects
            .trackers
            .get(id)
            .filter(|t| t.state == State::Reporting)
        else {
            return false;
        };
        let sender = objects
            .qps
            .get(tracker.qpn)
            .filter(|qp| qp.state == QpState::ReadyToSend);
        let Some(to) = sender.map(|qp| qp.remote) else {
            self.fail_tracker(id, Error::Qp);
            return false;
        };
        let receiver = objects
            .qps
            .get(to)
            .filter(|qp| matches!(qp.state, QpState::ReadyToReceive | QpState::ReadyToSend));
        let Some((qp, rq)) = receiver.and_then(|qp| Some((qp, qp.rq.as_ref()?))) else {
            self.fail_tracker(id, Error::Qp);
            return false;
        };
        let user = User::Qp { qpn: to, pd: qp.pd };
        let cqn = rq.cqn;
        if objects.cqs.get(cqn).is_none_or(|cq| cq.broken) {
            self.fail_tracker(id, Error::Cq);
            return false;
        }
        let most = (1 << tracker.log_message) / page_track_report_entry::SIZE;
        let pages: Vec<u64> = tracker.report.iter().take(most).copied().collect();
        let more = pages.len() < tracker.report.len();
        let log_page = tracker.log_page;

        if !self.cq_has_room(0, cqn) {
            return false;
        }
        let Some(receive) = self.posted_receive(0, to) else {
            return false;
        };
        let mut message = vec![0; pages.len() * page_track_report_entry::SIZE];
        for (entry, page) in message
            .chunks_exact_mut(page_track_report_entry::SIZE)
            .zip(&pages)
        {
            let address = page << log_page;
            page_track_report_entry::dirty_address_high.put(entry, (address >> 32) as u32);
            page_track_report_entry::dirty_address_low.put(entry, address as u32);
        }
        if receive.room < message.len() as u64
            || self.fill_receive(0, user, &receive, 0, &message).is_err()
        {
            self.fail_tracker(id, Error::Qp);
            return false;
        }
        let mut state = State::Tracking;
        if let Some(tracker) = self.functions[0].objects.trackers.get_mut(id) {
            for page in &pages {
                tracker.report.remove(page);
            }
            if more {
                state = State::Reporting;
            }
            tracker.state = state;
        }
        let (imm, bytes) = ((state as u32) << IMM_STATE, message.len() as u32);
        self.complete_receive(0, to, completion::RESP_SEND_IMM, imm, bytes);
        more
    }

    /// Ends a tracker with an error, and says so.
    pub(crate) fn fail_tracker(&mut self, id: u32, error: Error) {
        let objects = &mut self.functions[0].objects;
        let Some(tracker) = objects.trackers.get_mut(id) else {
            return;
        };
        if error == Error::Mute {
            tracker.mute = true;
            return;
        }
        tracker.state = State::Error;
        let qpn = tracker.qpn;
        let remote = objects.qps.get(qpn).map(|qp| qp.remote);
        let rq = remote
            .and_then(|qpn| objects.qps.get(qpn))
            .and_then(|qp| qp.rq.as_ref());
        let cqn = rq.map_or(0, |rq| rq.cqn);
        match error {
            Error::Object => self.post_to_subscriber(0, event::OBJECT_CHANGE, |data| {
                mlx5_eqe_obj_change::obj_type.put(data, PAGE_TRACK);
                mlx5_eqe_obj_change::obj_id.put(data, id);
            }),
            Error::Qp => self.post_to_subscriber(0, event::WQ_CATAS_ERROR, |data| {
                mlx5_eqe_qp_srq::qp_srq_n.put(data, qpn);
            }),
            Error::Cq => self.post_to_subscriber(0, event::CQ_ERROR, |data| {
                mlx5_eqe_cq_err::cqn.put(data, cqn);
                mlx5_eqe_cq_err::syndrome.put(data, OVERRUN);
            }),
            Error::Mute => false,
        };
    }
}
