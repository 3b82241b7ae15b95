// SPDX-License-Identifier: GPL-2.0

//! The command queue, capabilities, objects and events, as a driver sees them.

use connectx_firmware::layout::capability::{
    adv_virtualization_cap, cmd_hca_cap, cmd_hca_cap_2, device_event_cap, kind,
};
use connectx_firmware::layout::command::{
    create_eq_in, init2rtr_qp_in, manage_pages_in, query_issi_out, query_pages_out,
};
use connectx_firmware::layout::wire::{event, mlx5_cmd_layout, mlx5_cmd_prot_block, mlx5_eqe};
use connectx_firmware::layout::{Bits, Slot};
use connectx_firmware::Status;
use connectx_rig::{Outcome, Rig};

const BAD_PARAM: u8 = Status::BadParam as u8;
const BAD_RES: u8 = Status::BadRes as u8;
const BAD_RES_STATE: u8 = Status::BadResState as u8;
const BAD_SYS_STATE: u8 = Status::BadSysState as u8;
const BUSY: u8 = Status::ResBusy as u8;

/// Commands of mlx5_core's probe and unload, in its order.
#[test]
fn probe_and_unload() {
    let mut rig = Rig::with(&[], 2);
    assert_eq!(rig.read32(0, 0x4) >> 16, 5);
    assert_eq!(rig.read32(0, 0x1fc) & 0xc080_0000, 0);
    rig.set_queue(0);
    assert_eq!(
        rig.read32(0, 0x14) & 0xff,
        5 << 4 | 6,
        "sizes can be read back"
    );
    rig.simple(0, 0x104, 0, 0).unwrap();
    let issi = rig.command(0, 0x10a, 0, 16, 0x70, |_| ()).unwrap();
    assert_eq!(query_issi_out::supported_issi_dw0.get(&issi), 2);
    rig.simple(0, 0x10b, 0, 1).unwrap();
    assert_eq!(rig.simple(0, 0x10b, 0, 5).status(), BAD_PARAM);
    let pages = rig.simple(0, 0x107, 1, 0).unwrap();
    assert_eq!(query_pages_out::num_pages.get(&pages), 0);
    rig.command(0, 0x805, 0, 32, 32, |input| {
        Bits::new(8, 15, 0).put(input, 0x7004)
    })
    .unwrap();
    let most = rig.capabilities(0, kind::GENERAL, false, None);
    assert_eq!(cmd_hca_cap::port_type.get(&most), 1);
    assert_eq!(cmd_hca_cap::hca_cap_2.get(&most), 1);
    assert!(cmd_hca_cap::max_num_eqs.get(&most) > 3);
    rig.init(0);
    let now = rig.capabilities(0, kind::GENERAL, true, None);
    assert_eq!(
        cmd_hca_cap::log_max_qp.get(&now),
        10,
        "what was set is current"
    );
    let more = rig.capabilities(0, kind::GENERAL_2, true, None);
    assert_eq!(cmd_hca_cap_2::migration_multi_load.get(&more), 1);
    assert_eq!(cmd_hca_cap_2::migration_tracking_state.get(&more), 1);
    assert_eq!(cmd_hca_cap_2::migration_in_chunks.get(&more), 0);
    let events = rig.capabilities(0, kind::DEVICE_EVENT, true, None);
    assert_eq!(
        device_event_cap::user_affiliated_events.get(&events),
        1 << event::OBJECT_CHANGE
    );
    let tracker = rig.capabilities(0, kind::ADV_VIRTUALIZATION, true, None);
    assert!(adv_virtualization_cap::pg_track_log_max_msg_size.get(&tracker) >= 12);
    rig.command(0, 0x101, 0, 16, 0x110, |_| ()).unwrap();
    let uar = rig.number(0, 0x802, 0);
    let eq = rig.create_eq(0, uar, 8, 0, 1 << event::CMD);
    rig.simple(0, 0x302, 0, eq.number).unwrap();
    rig.simple(0, 0x803, 0, uar).unwrap();
    rig.simple(0, 0x103, 0, 0).unwrap();
    rig.simple(0, 0x105, 0, 0).unwrap();
    // And again.
    rig.init(0);
}

#[test]
fn the_health_counter_moves() {
    let mut rig = Rig::with(&[], 0);
    let first = rig.read32(0, 0x1010);
    rig.idle(3_000_000_000);
    let second = rig.read32(0, 0x1010);
    assert!(first != 0 && second != first && second != u32::MAX);
    assert_eq!(rig.nic.read(0, 0x23d, 1), 0);
}

