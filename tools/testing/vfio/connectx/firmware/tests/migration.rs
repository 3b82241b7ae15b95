// SPDX-License-Identifier: GPL-2.0

//! Saving and loading, as a variant driver does it.

use connectx_firmware::layout::wire::event;
use connectx_firmware::Status;
use connectx_rig::{Outcome, Rig, Saved};

const BAD_PARAM: u8 = Status::BadParam as u8;
const BAD_RES_STATE: u8 = Status::BadResState as u8;

/// A VF with objects, that it made itself.
fn workload(rig: &mut Rig, vf: usize) {
    rig.init(vf);
    let uar = rig.number(vf, 0x802, 0);
    rig.create_eq(vf, uar, 8, 7, 1 << event::CMD);
    rig.number(vf, 0x800, 0);
    rig.number(vf, 0x800, 0);
}

#[test]
fn halves_are_suspended_in_order() {
    let mut rig = Rig::running(&[], 1);
    let wrong = BAD_RES_STATE;
    assert_eq!(rig.suspend(1, true).status(), wrong);
    assert_eq!(rig.resume(1, false).status(), wrong);
    rig.suspend(1, false).unwrap();
    assert_eq!(rig.suspend(1, false).status(), wrong);
    assert_eq!(rig.resume(1, true).status(), wrong);
    rig.suspend(1, true).unwrap();
    assert_eq!(rig.suspend(1, true).status(), wrong);
    assert_eq!(rig.resume(1, false).status(), wrong);
    rig.go(1);
    let id = rig.vhca_id(1);
    assert_eq!(rig.simple(0, 0x115, 2, id).status(), BAD_PARAM);
    assert_eq!(
        rig.simple(0, 0x115, 0, id + 1).status(),
        Status::BadRes as u8
    );
    rig.stop(1);
    rig.nic.reset(1);
    rig.suspend(1, false).unwrap();
}

#[test]
fn one_becomes_what_the_other_was() {
    let mut rig = Rig::running(&[], 2);
    workload(&mut rig, 1);
    rig.stop(1);
    rig.stop(2);
    let image = rig.save_all(1);
    rig.load(2, &image).unwrap();
    let again = rig.save_all(2);
    assert_eq!(image, again);
    rig.go(2);
    let other = rig.vhca_id(2);
    assert_ne!(other, rig.vhca_id(1), "it keeps its own id");
}

/// A command that was rung while the VF was suspended is executed where the VF goes on.
#[test]
fn a_live_vf_moves() {
    let mut rig = Rig::running(&[], 2);
    workload(&mut rig, 1);
    rig.suspend(1, false).unwrap();
    let mut input = vec![0; 16];
    input[..2].copy_from_slice(&0x800_u16.to_be_bytes());
    rig.place(1, &input, 16);
    rig.write32(1, 0x18, 1);
    rig.idle(1_000_000_000);
    assert_eq!(rig.outcome(1, 16), Outcome::Silence, "it is suspended");
    rig.suspend(1, true).unwrap();
    let image = rig.save_all(1);
    rig.stop(2);
    rig.load(2, &image).unwrap();
    // The driver's memory moves with it.
    {
        let mut shared = rig.machine.lock();
        let memory = std::mem::take(&mut shared.memory[1]);
        shared.memory[2] = memory;
        shared.interrupts.clear();
    }
    rig.resume(2, true).unwrap();
    assert_eq!(rig.machine.lock().interrupts, []);
    let id = rig.vhca_id(2);
    rig.simple(0, 0x116, 1, id).unwrap();
    rig.idle(1_000_000_000);
    assert_eq!(
        rig.machine.lock().interrupts,
        [(2, 7)],
        "for what nobody read yet"
    );
    // The driver of VF 2 reads where the one of VF 1 had its queue.
    let queue = u64::from(rig.read32(2, 0x10)) << 32 | u64::from(rig.read32(2, 0x14) & !0xfff);
    let entry = rig.peek(2, queue, 64);
    assert_eq!(entry[0x3f], 0, "the command has ended");
    assert_eq!(entry[0x28..0x2c], [0, 0, 0, 3], "numbers go on");
}

