// SPDX-License-Identifier: GPL-2.0

//! Entries of a send queue. One has a control segment, for RDMA WRITE where that goes to, and then
//! data, either all in the entry itself or all in memory. [inferred: a card takes both in one entry]

use super::{syndrome, MAX_MESSAGE};
use crate::layout::wire::{
    mlx5_wqe_ctrl_seg, mlx5_wqe_data_seg, mlx5_wqe_inline_seg, mlx5_wqe_raddr_seg, work,
};
use crate::layout::Slot;
use crate::nic::Nic;
use crate::object::{Rq, WQEBB};

/// Bytes that `ds` counts.
const DS: usize = 16;
/// `ce` from which on a completion is wanted also where nothing failed.
const CE_ALWAYS: u32 = 2;
/// Bit of `byte_count`: the data are in the entry.
const INLINE: u32 = 1 << 31;
/// Bytes of a segment that says 0.
const FULL: u64 = 1 << 31;

/// Data in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) key: u32,
    pub(super) address: u64,
    pub(super) length: u64,
}

impl Segment {
    /// A segment as it lies in a queue.
    pub(super) fn read(data: &[u8]) -> Self {
        let length = mlx5_wqe_data_seg::byte_count.get(data) & !INLINE;
        Self {
            key: mlx5_wqe_data_seg::lkey.get(data),
            address: mlx5_wqe_data_seg::addr.get(data),
            length: if length == 0 { FULL } else { u64::from(length) },
        }
    }
}

/// The parts of segments that are bytes `from` to `from + count`: key, address, bytes.
pub(super) fn cut(segments: &[Segment], from: u64, count: u64) -> Vec<(u32, u64, usize)> {
    let (mut skip, mut left) = (from, count);
    let mut pieces = Vec::new();
    for segment in segments {
        let offset = skip.min(segment.length);
        let length = left.min(segment.length - offset);
        skip -= offset;
        left -= length;
        if length != 0 {
            // CAST: At most what is moved at a time.
            pieces.push((
                segment.key,
                segment.address.wrapping_add(offset),
                length as usize,
            ));
        }
    }
    pieces
}

/// What is to be moved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Data {
    Inline(Vec<u8>),
    Memory(Vec<Segment>),
}

/// An entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wqe {
    pub(super) opcode: u32,
    /// Units of the queue.
    pub(super) units: u32,
    pub(super) imm: u32,
    pub(super) signalled: bool,
    /// Address and key of an RDMA WRITE.
    pub(super) remote: Option<(u64, u32)>,
    pub(super) data: Data,
    /// Bytes of the data.
    pub(super) length: u64,
}

/// Units of an entry that begins so.
fn units(first: &[u8]) -> u32 {
    (mlx5_wqe_ctrl_seg::ds.get(first) * DS as u32).div_ceil(WQEBB as u32)
}

/// Reads an entry of QP `qpn`; an error is the syndrome of its completion.
fn parse(qpn: u32, entry: &[u8]) -> Result<Wqe, u32> {
    let opcode = mlx5_wqe_ctrl_seg::opcode.get(entry);
    let end = mlx5_wqe_ctrl_seg::ds.get(entry) as usize * DS;
    if mlx5_wqe_ctrl_seg::qpn.get(entry) != qpn || !(DS..=entry.len()).contains(&end) {
        return Err(syndrome::LOCAL_QP_OP);
    }
    let mut rest = &entry[DS..end];
    let remote = match opcode {
        work::NOP | work::SEND | work::SEND_IMM => None,
        work::RDMA_WRITE | work::RDMA_WRITE_IMM if rest.len() >= DS => {
            let (segment, after) = rest.split_at(DS);
            rest = after;
            Some((
                mlx5_wqe_raddr_seg::raddr.get(segment),
                mlx5_wqe_raddr_seg::rkey.get(segment),
            ))
        }
        _ => return Err(syndrome::LOCAL_QP_OP),
    };
    let data = if mlx5_wqe_inline_seg::byte_count.get(rest) & INLINE != 0 {
        let length = mlx5_wqe_inline_seg::byte_count.get(rest) & !INLINE;
        let bytes = mlx5_wqe_inline_seg::data.of(rest).get(..length as usize);
        Data::Inline(bytes.ok_or(syndrome::LOCAL_LENGTH)?.to_vec())
    } else {
        let segments = rest.chunks_exact(DS);
        if segments
            .clone()
            .any(|s| mlx5_wqe_data_seg::byte_count.get(s) & INLINE != 0)
        {
            return Err(syndrome::LOCAL_QP_OP);
        }
        Data::Memory(segments.map(Segment::read).collect())
    };
    let length = match &data {
        Data::Inline(bytes) => bytes.len() as u64,
        Data::Memory(segments) => segments.iter().map(|segment| segment.length).sum(),
    };
    if length > MAX_MESSAGE {
        return Err(syndrome::LOCAL_LENGTH);
    }
    Ok(Wqe {
        opcode,
        units: units(entry),
        imm: mlx5_wqe_ctrl_seg::imm.get(entry),
        signalled: mlx5_wqe_ctrl_seg::ce.get(entry) >= CE_ALWAYS,
        remote,
        data,
        length,
    })
}