#[test]
fn accesses_of_any_size_see_the_same_bytes() {
    let rig = Rig::with(&[], 0);
    let whole = rig.nic.read(0, 0, 8).to_le_bytes();
    for (at, byte) in whole.iter().enumerate() {
        assert_eq!(rig.nic.read(0, at as u64, 1), u64::from(*byte));
    }
    assert_eq!(
        rig.nic.read(7, 0, 4),
        0xffff_ffff,
        "there is no such function"
    );
    assert_eq!(
        rig.nic.read(0, u64::MAX - 3, 8) as u32,
        0,
        "past the end of all addresses"
    );
}

#[test]
fn commands_before_their_time() {
    let mut rig = Rig::with(&[], 1);
    rig.set_queue(0);
    rig.set_queue(1);
    assert_eq!(rig.simple(0, 0x102, 0, 0).status(), BAD_SYS_STATE);
    assert_eq!(
        rig.simple(1, 0x104, 0, 0).status(),
        BAD_SYS_STATE,
        "a VF the PF has not enabled"
    );
    rig.init(0);
    assert_eq!(rig.simple(0, 0x102, 0, 0).status(), BAD_SYS_STATE, "twice");
    rig.enable(1);
    rig.init(1);
    assert_eq!(
        rig.simple(1, 0x115, 0, 1).status(),
        Status::BadOp as u8,
        "a VF is no manager"
    );
    assert_eq!(rig.simple(1, 0x104, 0, 0).status(), 0);
    assert_eq!(
        rig.simple(0, 0x104, 0, 2).status(),
        BAD_PARAM,
        "there is no VF 2"
    );
    assert_eq!(rig.simple(0, 0x999, 0, 0).status(), Status::BadOp as u8);
    assert_eq!(
        rig.command(0, 0x301, 0, 64, 16, |_| ()).status(),
        Status::BadInputLen as u8
    );
    assert_eq!(
        rig.command(0, 0x101, 0, 16, 16, |_| ()).status(),
        Status::BadOutputLen as u8
    );
}

