// SPDX-License-Identifier: GPL-2.0

//! Send queues, as a driver uses them: RDMA WRITE and SEND between two QPs of one function.

use connectx_firmware::layout::context::{mkc, qpc};
use connectx_firmware::layout::wire::{completion, event, mlx5_eqe, mlx5_eqe_qp_srq, work};
use connectx_firmware::layout::Slot;
use connectx_firmware::Status;
use connectx_rig::{Completion, End, EventQueue, Pair, Rig, Send, PAGE};

const P: u64 = PAGE as u64;
/// Syndromes of completions.
const LOCAL_LENGTH: u32 = 0x01;
const LOCAL_QP_OP: u32 = 0x02;
const LOCAL_PROT: u32 = 0x04;
const WR_FLUSH: u32 = 0x05;
const REMOTE_INVAL_REQ: u32 = 0x12;
const REMOTE_ACCESS: u32 = 0x13;
const REMOTE_OP: u32 = 0x14;
const TRANSPORT_RETRY_EXC: u32 = 0x15;
const RNR_RETRY_EXC: u32 = 0x16;
/// States in a context.
const RTS: u32 = 3;
const ERR: u32 = 6;

/// VF 1 with a pair and so many pages of memory.
fn setup(pages: usize) -> (Rig, Pair) {
    let (rig, pair, _) = setup_with_eq(pages, 7);
    (rig, pair)
}

/// The same with the EQ of its errors, and a CQ of another size.
fn setup_with_eq(pages: usize, log_cq: u32) -> (Rig, Pair, EventQueue) {
    let mut rig = Rig::running(&[], 2);
    rig.init(1);
    let uar = rig.number(1, 0x802, 0);
    let errors = 1 << event::WQ_CATAS_ERROR
        | 1 << event::WQ_ACCESS_ERROR
        | 1 << event::WQ_INVAL_REQ_ERROR
        | 1 << event::CQ_ERROR;
    let eq = rig.create_eq(1, uar, 6, 3, errors);
    let pair = rig.pair(1, uar, eq.number, log_cq, pages);
    (rig, pair, eq)
}

fn fill(rig: &Rig, pair: &Pair, page: usize, byte: u8) {
    rig.poke(pair.f, pair.memory[page], &[byte; PAGE]);
}

fn state(rig: &mut Rig, pair: &Pair, end: usize) -> u32 {
    qpc::state.get(&rig.query_qp(pair.f, pair.ends[end].qpn))
}

/// Type of an event and the QP in it.
fn event_of(eqe: &[u8]) -> (u32, u32) {
    let data = mlx5_eqe::data.of(eqe);
    (
        mlx5_eqe::r#type.get(eqe),
        mlx5_eqe_qp_srq::qp_srq_n.get(data),
    )
}

fn kinds(all: &[Completion]) -> Vec<(u32, u32)> {
    all.iter().map(|c| (c.kind, c.syndrome)).collect()
}

/// An RDMA WRITE of the first page to the second.
fn write(pair: &Pair) -> Send {
    Send::new(work::RDMA_WRITE, &[(pair.key, 0, P as u32)]).to(P, pair.key)
}

#[test]
fn an_rdma_write() {
    let (mut rig, mut pair) = setup(4);
    fill(&rig, &pair, 0, 0x11);
    let send = write(&pair);
    rig.send(&mut pair, 0, &send);
    let qpn = pair.ends[0].qpn;
    let done = Completion {
        kind: completion::REQ,
        syndrome: 0,
        qpn,
        index: 0,
        bytes: 0,
        imm: 0,
    };
    assert_eq!(rig.poll_all(&mut pair), [done]);
    assert_eq!(rig.peek(1, pair.memory[1], PAGE), [0x11; PAGE]);
    assert_eq!(rig.peek(1, pair.memory[2], PAGE), [0; PAGE]);
    // Without a completion, and then with one, which says where it was.
    let quiet = Send {
        signalled: false,
        ..send.clone()
    };
    rig.send(&mut pair, 0, &quiet);
    assert_eq!(rig.poll(&mut pair), None);
    rig.send(&mut pair, 0, &send);
    assert_eq!(rig.poll_all(&mut pair), [Completion { index: 2, ..done }]);
}

