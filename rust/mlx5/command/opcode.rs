// SPDX-License-Identifier: GPL-2.0

//! The commands that this crate gives, by number and name.

use kernel::prelude::*;

macro_rules! opcodes {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        /// What a command is, in the numbers of `include/linux/mlx5/mlx5_ifc.h`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        #[expect(missing_docs)]
        pub enum Opcode {
            $($name = $number,)*
        }

        impl Opcode {
            /// All of them, in the order of their numbers.
            pub const ALL: [Self; [$($number),*].len()] = [$(Self::$name),*];

            /// The name, which is that of the manual.
            pub const fn name(self) -> &'static CStr {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

opcodes! {
    QueryHcaCap = 0x100, c"QUERY_HCA_CAP";
    SuspendVhca = 0x115, c"SUSPEND_VHCA";
    ResumeVhca = 0x116, c"RESUME_VHCA";
    QueryVhcaMigrationState = 0x117, c"QUERY_VHCA_MIGRATION_STATE";
    SaveVhcaState = 0x118, c"SAVE_VHCA_STATE";
    LoadVhcaState = 0x119, c"LOAD_VHCA_STATE";
    CreateMkey = 0x200, c"CREATE_MKEY";
    DestroyMkey = 0x202, c"DESTROY_MKEY";
    CreateQp = 0x500, c"CREATE_QP";
    DestroyQp = 0x501, c"DESTROY_QP";
    Rst2initQp = 0x502, c"RST2INIT_QP";
    Init2rtrQp = 0x503, c"INIT2RTR_QP";
    Rtr2rtsQp = 0x504, c"RTR2RTS_QP";
    AllocPd = 0x800, c"ALLOC_PD";
    DeallocPd = 0x801, c"DEALLOC_PD";
    CreateGeneralObject = 0xa00, c"CREATE_GENERAL_OBJECT";
    ModifyGeneralObject = 0xa01, c"MODIFY_GENERAL_OBJECT";
    QueryGeneralObject = 0xa02, c"QUERY_GENERAL_OBJECT";
    DestroyGeneralObject = 0xa03, c"DESTROY_GENERAL_OBJECT";
}

impl Opcode {
    /// The place in [`Opcode::ALL`].
    pub fn index(self) -> usize {
        let place = Self::ALL.binary_search_by_key(&(self as u16), |opcode| *opcode as u16);
        place.unwrap_or_else(|place| place)
    }
}
