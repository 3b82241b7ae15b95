// SPDX-License-Identifier: GPL-2.0

//! Send queues: what a driver posts and rings for is done here, for reliable connections whose two
//! ends are in the same function. An entry may ask for RDMA WRITE or SEND, with an immediate or not.
//!
//! A message is moved in slices, with time between them, and how far it has got is part of the QP:
//! a function may be suspended, and moved elsewhere, in the middle of one. What fails ends with a
//! completion that says so, in the manual's terms; then the QP is in error, and what else was posted
//! is flushed.

mod receive;
mod wqe;

use crate::layout::wire::{completion, event, mlx5_cqe64, mlx5_eqe_qp_srq, mlx5_err_cqe, work};
use crate::layout::Slot;
use crate::memory::{Access, User};
use crate::nic::{Event, Nic};
use crate::object::{Qp, QpState, FOR_EVER};
use crate::status::Result;
use std::time::Duration;
use wqe::{Data, Wqe};

/// The most bytes of a message.
pub(crate) const MAX_MESSAGE: u64 = 1 << LOG_MAX_MESSAGE;
/// The same as a power of two.
pub(crate) const LOG_MAX_MESSAGE: u32 = 30;

/// Bytes that are moved at a time.
const SLICE: u64 = 256 << 10;
/// Bytes per second: a port of 100 Gb/s.
const RATE: u64 = 12_500_000_000;
/// Entries that are done at a time.
const BATCH: usize = 64;
/// How long the other end is given to post a receive. [inferred: `min_rnr_nak` is not looked at]
const PATIENCE: Duration = Duration::from_millis(10);

/// `syndrome` of a completion with an error.
mod syndrome {
    pub(super) const LOCAL_LENGTH: u32 = 0x01;
    pub(super) const LOCAL_QP_OP: u32 = 0x02;
    pub(super) const LOCAL_PROT: u32 = 0x04;
    pub(super) const WR_FLUSH: u32 = 0x05;
    pub(super) const REMOTE_INVAL_REQ: u32 = 0x12;
    pub(super) const REMOTE_ACCESS: u32 = 0x13;
    pub(super) const REMOTE_OP: u32 = 0x14;
    pub(super) const TRANSPORT_RETRY_EXC: u32 = 0x15;
    pub(super) const RNR_RETRY_EXC: u32 = 0x16;
}

/// What work came to that failed.
struct Breakdown {
    /// What the completion says to who asked for it.
    syndrome: u32,
    peer: Peer,
}

/// What the other end learns of it.
enum Peer {
    Nothing,
    /// It is in error, too, and an event of this type says so.
    Event(u8),
    /// The same, and the completion of its receive says so.
    Receive(u32),
}

impl Breakdown {
    const fn of(syndrome: u32, peer: Peer) -> Self {
        Self { syndrome, peer }
    }
}

/// How far an entry got.
enum Progress {
    /// To its end, and so many bytes on the way there.
    Done(u64),
    /// So many bytes.
    Moved(u64),
    /// The other end has posted no receive.
    NotReady,
}

/// What to do next with a queue.
enum Next {
    More(u64),
    Later,
    Nothing,
}

/// `qpn` as a user of memory keys.
fn user(qp: &Qp, qpn: u32) -> User {
    User::Qp { qpn, pd: qp.pd }
}

impl Nic {
    /// The doorbell of a send queue, in page `uar`.
    pub(crate) fn ring_sq(&mut self, f: usize, uar: u32, qpn: u32) {
        let qp = self.functions[f].objects.qps.get_mut(qpn);
        match qp.and_then(|qp| qp.sq.as_mut()).filter(|sq| sq.uar == uar) {
            Some(sq) => sq.rung = true,
            None => {
                self.trace(f, format_args!("page {uar} has no doorbell of QP {qpn}"));
                return;
            }
        }
        self.schedule_work(f, qpn, self.config.latency);
    }

    /// Goes on with all queues that were rung, after the function was suspended.
    pub(crate) fn ring_again(&mut self, f: usize) {
        let qps = &self.functions[f].objects.qps;
        let all: Vec<u32> = qps.iter().map(|(qpn, _)| qpn).collect();
        for qpn in all {
            self.schedule_work(f, qpn, self.config.latency);
        }
    }

