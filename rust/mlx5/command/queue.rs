// SPDX-License-Identifier: GPL-2.0

//! CREATE_QP, RST2INIT_QP, INIT2RTR_QP, RTR2RTS_QP, DESTROY_QP: what a receiver and a sender of one
//! function need to have a connection with each other.

use super::{
    sealed::Encoded,
    Failure,
    Opcode, //
};
use crate::layout::queue::{
    ads,
    create_qp_in,
    create_qp_out,
    destroy_qp_in,
    destroy_qp_out,
    init2rtr_qp_in,
    init2rtr_qp_out,
    qpc,
    rst2init_qp_in,
    rst2init_qp_out,
    rtr2rts_qp_in,
    rtr2rts_qp_out, //
};
use kernel::{
    alloc::AllocError,
    prelude::*, //
};

/// A structure of `size` zeroes, and the addresses of pages behind it.
pub(crate) fn with_pages(size: usize, pages: &[u64]) -> Result<KVVec<u8>, AllocError> {
    let mut bytes = KVVec::with_capacity(size + size_of_val(pages), GFP_KERNEL_ACCOUNT)?;
    bytes.resize(size, 0, GFP_KERNEL_ACCOUNT)?;
    for page in pages {
        bytes.extend_from_slice(&page.to_be_bytes(), GFP_KERNEL_ACCOUNT)?;
    }
    Ok(bytes)
}

/// Values of the fields of a queue pair.
mod value {
    /// `st`: reliable connection.
    pub(super) const RC: u32 = 0;
    /// `pm_state`: no other path.
    pub(super) const MIGRATED: u32 = 3;
    /// `rq_type`: entries of its own, or none.
    pub(super) const OWN_RQ: u32 = 0;
    pub(super) const NO_RQ: u32 = 3;
    /// `user_index`: that there is none.
    pub(super) const NO_INDEX: u32 = 0xff_ffff;
    /// `mtu`: 4096 bytes.
    pub(super) const MTU_4096: u32 = 5;
    /// `min_rnr_nak`: 10 us.
    pub(super) const RNR_DELAY: u32 = 1;
    /// `ack_timeout`: 4.096 us << 8, about 1 ms.
    pub(super) const ACK_TIMEOUT: u32 = 8;
    pub(super) const RETRIES: u32 = 7;
    /// `rnr_retry`: for as long as it takes.
    pub(super) const RNR_FOREVER: u32 = 7;
    /// The port of the function.
    pub(super) const PORT: u32 = 1;
}

/// The receive queue of a queue pair, whose entries have 16 bytes.
pub(crate) struct ReceiveQueue<'a> {
    /// The number of entries, as a power of two.
    pub(crate) log_size: u32,
    /// The completion queue.
    pub(crate) cqn: u32,
    /// The DMA address of its doorbell record.
    pub(crate) doorbell: u64,
    /// The DMA addresses of its pages of 4 KiB.
    pub(crate) pages: &'a [u64],
}

/// CREATE_QP: of type RC, without a send queue.
pub(crate) struct CreateQp<'a> {
    pub(crate) pd: u32,
    pub(crate) uar: u32,
    /// The format of time stamps.
    pub(crate) timestamps: u32,
    /// Entries of completion queues have a `user_index`.
    pub(crate) user_index: bool,
    pub(crate) receive: Option<ReceiveQueue<'a>>,
}

impl Encoded for CreateQp<'_> {
    type Input = KVVec<u8>;
    type Reply = create_qp_out::Bytes;
    type Output = u32;

    const OPCODE: Opcode = Opcode::CreateQp;

    fn input(&self, _vhca_id: u16) -> Result<KVVec<u8>, Failure> {
        const BASE: usize = create_qp_in::qpc.first();
        let pages = self.receive.as_ref().map_or(&[][..], |queue| queue.pages);
        let mut input = with_pages(create_qp_in::SIZE, pages)?;
        let bytes = &mut input[..];
        qpc::st.at(BASE).put(bytes, value::RC)?;
        qpc::pm_state.at(BASE).put(bytes, value::MIGRATED)?;
        qpc::pd.at(BASE).put(bytes, self.pd)?;
        qpc::uar_page.at(BASE).put(bytes, self.uar)?;
        qpc::ts_format.at(BASE).put(bytes, self.timestamps)?;
        qpc::no_sq.at(BASE).put(bytes, true)?;
        if self.user_index {
            qpc::user_index.at(BASE).put(bytes, value::NO_INDEX)?;
        }
        match &self.receive {
            None => qpc::rq_type.at(BASE).put(bytes, value::NO_RQ)?,
            Some(queue) => {
                qpc::rq_type.at(BASE).put(bytes, value::OWN_RQ)?;
                qpc::log_rq_size.at(BASE).put(bytes, queue.log_size)?;
                qpc::cqn_rcv.at(BASE).put(bytes, queue.cqn)?;
                qpc::dbr_addr.at(BASE).put(bytes, queue.doorbell)?;
            }
        }
        Ok(input)
    }

    fn output(&self, reply: Self::Reply) -> Result<u32, Failure> {
        // CAST: The field has 24 bits.
        Ok(create_qp_out::qpn.get(&reply.0) as u32)
    }
}