impl Nic {
    /// Reads a unit of a send queue, counted from its head.
    fn read_unit(&mut self, f: usize, qpn: u32, number: u32) -> Option<[u8; WQEBB]> {
        let qp = self.functions[f].objects.qps.get(qpn)?;
        let sq = qp.sq.as_ref()?;
        let slot = sq.head.wrapping_add(number) & ((1 << sq.log_size) - 1);
        let base = qp.rq.as_ref().map_or(0, Rq::bytes);
        let address = qp.pages.address(base + u64::from(slot) * WQEBB as u64)?;
        let mut unit = [0; WQEBB];
        self.dma_read(f, address, &mut unit).ok()?;
        Some(unit)
    }

    /// Opcode and units of the entry at the head.
    pub(super) fn peek_wqe(&mut self, f: usize, qpn: u32) -> Option<(u32, u32)> {
        let first = self.read_unit(f, qpn, 0)?;
        Some((mlx5_wqe_ctrl_seg::opcode.get(&first), units(&first).max(1)))
    }

    /// Reads the entry at the head of a queue that has `pending` units; an error is a syndrome.
    pub(super) fn read_wqe(&mut self, f: usize, qpn: u32, pending: u32) -> Result<Wqe, u32> {
        let first = self.read_unit(f, qpn, 0).ok_or(syndrome::LOCAL_QP_OP)?;
        let units = units(&first);
        if !(1..=pending).contains(&units) {
            return Err(syndrome::LOCAL_QP_OP);
        }
        let mut entry = first.to_vec();
        for number in 1..units {
            let unit = self.read_unit(f, qpn, number);
            entry.extend(unit.ok_or(syndrome::LOCAL_QP_OP)?);
        }
        parse(qpn, &entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(opcode: u32, ds: u32) -> Vec<u8> {
        let mut entry = vec![0; (ds as usize * DS).next_multiple_of(WQEBB)];
        mlx5_wqe_ctrl_seg::opcode.put(&mut entry, opcode);
        mlx5_wqe_ctrl_seg::qpn.put(&mut entry, 5);
        mlx5_wqe_ctrl_seg::ds.put(&mut entry, ds);
        entry
    }

    #[test]
    fn entries_that_make_no_sense() {
        assert_eq!(parse(6, &entry(work::NOP, 1)), Err(syndrome::LOCAL_QP_OP));
        assert_eq!(parse(5, &entry(0x11, 2)), Err(syndrome::LOCAL_QP_OP));
        assert_eq!(
            parse(5, &entry(work::RDMA_WRITE, 1)),
            Err(syndrome::LOCAL_QP_OP)
        );
        assert_eq!(
            parse(5, &entry(work::SEND, 2)),
            Err(syndrome::LOCAL_LENGTH),
            "0 is 2 GiB"
        );
        let mut short = entry(work::SEND, 2);
        short[16..20].copy_from_slice(&(INLINE | 13).to_be_bytes());
        assert_eq!(parse(5, &short), Err(syndrome::LOCAL_LENGTH));
        let mut mixed = entry(work::SEND, 3);
        mixed[19] = 1;
        mixed[32..36].copy_from_slice(&(INLINE | 1).to_be_bytes());
        assert_eq!(parse(5, &mixed), Err(syndrome::LOCAL_QP_OP));
    }

    #[test]
    fn data_in_the_entry() {
        let mut good = entry(work::SEND, 2);
        good[16..20].copy_from_slice(&(INLINE | 12).to_be_bytes());
        good[20..32].copy_from_slice(b"twelve bytes");
        let wqe = parse(5, &good).unwrap();
        assert_eq!(wqe.data, Data::Inline(b"twelve bytes".to_vec()));
        assert_eq!((wqe.length, wqe.units), (12, 1));
    }

    #[test]
    fn parts_of_segments() {
        let all =
            [(1, 0x1000, 10), (2, 0x2000, 0x20), (3, 0x3000, 5)].map(|(key, address, length)| {
                Segment {
                    key,
                    address,
                    length,
                }
            });
        assert_eq!(cut(&all, 0, 3), [(1, 0x1000, 3)]);
        assert_eq!(
            cut(&all, 8, 35),
            [(1, 0x1008, 2), (2, 0x2000, 0x20), (3, 0x3000, 1)]
        );
        assert_eq!(cut(&all, 47, 5), []);
    }
}