#[test]
fn messages_with_and_without_an_immediate() {
    let (mut rig, mut pair) = setup(4);
    fill(&rig, &pair, 0, 0x22);
    // From two pieces into two others.
    let data = [(pair.key, 0, 100), (pair.key, 300, 50)];
    let key = pair.key;
    for (opcode, kind) in [
        (work::SEND, completion::RESP_SEND),
        (work::SEND_IMM, completion::RESP_SEND_IMM),
    ] {
        rig.post_receive(&mut pair, 1, (key, 2 * P - 30, 200));
        let send = Send {
            imm: 0x0102_0304,
            ..Send::new(opcode, &data)
        };
        rig.send(&mut pair, 0, &send);
        let all = rig.poll_all(&mut pair);
        assert_eq!(kinds(&all), [(kind, 0), (completion::REQ, 0)]);
        assert_eq!((all[0].bytes, all[0].qpn), (150, pair.ends[1].qpn));
        if opcode == work::SEND_IMM {
            assert_eq!((all[0].imm, all[0].index), (0x0102_0304, 1));
        }
        assert_eq!(rig.peek(1, pair.memory[1] + P - 30, 30), [0x22; 30]);
        assert_eq!(
            rig.peek(1, pair.memory[2], 121),
            [&[0x22; 120][..], &[0]].concat()
        );
        fill(&rig, &pair, 2, 0);
    }
}

#[test]
fn data_in_the_entry_and_an_immediate_of_a_write() {
    let (mut rig, mut pair) = setup(4);
    let key = pair.key;
    rig.post_receive(&mut pair, 1, (key, 0, 0x1000));
    let send = Send {
        imm: 7,
        inline: Some((0..200).collect()),
        ..Send::new(work::RDMA_WRITE_IMM, &[]).to(P, key)
    };
    rig.send(&mut pair, 0, &send);
    let all = rig.poll_all(&mut pair);
    assert_eq!(
        kinds(&all),
        [(completion::RESP_WR_IMM, 0), (completion::REQ, 0)]
    );
    assert_eq!((all[0].bytes, all[0].imm), (200, 7));
    let bytes: Vec<u8> = (0..200).collect();
    assert_eq!(rig.peek(1, pair.memory[1], 200), bytes);
    assert_eq!(
        rig.peek(1, pair.memory[0], 200),
        [0; 200],
        "not the receive"
    );
}

/// Many at once, more than the queue has entries, in order, and both ways.
#[test]
fn queues_go_round() {
    let (mut rig, mut pair) = setup(4);
    let (qpn, mut index) = (pair.ends[0].qpn, 0);
    for round in 0..10 {
        let send = Send {
            inline: Some(vec![round; 40]),
            ..Send::new(work::RDMA_WRITE, &[]).to(P, pair.key)
        };
        // 16, 40 and 16 bytes: two units each.
        (0..7).for_each(|_| rig.post_send(&mut pair, 0, &send));
        rig.send(&mut pair, 1, &Send::new(work::NOP, &[]));
        assert_eq!(kinds(&rig.poll_all(&mut pair)), [(completion::REQ, 0)]);
        rig.ring(&pair, 0);
        rig.idle(1_000_000);
        let all = rig.poll_all(&mut pair);
        assert_eq!(all.len(), 7);
        for done in all {
            assert_eq!(
                (done.kind, done.qpn, done.index),
                (completion::REQ, qpn, index)
            );
            index += 2;
        }
        assert_eq!(rig.peek(1, pair.memory[1], 40), [round; 40]);
    }
    let context = rig.query_qp(1, qpn);
    assert_eq!(qpc::hw_sq_wqebb_counter.get(&context), 140);
    assert_eq!(qpc::state.get(&context), RTS);
}