/// The driver takes an event for the completion of whatever is in the slot.
#[test]
fn a_command_has_one_event_or_none() {
    let mut rig = Rig::running(&[], 0);
    let uar = rig.number(0, 0x802, 0);
    let mut eq = rig.create_eq(0, uar, 8, 3, 1 << event::CMD);
    assert_eq!(
        rig.next_event(0, &mut eq),
        None,
        "none for the command that makes the queue"
    );
    rig.arm_eq(0, uar, &eq);
    assert_eq!(rig.machine.lock().interrupts, []);
    for _ in 0..600 {
        rig.number(0, 0x107, 0);
        let eqe = rig.next_event(0, &mut eq).expect("an event for each");
        assert_eq!(mlx5_eqe::r#type.get(&eqe), u32::from(event::CMD));
        assert_eq!(
            Bits::new(0, 31, 0).get(mlx5_eqe::data.of(&eqe)),
            1,
            "of slot 0"
        );
        assert_eq!(rig.next_event(0, &mut eq), None);
        assert_eq!(std::mem::take(&mut rig.machine.lock().interrupts), [(0, 3)]);
        rig.arm_eq(0, uar, &eq);
    }
    rig.simple(0, 0x302, 0, eq.number).unwrap();
    assert_eq!(
        rig.next_event(0, &mut eq),
        None,
        "none for the command that destroys it"
    );
}

#[test]
fn an_event_that_came_before_arming_interrupts_at_once() {
    let mut rig = Rig::running(&[], 0);
    let uar = rig.number(0, 0x802, 0);
    let mut eq = rig.create_eq(0, uar, 4, 5, 1 << event::CMD);
    rig.number(0, 0x107, 0);
    assert_eq!(rig.machine.lock().interrupts, []);
    rig.arm_eq(0, uar, &eq);
    assert_eq!(rig.machine.lock().interrupts, [(0, 5)]);
    // A queue that is never read is not overrun.
    for _ in 0..40 {
        rig.number(0, 0x107, 0);
    }
    let mut events = 0;
    while rig.next_event(0, &mut eq).is_some() {
        events += 1;
    }
    assert_eq!(events, 16);
}

#[test]
fn delivery_errors() {
    let mut rig = Rig::running(&[], 0);
    let queue = (u64::from(rig.read32(0, 0x10)) << 32) | u64::from(rig.read32(0, 0x14) & !0xfff);
    let mut damage = |name: &str, wanted: u8, change: &dyn Fn(&mut [u8], &mut [u8])| {
        let mut input = vec![0; 0x110 + 8];
        Bits::new(0, 31, 16).put(&mut input, 0x301);
        rig.place(0, &input, 16);
        let mut entry = rig.peek(0, queue, 64);
        let mailbox = mlx5_cmd_layout::in_ptr.get(&entry);
        let mut block = rig.peek(0, mailbox, mlx5_cmd_prot_block::SIZE);
        change(&mut entry, &mut block);
        rig.poke(0, mailbox, &block);
        rig.poke(0, queue, &entry);
        rig.write32(0, 0x18, 1);
        rig.idle(1_000_000_000);
        assert_eq!(rig.outcome(0, 16), Outcome::Delivery(wanted), "{name}");
    };
    damage("type", 0x10, &|entry, _| {
        mlx5_cmd_layout::r#type.put(entry, 6)
    });
    damage("token", 2, &|_, block| {
        mlx5_cmd_prot_block::token.put(block, 0)
    });
    damage("block number", 3, &|_, block| {
        mlx5_cmd_prot_block::block_num.put(block, 1)
    });
    damage("input pointer", 5, &|entry, _| {
        mlx5_cmd_layout::in_ptr.put(entry, 0x1001)
    });
    damage("unmapped input", 6, &|entry, _| {
        mlx5_cmd_layout::in_ptr.put(entry, 0x7000_0000)
    });
    damage("no input", 7, &|entry, _| {
        mlx5_cmd_layout::in_ptr.put(entry, 0)
    });
    damage("input length", 7, &|entry, _| {
        mlx5_cmd_layout::inlen.put(entry, u32::MAX)
    });
    damage("short input", 7, &|entry, _| {
        mlx5_cmd_layout::inlen.put(entry, 4)
    });
    damage("output length", 8, &|entry, _| {
        mlx5_cmd_layout::outlen.put(entry, u32::MAX)
    });
    damage("output pointer", 4, &|entry, _| {
        mlx5_cmd_layout::out_ptr.put(entry, 0x1001)
    });
    rig.number(0, 0x107, 0);
}

#[test]
fn a_slot_that_the_driver_owns_is_left_alone() {
    let mut rig = Rig::running(&[], 0);
    rig.write32(0, 0x18, 0xffff_fffe);
    rig.idle(1_000_000_000);
    rig.number(0, 0x107, 0);
}

#[test]
fn objects_in_use_stay() {
    let mut rig = Rig::running(&[], 0);
    let uar = rig.number(0, 0x802, 0);
    let eq = rig.create_eq(0, uar, 8, 0, 0);
    let reporter = rig.reporter(uar, eq.number, 3, 12);
    assert_eq!(rig.simple(0, 0x302, 0, eq.number).status(), BUSY);
    assert_eq!(rig.simple(0, 0x401, 0, 1).status(), BUSY);
    assert_eq!(rig.simple(0, 0x801, 0, 1).status(), BUSY);
    rig.simple(0, 0x501, 0, reporter.host_qp).unwrap();
    rig.simple(0, 0x501, 0, reporter.fw_qp).unwrap();
    rig.simple(0, 0x401, 0, 1).unwrap();
    rig.simple(0, 0x302, 0, eq.number).unwrap();
    rig.simple(0, 0x202, 0, 1).unwrap();
    rig.simple(0, 0x801, 0, 1).unwrap();
    for (opcode, number) in [
        (0x302, 1),
        (0x401, 1),
        (0x501, 1),
        (0x202, 1),
        (0x801, 1),
        (0x803, 99),
    ] {
        assert_eq!(
            rig.simple(0, opcode, 0, number).status(),
            BAD_RES,
            "{opcode:#x}"
        );
    }
}

#[test]
fn queue_pairs_go_from_state_to_state() {
    let mut rig = Rig::running(&[], 0);
    let uar = rig.number(0, 0x802, 0);
    let eq = rig.create_eq(0, uar, 8, 0, 0);
    let reporter = rig.reporter(uar, eq.number, 3, 12);
    let mut modify = |opcode| {
        rig.command(0, opcode, 0, 0x110, 16, |input| {
            init2rtr_qp_in::qpn.put(input, reporter.fw_qp);
        })
        .status()
    };
    let wrong = Status::BadQpState as u8;
    assert_eq!([0x502, 0x503, 0x504].map(&mut modify), [wrong; 3]);
    assert_eq!(
        [0x507, 0x504, 0x50a, 0x503, 0x502].map(&mut modify),
        [0, wrong, 0, wrong, 0]
    );
}

#[test]
fn queues_that_make_no_sense() {
    let mut rig = Rig::running(&[], 0);
    let uar = rig.number(0, 0x802, 0);
    let mut eq = |log_size: u32, uar: u32, pages: usize, mask: u64| {
        rig.command(0, 0x301, 0, 0x110 + 8 * pages, 16, |input| {
            Bits::new(0x1c, 28, 24).put(input, log_size);
            Bits::new(0x1c, 23, 0).put(input, uar);
            create_eq_in::event_bitmask.put(input, mask);
        })
        .status()
    };
    assert_eq!(eq(8, uar, 3, 0), Status::BadInputLen as u8, "too few pages");
    assert_eq!(eq(31, uar, 3, 0), Status::ExceedLim as u8);
    assert_eq!(eq(8, uar + 1, 4, 0), BAD_RES);
    assert_eq!(eq(8, uar, 4, 1 << event::CMD), 0);
    assert_eq!(
        eq(8, uar, 4, 1 << event::CMD),
        BAD_RES_STATE,
        "two for commands"
    );
    for _ in 1..64 {
        assert_eq!(eq(0, uar, 1, 0), 0);
    }
    assert_eq!(eq(0, uar, 1, 0), Status::ExceedLim as u8);
}

#[test]
fn memory_keys_that_make_no_sense() {
    let mut rig = Rig::running(&[], 0);
    let pd = rig.number(0, 0x800, 0);
    let mut key = |mode: u32, pd: u32, start: u64, length: u64, pages: usize, log_page: u32| {
        rig.command(0, 0x200, 0, 0x110 + 8 * pages, 16, |input| {
            Bits::new(0x10, 9, 8).put(input, mode);
            Bits::new(0x1c, 23, 0).put(input, pd);
            input[0x20..0x28].copy_from_slice(&start.to_be_bytes());
            input[0x28..0x30].copy_from_slice(&length.to_be_bytes());
            Bits::new(0x48, 5, 0).put(input, log_page);
        })
        .status()
    };
    assert_eq!(key(1, pd, 0, 0x2000, 2, 12), 0);
    assert_eq!(key(1, pd, 0, 0x2001, 2, 12), Status::BadInputLen as u8);
    assert_eq!(key(1, pd, 0, u64::MAX, 2, 12), Status::BadInputLen as u8);
    assert_eq!(key(1, pd, 0x1000, u64::MAX, 2, 12), BAD_PARAM);
    assert_eq!(key(1, pd, 0, 0, 2, 12), BAD_PARAM);
    assert_eq!(key(0, pd, 0, 0x2000, 2, 12), BAD_PARAM);
    assert_eq!(key(1, pd, 0, 0x2000, 1, 13), 0);
    assert_eq!(key(1, pd, 0, 0x2000, 2, 11), BAD_PARAM);
    assert_eq!(key(1, pd, 0, 0x2000, 2, 32), BAD_PARAM);
    assert_eq!(key(1, pd + 1, 0, 0x2000, 2, 12), BAD_RES);
}

#[test]
fn the_firmware_gives_every_page_back() {
    let mut rig = Rig::with(
        &[
            ("boot-pages", "3"),
            ("init-pages", "700"),
            ("vf-pages", "300"),
        ],
        1,
    );
    rig.set_queue(0);
    rig.simple(0, 0x104, 0, 0).unwrap();
    let give = |rig: &mut Rig, function: u32, count: u64| {
        rig.command(0, 0x108, 1, 0x10 + 8 * count as usize, 16, |input| {
            manage_pages_in::function_id.put(input, function);
            manage_pages_in::input_num_entries.put(input, count as u32);
            for (i, place) in input[16..].chunks_exact_mut(8).enumerate() {
                place.copy_from_slice(
                    &((i as u64 + 1) << 12 | u64::from(function) << 40).to_be_bytes(),
                );
            }
        })
    };
    let take = |rig: &mut Rig, function: u32, count: u32| {
        let output = rig
            .command(0, 0x108, 2, 16, 16 + 8 * count as usize, |input| {
                manage_pages_in::function_id.put(input, function);
                manage_pages_in::input_num_entries.put(input, count);
            })
            .unwrap();
        let count = Bits::new(8, 31, 0).get(&output) as usize;
        let mut pages: Vec<u64> = connectx_firmware::layout::quads(&output[16..])
            .take(count)
            .collect();
        pages.sort_unstable();
        pages
    };
    assert_eq!(
        rig.simple(0, 0x102, 0, 0).status(),
        BAD_SYS_STATE,
        "it wants pages first"
    );
    give(&mut rig, 0, 703).unwrap();
    assert_eq!(give(&mut rig, 0, 0).status(), 0);
    rig.simple(0, 0x102, 0, 0).unwrap();
    let uar = rig.number(0, 0x802, 0);
    let mut eq = rig.create_eq(0, uar, 8, 0, 1 << event::PAGE_REQUEST);
    rig.enable(1);
    let eqe = rig.next_event(0, &mut eq).expect("a request");
    let request = |eqe: &[u8]| {
        let data = mlx5_eqe::data.of(eqe);
        (
            Bits::new(0, 15, 0).get(data),
            Bits::new(4, 31, 0).get(data) as i32,
        )
    };
    assert_eq!(request(&eqe), (1, 300));
    give(&mut rig, 1, 300).unwrap();
    rig.nic.reset(1);
    rig.simple(0, 0x105, 0, 1).unwrap();
    let eqe = rig.next_event(0, &mut eq).expect("a request");
    assert_eq!(request(&eqe), (1, -300), "a reset does not lose them");
    let pages = take(&mut rig, 1, 300);
    assert_eq!(
        pages,
        (1..=300).map(|i| i << 12 | 1 << 40).collect::<Vec<u64>>()
    );
    let mut mine = take(&mut rig, 0, 500);
    mine.extend(take(&mut rig, 0, 500));
    mine.sort_unstable();
    assert_eq!(mine, (1..=703).map(|i| i << 12).collect::<Vec<u64>>());
    assert_eq!(take(&mut rig, 0, 1), []);
}

#[test]
fn latency_is_that_of_the_machines_clock() {
    let mut rig = Rig::with(&[("latency", "300us")], 0);
    rig.set_queue(0);
    let before = rig.machine.lock().now;
    rig.simple(0, 0x104, 0, 0).unwrap();
    assert_eq!(rig.machine.lock().now, before + 300_000);
}

#[test]
fn faults_end_commands_as_asked() {
    let mut rig = Rig::with(
        &[(
            "fault",
            "ALLOC_PD:1:status=0x8/0x123+ALLOC_PD:3:silent+ALLOC_PD:4:stall=5ms+ALLOC_UAR:2:lost",
        )],
        0,
    );
    rig.init(0);
    assert_eq!(rig.simple(0, 0x800, 0, 0), Outcome::Status(8, 0x123));
    assert_eq!(rig.number(0, 0x800, 0), 1);
    assert_eq!(rig.simple(0, 0x800, 0, 0), Outcome::Silence);
    rig.nic.reset(0);
    rig.init(0);
    let before = rig.machine.lock().now;
    rig.number(0, 0x800, 0);
    assert_eq!(rig.machine.lock().now, before + 5_001_000);
    let uar = rig.number(0, 0x802, 0);
    let mut eq = rig.create_eq(0, uar, 8, 0, 1 << event::CMD);
    rig.number(0, 0x802, 0);
    assert_eq!(rig.next_event(0, &mut eq), None);
    rig.number(0, 0x802, 0);
    assert!(rig.next_event(0, &mut eq).is_some());
}

#[test]
fn a_reset_forgets_what_was_begun() {
    let mut rig = Rig::running(&[], 1);
    rig.init(1);
    let input = {
        let mut input = vec![0; 16];
        Bits::new(0, 31, 16).put(&mut input, 0x800);
        input
    };
    rig.place(1, &input, 16);
    rig.write32(1, 0x18, 1);
    rig.nic.reset(1);
    rig.idle(1_000_000_000);
    assert_eq!(rig.outcome(1, 16), Outcome::Silence);
    rig.init(1);
    rig.nic.reset(0);
    rig.set_queue(1);
    assert_eq!(
        rig.simple(1, 0x104, 0, 0).status(),
        BAD_SYS_STATE,
        "the PF took it along"
    );
}
