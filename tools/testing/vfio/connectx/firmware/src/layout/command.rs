// SPDX-License-Identifier: GPL-2.0

//! Input and output of the commands. The first 16 bytes of each are in the queue's entry.

layouts! {
    /// Names the function that is made ready.
    enable_hca_in: 0x10 {
        opcode = 0x00 [31:16];
        op_mod = 0x04 [15:0];
        function_id = 0x08 [15:0];
    }
    /// Names the function that is no longer used.
    disable_hca_in: 0x10 {
        function_id = 0x08 [15:0];
    }
    /// What every output begins with.
    enable_hca_out: 0x0c {
        status = 0x00 [31:24];
        syndrome = 0x04 [31:0];
    }
    /// The interface steps that the driver may choose from.
    query_issi_out: 0x70 {
        current_issi = 0x08 [15:0];
        supported_issi_dw0 = 0x6c [31:0];
    }
    /// The one that it chose.
    set_issi_in: 0x10 {
        current_issi = 0x08 [15:0];
    }
    /// Asks for the number of pages that the firmware needs.
    query_pages_in: 0x10 {
        function_id = 0x08 [15:0];
    }
    /// That number.
    query_pages_out: 0x10 {
        function_id = 0x08 [15:0];
        num_pages = 0x0c [31:0];
    }
    /// Gives the firmware pages, or takes them back.
    manage_pages_in: 0x10 {
        function_id = 0x08 [15:0];
        input_num_entries = 0x0c [31:0];
        pas = 0x10 start;
    }
    /// The pages that came back.
    manage_pages_out: 0x10 {
        output_num_entries = 0x08 [31:0];
        pas = 0x10 start;
    }
    /// Asks for capabilities.
    query_hca_cap_in: 0x10 {
        other_function = 0x08 [31:31];
        function_id = 0x08 [15:0];
    }
    /// Board and vendor.
    query_adapter_out: 0x110 {
        query_adapter_struct = 0x10 start;
    }
    /// The part of it that has a value.
    query_adapter_param_block: 0x100 {
        ieee_vendor_id = 0x18 [23:0];
        vsd_contd_psid = 0xf0 start;
    }
    /// Reads or writes a register of the port.
    access_register_in: 0x10 {
        register_id = 0x08 [15:0];
    }
    /// The page of doorbells that the driver got.
    alloc_uar_out: 0x10 {
        uar = 0x08 [23:0];
    }
    /// Gives it back.
    dealloc_uar_in: 0x10 {
        uar = 0x08 [23:0];
    }
    /// The protection domain that the driver got.
    alloc_pd_out: 0x10 {
        pd = 0x08 [23:0];
    }
    /// Gives it back.
    dealloc_pd_in: 0x10 {
        pd = 0x08 [23:0];
    }
    /// An event queue.
    create_eq_in: 0x110 {
        eq_context_entry = 0x10 start;
        event_bitmask = 0x58 quad;
        pas = 0x110 start;
    }
    /// Its number.
    create_eq_out: 0x10 {
        eq_number = 0x08 [7:0];
    }
    /// Destroys it.
    destroy_eq_in: 0x10 {
        eq_number = 0x08 [7:0];
    }
    /// A completion queue.
    create_cq_in: 0x110 {
        cq_context = 0x10 start;
        pas = 0x110 start;
    }
    /// Its number.
    create_cq_out: 0x10 {
        cqn = 0x08 [23:0];
    }
    /// Destroys it.
    destroy_cq_in: 0x10 {
        cqn = 0x08 [23:0];
    }
    /// A memory key.
    create_mkey_in: 0x110 {
        memory_key_mkey_entry = 0x10 start;
        klm_pas_mtt = 0x110 start;
    }
    /// Its index.
    create_mkey_out: 0x10 {
        mkey_index = 0x08 [23:0];
    }
    /// Destroys it.
    destroy_mkey_in: 0x10 {
        mkey_index = 0x08 [23:0];
    }
    /// A queue pair.
    create_qp_in: 0x110 {
        qpc = 0x18 start;
        pas = 0x110 start;
    }
    /// Its number.
    create_qp_out: 0x10 {
        qpn = 0x08 [23:0];
    }
    /// Destroys it.
    destroy_qp_in: 0x10 {
        qpn = 0x08 [23:0];
    }
    /// Changes its state; the other commands that do have the same layout.
    init2rtr_qp_in: 0x110 {
        qpn = 0x08 [23:0];
        opt_param_mask = 0x10 [31:0];
        qpc = 0x18 start;
    }
    /// Asks for what it is.
    query_qp_in: 0x10 {
        qpn = 0x08 [23:0];
    }
    /// The answer.
    query_qp_out: 0x1d0 {
        qpc = 0x18 start;
    }
    /// Suspends one half of a function.
    suspend_vhca_in: 0x10 {
        vhca_id = 0x08 [15:0];
    }
    /// Lets it go on.
    resume_vhca_in: 0x10 {
        vhca_id = 0x08 [15:0];
    }
    /// Asks how much there is to save.
    query_vhca_migration_state_in: 0x10 {
        incremental = 0x08 [31:31];
        chunk = 0x08 [30:30];
        vhca_id = 0x08 [15:0];
    }
    /// The answer, in bytes.
    query_vhca_migration_state_out: 0x40 {
        migration_state = 0x0c [31:28];
        required_umem_size = 0x10 [31:0];
        remaining_total_size = 0x18 quad;
    }
    /// Saves the state of a function into a memory key.
    save_vhca_state_in: 0x20 {
        incremental = 0x08 [31:31];
        set_track = 0x08 [30:30];
        vhca_id = 0x08 [15:0];
        va = 0x10 quad;
        mkey = 0x18 [31:0];
        size = 0x1c [31:0];
    }
    /// Bytes that were saved, and that the next chunk needs.
    save_vhca_state_out: 0x10 {
        actual_image_size = 0x08 [31:0];
        next_required_umem_size = 0x0c [31:0];
    }
    /// Loads it from one.
    load_vhca_state_in: 0x20 {
        vhca_id = 0x08 [15:0];
        va = 0x10 quad;
        mkey = 0x18 [31:0];
        size = 0x1c [31:0];
    }
    /// What the commands for general objects begin with.
    general_obj_in_cmd_hdr: 0x10 {
        obj_type = 0x04 [15:0];
        obj_id = 0x08 [31:0];
    }
    /// What their outputs begin with.
    general_obj_out_cmd_hdr: 0x10 {
        obj_id = 0x08 [31:0];
    }
    /// Makes a page tracker.
    create_page_track_obj_in: 0x40 {
        obj_context = 0x10 start;
    }
    /// What a page tracker is.
    query_page_track_obj_out: 0x40 {
        obj_context = 0x10 start;
    }
}

/// Where the capabilities are in the input of SET_HCA_CAP and the output of QUERY_HCA_CAP.
pub const CAPABILITY: super::Start = super::Start(0x10);