    /// Lets a queue that was rung be looked at. That of a suspended function waits.
    fn schedule_work(&mut self, f: usize, qpn: u32, delay: Duration) {
        let function = &mut self.functions[f];
        let (suspended, generation) = (function.vhca.suspended(), function.generation);
        let qp = function.objects.qps.get_mut(qpn);
        if let Some(sq) = qp.and_then(|qp| qp.sq.as_mut()) {
            if sq.rung && !sq.scheduled && !suspended {
                sq.scheduled = true;
                self.after(delay, Event::Work { f, generation, qpn });
            }
        }
    }

    /// Does some of the work of a queue.
    pub(crate) fn work(&mut self, f: usize, qpn: u32) {
        let function = &mut self.functions[f];
        let suspended = function.vhca.suspended();
        let qp = function.objects.qps.get_mut(qpn);
        let Some(sq) = qp.and_then(|qp| qp.sq.as_mut()) else {
            return;
        };
        sq.scheduled = false;
        if suspended {
            return;
        }
        let mut moved = 0;
        for _ in 0..BATCH {
            match self.step(f, qpn) {
                Next::More(bytes) => moved += bytes,
                Next::Later => return self.schedule_work(f, qpn, PATIENCE),
                Next::Nothing => {
                    self.with_sq(f, qpn, |sq| sq.rung = false);
                    return;
                }
            }
            if moved >= SLICE {
                break;
            }
        }
        let time = Duration::from_nanos(moved * 1_000_000_000 / RATE);
        self.schedule_work(f, qpn, time);
    }

    fn with_sq(&mut self, f: usize, qpn: u32, change: impl FnOnce(&mut crate::object::Sq)) {
        let qp = self.functions[f].objects.qps.get_mut(qpn);
        qp.and_then(|qp| qp.sq.as_mut()).map(change);
    }

    /// Moves a slice of the entry at the head of the queue.
    fn step(&mut self, f: usize, qpn: u32) -> Next {
        let qp = self.functions[f].objects.qps.get(qpn);
        match qp.map(|qp| qp.state) {
            Some(QpState::ReadyToSend) => {}
            Some(QpState::Error) => {
                self.flush(f, qpn);
                return Next::Nothing;
            }
            _ => return Next::Nothing,
        }
        let pending = match self.posted_work(f, qpn) {
            Some(0) => return Next::Nothing,
            Some(pending) => pending,
            None => {
                self.catastrophe(f, qpn);
                return Next::Nothing;
            }
        };
        let wqe = match self.read_wqe(f, qpn, pending) {
            Ok(wqe) => wqe,
            Err(syndrome) => {
                self.fail_work(f, qpn, (0, 1), Breakdown::of(syndrome, Peer::Nothing));
                return Next::Nothing;
            }
        };
        match self.perform(f, qpn, &wqe) {
            Ok(Progress::Moved(bytes)) => {
                self.with_sq(f, qpn, |sq| sq.progress += bytes);
                Next::More(bytes)
            }
            Ok(Progress::Done(bytes)) => {
                self.complete_request(f, qpn, &wqe);
                Next::More(bytes)
            }
            Ok(Progress::NotReady) => {
                let again = self.functions[f].objects.qps.get_mut(qpn);
                let tired = again.is_some_and(|qp| {
                    let limit = qp.rnr_retry;
                    qp.sq.as_mut().is_some_and(|sq| {
                        let tired = limit != FOR_EVER && sq.tries >= limit;
                        sq.tries = (sq.tries + 1).min(FOR_EVER);
                        tired
                    })
                });
                if tired {
                    let failure = Breakdown::of(syndrome::RNR_RETRY_EXC, Peer::Nothing);
                    self.fail_work(f, qpn, (wqe.opcode, wqe.units), failure);
                    return Next::Nothing;
                }
                Next::Later
            }
            Err(failure) => {
                self.fail_work(f, qpn, (wqe.opcode, wqe.units), failure);
                Next::Nothing
            }
        }
    }

    /// The units that the driver posted and that are not done; none if its index makes no sense.
    fn posted_work(&mut self, f: usize, qpn: u32) -> Option<u32> {
        let qp = self.functions[f].objects.qps.get(qpn)?;
        let sq = qp.sq.as_ref()?;
        let (head, size) = (sq.head, 1 << sq.log_size);
        let posted = self.dma_read_u32(f, qp.doorbell.wrapping_add(4))?;
        Some(posted.wrapping_sub(head) & 0xffff).filter(|pending| *pending <= size)
    }

