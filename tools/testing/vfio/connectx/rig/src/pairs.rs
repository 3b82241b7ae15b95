// SPDX-License-Identifier: GPL-2.0

//! Queue pairs of a driver, two that are connected to each other, and what is posted to them.

use crate::driver::{put_pages, Outcome, Rig, PAGE};
use connectx_firmware::layout::command as layout;
use connectx_firmware::layout::context::qpc;
use connectx_firmware::layout::wire::{
    completion, mlx5_cqe64, mlx5_err_cqe, mlx5_wqe_ctrl_seg, mlx5_wqe_data_seg,
    mlx5_wqe_inline_seg, mlx5_wqe_raddr_seg,
};
use connectx_firmware::layout::Slot;
use connectx_firmware::UAR_SIZE;

/// Entries of each queue, as a power of two. Those of a receive queue have 16 bytes, and the unit of
/// a send queue 64.
const LOG_QUEUE: u32 = 4;
const RECEIVES: usize = 16 << LOG_QUEUE;
/// Bytes of the unit of a send queue.
const UNIT: usize = 64;

/// One of two queue pairs.
#[derive(Clone, Debug)]
pub struct End {
    /// Its number.
    pub qpn: u32,
    pages: Vec<u64>,
    /// Where its indices are.
    pub doorbell: u64,
    sends: u32,
    receives: u32,
}

impl End {
    /// The same as after a reset.
    pub fn rewound(&self) -> Self {
        Self {
            sends: 0,
            receives: 0,
            ..self.clone()
        }
    }
}

/// Two queue pairs that are connected to each other, their CQ, and memory.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Whose they are.
    pub f: usize,
    uar: u32,
    /// The CQ of all four queues.
    pub cqn: u32,
    cq_pages: Vec<u64>,
    cq_doorbell: u64,
    log_cq: u32,
    consumer: u32,
    /// The two.
    pub ends: [End; 2],
    /// Their protection domain.
    pub pd: u32,
    /// A key for all of the memory.
    pub key: u32,
    /// Memory.
    pub memory: Vec<u64>,
}

/// What is to be sent.
#[derive(Clone, Debug)]
pub struct Send {
    /// As in the layouts' `work`.
    pub opcode: u32,
    /// The immediate.
    pub imm: u32,
    /// A completion is wanted.
    pub signalled: bool,
    /// Address and key of an RDMA WRITE.
    pub remote: Option<(u64, u32)>,
    /// Key, address and bytes of what is sent.
    pub data: Vec<(u32, u64, u32)>,
    /// Instead of it.
    pub inline: Option<Vec<u8>>,
}

impl Send {
    /// A message of this, with a completion.
    pub fn new(opcode: u32, data: &[(u32, u64, u32)]) -> Self {
        Self {
            opcode,
            imm: 0,
            signalled: true,
            remote: None,
            data: data.to_vec(),
            inline: None,
        }
    }

    /// The same to an address.
    pub fn to(self, address: u64, key: u32) -> Self {
        Self {
            remote: Some((address, key)),
            ..self
        }
    }

    /// As it lies in the queue of `qpn`.
    fn bytes(&self, qpn: u32, index: u32) -> Vec<u8> {
        let mut entry = vec![0; mlx5_wqe_ctrl_seg::SIZE];
        if let Some((address, key)) = self.remote {
            let mut segment = [0; mlx5_wqe_raddr_seg::SIZE];
            mlx5_wqe_raddr_seg::raddr.put(&mut segment, address);
            mlx5_wqe_raddr_seg::rkey.put(&mut segment, key);
            entry.extend(segment);
        }
        for (key, address, length) in &self.data {
            entry.extend(data_segment(*key, *address, *length));
        }
        if let Some(data) = &self.inline {
            let mut segment = vec![0; mlx5_wqe_inline_seg::SIZE];
            let count = 1 << 31 | data.len() as u32;
            mlx5_wqe_inline_seg::byte_count.put(&mut segment, count);
            segment.extend(data);
            segment.resize(segment.len().next_multiple_of(16), 0);
            entry.extend(segment);
        }
        let ds = (entry.len() / 16) as u32;
        mlx5_wqe_ctrl_seg::wqe_index.put(&mut entry, index);
        mlx5_wqe_ctrl_seg::opcode.put(&mut entry, self.opcode);
        mlx5_wqe_ctrl_seg::qpn.put(&mut entry, qpn);
        mlx5_wqe_ctrl_seg::ds.put(&mut entry, ds);
        mlx5_wqe_ctrl_seg::ce.put(&mut entry, if self.signalled { 2 } else { 0 });
        mlx5_wqe_ctrl_seg::imm.put(&mut entry, self.imm);
        entry.resize(entry.len().next_multiple_of(UNIT), 0);
        entry
    }
}