/// A receive that comes late is waited for, for ever or not.
#[test]
fn nobody_is_ready_to_receive() {
    let (mut rig, mut pair) = setup(4);
    let key = pair.key;
    let send = Send::new(work::SEND, &[(key, 0, 64)]);
    rig.send(&mut pair, 0, &send);
    rig.idle(1_000_000_000);
    assert_eq!(rig.poll(&mut pair), None);
    rig.post_receive(&mut pair, 1, (key, P, 64));
    rig.idle(10_000_000);
    assert_eq!(
        kinds(&rig.poll_all(&mut pair)),
        [(completion::RESP_SEND, 0), (completion::REQ, 0)]
    );
    let qpn = pair.ends[0].qpn;
    rig.simple(1, 0x50a, 0, qpn).unwrap();
    rig.connect(1, qpn, pair.ends[1].qpn, 3);
    pair.ends[0] = fresh(&pair, 0);
    rig.send(&mut pair, 0, &send);
    rig.idle(20_000_000);
    assert_eq!(rig.poll(&mut pair), None);
    rig.idle(20_000_000);
    assert_eq!(
        kinds(&rig.poll_all(&mut pair)),
        [(completion::REQ_ERR, RNR_RETRY_EXC)]
    );
}

/// An end as after a reset.
fn fresh(pair: &Pair, end: usize) -> End {
    pair.ends[end].rewound()
}

