// SPDX-License-Identifier: GPL-2.0

//! The page tracker, as a variant driver uses it.

use connectx_firmware::layout::command::query_page_track_obj_out;
use connectx_firmware::layout::object::{page_track, PAGE_TRACK};
use connectx_firmware::layout::wire::{event, mlx5_eqe};
use connectx_firmware::layout::{Bits, Slot};
use connectx_firmware::Status;
use connectx_rig::{Reporter, Rig};
use std::collections::BTreeSet;

const ALL: (u64, u64) = (0, 1 << 40);

/// A card whose VF 1 is driven, and a driver that can take reports. The UAR of the VF comes with it.
fn setup(options: &[(&str, &str)], log_rq: u32, log_message: u32) -> (Rig, Reporter) {
    let mut rig = Rig::running(options, 2);
    rig.init(1);
    rig.init(2);
    let uar = rig.number(0, 0x802, 0);
    let errors = 1 << event::OBJECT_CHANGE | 1 << event::WQ_CATAS_ERROR | 1 << event::CQ_ERROR;
    let eq = rig.create_eq(0, uar, 8, 1, errors);
    let reporter = rig.reporter(uar, eq.number, log_rq, log_message);
    (rig, reporter)
}

fn start(rig: &mut Rig, reporter: &Reporter, log_page: u32, ranges: &[(u64, u64)]) -> u32 {
    let output = rig.track(1, reporter, log_page, ranges).unwrap();
    Bits::new(8, 31, 0).get(&output)
}

/// The pages that the device wrote to for VF 1 since this was asked last.
fn written(rig: &Rig, log_page: u32) -> BTreeSet<u64> {
    let written = std::mem::take(&mut rig.machine.lock().memory[1].written);
    written
        .into_iter()
        .map(|page| page << 12 >> log_page << log_page)
        .collect()
}

/// Makes VF 1 write to many pages: each command has its own mailbox of 300 blocks.
fn work(rig: &mut Rig, pages: usize) {
    let take = rig.command(1, 0x108, 2, 16, 16 + pages * 2048, |_| ());
    take.unwrap();
    rig.number(1, 0x107, 0);
}

#[test]
fn a_report_has_what_was_written() {
    let (mut rig, mut reporter) = setup(&[], 3, 12);
    let id = start(&mut rig, &reporter, 12, &[ALL]);
    written(&rig, 12);
    let (pages, messages) = rig.report(&mut reporter, id, ALL.0, ALL.1);
    assert_eq!(
        (pages, messages),
        (vec![], 1),
        "an empty one has a message, too"
    );
    work(&mut rig, 100);
    let wanted = written(&rig, 12);
    assert!(wanted.len() > 50);
    let (pages, _) = rig.report(&mut reporter, id, ALL.0, ALL.1);
    assert_eq!(pages.iter().copied().collect::<BTreeSet<_>>(), wanted);
    assert_eq!(pages.len(), wanted.len(), "each once");
    let (pages, _) = rig.report(&mut reporter, id, ALL.0, ALL.1);
    assert_eq!(pages, [], "they are clean then");
}

#[test]
fn more_messages_than_there_is_room_for() {
    let (mut rig, mut reporter) = setup(&[("log-message", "6")], 2, 6);
    let id = start(&mut rig, &reporter, 12, &[ALL]);
    written(&rig, 12);
    work(&mut rig, 120);
    let wanted = written(&rig, 12);
    let (pages, messages) = rig.report(&mut reporter, id, ALL.0, ALL.1);
    assert_eq!(pages.into_iter().collect::<BTreeSet<_>>(), wanted);
    assert_eq!(messages, wanted.len().div_ceil(8));
    assert!(messages > 4);
}

/// Room that the driver makes without saying so is found after a while.
#[test]
fn room_is_looked_for() {
    let (mut rig, mut reporter) = setup(&[("log-message", "6")], 2, 6);
    let id = start(&mut rig, &reporter, 12, &[ALL]);
    written(&rig, 12);
    work(&mut rig, 120);
    let wanted = written(&rig, 12);
    rig.begin_report(id, ALL.0, ALL.1).unwrap();
    let mut pages = BTreeSet::new();
    loop {
        match rig.next_message(&mut reporter) {
            Some((state, more)) => {
                pages.extend(more);
                if state == 0 {
                    break;
                }
            }
            None => {
                let before = rig.machine.lock().now;
                rig.idle(10_000_000);
                assert!(rig.machine.lock().now - before <= 10_000_000);
            }
        }
    }
    assert_eq!(pages, wanted);
}

#[test]
fn ranges_and_page_sizes() {
    let (mut rig, mut reporter) = setup(&[], 3, 12);
    work(&mut rig, 60);
    let some: Vec<u64> = written(&rig, 12).into_iter().collect();
    let (low, high) = (some[10], some[30]);
    let id = start(&mut rig, &reporter, 12, &[(low, 0x1000), (high, 0x3000)]);
    work(&mut rig, 60);
    let all = written(&rig, 12);
    let inside = |page: &u64| *page == low || (high..high + 0x3000).contains(page);
    let (pages, _) = rig.report(&mut reporter, id, low, 0x1000);
    assert_eq!(pages, [low], "a report of a part");
    let (pages, _) = rig.report(&mut reporter, id, ALL.0, ALL.1);
    let wanted: Vec<u64> = all.into_iter().filter(|p| inside(p) && *p != low).collect();
    assert_eq!(pages, wanted);
    let large = start(&mut rig, &reporter, 21, &[ALL]);
    written(&rig, 12);
    work(&mut rig, 60);
    let wanted = written(&rig, 21);
    let (pages, _) = rig.report(&mut reporter, large, ALL.0, ALL.1);
    assert_eq!(pages.into_iter().collect::<BTreeSet<_>>(), wanted);
}

