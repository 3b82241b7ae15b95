// SPDX-License-Identifier: GPL-2.0

//! QUERY_HCA_CAP, and what this crate reads of the capabilities.

layouts! {
    query_hca_cap_in: 0x80 {
        other_function: 0x40, 0x1;
        function_id: 0x50, 0x10;
    }

    /// GENERAL.
    cmd_hca_cap: 0x800 {
        hca_cap_2: 0x20, 0x1;
        vhca_id: 0x30, 0x10;
        log_max_msg: 0x1c3, 0x5;
        cqe_version: 0x1fc, 0x4;
        adv_virtualization: 0x579, 0x1;
        migration: 0x68d, 0x1;
    }

    /// GENERAL_2.
    cmd_hca_cap_2: 0x800 {
        migratable: 0x80, 0x1;
        migration_multi_load: 0xc8, 0x1;
        migration_tracking_state: 0xc9, 0x1;
        migration_in_chunks: 0xd0, 0x1;
        migration_state: 0xd9, 0x1;
    }
}

/// `query_hca_cap_out`: a capability follows the head of the reply. Its union has a size of its own.
pub mod query_hca_cap_out {
    /// In bytes: the head, and the union.
    pub const SIZE: usize = CAPABILITY + 0x1000;
    /// In bytes, where the capability begins.
    pub const CAPABILITY: usize = 0x10;
}