/// What fails, who learns it how, and that the rest is flushed.
#[test]
fn errors() {
    type Make = fn(&mut Rig, &mut Pair) -> Send;

    // What is sent, the syndrome, the other end's events and its receives' completions.
    let all: &[(Make, u32, &[u8], &[u32])] = &[
        (
            |_, pair| Send::new(work::RDMA_WRITE, &[(pair.key + 0x100, 0, 4096)]).to(P, pair.key),
            LOCAL_PROT,
            &[],
            &[],
        ),
        (
            |_, pair| Send::new(work::RDMA_WRITE, &[(pair.key, 4 * P - 8, 16)]).to(P, pair.key),
            LOCAL_PROT,
            &[],
            &[],
        ),
        (
            |_, pair| Send::new(work::RDMA_WRITE, &[(pair.key, 0, 16)]).to(4 * P - 8, pair.key),
            REMOTE_ACCESS,
            &[event::WQ_ACCESS_ERROR],
            &[],
        ),
        (
            |_, pair| Send::new(work::RDMA_WRITE, &[(pair.key, 0, 16)]).to(0, pair.key + 1),
            REMOTE_ACCESS,
            &[event::WQ_ACCESS_ERROR],
            &[],
        ),
        (
            |rig, pair| {
                let (pd, memory) = (pair.pd, pair.memory.clone());
                let no_rw = |context: &mut [u8]| mkc::rw.put(context, 0);
                let key = rig.create_mkey_but(1, pd, &memory, no_rw);
                Send::new(work::RDMA_WRITE, &[(key, 0, 16)]).to(0, key)
            },
            REMOTE_ACCESS,
            &[event::WQ_ACCESS_ERROR],
            &[],
        ),
        (
            |rig, pair| {
                let (pd, memory) = (pair.pd, pair.memory.clone());
                let no_lr = |context: &mut [u8]| mkc::lr.put(context, 0);
                let key = rig.create_mkey_but(1, pd, &memory, no_lr);
                Send::new(work::RDMA_WRITE, &[(key, 0, 16)]).to(0, pair.key)
            },
            LOCAL_PROT,
            &[],
            &[],
        ),
        (
            // The key is another QP's.
            |rig, pair| {
                let (pd, memory, qpn) = (pair.pd, pair.memory.clone(), pair.ends[1].qpn);
                let of_one = |context: &mut [u8]| mkc::qpn.put(context, qpn);
                let key = rig.create_mkey_but(1, pd, &memory, of_one);
                Send::new(work::RDMA_WRITE, &[(key, 0, 16)]).to(0, key)
            },
            LOCAL_PROT,
            &[],
            &[],
        ),
        (
            // The key is of another domain.
            |rig, pair| {
                let (pd, memory) = (rig.number(1, 0x800, 0), pair.memory.clone());
                let key = rig.create_mkey(1, pd, &memory);
                Send::new(work::RDMA_WRITE, &[(pair.key, 0, 16)]).to(0, key)
            },
            REMOTE_ACCESS,
            &[event::WQ_ACCESS_ERROR],
            &[],
        ),
        (
            |rig, pair| {
                let key = pair.key;
                rig.post_receive(pair, 1, (key, 0, 15));
                rig.post_receive(pair, 1, (key, 0, 16));
                Send::new(work::SEND, &[(key, 0, 16)])
            },
            REMOTE_INVAL_REQ,
            &[],
            &[LOCAL_LENGTH, WR_FLUSH],
        ),
        (
            |rig, pair| {
                rig.post_receive(pair, 1, (0x7700, 0, 16));
                Send::new(work::SEND, &[(pair.key, 0, 16)])
            },
            REMOTE_OP,
            &[],
            &[LOCAL_PROT],
        ),
        (|_, _| Send::new(0x11, &[]), LOCAL_QP_OP, &[], &[]),
        (
            |_, pair| Send::new(work::SEND, &[(pair.key, 0, 0)]),
            LOCAL_LENGTH,
            &[],
            &[],
        ),
        (
            |rig, pair| {
                let qpn = pair.ends[1].qpn;
                rig.simple(1, 0x50a, 0, qpn).unwrap();
                write(pair)
            },
            TRANSPORT_RETRY_EXC,
            &[],
            &[],
        ),
        (
            // Memory that is not there.
            |rig, pair| {
                let mut shared = rig.machine.lock();
                shared.memory[1].unmap(pair.memory[1]);
                drop(shared);
                write(pair)
            },
            REMOTE_ACCESS,
            &[event::WQ_ACCESS_ERROR],
            &[],
        ),
    ];
    for (number, (make, syndrome, events, receives)) in all.iter().enumerate() {
        let (mut rig, mut pair, mut eq) = setup_with_eq(4, 7);
        let send = make(&mut rig, &mut pair);
        rig.post_send(&mut pair, 0, &send);
        let good = Send {
            signalled: false,
            ..write(&pair)
        };
        rig.send(&mut pair, 0, &good);
        let (ends, all) = (pair.ends.clone(), rig.poll_all(&mut pair));
        let of = |end: usize| -> Vec<(u32, u32)> {
            let mine = all.iter().filter(|c| c.qpn == ends[end].qpn);
            mine.map(|c| (c.kind, c.syndrome)).collect()
        };
        let wanted = [*syndrome, WR_FLUSH].map(|syndrome| (completion::REQ_ERR, syndrome));
        assert_eq!(of(0), wanted, "{number}");
        let wanted = receives.iter().map(|s| (completion::RESP_ERR, *s));
        assert_eq!(of(1), wanted.collect::<Vec<_>>(), "{number}");
        assert_eq!(state(&mut rig, &pair, 0), ERR, "{number}");
        let harmed = !events.is_empty() || !receives.is_empty();
        assert_eq!(state(&mut rig, &pair, 1) == ERR, harmed, "{number}");
        let seen = std::iter::from_fn(|| rig.next_event(1, &mut eq));
        let seen: Vec<(u32, u32)> = seen.map(|eqe| event_of(&eqe)).collect();
        let wanted = events.iter().map(|kind| (u32::from(*kind), ends[1].qpn));
        assert_eq!(seen, wanted.collect::<Vec<_>>(), "{number}");
    }
}