#[test]
fn others_are_not_tracked() {
    let (mut rig, mut reporter) = setup(&[], 3, 12);
    let id = start(&mut rig, &reporter, 12, &[ALL]);
    rig.number(2, 0x107, 0);
    rig.number(0, 0x107, 0);
    assert_eq!(rig.report(&mut reporter, id, ALL.0, ALL.1).0, []);
}

#[test]
fn a_tracker_outlives_the_reset_of_what_it_tracks() {
    let (mut rig, mut reporter) = setup(&[], 3, 12);
    let id = start(&mut rig, &reporter, 12, &[ALL]);
    rig.number(1, 0x107, 0);
    rig.nic.reset(1);
    assert_ne!(rig.report(&mut reporter, id, ALL.0, ALL.1).0, []);
}

#[test]
fn misuse() {
    let (mut rig, mut reporter) = setup(&[], 3, 12);
    let bad = Status::BadParam as u8;
    assert_eq!(
        rig.track(1, &reporter, 11, &[ALL]).status(),
        bad,
        "page size"
    );
    assert_eq!(
        rig.track(1, &reporter, 22, &[ALL]).status(),
        bad,
        "page size"
    );
    assert_eq!(rig.track(1, &reporter, 12, &[]).status(), bad, "no range");
    assert_eq!(
        rig.track(1, &reporter, 12, &[(1, u64::MAX)]).status(),
        bad,
        "past the end"
    );
    assert_eq!(
        rig.track(1, &reporter, 12, &[(0, 0)]).status(),
        bad,
        "empty"
    );
    assert_eq!(
        rig.track(1, &reporter, 12, &[ALL; 65]).status(),
        bad,
        "too many"
    );
    let missing = Status::BadRes as u8;
    assert_eq!(rig.begin_report(1, 0, 1).status(), missing);
    let id = start(&mut rig, &reporter, 12, &[ALL; 64]);
    assert_eq!(rig.begin_report(id, u64::MAX, 2).status(), bad);
    assert_eq!(
        rig.simple(0, 0x501, 0, reporter.fw_qp).status(),
        Status::ResBusy as u8
    );
    for _ in 1..8 {
        start(&mut rig, &reporter, 12, &[ALL]);
    }
    assert_eq!(
        rig.track(1, &reporter, 12, &[ALL]).status(),
        Status::ExceedLim as u8
    );
    let destroy = |rig: &mut Rig| {
        rig.command(0, 0xa03, 0, 16, 16, |input| {
            Bits::new(4, 15, 0).put(input, PAGE_TRACK);
            Bits::new(8, 31, 0).put(input, id);
        })
    };
    destroy(&mut rig).unwrap();
    assert_eq!(destroy(&mut rig).status(), missing);
    let _ = rig.next_message(&mut reporter);
}

#[test]
fn without_the_option_there_is_none() {
    let (mut rig, reporter) = setup(&[("tracker", "off")], 3, 12);
    assert_eq!(
        rig.track(1, &reporter, 12, &[ALL]).status(),
        Status::BadParam as u8
    );
}

#[test]
fn errors_are_told() {
    let kinds = [
        ("object", event::OBJECT_CHANGE),
        ("qp", event::WQ_CATAS_ERROR),
        ("cq", event::CQ_ERROR),
    ];
    for (name, kind) in kinds {
        let fault = format!("MODIFY_GENERAL_OBJECT:2:{name}");
        let mut rig = Rig::running(&[("fault", fault.as_str())], 1);
        let uar = rig.number(0, 0x802, 0);
        let errors = 1 << event::OBJECT_CHANGE | 1 << event::WQ_CATAS_ERROR | 1 << event::CQ_ERROR;
        let mut eq = rig.create_eq(0, uar, 8, 1, errors);
        let mut reporter = rig.reporter(uar, eq.number, 3, 12);
        let id = start(&mut rig, &reporter, 12, &[ALL]);
        assert_eq!(rig.report(&mut reporter, id, 0, 4096).1, 1);
        rig.begin_report(id, 0, 4096).unwrap();
        assert_eq!(rig.next_message(&mut reporter), None);
        let eqe = rig.next_event(0, &mut eq).expect("an event");
        assert_eq!(mlx5_eqe::r#type.get(&eqe), u32::from(kind), "{name}");
        let query = rig.command(0, 0xa02, 0, 16, query_page_track_obj_out::SIZE, |input| {
            Bits::new(4, 15, 0).put(input, PAGE_TRACK);
            Bits::new(8, 31, 0).put(input, id);
        });
        let object = query.unwrap();
        let context = query_page_track_obj_out::obj_context.of(&object);
        assert_eq!(page_track::state.get(context), 2, "{name}");
        assert_eq!(
            rig.begin_report(id, 0, 4096).status(),
            Status::BadResState as u8
        );
    }
}

#[test]
fn a_mute_tracker_says_nothing() {
    let mut rig = Rig::running(&[("fault", "MODIFY_GENERAL_OBJECT:1:mute")], 1);
    let uar = rig.number(0, 0x802, 0);
    let mut eq = rig.create_eq(0, uar, 8, 1, 1 << event::OBJECT_CHANGE);
    let mut reporter = rig.reporter(uar, eq.number, 3, 12);
    let id = start(&mut rig, &reporter, 12, &[ALL]);
    rig.begin_report(id, 0, 4096).unwrap();
    rig.idle(1_000_000_000);
    assert_eq!(rig.next_message(&mut reporter), None);
    assert_eq!(rig.next_event(0, &mut eq), None);
}
