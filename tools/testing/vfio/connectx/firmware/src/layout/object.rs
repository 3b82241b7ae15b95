// SPDX-License-Identifier: GPL-2.0

//! General objects: the page tracker.

layouts! {
    /// Page tracker.
    page_track: 0x30 {
        modify_field_select = 0x00 quad;
        vhca_id = 0x08 [15:0];
        state = 0x10 [31:28];
        track_type = 0x10 [27:24];
        log_addr_space_size = 0x10 [23:16];
        log_page_size = 0x10 [12:8];
        log_msg_size = 0x10 [4:0];
        reporting_qpn = 0x14 [23:0];
        num_ranges = 0x18 [7:0];
        range_start_address = 0x20 quad;
        length = 0x28 quad;
        track_range = 0x30 start;
    }
    /// A range that it tracks.
    page_track_range: 0x10 {
        start_address = 0x00 quad;
        length = 0x08 quad;
    }
    /// A page that was written to.
    page_track_report_entry: 0x08 {
        dirty_address_high = 0x00 [31:0];
        dirty_address_low = 0x04 [31:0];
    }
}

/// `obj_type` of a page tracker.
pub const PAGE_TRACK: u32 = 0x46;
