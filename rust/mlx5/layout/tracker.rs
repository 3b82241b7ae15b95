// SPDX-License-Identifier: GPL-2.0

//! The page tracker, an object of the general kind.

layouts! {
    /// Of commands about an object of any type.
    general_obj_in_cmd_hdr: 0x80 {
        obj_id: 0x40, 0x20;
    }

    general_obj_out_cmd_hdr: 0x80 {
        obj_id: 0x40, 0x20;
    }

    create_page_track_obj_in: 0x200 {
        obj_context: 0x80, 0x180;
    }

    modify_page_track_obj_in: 0x200 {
        obj_context: 0x80, 0x180;
    }

    query_page_track_obj_out: 0x200 {
        obj_context: 0x80, 0x180;
    }

    /// The object, which its ranges follow.
    page_track: 0x180 {
        modify_field_select: 0x0, 0x40;
        vhca_id: 0x50, 0x10;
        state: 0x80, 0x4;
        track_type: 0x84, 0x4;
        log_addr_space_size: 0x88, 0x8;
        log_page_size: 0x93, 0x5;
        log_msg_size: 0x9b, 0x5;
        reporting_qpn: 0xa8, 0x18;
        num_ranges: 0xd8, 0x8;
        range_start_address: 0x100, 0x40;
        length: 0x140, 0x40;
    }

    page_track_range: 0x80 {
        start_address: 0x0, 0x40;
        length: 0x40, 0x40;
    }

    /// The capability; see [`crate::tracker::Limits`].
    adv_virtualization_cap: 0x800 {
        pg_track_max_num_range: 0x8, 0x8;
        pg_track_log_min_addr_space: 0x10, 0x8;
        pg_track_log_max_addr_space: 0x18, 0x8;
        pg_track_log_min_msg_size: 0x23, 0x5;
        pg_track_log_max_msg_size: 0x2b, 0x5;
        pg_track_log_min_page_size: 0x33, 0x5;
        pg_track_log_max_page_size: 0x3b, 0x5;
    }

    /// One page in a message.
    page_track_report_entry: 0x40 {
        dirty_address_high: 0x0, 0x20;
        dirty_address_low: 0x20, 0x20;
    }
}
