// SPDX-License-Identifier: GPL-2.0

//! Migration of a VHCA, the state of a function.

layouts! {
    /// With the head of every command.
    suspend_vhca_in: 0x80 {
        opcode: 0x0, 0x10;
        op_mod: 0x30, 0x10;
        vhca_id: 0x50, 0x10;
    }

    /// With the head of every reply.
    suspend_vhca_out: 0x80 {
        status: 0x0, 0x8;
        syndrome: 0x20, 0x20;
    }

    resume_vhca_in: 0x80 {
        vhca_id: 0x50, 0x10;
    }

    resume_vhca_out: 0x80 {}

    query_vhca_migration_state_in: 0x80 {
        incremental: 0x40, 0x1;
        chunk: 0x41, 0x1;
        vhca_id: 0x50, 0x10;
    }

    query_vhca_migration_state_out: 0x200 {
        migration_state: 0x60, 0x4;
        required_umem_size: 0x80, 0x20;
        remaining_total_size: 0xc0, 0x40;
    }

    save_vhca_state_in: 0x100 {
        incremental: 0x40, 0x1;
        set_track: 0x41, 0x1;
        vhca_id: 0x50, 0x10;
        mkey: 0xc0, 0x20;
        size: 0xe0, 0x20;
    }

    save_vhca_state_out: 0x80 {
        actual_image_size: 0x40, 0x20;
        next_required_umem_size: 0x60, 0x20;
    }

    load_vhca_state_in: 0x100 {
        vhca_id: 0x50, 0x10;
        mkey: 0xc0, 0x20;
        size: 0xe0, 0x20;
    }

    load_vhca_state_out: 0x80 {}
}