/// RST2INIT_QP.
pub(crate) struct InitQp {
    pub(crate) qpn: u32,
}

impl Encoded for InitQp {
    type Input = rst2init_qp_in::Bytes;
    type Reply = rst2init_qp_out::Bytes;
    type Output = ();

    const OPCODE: Opcode = Opcode::Rst2initQp;

    fn input(&self, _vhca_id: u16) -> Result<Self::Input, Failure> {
        const BASE: usize = rst2init_qp_in::qpc.first();
        const PATH: usize = BASE + qpc::primary_address_path.first();
        let mut bytes = Self::Input::ZERO;
        rst2init_qp_in::qpn.put(&mut bytes.0, self.qpn)?;
        qpc::pm_state.at(BASE).put(&mut bytes.0, value::MIGRATED)?;
        qpc::rre.at(BASE).put(&mut bytes.0, true)?;
        qpc::rwe.at(BASE).put(&mut bytes.0, true)?;
        ads::vhca_port_num.at(PATH).put(&mut bytes.0, value::PORT)?;
        Ok(bytes)
    }

    fn output(&self, _reply: Self::Reply) -> Result<(), Failure> {
        Ok(())
    }
}

/// INIT2RTR_QP: to receive from another queue pair of this function.
pub(crate) struct ConnectQp {
    pub(crate) qpn: u32,
    pub(crate) remote: u32,
    /// The largest message, as a power of two.
    pub(crate) log_max_message: u32,
}

impl Encoded for ConnectQp {
    type Input = init2rtr_qp_in::Bytes;
    type Reply = init2rtr_qp_out::Bytes;
    type Output = ();

    const OPCODE: Opcode = Opcode::Init2rtrQp;

    fn input(&self, _vhca_id: u16) -> Result<Self::Input, Failure> {
        const BASE: usize = init2rtr_qp_in::qpc.first();
        const PATH: usize = BASE + qpc::primary_address_path.first();
        let mut bytes = Self::Input::ZERO;
        init2rtr_qp_in::qpn.put(&mut bytes.0, self.qpn)?;
        qpc::mtu.at(BASE).put(&mut bytes.0, value::MTU_4096)?;
        qpc::log_msg_max
            .at(BASE)
            .put(&mut bytes.0, self.log_max_message)?;
        qpc::remote_qpn.at(BASE).put(&mut bytes.0, self.remote)?;
        qpc::min_rnr_nak
            .at(BASE)
            .put(&mut bytes.0, value::RNR_DELAY)?;
        ads::vhca_port_num.at(PATH).put(&mut bytes.0, value::PORT)?;
        // It does not leave the port.
        ads::fl.at(PATH).put(&mut bytes.0, true)?;
        Ok(bytes)
    }

    fn output(&self, _reply: Self::Reply) -> Result<(), Failure> {
        Ok(())
    }
}

/// RTR2RTS_QP.
pub(crate) struct SendQp {
    pub(crate) qpn: u32,
}

impl Encoded for SendQp {
    type Input = rtr2rts_qp_in::Bytes;
    type Reply = rtr2rts_qp_out::Bytes;
    type Output = ();

    const OPCODE: Opcode = Opcode::Rtr2rtsQp;

    fn input(&self, _vhca_id: u16) -> Result<Self::Input, Failure> {
        const BASE: usize = rtr2rts_qp_in::qpc.first();
        const PATH: usize = BASE + qpc::primary_address_path.first();
        let mut bytes = Self::Input::ZERO;
        rtr2rts_qp_in::qpn.put(&mut bytes.0, self.qpn)?;
        qpc::retry_count
            .at(BASE)
            .put(&mut bytes.0, value::RETRIES)?;
        // The receiver's queue is full until it was read.
        qpc::rnr_retry
            .at(BASE)
            .put(&mut bytes.0, value::RNR_FOREVER)?;
        ads::ack_timeout
            .at(PATH)
            .put(&mut bytes.0, value::ACK_TIMEOUT)?;
        Ok(bytes)
    }

    fn output(&self, _reply: Self::Reply) -> Result<(), Failure> {
        Ok(())
    }
}

/// DESTROY_QP.
pub(crate) struct DestroyQp {
    pub(crate) qpn: u32,
}

impl Encoded for DestroyQp {
    type Input = destroy_qp_in::Bytes;
    type Reply = destroy_qp_out::Bytes;
    type Output = ();

    const OPCODE: Opcode = Opcode::DestroyQp;

    fn input(&self, _vhca_id: u16) -> Result<Self::Input, Failure> {
        let mut bytes = Self::Input::ZERO;
        destroy_qp_in::qpn.put(&mut bytes.0, self.qpn)?;
        Ok(bytes)
    }

    fn output(&self, _reply: Self::Reply) -> Result<(), Failure> {
        Ok(())
    }
}