#[test]
fn to_error_and_back() {
    let (mut rig, mut pair) = setup(4);
    let key = pair.key;
    rig.post_receive(&mut pair, 0, (key, 0, 16));
    let send = write(&pair);
    rig.post_send(&mut pair, 0, &send);
    let qpn = pair.ends[0].qpn;
    rig.simple(1, 0x507, 0, qpn).unwrap();
    let flushed = [completion::REQ_ERR, completion::RESP_ERR].map(|kind| (kind, WR_FLUSH));
    assert_eq!(kinds(&rig.poll_all(&mut pair)), flushed);
    // What is rung for in error is flushed, too.
    rig.send(&mut pair, 0, &send);
    assert_eq!(kinds(&rig.poll_all(&mut pair)), flushed[..1]);
    rig.simple(1, 0x50a, 0, qpn).unwrap();
    pair.ends[0] = fresh(&pair, 0);
    rig.connect(1, qpn, pair.ends[1].qpn, 7);
    rig.send(&mut pair, 0, &send);
    assert_eq!(kinds(&rig.poll_all(&mut pair)), [(completion::REQ, 0)]);
}

#[test]
fn a_full_completion_queue_is_an_error() {
    let (mut rig, mut pair, mut eq) = setup_with_eq(2, 2);
    for _ in 0..5 {
        rig.post_send(&mut pair, 0, &Send::new(work::NOP, &[]));
    }
    rig.ring(&pair, 0);
    rig.idle(1_000_000);
    let kinds = std::iter::from_fn(|| rig.next_event(1, &mut eq));
    let kinds: Vec<u32> = kinds.map(|eqe| event_of(&eqe).0).collect();
    assert_eq!(
        kinds,
        [event::CQ_ERROR, event::WQ_CATAS_ERROR].map(u32::from)
    );
    assert_eq!(rig.poll_all(&mut pair).len(), 4);
    assert_eq!(state(&mut rig, &pair, 0), ERR);
}

#[test]
fn an_index_that_makes_no_sense() {
    let (mut rig, mut pair) = setup(4);
    rig.poke(1, pair.ends[0].doorbell + 4, &17_u32.to_be_bytes());
    rig.ring(&pair, 0);
    rig.idle(1_000_000);
    assert_eq!(rig.poll(&mut pair), None);
    assert_eq!(state(&mut rig, &pair, 0), ERR);
}

#[test]
fn a_doorbell_in_another_page_is_none() {
    let (mut rig, mut pair) = setup(4);
    let send = write(&pair);
    rig.post_send(&mut pair, 0, &send);
    let other = rig.number(1, 0x802, 0);
    let value = u64::from((pair.ends[0].qpn << 8).swap_bytes()) << 32;
    rig.nic.write(1, u64::from(other) * P + 0x800, value, 8);
    rig.idle(1_000_000);
    assert_eq!(rig.poll(&mut pair), None);
    rig.ring(&pair, 0);
    rig.idle(1_000_000);
    assert_eq!(kinds(&rig.poll_all(&mut pair)), [(completion::REQ, 0)]);
}

#[test]
fn what_a_queue_pair_uses_stays() {
    let (mut rig, pair) = setup(4);
    let busy = Status::ResBusy as u8;
    assert_eq!(rig.simple(1, 0x401, 0, pair.cqn).status(), busy);
    assert_eq!(rig.simple(1, 0x801, 0, pair.pd).status(), busy);
    assert_eq!(rig.simple(1, 0x803, 0, 16).status(), busy);
    for end in &pair.ends {
        rig.simple(1, 0x501, 0, end.qpn).unwrap();
    }
    rig.simple(1, 0x401, 0, pair.cqn).unwrap();
}

/// Both halves of VF 1, and its memory, become VF 2.
fn move_to_2(rig: &mut Rig, mut pair: Pair) -> Pair {
    rig.suspend(1, true).unwrap();
    let image = rig.save_all(1);
    rig.stop(2);
    rig.load(2, &image).unwrap();
    assert_eq!(rig.save_all(2), image);
    let mut shared = rig.machine.lock();
    shared.memory[2] = std::mem::take(&mut shared.memory[1]);
    drop(shared);
    rig.go(2);
    pair.f = 2;
    pair
}

