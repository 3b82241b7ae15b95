// SPDX-License-Identifier: GPL-2.0

//! ALLOC_PD, DEALLOC_PD, CREATE_MKEY, DESTROY_MKEY.

use super::{
    sealed::Encoded,
    Failure,
    Message, //
    Opcode,
};
use crate::layout::memory::{
    alloc_pd_in,
    alloc_pd_out,
    create_mkey_in,
    create_mkey_out,
    dealloc_pd_in,
    dealloc_pd_out,
    destroy_mkey_in,
    destroy_mkey_out,
    mkc, //
};
use kernel::prelude::*;

/// ALLOC_PD: the number of a new protection domain.
pub(crate) struct AllocPd;

impl Encoded for AllocPd {
    type Input = alloc_pd_in::Bytes;
    type Reply = alloc_pd_out::Bytes;
    type Output = u32;

    const OPCODE: Opcode = Opcode::AllocPd;

    fn input(&self, _vhca_id: u16) -> Result<Self::Input, Failure> {
        Ok(Self::Input::ZERO)
    }

    fn output(&self, reply: Self::Reply) -> Result<u32, Failure> {
        Ok(alloc_pd_out::pd.get(&reply.0) as u32)
    }
}

/// DEALLOC_PD, by its number.
pub(crate) struct DeallocPd(pub(crate) u32);

impl Encoded for DeallocPd {
    type Input = dealloc_pd_in::Bytes;
    type Reply = dealloc_pd_out::Bytes;
    type Output = ();

    const OPCODE: Opcode = Opcode::DeallocPd;

    fn input(&self, _vhca_id: u16) -> Result<Self::Input, Failure> {
        let mut bytes = Self::Input::ZERO;
        dealloc_pd_in::pd.put(&mut bytes.0, self.0)?;
        Ok(bytes)
    }

    fn output(&self, _reply: Self::Reply) -> Result<(), Failure> {
        Ok(())
    }
}

/// A key is the firmware's index, and below it a number of our own that is always zero here.
const INDEX_SHIFT: u32 = 8;

/// CREATE_MKEY: a key for memory at virtual address 0, in blocks of one size.
pub(crate) struct CreateMkey<'a> {
    pub(crate) pd: u32,
    pub(crate) log_page_size: u32,
    /// DMA addresses of the blocks.
    pub(crate) addresses: &'a [u64],
}

/// `access_mode_1_0`: by a list of translations.
const ACCESS_MODE_MTT: u8 = 1;
/// `qpn`: of any queue pair.
const ANY_QP: u32 = 0xff_ffff;
/// Translations in an octword, the unit of their number.
const IN_OCTWORD: usize = 2;

impl Encoded for CreateMkey<'_> {
    type Input = KVVec<u8>;
    type Reply = create_mkey_out::Bytes;
    type Output = u32;

    const OPCODE: Opcode = Opcode::CreateMkey;

    fn input(&self, _vhca_id: u16) -> Result<KVVec<u8>, Failure> {
        let octwords = self.addresses.len().div_ceil(IN_OCTWORD);
        let len = create_mkey_in::SIZE + octwords * IN_OCTWORD * size_of::<u64>();
        let mut bytes = KVVec::from_elem(0, len, GFP_KERNEL_ACCOUNT)?;
        let context = create_mkey_in::memory_key_mkey_entry.first();
        for right in [mkc::lr, mkc::lw, mkc::rr, mkc::rw] {
            right.at(context).put(&mut bytes, true)?;
        }
        mkc::access_mode_1_0
            .at(context)
            .put(&mut bytes, ACCESS_MODE_MTT)?;
        mkc::qpn.at(context).put(&mut bytes, ANY_QP)?;
        mkc::pd.at(context).put(&mut bytes, self.pd)?;
        mkc::len.at(context).put(
            &mut bytes,
            (self.addresses.len() as u64) << self.log_page_size,
        )?;
        mkc::translations_octword_size
            .at(context)
            .put(&mut bytes, octwords as u64)?;
        mkc::log_page_size
            .at(context)
            .put(&mut bytes, self.log_page_size)?;
        create_mkey_in::translations_octword_actual_size.put(&mut bytes, octwords as u64)?;
        let entries = bytes[create_mkey_in::SIZE..].chunks_exact_mut(size_of::<u64>());
        for (entry, address) in entries.zip(self.addresses) {
            entry.copy_from_slice(&address.to_be_bytes());
        }
        Ok(bytes)
    }

    fn output(&self, reply: Self::Reply) -> Result<u32, Failure> {
        Ok((create_mkey_out::mkey_index.get(&reply.0) as u32) << INDEX_SHIFT)
    }
}

impl Message for KVVec<u8> {
    fn bytes(&mut self) -> &mut [u8] {
        self
    }
}

/// DESTROY_MKEY, by the key.
pub(crate) struct DestroyMkey(pub(crate) u32);

impl Encoded for DestroyMkey {
    type Input = destroy_mkey_in::Bytes;
    type Reply = destroy_mkey_out::Bytes;
    type Output = ();

    const OPCODE: Opcode = Opcode::DestroyMkey;

    fn input(&self, _vhca_id: u16) -> Result<Self::Input, Failure> {
        let mut bytes = Self::Input::ZERO;
        destroy_mkey_in::mkey_index.put(&mut bytes.0, self.0 >> INDEX_SHIFT)?;
        Ok(bytes)
    }

    fn output(&self, _reply: Self::Reply) -> Result<(), Failure> {
        Ok(())
    }
}
