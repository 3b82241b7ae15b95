// SPDX-License-Identifier: GPL-2.0

//! The driver's end of a page tracker: an RC pair, a CQ, and buffers for the reports.

use crate::driver::{Outcome, Rig, PAGE};
use connectx_firmware::layout::command as layout;
use connectx_firmware::layout::context::qpc;
use connectx_firmware::layout::object::{page_track, page_track_range, PAGE_TRACK};
use connectx_firmware::layout::wire::{mlx5_cqe64, mlx5_wqe_data_seg};
use connectx_firmware::layout::Slot;
use connectx_firmware::UAR_SIZE;

/// What a driver needs for reports.
#[derive(Clone, Debug)]
pub struct Reporter {
    uar: u32,
    cqn: u32,
    cq_pages: Vec<u64>,
    cq_doorbell: u64,
    log_cq: u32,
    consumer: u32,
    /// The QP that receives.
    pub host_qp: u32,
    rq_page: u64,
    rq_doorbell: u64,
    rq_posted: u32,
    log_rq: u32,
    /// The QP that the device sends by.
    pub fw_qp: u32,
    key: u32,
    buffers: Vec<u64>,
    message: usize,
}

impl Rig {
    /// Makes all of it. Messages have `1 << log_message` bytes, the queue `1 << log_rq` entries.
    pub fn reporter(&mut self, uar: u32, eqn: u32, log_rq: u32, log_message: u32) -> Reporter {
        let (log_cq, message) = (log_rq + 1, 1usize << log_message);
        let pd = self.number(0, 0x800, 0);
        let cq_pages = self.pages(0, (64usize << log_cq).div_ceil(PAGE));
        for page in &cq_pages {
            // An entry that the device has not written belongs to nobody.
            self.poke(0, *page, &[0xf1; PAGE]);
        }
        let (cqn, cq_doorbell) = self.create_cq(0, uar, eqn, &cq_pages, log_cq);
        let (rq_page, rq_doorbell) = (self.page(0), self.page(0));
        let host_qp = self.create_qp(0, &[rq_page], |context| {
            qpc::pd.put(context, pd);
            qpc::no_sq.put(context, 1);
            qpc::log_rq_size.put(context, log_rq);
            qpc::cqn_rcv.put(context, cqn);
            qpc::dbr_addr.put(context, rq_doorbell);
        });
        // The kernel's driver leaves this in the context of a QP without queues.
        let fw_qp = self.create_qp(0, &[0], |context| {
            qpc::pd.put(context, pd);
            qpc::no_sq.put(context, 1);
            qpc::rq_type.put(context, 3);
            qpc::log_page_size.put(context, 0x14);
        });
        let [host_qp, fw_qp] =
            [host_qp, fw_qp].map(|made| layout::create_qp_out::qpn.get(&made.unwrap()));
        let buffers = self.pages(0, (message << log_rq).div_ceil(PAGE));
        let key = self.create_mkey(0, pd, &buffers);
        for (opcode, qpn, remote) in [
            (0x502, host_qp, 0),
            (0x503, host_qp, fw_qp),
            (0x502, fw_qp, 0),
            (0x503, fw_qp, host_qp),
            (0x504, fw_qp, 0),
        ] {
            let to = |context: &mut [u8]| qpc::remote_qpn.put(context, remote);
            self.modify_qp(0, opcode, qpn, to).unwrap();
        }
        let mut reporter = Reporter {
            uar,
            cqn,
            cq_pages,
            cq_doorbell,
            log_cq,
            consumer: 0,
            host_qp,
            rq_page,
            rq_doorbell,
            rq_posted: 0,
            log_rq,
            fw_qp,
            key,
            buffers,
            message,
        };
        for _ in 0..1 << log_rq {
            self.post_report(&mut reporter);
        }
        reporter
    }

    fn post_report(&mut self, reporter: &mut Reporter) {
        let slot = reporter.rq_posted & ((1 << reporter.log_rq) - 1);
        let mut wqe = [0; mlx5_wqe_data_seg::SIZE];
        mlx5_wqe_data_seg::byte_count.put(&mut wqe, reporter.message as u32);
        mlx5_wqe_data_seg::lkey.put(&mut wqe, reporter.key);
        mlx5_wqe_data_seg::addr.put(&mut wqe, u64::from(slot) * reporter.message as u64);
        self.poke(0, reporter.rq_page + u64::from(slot) * 16, &wqe);
        reporter.rq_posted += 1;
        self.poke(
            0,
            reporter.rq_doorbell,
            &(reporter.rq_posted & 0xffff).to_be_bytes(),
        );
    }