fn data_segment(key: u32, address: u64, length: u32) -> [u8; mlx5_wqe_data_seg::SIZE] {
    let mut segment = [0; mlx5_wqe_data_seg::SIZE];
    mlx5_wqe_data_seg::byte_count.put(&mut segment, length);
    mlx5_wqe_data_seg::lkey.put(&mut segment, key);
    mlx5_wqe_data_seg::addr.put(&mut segment, address);
    segment
}

/// A completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// As in the layouts' `completion`.
    pub kind: u32,
    /// 0 unless it is one of an error.
    pub syndrome: u32,
    /// Of which QP.
    pub qpn: u32,
    /// Where in the queue its entry was.
    pub index: u32,
    /// Bytes that came.
    pub bytes: u32,
    /// What came with them.
    pub imm: u32,
}

impl Rig {
    /// A QP whose context `fill` completes.
    pub fn create_qp(&mut self, f: usize, pages: &[u64], fill: impl FnOnce(&mut [u8])) -> Outcome {
        self.command(f, 0x500, 0, 0x110 + pages.len() * 8, 16, |input| {
            fill(layout::create_qp_in::qpc.of_mut(input));
            put_pages(layout::create_qp_in::pas.of_mut(input), pages);
        })
    }

    /// A command that changes its state.
    pub fn modify_qp(
        &mut self,
        f: usize,
        opcode: u16,
        qpn: u32,
        fill: impl FnOnce(&mut [u8]),
    ) -> Outcome {
        self.command(f, opcode, 0, 0x110, 16, |input| {
            layout::init2rtr_qp_in::qpn.put(input, qpn);
            fill(layout::init2rtr_qp_in::qpc.of_mut(input));
        })
    }

    /// What QUERY_QP says: the context.
    pub fn query_qp(&mut self, f: usize, qpn: u32) -> Vec<u8> {
        let length = layout::query_qp_out::SIZE;
        let outcome = self.command(f, 0x50b, 0, 16, length, |input| {
            layout::query_qp_in::qpn.put(input, qpn);
        });
        layout::query_qp_out::qpc.of(&outcome.unwrap()).to_vec()
    }

    /// Brings a QP from reset as far as it goes.
    pub fn connect(&mut self, f: usize, qpn: u32, remote: u32, rnr_retry: u32) {
        let writes = |context: &mut [u8]| qpc::rwe.put(context, 1);
        self.modify_qp(f, 0x502, qpn, writes).unwrap();
        let to = |context: &mut [u8]| qpc::remote_qpn.put(context, remote);
        self.modify_qp(f, 0x503, qpn, to).unwrap();
        let patience = |context: &mut [u8]| qpc::rnr_retry.put(context, rnr_retry);
        self.modify_qp(f, 0x504, qpn, patience).unwrap();
    }

    /// Makes two QPs and all that they need; the memory has so many pages.
    pub fn pair(&mut self, f: usize, uar: u32, eqn: u32, log_cq: u32, pages: usize) -> Pair {
        let pd = self.number(f, 0x800, 0);
        let cq_pages = self.pages(f, (64usize << log_cq).div_ceil(PAGE));
        for page in &cq_pages {
            self.poke(f, *page, &[0xf1; PAGE]);
        }
        let (cqn, cq_doorbell) = self.create_cq(f, uar, eqn, &cq_pages, log_cq);
        let ends = [(); 2].map(|()| {
            let pages = self.pages(f, (RECEIVES + (UNIT << LOG_QUEUE)).div_ceil(PAGE));
            let doorbell = self.page(f);
            let output = self.create_qp(f, &pages, |context| {
                qpc::pd.put(context, pd);
                qpc::log_rq_size.put(context, LOG_QUEUE);
                qpc::log_sq_size.put(context, LOG_QUEUE);
                qpc::uar_page.put(context, uar);
                qpc::cqn_snd.put(context, cqn);
                qpc::cqn_rcv.put(context, cqn);
                qpc::dbr_addr.put(context, doorbell);
            });
            End {
                qpn: layout::create_qp_out::qpn.get(&output.unwrap()),
                pages,
                doorbell,
                sends: 0,
                receives: 0,
            }
        });
        self.connect(f, ends[0].qpn, ends[1].qpn, 7);
        self.connect(f, ends[1].qpn, ends[0].qpn, 7);
        let memory = self.pages(f, pages);
        Pair {
            f,
            uar,
            cqn,
            cq_pages,
            cq_doorbell,
            log_cq,
            consumer: 0,
            key: self.create_mkey(f, pd, &memory),
            ends,
            pd,
            memory,
        }
    }

