// SPDX-License-Identifier: GPL-2.0

//! QUERY_HCA_CAP.

use super::{
    sealed::Encoded,
    Failure,
    Message,
    Opcode,
    Zeroed, //
};
use crate::layout::{
    capability::{
        query_hca_cap_in as input,
        query_hca_cap_out as output, //
    },
    Bytes,
    Field, //
};
use kernel::{
    alloc::AllocError,
    prelude::*, //
};

/// Which structure of capabilities.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// `cmd_hca_cap`.
    General = 0x00,
    /// `cmd_hca_cap_2`.
    General2 = 0x20,
    /// `adv_virtualization_cap`.
    AdvVirtualization = 0x26,
}

/// What is possible, or what is in force.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    Maximum = 0,
    Current = 1,
}

/// Of the PF, or of another function that it manages.
pub(crate) struct QueryCapability {
    pub(crate) kind: Kind,
    pub(crate) mode: Mode,
    pub(crate) function: Option<u16>,
}

impl Encoded for QueryCapability {
    type Input = input::Bytes;
    type Reply = KBox<Bytes<{ output::SIZE }>>;
    type Output = Capability;

    const OPCODE: Opcode = Opcode::QueryHcaCap;

    fn op_mod(&self) -> u16 {
        (self.kind as u16) << 1 | self.mode as u16
    }

    fn input(&self, _vhca_id: u16) -> Result<Self::Input, Failure> {
        let mut bytes = input::Bytes::ZERO;
        if let Some(function) = self.function {
            input::other_function.put(&mut bytes.0, true)?;
            input::function_id.put(&mut bytes.0, function)?;
        }
        Ok(bytes)
    }

    fn output(&self, reply: Self::Reply) -> Result<Capability, Failure> {
        Ok(Capability(reply))
    }
}

impl<const SIZE: usize> Message for KBox<Bytes<SIZE>> {
    fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl<const SIZE: usize> Zeroed for KBox<Bytes<SIZE>> {
    fn zeroed() -> Result<Self, AllocError> {
        KBox::new(Bytes::ZERO, GFP_KERNEL)
    }
}

/// One structure of capabilities.
pub(crate) struct Capability(KBox<Bytes<{ output::SIZE }>>);

impl Capability {
    pub(crate) fn get(&self, field: Field) -> u64 {
        field.get(&self.0 .0[output::CAPABILITY..])
    }

    pub(crate) fn has(&self, field: Field) -> bool {
        self.get(field) != 0
    }
}
