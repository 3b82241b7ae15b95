// SPDX-License-Identifier: GPL-2.0

//! What lies in the host's memory and in BAR 0: entries of queues, mailboxes, registers. The kernel
//! has them as structures of C, whose names and fields these have.

layouts! {
    /// Entry of the command queue.
    mlx5_cmd_layout: 0x40 {
        r#type = 0x00 [31:24];
        inlen = 0x04 [31:0];
        in_ptr = 0x08 quad;
        r#in = 0x10 start;
        out = 0x20 start;
        out_ptr = 0x30 quad;
        outlen = 0x38 [31:0];
        token = 0x3c [31:24];
        status_own = 0x3c [7:0];
    }
    /// Block of a mailbox.
    mlx5_cmd_prot_block: 0x240 {
        data = 0x000 start;
        next = 0x230 quad;
        block_num = 0x238 [31:0];
        token = 0x23c [23:16];
    }
    /// Entry of an event queue. What is in `data` depends on the type.
    mlx5_eqe: 0x40 {
        r#type = 0x00 [23:16];
        sub_type = 0x00 [7:0];
        data = 0x20 start;
        owner = 0x3c [7:0];
    }
    /// `data` of a command's completion: the slots.
    mlx5_eqe_cmd: 0x1c {
        vector = 0x00 [31:0];
    }
    /// `data` of a completion.
    mlx5_eqe_comp: 0x1c {
        cqn = 0x18 [31:0];
    }
    /// `data` of a request for pages.
    mlx5_eqe_page_req: 0x1c {
        func_id = 0x00 [15:0];
        num_pages = 0x04 [31:0];
    }
    /// `data` of an error of a QP.
    mlx5_eqe_qp_srq: 0x1c {
        r#type = 0x14 [31:24];
        qp_srq_n = 0x18 [31:0];
    }
    /// `data` of an error of a CQ.
    mlx5_eqe_cq_err: 0x1c {
        cqn = 0x00 [31:0];
        syndrome = 0x08 [7:0];
    }
    /// `data` of a change of a general object.
    mlx5_eqe_obj_change: 0x1c {
        obj_type = 0x00 [15:0];
        obj_id = 0x04 [31:0];
    }
    /// Entry of a completion queue.
    mlx5_cqe64: 0x40 {
        imm_inval_pkey = 0x24 [31:0];
        byte_cnt = 0x2c [31:0];
        sop_drop_qpn = 0x38 [31:0];
        wqe_counter = 0x3c [31:16];
        op_own = 0x3c [7:0];
    }
    /// The same for work that failed, as far as it differs.
    mlx5_err_cqe: 0x40 {
        syndrome = 0x34 [7:0];
    }
    /// Begins an entry of a send queue.
    mlx5_wqe_ctrl_seg: 0x10 {
        wqe_index = 0x00 [23:8];
        opcode = 0x00 [7:0];
        qpn = 0x04 [31:8];
        ds = 0x04 [5:0];
        ce = 0x08 [3:2];
        imm = 0x0c [31:0];
    }
    /// Where an RDMA WRITE goes to.
    mlx5_wqe_raddr_seg: 0x10 {
        raddr = 0x00 quad;
        rkey = 0x08 [31:0];
    }
    /// Data in the entry itself: their bytes, and bit 31, follow.
    mlx5_wqe_inline_seg: 0x04 {
        byte_count = 0x00 [31:0];
        data = 0x04 start;
    }
    /// Entry of a receive queue, and data of an entry of a send queue.
    mlx5_wqe_data_seg: 0x10 {
        byte_count = 0x00 [31:0];
        lkey = 0x04 [31:0];
        addr = 0x08 quad;
    }
}

/// `type` of an entry of the command queue.
pub const PCI_CMD_XPORT: u32 = 7;
/// Bytes of data in one block of a mailbox.
pub const BLOCK_DATA: usize = 0x200;

/// Kinds of completions: the upper half of `op_own`.
pub mod completion {
    /// Work of a send queue is done.
    pub const REQ: u32 = 0;
    /// An RDMA WRITE with an immediate came.
    pub const RESP_WR_IMM: u32 = 1;
    /// A message came.
    pub const RESP_SEND: u32 = 2;
    /// A message with an immediate came.
    pub const RESP_SEND_IMM: u32 = 3;
    /// Work of a send queue failed.
    pub const REQ_ERR: u32 = 13;
    /// Work of a receive queue failed.
    pub const RESP_ERR: u32 = 14;
}

/// What an entry of a send queue asks for.
pub mod work {
    /// Nothing.
    pub const NOP: u32 = 0x00;
    /// To write to the other end's memory.
    pub const RDMA_WRITE: u32 = 0x08;
    /// The same, and to use up a receive.
    pub const RDMA_WRITE_IMM: u32 = 0x09;
    /// To send a message.
    pub const SEND: u32 = 0x0a;
    /// The same with an immediate.
    pub const SEND_IMM: u32 = 0x0b;
}

/// Types of events.
pub mod event {
    /// A completion queue has an entry.
    pub const COMP: u8 = 0x00;
    /// A completion queue is broken.
    pub const CQ_ERROR: u8 = 0x04;
    /// A queue pair has a fatal error.
    pub const WQ_CATAS_ERROR: u8 = 0x05;
    /// The other end asked a queue pair for what makes no sense.
    pub const WQ_INVAL_REQ_ERROR: u8 = 0x10;
    /// The other end asked a queue pair for what it may not have.
    pub const WQ_ACCESS_ERROR: u8 = 0x11;
    /// Commands completed.
    pub const CMD: u8 = 0x0a;
    /// The firmware wants pages, or gives them back.
    pub const PAGE_REQUEST: u8 = 0x0b;
    /// A general object changed by itself.
    pub const OBJECT_CHANGE: u8 = 0x27;
}