#[test]
fn interrupts_are_made_up_for() {
    let mut rig = Rig::running(&[], 2);
    workload(&mut rig, 1);
    rig.number(1, 0x107, 0);
    rig.stop(1);
    let image = rig.save_all(1);
    rig.stop(2);
    rig.load(2, &image).unwrap();
    rig.machine.lock().interrupts.clear();
    rig.go(2);
    assert_eq!(
        rig.machine.lock().interrupts,
        [(2, 7)],
        "there are events that nobody read"
    );
}

/// Saves in pre-copy until nothing is left, stops, and saves the rest.
fn pre_copy(rig: &mut Rig, vf: usize) -> Vec<Saved> {
    let (_, size, _) = rig.query(vf, false, false).unwrap();
    let mut images = vec![rig.save(vf, false, true, size as usize).unwrap()];
    for _ in 0..3 {
        rig.idle(300_000_000);
        let (_, size, _) = rig.query(vf, true, false).unwrap();
        if size != 0 {
            images.push(rig.save(vf, true, true, size as usize).unwrap());
        }
    }
    rig.stop(vf);
    let (_, size, _) = rig.query(vf, true, false).unwrap();
    images.push(rig.save(vf, true, false, size as usize).unwrap());
    images
}

#[test]
fn pre_copy_of_a_state_that_changes_and_grows() {
    let mut rig = Rig::running(&[("dirty", "10"), ("growth", "3")], 2);
    workload(&mut rig, 1);
    let images = pre_copy(&mut rig, 1);
    assert_eq!(images.len(), 5);
    assert!(images[1].image.len() < images[0].image.len());
    rig.stop(2);
    for saved in &images {
        rig.load(2, &saved.image).unwrap();
        let last = std::ptr::eq(saved, &images[images.len() - 1]);
        assert_eq!(
            rig.resume(2, true).status() == 0,
            last,
            "all of it, or nothing"
        );
    }
    rig.suspend(2, true).unwrap();
    let (first, second) = (rig.save_all(1), rig.save_all(2));
    assert_eq!(first, second);
    rig.go(2);
}

#[test]
fn nothing_changed_is_nothing_to_save() {
    let mut rig = Rig::running(&[], 1);
    assert_eq!(
        rig.query(1, true, false),
        Ok((0, 0, 0)),
        "a pre-copy that never began"
    );
    let (_, size, _) = rig.query(1, false, false).unwrap();
    rig.save(1, false, true, size as usize).unwrap();
    assert_eq!(rig.query(1, true, false), Ok((0, 0, 0)));
    // The driver gives up with a buffer of nothing.
    let input = rig.save_input(1, false, false, 0, 0);
    rig.raw(0, &input, 16).unwrap();
    assert_eq!(rig.save(1, true, true, 1 << 20).unwrap_err(), BAD_RES_STATE);
}

#[test]
fn a_small_buffer_leaves_the_rest_for_later() {
    let mut rig = Rig::running(&[], 2);
    rig.stop(2);
    let first = rig.save(1, false, true, 5000).unwrap();
    assert!(first.image.len() > 4096);
    rig.load(2, &first.image).unwrap();
    while rig.query(1, true, false).unwrap().1 != 0 {
        let next = rig.save(1, true, true, 10_000).unwrap();
        rig.load(2, &next.image).unwrap();
    }
    rig.stop(1);
    let (_, size, _) = rig.query(1, true, false).unwrap();
    assert_eq!(
        rig.save(1, true, false, size as usize - 1).unwrap_err(),
        BAD_PARAM
    );
    let last = rig.save(1, true, false, size as usize).unwrap();
    rig.load(2, &last.image).unwrap();
    rig.go(2);
}

#[test]
fn chunks() {
    let mut rig = Rig::running(&[("chunk", "on"), ("image", "5M")], 2);
    workload(&mut rig, 1);
    let (_, running, total) = rig.query(1, false, true).unwrap();
    assert_eq!(
        u64::from(running),
        total,
        "the minimum of a chunk is no answer while it runs"
    );
    rig.stop(1);
    rig.stop(2);
    let (_, size, total) = rig.query(1, false, true).unwrap();
    assert!(u64::from(size) < total && total > 5 << 20);
    let mut saved = rig.save(1, false, false, size as usize).unwrap();
    let mut chunks = 1;
    while saved.next != 0 {
        rig.load(2, &saved.image).unwrap();
        assert_eq!(rig.resume(2, true).status(), BAD_RES_STATE, "a part of it");
        saved = rig.save(1, true, false, saved.next as usize).unwrap();
        chunks += 1;
    }
    assert_eq!(chunks, 6);
    rig.load(2, &saved.image).unwrap();
    rig.go(2);
}

