// SPDX-License-Identifier: GPL-2.0

//! Protection domains and memory keys.

layouts! {
    alloc_pd_in: 0x80 {}

    alloc_pd_out: 0x80 {
        pd: 0x48, 0x18;
    }

    dealloc_pd_in: 0x80 {
        pd: 0x48, 0x18;
    }

    dealloc_pd_out: 0x80 {}

    create_mkey_in: 0x880 {
        memory_key_mkey_entry: 0x80, 0x200;
        translations_octword_actual_size: 0x300, 0x20;
    }

    create_mkey_out: 0x80 {
        mkey_index: 0x48, 0x18;
    }

    destroy_mkey_in: 0x80 {
        mkey_index: 0x48, 0x18;
    }

    destroy_mkey_out: 0x80 {}

    /// The context of a memory key.
    mkc: 0x200 {
        rw: 0x12, 0x1;
        rr: 0x13, 0x1;
        lw: 0x14, 0x1;
        lr: 0x15, 0x1;
        access_mode_1_0: 0x16, 0x2;
        qpn: 0x20, 0x18;
        mkey_7_0: 0x38, 0x8;
        pd: 0x68, 0x18;
        start_addr: 0x80, 0x40;
        len: 0xc0, 0x40;
        translations_octword_size: 0x1a0, 0x20;
        log_page_size: 0x1da, 0x6;
    }
}