/// What was rung for while the function was suspended is done where it goes on.
#[test]
fn held_doorbells_move() {
    let (mut rig, mut pair) = setup(4);
    fill(&rig, &pair, 0, 0x33);
    rig.suspend(1, false).unwrap();
    let send = write(&pair);
    rig.send(&mut pair, 0, &send);
    rig.idle(1_000_000_000);
    assert_eq!(rig.poll(&mut pair), None, "it is suspended");
    let mut pair = move_to_2(&mut rig, pair);
    rig.idle(1_000_000);
    assert_eq!(kinds(&rig.poll_all(&mut pair)), [(completion::REQ, 0)]);
    assert_eq!(rig.peek(2, pair.memory[1], PAGE), [0x33; PAGE]);
    rig.send(&mut pair, 0, &send);
    let again = rig.poll_all(&mut pair);
    assert_eq!((again.len(), again[0].index), (1, 1), "it goes on counting");
}

/// A message that is being moved goes on where it was.
#[test]
fn a_long_message_moves_in_the_middle() {
    let pages = 1024;
    let (mut rig, mut pair) = setup(2 * pages);
    for page in 0..pages {
        fill(&rig, &pair, page, (page % 251) as u8 + 1);
    }
    let key = pair.key;
    rig.post_receive(&mut pair, 1, (key, pages as u64 * P, (pages * PAGE) as u32));
    let send = Send::new(work::SEND, &[(key, 0, (pages * PAGE) as u32)]);
    rig.post_send(&mut pair, 0, &send);
    rig.ring(&pair, 0);
    // A few of its sixteen slices.
    rig.idle(100_000);
    let there = |rig: &Rig, pair: &Pair, page: usize| {
        rig.peek(pair.f, pair.memory[pages + page], PAGE) == [(page % 251) as u8 + 1; PAGE]
    };
    rig.suspend(1, false).unwrap();
    let sent = (0..pages)
        .take_while(|page| there(&rig, &pair, *page))
        .count();
    assert!((1..pages).contains(&sent), "{sent}");
    assert_eq!(rig.poll(&mut pair), None);
    rig.machine.lock().memory[1].written.clear();
    let mut pair = move_to_2(&mut rig, pair);
    rig.idle(1_000_000);
    assert_eq!(
        kinds(&rig.poll_all(&mut pair)),
        [(completion::RESP_SEND, 0), (completion::REQ, 0)]
    );
    assert!((0..pages).all(|page| there(&rig, &pair, page)));
    let written = rig.machine.lock().memory[2].written.clone();
    assert!(!written.contains(&(pair.memory[pages] / P)), "not again");
}

/// Every page that work wrote to is reported.
#[test]
fn work_is_tracked() {
    let (mut rig, mut pair) = setup(40);
    let uar = rig.number(0, 0x802, 0);
    let eq = rig.create_eq(0, uar, 8, 1, 1 << event::OBJECT_CHANGE);
    let mut reporter = rig.reporter(uar, eq.number, 3, 12);
    let output = rig.track(1, &reporter, 12, &[(0, 1 << 40)]).unwrap();
    let id = u32::from_be_bytes(output[8..12].try_into().unwrap());
    rig.machine.lock().memory[1].written.clear();
    let key = pair.key;
    rig.post_receive(&mut pair, 0, (key, 30 * P, 5 * P as u32));
    let send = Send::new(work::RDMA_WRITE, &[(key, 0, 8 * P as u32)]).to(9 * P + 8, key);
    rig.send(&mut pair, 0, &send);
    rig.send(&mut pair, 1, &Send::new(work::SEND, &[(key, 0, 4097)]));
    assert_eq!(rig.poll_all(&mut pair).len(), 3);
    let written: Vec<u64> = {
        let shared = rig.machine.lock();
        shared.memory[1]
            .written
            .iter()
            .map(|page| page * P)
            .collect()
    };
    assert!(written.len() > 9 + 2, "{}", written.len());
    let (mut pages, _) = rig.report(&mut reporter, id, 0, 1 << 40);
    pages.sort_unstable();
    assert_eq!(pages, written);
}