    /// Posts something, and does not ring for it.
    pub fn post_send(&mut self, pair: &mut Pair, end: usize, send: &Send) {
        let qp = &mut pair.ends[end];
        let entry = send.bytes(qp.qpn, qp.sends);
        for unit in entry.chunks(UNIT) {
            let slot = qp.sends as usize & ((1 << LOG_QUEUE) - 1);
            let offset = RECEIVES + slot * UNIT;
            self.poke(
                pair.f,
                qp.pages[offset / PAGE] + (offset % PAGE) as u64,
                unit,
            );
            qp.sends += 1;
        }
        let index = (qp.sends & 0xffff).to_be_bytes();
        self.poke(pair.f, qp.doorbell + 4, &index);
    }

    /// Rings for what was posted.
    pub fn ring(&mut self, pair: &Pair, end: usize) {
        let address = u64::from(pair.uar) * UAR_SIZE + 0x800;
        let mut first = [0; 8];
        mlx5_wqe_ctrl_seg::qpn.put(&mut first, pair.ends[end].qpn);
        self.nic
            .write(pair.f as u16, address, u64::from_le_bytes(first), 8);
    }

    /// Posts something, rings for it, and lets a millisecond pass.
    pub fn send(&mut self, pair: &mut Pair, end: usize, send: &Send) {
        self.post_send(pair, end, send);
        self.ring(pair, end);
        self.idle(1_000_000);
    }

    /// Posts a receive.
    pub fn post_receive(&mut self, pair: &mut Pair, end: usize, data: (u32, u64, u32)) {
        let qp = &mut pair.ends[end];
        let slot = qp.receives as usize & ((1 << LOG_QUEUE) - 1);
        let place = qp.pages[0] + slot as u64 * 16;
        qp.receives += 1;
        let index = (qp.receives & 0xffff).to_be_bytes();
        self.poke(pair.f, place, &data_segment(data.0, data.1, data.2));
        self.poke(pair.f, qp.doorbell, &index);
    }

    /// The next completion, whose place is then free.
    pub fn poll(&mut self, pair: &mut Pair) -> Option<Completion> {
        let offset = (pair.consumer as usize & ((1 << pair.log_cq) - 1)) * 64;
        let place = pair.cq_pages[offset / PAGE] + (offset % PAGE) as u64;
        let cqe = self.peek(pair.f, place, 64);
        let own = mlx5_cqe64::op_own.get(&cqe);
        if own >> 4 == 0xf || own & 1 != pair.consumer >> pair.log_cq & 1 {
            return None;
        }
        pair.consumer += 1;
        let index = (pair.consumer & 0xff_ffff).to_be_bytes();
        self.poke(pair.f, pair.cq_doorbell, &index);
        let bad = matches!(own >> 4, completion::REQ_ERR | completion::RESP_ERR);
        Some(Completion {
            kind: own >> 4,
            syndrome: if bad {
                mlx5_err_cqe::syndrome.get(&cqe)
            } else {
                0
            },
            qpn: mlx5_cqe64::sop_drop_qpn.get(&cqe) & 0xff_ffff,
            index: mlx5_cqe64::wqe_counter.get(&cqe),
            bytes: mlx5_cqe64::byte_cnt.get(&cqe),
            imm: mlx5_cqe64::imm_inval_pkey.get(&cqe),
        })
    }

    /// All completions.
    pub fn poll_all(&mut self, pair: &mut Pair) -> Vec<Completion> {
        std::iter::from_fn(|| self.poll(pair)).collect()
    }
}
