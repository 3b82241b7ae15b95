// SPDX-License-Identifier: GPL-2.0

//! Receive queues: what a driver posted, and how it ends.

use super::syndrome;
use super::wqe::{cut, Segment};
use crate::layout::wire::{completion, mlx5_cqe64, mlx5_err_cqe, mlx5_wqe_data_seg};
use crate::layout::Slot;
use crate::memory::{Access, User};
use crate::nic::Nic;
use crate::status::Result;

/// `lkey` of a segment without bytes, after which there are no more.
const NO_MORE: u32 = 0x100;

/// The receive at the head of a queue.
pub(crate) struct Receive {
    segments: Vec<Segment>,
    /// Bytes that it takes.
    pub(crate) room: u64,
}

impl Nic {
    /// Entries that the driver posted and that are not used up; none if its index makes no sense.
    fn posted_receives(&mut self, f: usize, qpn: u32) -> Option<u32> {
        let qp = self.functions[f].objects.qps.get(qpn)?;
        let rq = qp.rq.as_ref()?;
        let (head, size) = (rq.head, 1 << rq.log_size);
        let posted = self.dma_read_u32(f, qp.doorbell)?;
        Some(posted.wrapping_sub(head) & 0xffff).filter(|ready| *ready <= size)
    }

    /// What the next message goes into, if the driver posted something.
    pub(crate) fn posted_receive(&mut self, f: usize, qpn: u32) -> Option<Receive> {
        self.posted_receives(f, qpn).filter(|ready| *ready != 0)?;
        let qp = self.functions[f].objects.qps.get(qpn)?;
        let rq = qp.rq.as_ref()?;
        let slot = u64::from(rq.head) & ((1 << rq.log_size) - 1);
        let mut entry = vec![0; rq.stride()];
        // No entry crosses the end of a page: its size is a power of two, at most 2 KiB.
        let address = qp.pages.address(slot * entry.len() as u64)?;
        self.dma_read(f, address, &mut entry).ok()?;
        let more = |segment: &&[u8]| {
            mlx5_wqe_data_seg::byte_count.get(segment) != 0
                || mlx5_wqe_data_seg::lkey.get(segment) != NO_MORE
        };
        let all = entry.chunks_exact(mlx5_wqe_data_seg::SIZE);
        let segments: Vec<Segment> = all.take_while(more).map(Segment::read).collect();
        Some(Receive {
            room: segments.iter().map(|segment| segment.length).sum(),
            segments,
        })
    }

    /// Writes bytes of a message that begin at `from`.
    pub(crate) fn fill_receive(
        &mut self,
        f: usize,
        user: User,
        receive: &Receive,
        from: u64,
        bytes: &[u8],
    ) -> Result<()> {
        let mut rest = bytes;
        for (key, va, length) in cut(&receive.segments, from, bytes.len() as u64) {
            let (piece, after) = rest.split_at(length);
            self.key_write(f, user, key, (va, Access::Write), piece)?;
            rest = after;
        }
        Ok(())
    }

    /// Uses up the receive at the head of QP `qpn` for a message of `bytes` bytes.
    pub(crate) fn complete_receive(&mut self, f: usize, qpn: u32, kind: u32, imm: u32, bytes: u32) {
        let mut cqe = [0; mlx5_cqe64::SIZE];
        mlx5_cqe64::imm_inval_pkey.put(&mut cqe, imm);
        mlx5_cqe64::byte_cnt.put(&mut cqe, bytes);
        if !self.use_receive(f, qpn, kind, cqe) {
            self.catastrophe(f, qpn);
        }
    }

    /// Uses it up for what failed; false if there is no room to say so.
    pub(super) fn fail_receive(&mut self, f: usize, qpn: u32, syndrome: u32) -> bool {
        let mut cqe = [0; mlx5_cqe64::SIZE];
        mlx5_err_cqe::syndrome.put(&mut cqe, syndrome);
        self.use_receive(f, qpn, completion::RESP_ERR, cqe)
    }

    fn use_receive(
        &mut self,
        f: usize,
        qpn: u32,
        kind: u32,
        mut cqe: [u8; mlx5_cqe64::SIZE],
    ) -> bool {
        let qp = self.functions[f].objects.qps.get_mut(qpn);
        let Some(rq) = qp.and_then(|qp| qp.rq.as_mut()) else {
            return false;
        };
        let (cqn, head) = (rq.cqn, rq.head);
        rq.head = rq.head.wrapping_add(1);
        mlx5_cqe64::sop_drop_qpn.put(&mut cqe, qpn);
        mlx5_cqe64::wqe_counter.put(&mut cqe, head);
        mlx5_cqe64::op_own.put(&mut cqe, kind << 4);
        self.complete_work(f, cqn, cqe)
    }

    /// Ends what was posted to a QP in error, as far as there is room for it.
    pub(super) fn flush_receives(&mut self, f: usize, qpn: u32) {
        for _ in 0..self.posted_receives(f, qpn).unwrap_or(0) {
            if !self.fail_receive(f, qpn, syndrome::WR_FLUSH) {
                break;
            }
        }
    }
}
