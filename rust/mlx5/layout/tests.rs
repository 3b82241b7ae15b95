// SPDX-License-Identifier: GPL-2.0

//! Messages against bytes that were put down by hand.

use super::{
    capability::{
        cmd_hca_cap,
        cmd_hca_cap_2, //
    },
    memory::{
        create_mkey_in,
        create_mkey_out,
        mkc, //
    },
    migration::{
        query_vhca_migration_state_out as query_out,
        save_vhca_state_in as save_in,
        save_vhca_state_out as save_out,
        suspend_vhca_in as head,
        suspend_vhca_out as reply, //
    },
    Field,
    Misfit, //
};

#[test]
fn save() -> Result<(), Misfit> {
    let mut bytes = save_in::Bytes::ZERO;
    head::opcode.put(&mut bytes.0, 0x118_u16)?;
    save_in::incremental.put(&mut bytes.0, true)?;
    save_in::vhca_id.put(&mut bytes.0, 0x1234_u16)?;
    save_in::mkey.put(&mut bytes.0, 0xabcd_ef00_u32)?;
    save_in::size.put(&mut bytes.0, 0x0080_0000_u32)?;
    assert_eq!(
        bytes.0,
        [
            0x01, 0x18, 0, 0, 0, 0, 0, 0, // opcode, op_mod
            0x80, 0, 0x12, 0x34, 0, 0, 0, 0, // incremental, vhca_id
            0, 0, 0, 0, 0, 0, 0, 0, // va
            0xab, 0xcd, 0xef, 0, 0, 0x80, 0, 0, // mkey, size
        ]
    );
    save_in::incremental.put(&mut bytes.0, false)?;
    save_in::set_track.put(&mut bytes.0, true)?;
    assert_eq!(bytes.0[8..12], [0x40, 0, 0x12, 0x34]);

    let answer = [
        9, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef, 0, 0, 0x10, 1, 0x7f, 0xff, 0xff, 0xff,
    ];
    assert_eq!(reply::status.get(&answer), 9);
    assert_eq!(reply::syndrome.get(&answer), 0xdead_beef);
    assert_eq!(save_out::actual_image_size.get(&answer), 0x1001);
    assert_eq!(save_out::next_required_umem_size.get(&answer), 0x7fff_ffff);
    Ok(())
}

#[test]
fn suspend() -> Result<(), Misfit> {
    let mut bytes = head::Bytes::ZERO;
    head::opcode.put(&mut bytes.0, 0x115_u16)?;
    head::op_mod.put(&mut bytes.0, 1_u16)?;
    head::vhca_id.put(&mut bytes.0, 17_u16)?;
    assert_eq!(
        bytes.0,
        [1, 0x15, 0, 0, 0, 0, 0, 1, 0, 0, 0, 17, 0, 0, 0, 0]
    );
    Ok(())
}

#[test]
fn required() {
    let mut answer = query_out::Bytes::ZERO.0;
    answer[0x0c] = 0x4f;
    answer[0x10..0x14].copy_from_slice(&[1, 2, 3, 4]);
    answer[0x18..0x20].copy_from_slice(&[0, 0, 0, 9, 8, 7, 6, 5]);
    assert_eq!(query_out::migration_state.get(&answer), 4);
    assert_eq!(query_out::required_umem_size.get(&answer), 0x0102_0304);
    assert_eq!(query_out::remaining_total_size.get(&answer), 0x9_0807_0605);
}

#[test]
fn memory_key() -> Result<(), Misfit> {
    let mut bytes = create_mkey_in::Bytes::ZERO.0;
    let context = create_mkey_in::memory_key_mkey_entry.first();
    for right in [mkc::lr, mkc::lw, mkc::rr, mkc::rw] {
        right.at(context).put(&mut bytes, true)?;
    }
    mkc::access_mode_1_0.at(context).put(&mut bytes, 1_u8)?;
    mkc::qpn.at(context).put(&mut bytes, 0xff_ffff_u32)?;
    mkc::pd.at(context).put(&mut bytes, 0x12_3456_u32)?;
    mkc::len.at(context).put(&mut bytes, 1_u64 << 33)?;
    mkc::log_page_size.at(context).put(&mut bytes, 21_u8)?;
    mkc::translations_octword_size
        .at(context)
        .put(&mut bytes, 7_u8)?;
    create_mkey_in::translations_octword_actual_size.put(&mut bytes, 7_u8)?;
    let mut expected = [0; create_mkey_in::SIZE];
    expected[0x10..0x18].copy_from_slice(&[0, 0, 0x3d, 0, 0xff, 0xff, 0xff, 0]);
    expected[0x1d..0x20].copy_from_slice(&[0x12, 0x34, 0x56]);
    expected[0x2b] = 2;
    expected[0x47] = 7;
    expected[0x4b] = 21;
    expected[0x63] = 7;
    assert_eq!(bytes, expected);

    let answer = [
        0, 0, 0, 0, 0, 0, 0, 0, 0xff, 1, 2, 3, 0xff, 0xff, 0xff, 0xff,
    ];
    assert_eq!(create_mkey_out::mkey_index.get(&answer), 0x1_0203);
    Ok(())
}

#[test]
fn capabilities() {
    // Dword 0x18 [22], and dword 0xd0 [18].
    let mut data = [0; cmd_hca_cap::SIZE];
    data[0x19] = 0x40;
    data[0xd1] = 0x04;
    assert_eq!(cmd_hca_cap_2::migration_tracking_state.get(&data), 1);
    assert_eq!(cmd_hca_cap_2::migration_multi_load.get(&data), 0);
    assert_eq!(cmd_hca_cap::migration.get(&data), 1);
    assert_eq!(cmd_hca_cap::adv_virtualization.get(&data), 0);
}

#[test]
fn any_field() -> Result<(), Misfit> {
    const BITS: usize = 96;
    for first in 0..BITS {
        for width in 1..=64.min(BITS - first) {
            let field = Field::new(first, width, BITS);
            let mut data = [0xa5; BITS / 8];
            let most = u64::MAX >> (64 - width);
            for value in [0, 1, most, most & 0x5a5a_0f0f_1234_5678] {
                field.put(&mut data, value)?;
                assert_eq!(field.get(&data), value, "{first}, {width}");
            }
            field.put(&mut data, most)?;
            for bit in 0..BITS {
                let outside = !(first..first + width).contains(&bit);
                let now = data[bit / 8] >> (7 - bit % 8) & 1;
                let before = 0xa5 >> (7 - bit % 8) & 1;
                assert_eq!(now, if outside { before } else { 1 }, "{first}, {width}");
            }
            if width < 64 {
                assert_eq!(field.put(&mut data, most + 1), Err(Misfit));
            }
        }
    }
    let field = Field::new(8, 16, 32);
    assert_eq!(field.put(&mut [0; 2], 1_u8), Err(Misfit), "not in the data");
    assert_eq!(field.get(&[0xff; 2]), 0xff00);
    Ok(())
}
