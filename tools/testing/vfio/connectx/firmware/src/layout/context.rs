// SPDX-License-Identifier: GPL-2.0

//! The contexts of queues and memory keys.

layouts! {
    /// Event queue.
    eqc: 0x40 {
        page_offset = 0x08 [11:6];
        log_eq_size = 0x0c [28:24];
        uar_page = 0x0c [23:0];
        intr = 0x14 [11:0];
        log_page_size = 0x18 [28:24];
    }
    /// Completion queue.
    cqc: 0x40 {
        cqe_sz = 0x00 [23:21];
        page_offset = 0x08 [11:6];
        log_cq_size = 0x0c [28:24];
        uar_page = 0x0c [23:0];
        c_eqn_or_apu_element = 0x14 [31:0];
        log_page_size = 0x18 [28:24];
        dbr_addr = 0x38 quad;
    }
    /// Memory key.
    mkc: 0x40 {
        rw = 0x00 [13:13];
        lw = 0x00 [11:11];
        lr = 0x00 [10:10];
        access_mode_1_0 = 0x00 [9:8];
        qpn = 0x04 [31:8];
        mkey_7_0 = 0x04 [7:0];
        pd = 0x0c [23:0];
        start_addr = 0x10 quad;
        len = 0x18 quad;
        log_page_size = 0x38 [5:0];
    }
    /// Queue pair.
    qpc: 0xe8 {
        state = 0x00 [31:28];
        st = 0x00 [23:16];
        pd = 0x04 [23:0];
        log_rq_size = 0x08 [22:19];
        log_rq_stride = 0x08 [18:16];
        no_sq = 0x08 [15:15];
        log_sq_size = 0x08 [14:11];
        uar_page = 0x0c [23:0];
        log_page_size = 0x14 [28:24];
        remote_qpn = 0x14 [23:0];
        rnr_retry = 0x70 [15:13];
        cqn_snd = 0x7c [23:0];
        rwe = 0x90 [14:14];
        page_offset = 0x90 [11:6];
        cqn_rcv = 0x9c [23:0];
        dbr_addr = 0xa0 quad;
        rq_type = 0xac [26:24];
        hw_sq_wqebb_counter = 0xb4 [31:16];
        hw_rq_counter = 0xb8 [31:0];
    }
}