#[test]
fn initial_state_that_comes_again() {
    let mut rig = Rig::running(&[("migration-state", "on"), ("reinit", "2")], 1);
    let (_, size, _) = rig.query(1, false, false).unwrap();
    rig.save(1, false, true, size as usize).unwrap();
    let states: Vec<u32> = (0..4)
        .map(|_| {
            let (state, size, _) = rig.query(1, true, false).unwrap();
            if size != 0 {
                rig.save(1, true, true, size as usize).unwrap();
            }
            state
        })
        .collect();
    assert_eq!(states, [4, 4, 2, 2]);
}

#[test]
fn a_reset_in_the_middle() {
    let mut rig = Rig::running(&[("save-bandwidth", "1M"), ("image", "2M")], 1);
    rig.stop(1);
    let (_, size, _) = rig.query(1, false, false).unwrap();
    let pages = rig.pages(0, size.div_ceil(4096) as usize);
    let pd = rig.number(0, 0x800, 0);
    let key = rig.create_mkey(0, pd, &pages);
    let input = rig.save_input(1, false, false, key, size);
    rig.place(0, &input, 16);
    rig.write32(0, 0x18, 1);
    rig.idle(500_000_000);
    assert_eq!(rig.outcome(0, 16), Outcome::Silence, "it takes two seconds");
    rig.nic.reset(1);
    rig.idle(500_000_000);
    assert_eq!(rig.outcome(0, 16).status(), BAD_RES_STATE);
    // And one that comes after the reset changes nothing.
    assert_eq!(
        rig.raw(0, &input, 16).status(),
        0,
        "of a running VF that is a clean-up"
    );
    rig.stop(1);
    assert_eq!(rig.query(1, true, false), Err(BAD_RES_STATE));
}

#[test]
fn bandwidth() {
    let mut rig = Rig::running(
        &[
            ("save-bandwidth", "1M"),
            ("load-bandwidth", "4M"),
            ("image", "2M"),
        ],
        2,
    );
    rig.stop(1);
    rig.stop(2);
    let start = rig.machine.lock().now;
    let image = rig.save_all(1);
    let middle = rig.machine.lock().now;
    rig.load(2, &image).unwrap();
    let end = rig.machine.lock().now;
    let second = |bytes: usize, rate: u64| bytes as u64 * 1_000_000_000 / rate;
    let slack = 1_000_000;
    assert!((middle - start).abs_diff(second(image.len(), 1 << 20)) < slack);
    assert!((end - middle).abs_diff(second(image.len(), 4 << 20)) < slack);
}

#[test]
fn a_save_that_fails_loses_nothing() {
    let mut rig = Rig::running(&[], 2);
    rig.stop(2);
    let (_, size, _) = rig.query(1, false, false).unwrap();
    let input = rig.save_input(1, false, true, 0x1234_5678, size);
    assert_eq!(rig.raw(0, &input, 16).status(), Status::BadRes as u8);
    assert_eq!(
        rig.query(1, true, false).unwrap().1 as u64,
        rig.query(1, true, false).unwrap().2
    );
    let image = rig.save(1, true, true, size as usize).unwrap();
    rig.load(2, &image.image).unwrap();
    rig.stop(1);
    let (_, size, _) = rig.query(1, true, false).unwrap();
    let last = rig.save(1, true, false, size as usize).unwrap();
    rig.load(2, &last.image).unwrap();
    rig.go(2);
}