    /// Starts a tracker of VF `vf`.
    pub fn track(
        &mut self,
        vf: usize,
        reporter: &Reporter,
        log_page: u32,
        ranges: &[(u64, u64)],
    ) -> Outcome {
        let id = self.vhca_id(vf);
        let length = 0x40 + ranges.len() * page_track_range::SIZE;
        let (qpn, log_message) = (reporter.fw_qp, reporter.message.ilog2());
        self.command(0, 0xa00, 0, length, 16, |input| {
            layout::general_obj_in_cmd_hdr::obj_type.put(input, PAGE_TRACK);
            let object = layout::create_page_track_obj_in::obj_context.of_mut(input);
            page_track::vhca_id.put(object, id);
            page_track::track_type.put(object, 1);
            page_track::log_addr_space_size.put(object, 52);
            page_track::log_page_size.put(object, log_page);
            page_track::log_msg_size.put(object, log_message);
            page_track::reporting_qpn.put(object, qpn);
            page_track::num_ranges.put(object, ranges.len() as u32);
            let array = page_track::track_range.of_mut(object);
            for (entry, (start, size)) in array.chunks_exact_mut(page_track_range::SIZE).zip(ranges)
            {
                page_track_range::start_address.put(entry, *start);
                page_track_range::length.put(entry, *size);
            }
        })
    }

    /// Tells tracker `id` to report a range, and does not wait for it.
    pub fn begin_report(&mut self, id: u32, start: u64, length: u64) -> Outcome {
        self.command(0, 0xa01, 0, 0x40, 16, |input| {
            layout::general_obj_in_cmd_hdr::obj_type.put(input, PAGE_TRACK);
            layout::general_obj_in_cmd_hdr::obj_id.put(input, id);
            let object = layout::create_page_track_obj_in::obj_context.of_mut(input);
            page_track::modify_field_select.put(object, 3);
            page_track::state.put(object, 1);
            page_track::range_start_address.put(object, start);
            page_track::length.put(object, length);
        })
    }

    /// The next message: state and addresses. Its place is free for another.
    pub fn next_message(&mut self, reporter: &mut Reporter) -> Option<(u32, Vec<u64>)> {
        let offset = (reporter.consumer as usize & ((1 << reporter.log_cq) - 1)) * 64;
        let cqe = self.peek(
            0,
            reporter.cq_pages[offset / PAGE] + (offset % PAGE) as u64,
            64,
        );
        let own = mlx5_cqe64::op_own.get(&cqe);
        if own >> 4 == 0xf || own & 1 != reporter.consumer >> reporter.log_cq & 1 {
            return None;
        }
        assert_eq!(own >> 4, 3, "a receive with an immediate");
        let state = mlx5_cqe64::imm_inval_pkey.get(&cqe) >> 28;
        let length = mlx5_cqe64::byte_cnt.get(&cqe) as usize;
        let slot = mlx5_cqe64::wqe_counter.get(&cqe) & ((1 << reporter.log_rq) - 1);
        let all = self.peek_pages(0, &reporter.buffers, reporter.message << reporter.log_rq);
        let data = &all[slot as usize * reporter.message..][..length];
        let pages = connectx_firmware::layout::quads(data).collect();
        reporter.consumer += 1;
        self.post_report(reporter);
        self.poke(
            0,
            reporter.cq_doorbell,
            &(reporter.consumer & 0xff_ffff).to_be_bytes(),
        );
        Some((state, pages))
    }

    /// Asks for an event for the next completion.
    pub fn arm_cq(&mut self, reporter: &Reporter) {
        let first = u64::from((reporter.consumer & 0xff_ffff).swap_bytes());
        let second = u64::from(reporter.cqn.swap_bytes());
        let address = u64::from(reporter.uar) * UAR_SIZE + 0x20;
        self.nic.write(0, address, second << 32 | first, 8);
    }

    /// A whole report: the pages, and the number of messages.
    pub fn report(
        &mut self,
        reporter: &mut Reporter,
        id: u32,
        start: u64,
        length: u64,
    ) -> (Vec<u64>, usize) {
        self.begin_report(id, start, length).unwrap();
        let (mut pages, mut messages) = (Vec::new(), 0);
        for _ in 0..100_000 {
            match self.next_message(reporter) {
                Some((state, more)) => {
                    pages.extend(more);
                    messages += 1;
                    if state != 1 {
                        assert_eq!(state, 0, "an error");
                        return (pages, messages);
                    }
                }
                None => self.arm_cq(reporter),
            }
        }
        panic!("the report never ends");
    }
}