    /// Does what an entry asks for, as far as a slice goes.
    fn perform(
        &mut self,
        f: usize,
        qpn: u32,
        wqe: &Wqe,
    ) -> core::result::Result<Progress, Breakdown> {
        use syndrome::{
            LOCAL_QP_OP, REMOTE_ACCESS, REMOTE_INVAL_REQ, REMOTE_OP, TRANSPORT_RETRY_EXC,
        };

        let qps = &self.functions[f].objects.qps;
        let Some(qp) = qps.get(qpn) else {
            return Err(Breakdown::of(LOCAL_QP_OP, Peer::Nothing));
        };
        let (me, to) = (user(qp, qpn), qp.remote);
        let from = qp.sq.as_ref().map_or(0, |sq| sq.progress).min(wqe.length);
        let count = SLICE.min(wqe.length - from);
        if wqe.opcode == work::NOP {
            return Ok(Progress::Done(0));
        }
        let connected = |peer: &&Qp| {
            let ready = matches!(peer.state, QpState::ReadyToReceive | QpState::ReadyToSend);
            ready && peer.remote == qpn
        };
        let Some(peer) = qps.get(to).filter(connected) else {
            return Err(Breakdown::of(TRANSPORT_RETRY_EXC, Peer::Nothing));
        };
        let (other, writable, receives) = (user(peer, to), peer.remote_write, peer.rq.is_some());
        let refused = Breakdown::of(REMOTE_ACCESS, Peer::Event(event::WQ_ACCESS_ERROR));
        if wqe.remote.is_some() && wqe.length != 0 && !writable {
            return Err(refused);
        }
        let mut receive = None;
        if !matches!(wqe.opcode, work::RDMA_WRITE) {
            if !receives {
                let kind = Peer::Event(event::WQ_INVAL_REQ_ERROR);
                return Err(Breakdown::of(REMOTE_INVAL_REQ, kind));
            }
            receive = self.posted_receive(f, to);
            let Some(receive) = &receive else {
                return Ok(Progress::NotReady);
            };
            if wqe.remote.is_none() && wqe.length > receive.room {
                let kind = Peer::Receive(syndrome::LOCAL_LENGTH);
                return Err(Breakdown::of(REMOTE_INVAL_REQ, kind));
            }
        }
        let bytes = match self.read_data(f, me, &wqe.data, from, count) {
            Ok(bytes) => bytes,
            Err(_) => return Err(Breakdown::of(syndrome::LOCAL_PROT, Peer::Nothing)),
        };
        match (wqe.remote, &receive) {
            _ if bytes.is_empty() => {}
            (Some((va, key)), _) => {
                let place = (va.wrapping_add(from), Access::RemoteWrite);
                if self.key_write(f, other, key, place, &bytes).is_err() {
                    return Err(refused);
                }
            }
            (None, Some(receive)) => {
                if self.fill_receive(f, other, receive, from, &bytes).is_err() {
                    let kind = Peer::Receive(syndrome::LOCAL_PROT);
                    return Err(Breakdown::of(REMOTE_OP, kind));
                }
            }
            (None, None) => {}
        }
        if from + count < wqe.length {
            return Ok(Progress::Moved(count));
        }
        if receive.is_some() {
            let opcode = match wqe.opcode {
                work::RDMA_WRITE_IMM => completion::RESP_WR_IMM,
                work::SEND_IMM => completion::RESP_SEND_IMM,
                _ => completion::RESP_SEND,
            };
            // CAST: At most `MAX_MESSAGE`.
            self.complete_receive(f, to, opcode, wqe.imm, wqe.length as u32);
        }
        Ok(Progress::Done(count))
    }

    /// The bytes of an entry's data from `from` on.
    fn read_data(
        &mut self,
        f: usize,
        user: User,
        data: &Data,
        from: u64,
        count: u64,
    ) -> Result<Vec<u8>> {
        // CAST: At most a slice, of data that there is.
        let (start, length) = (from as usize, count as usize);
        match data {
            Data::Inline(bytes) => Ok(bytes[start..start + length].to_vec()),
            Data::Memory(segments) => {
                let mut bytes = vec![0; length];
                let mut rest = &mut bytes[..];
                for (key, va, length) in wqe::cut(segments, from, count) {
                    let (piece, after) = rest.split_at_mut(length);
                    self.key_read(f, user, key, va, piece)?;
                    rest = after;
                }
                Ok(bytes)
            }
        }
    }

