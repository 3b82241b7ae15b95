// SPDX-License-Identifier: GPL-2.0

//! The capabilities that the model has anything to say about; all other bits are zero.

layouts! {
    /// General capabilities.
    cmd_hca_cap: 0x100 {
        page_request_disable = 0x00 [25:25];
        hca_cap_2 = 0x04 [31:31];
        vhca_id = 0x04 [15:0];
        event_cap = 0x10 [15:15];
        log_max_qp_sz = 0x10 [23:16];
        log_max_qp = 0x10 [4:0];
        log_max_cq_sz = 0x18 [23:16];
        log_max_cq = 0x18 [4:0];
        log_max_mkey = 0x1c [21:16];
        log_max_eq = 0x1c [3:0];
        port_type = 0x34 [9:8];
        num_ports = 0x34 [7:0];
        log_max_msg = 0x38 [28:24];
        rc = 0x44 [0:0];
        log_pg_sz = 0x48 [7:0];
        bf = 0x4c [31:31];
        log_bf_reg_size = 0x4c [20:16];
        max_wqe_sz_sq = 0x50 [15:0];
        max_wqe_sz_rq = 0x54 [15:0];
        log_max_pd = 0x64 [20:16];
        max_num_eqs = 0x8c [15:0];
        device_frequency_khz = 0x9c [31:0];
        adv_virtualization = 0xac [6:6];
        migration = 0xd0 [18:18];
    }
    /// General capabilities, part two.
    cmd_hca_cap_2: 0x100 {
        migratable = 0x10 [31:31];
        migration_multi_load = 0x18 [23:23];
        migration_tracking_state = 0x18 [22:22];
        migration_in_chunks = 0x18 [15:15];
        migration_state = 0x18 [6:6];
    }
    /// The events that may be subscribed to.
    device_event_cap: 0x40 {
        user_affiliated_events = 0x00 quad;
    }
    /// What the page tracker can do.
    adv_virtualization_cap: 0x100 {
        pg_track_log_max_num = 0x00 [28:24];
        pg_track_max_num_range = 0x00 [23:16];
        pg_track_log_min_addr_space = 0x00 [15:8];
        pg_track_log_max_addr_space = 0x00 [7:0];
        pg_track_log_min_msg_size = 0x04 [28:24];
        pg_track_log_max_msg_size = 0x04 [20:16];
        pg_track_log_min_page_size = 0x04 [12:8];
        pg_track_log_max_page_size = 0x04 [4:0];
    }
}

/// `op_mod` of QUERY_HCA_CAP is the kind of capability, shifted by one, and whether the current
/// value is asked for instead of the maximum.
pub mod kind {
    /// `cmd_hca_cap`
    pub const GENERAL: u16 = 0x00;
    /// `device_event_cap`
    pub const DEVICE_EVENT: u16 = 0x14;
    /// `cmd_hca_cap_2`
    pub const GENERAL_2: u16 = 0x20;
    /// `adv_virtualization_cap`
    pub const ADV_VIRTUALIZATION: u16 = 0x26;
}

/// Bytes of one capability structure in a mailbox.
pub const LENGTH: usize = 0x1000;