#[test]
fn pieces_of_two_images_do_not_mix() {
    let mut rig = Rig::running(&[("dirty", "10")], 3);
    let first = pre_copy(&mut rig, 1);
    let second = pre_copy(&mut rig, 2);
    rig.stop(3);
    rig.load(3, &first[0].image).unwrap();
    assert_eq!(rig.load(3, &second[1].image).status(), BAD_PARAM);
    assert_eq!(
        rig.load(3, &first[1].image).status(),
        BAD_PARAM,
        "it is broken for good"
    );
    for saved in &second {
        rig.load(3, &saved.image).unwrap();
    }
    rig.load(3, &first[0].image).unwrap();
    assert_eq!(
        rig.load(3, &first[2].image).status(),
        BAD_PARAM,
        "one is left out"
    );
    rig.load(3, &first[0].image).unwrap();
    assert_eq!(
        rig.load(3, &first.last().unwrap().image).status(),
        BAD_PARAM
    );
}

#[test]
fn a_vf_loads_only_while_it_is_suspended() {
    let mut rig = Rig::running(&[], 2);
    rig.stop(1);
    let image = rig.save_all(1);
    assert_eq!(rig.load(2, &image).status(), BAD_RES_STATE);
    rig.suspend(2, false).unwrap();
    assert_eq!(rig.load(2, &image).status(), BAD_RES_STATE);
    rig.suspend(2, true).unwrap();
    rig.load(2, &image).unwrap();
}

/// Each cut and each single flipped bit of an image is refused, and so is what follows.
#[test]
fn damage_is_refused() {
    let mut rig = Rig::running(&[("image", "4K")], 2);
    workload(&mut rig, 1);
    rig.stop(1);
    rig.stop(2);
    let image = rig.save_all(1);
    for length in (0..image.len())
        .step_by(97)
        .chain([image.len() - 1, 1, 8, 40])
    {
        assert_eq!(
            rig.load(2, &image[..length]).status(),
            BAD_PARAM,
            "{length} bytes"
        );
    }
    for bit in (0..image.len() * 8).step_by(61) {
        let mut damaged = image.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let status = rig.load(2, &damaged).status();
        assert!(
            status == BAD_PARAM || status == Status::ExceedLim as u8,
            "bit {bit}: {status}"
        );
        assert_eq!(rig.resume(2, true).status(), BAD_RES_STATE);
    }
    rig.load(2, &image).unwrap();
    rig.go(2);
}

#[test]
fn keys_of_larger_pages() {
    const LOG: u32 = 16;
    const BLOCK: u64 = 1 << LOG;
    let mut rig = Rig::running(&[("image", "300K")], 1);
    rig.stop(1);
    let (_, size, _) = rig.query(1, false, false).unwrap();
    let expected = rig.save(1, false, false, size as usize).unwrap().image;
    // Apart from each other, and in no order.
    let count = u64::from(size).div_ceil(BLOCK);
    let blocks: Vec<u64> = (0..count).map(|i| (4096 - 3 * i) * BLOCK).collect();
    let pages: Vec<u64> = blocks
        .iter()
        .flat_map(|block| (*block..block + BLOCK).step_by(4096))
        .collect();
    for page in &pages {
        rig.machine.lock().memory[0].map(*page);
    }
    let pd = rig.number(0, 0x800, 0);
    let length = count * BLOCK;
    let key = rig
        .create_mkey_of_blocks(0, pd, &blocks, LOG, length)
        .unwrap();
    let input = rig.save_input(1, false, false, key, size);
    assert_eq!(rig.raw(0, &input, 16).status(), 0);
    assert!(count > 4);
    assert!(
        rig.peek_pages(0, &pages, expected.len()) == expected,
        "another image"
    );

    let refused = |result: Result<u32, u8>| result.unwrap_err();
    let short = rig.create_mkey_of_blocks(0, pd, &blocks[1..], LOG, length);
    assert_eq!(refused(short), 0x50, "BAD_INPUT_LEN: a block is missing");
    let small = rig.create_mkey_of_blocks(0, pd, &blocks, 11, length);
    assert_eq!(refused(small), 0x03, "BAD_PARAM: 2 KiB");
    let large = rig.create_mkey_of_blocks(0, pd, &blocks, 31, 17 << 30);
    assert_eq!(refused(large), 0x50, "BAD_INPUT_LEN: fewer than it says");
    let vast = rig.create_mkey_of_blocks(0, pd, &[0; 16], 31, 17 << 30);
    assert_eq!(
        refused(vast),
        0x08,
        "EXCEEDED_LIM: more than the model maps"
    );
}