    /// Ends an entry well.
    fn complete_request(&mut self, f: usize, qpn: u32, wqe: &Wqe) {
        let mut good = true;
        if wqe.signalled {
            good = self.post_request_completion(f, qpn, completion::REQ, wqe.opcode, 0);
        }
        self.with_sq(f, qpn, |sq| {
            sq.head = sq.head.wrapping_add(wqe.units);
            (sq.progress, sq.tries) = (0, 0);
        });
        if !good {
            self.catastrophe(f, qpn);
        }
    }

    /// Ends an entry, of which opcode and units are given, with an error.
    fn fail_work(&mut self, f: usize, qpn: u32, (opcode, units): (u32, u32), failure: Breakdown) {
        let syndrome = failure.syndrome;
        self.trace(f, format_args!("work of QP {qpn} fails: {syndrome:#x}"));
        let qp = self.functions[f].objects.qps.get(qpn);
        let peer = qp.map_or(0, |qp| qp.remote);
        match failure.peer {
            Peer::Nothing => {}
            Peer::Event(kind) => {
                self.fail_qp(f, peer);
                self.post_to_subscriber(f, kind, |data| {
                    mlx5_eqe_qp_srq::qp_srq_n.put(data, peer);
                });
            }
            Peer::Receive(syndrome) => {
                self.fail_receive(f, peer, syndrome);
                self.fail_qp(f, peer);
            }
        }
        // An end that is its own other end has flushed it by now.
        let alive = |qp: &Qp| qp.state != QpState::Error;
        if self.functions[f].objects.qps.get(qpn).is_some_and(alive) {
            self.post_request_completion(f, qpn, completion::REQ_ERR, opcode, syndrome);
            self.with_sq(f, qpn, |sq| sq.head = sq.head.wrapping_add(units));
            self.fail_qp(f, qpn);
        }
    }

    /// Puts a QP into error, and flushes what was posted to it.
    pub(crate) fn fail_qp(&mut self, f: usize, qpn: u32) {
        if let Some(qp) = self.functions[f].objects.qps.get_mut(qpn) {
            qp.state = QpState::Error;
            self.flush(f, qpn);
        }
    }

    /// Puts a QP into error that cannot be told of by completions.
    fn catastrophe(&mut self, f: usize, qpn: u32) {
        if let Some(qp) = self.functions[f].objects.qps.get_mut(qpn) {
            qp.state = QpState::Error;
            self.post_to_subscriber(f, event::WQ_CATAS_ERROR, |data| {
                mlx5_eqe_qp_srq::qp_srq_n.put(data, qpn);
            });
        }
    }

    /// Ends what was posted to a QP in error, as far as there is room for it.
    fn flush(&mut self, f: usize, qpn: u32) {
        let pending = self.posted_work(f, qpn).unwrap_or(0);
        let mut done = 0;
        while done < pending {
            let (opcode, units) = self.peek_wqe(f, qpn).unwrap_or((0, 1));
            let flush = syndrome::WR_FLUSH;
            if !self.post_request_completion(f, qpn, completion::REQ_ERR, opcode, flush) {
                break;
            }
            done += units;
            self.with_sq(f, qpn, |sq| sq.head = sq.head.wrapping_add(units));
        }
        self.with_sq(f, qpn, |sq| (sq.progress, sq.tries) = (0, 0));
        self.flush_receives(f, qpn);
    }

    /// Posts the completion of the entry at the head; false if there is no room for it.
    fn post_request_completion(
        &mut self,
        f: usize,
        qpn: u32,
        kind: u32,
        opcode: u32,
        syndrome: u32,
    ) -> bool {
        let qp = self.functions[f].objects.qps.get(qpn);
        let Some(sq) = qp.and_then(|qp| qp.sq.as_ref()) else {
            return false;
        };
        let (cqn, head) = (sq.cqn, sq.head);
        let mut cqe = [0; mlx5_cqe64::SIZE];
        mlx5_err_cqe::syndrome.put(&mut cqe, syndrome);
        mlx5_cqe64::sop_drop_qpn.put(&mut cqe, opcode << 24 | qpn);
        mlx5_cqe64::wqe_counter.put(&mut cqe, head);
        mlx5_cqe64::op_own.put(&mut cqe, kind << 4);
        self.complete_work(f, cqn, cqe)
    }
}
