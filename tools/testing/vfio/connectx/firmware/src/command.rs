// SPDX-License-Identifier: GPL-2.0

//! The commands: their table, and who may give them when.

mod general;
mod hca;
mod pages;
mod qps;
mod queues;
mod resources;

use crate::config::Action;
use crate::function::Phase;
use crate::layout::command as layout;
use crate::layout::{capability, wire};
use crate::migration::{self, Transfer};
use crate::nic::Nic;
use crate::status::{refuse, require, Result, Status};

pub(crate) const SUSPEND_VHCA: u16 = 0x115;
pub(crate) const RESUME_VHCA: u16 = 0x116;
pub(crate) const SAVE_VHCA_STATE: u16 = 0x118;
pub(crate) const LOAD_VHCA_STATE: u16 = 0x119;

/// The longest output that a handler writes; those with an array of pages look themselves.
pub(crate) const LONGEST_OUTPUT: usize = 0x10 + capability::LENGTH;

/// A command that a driver gave.
pub(crate) struct Call<'a> {
    /// The function on whose queue it came.
    pub(crate) f: usize,
    pub(crate) opcode: u16,
    pub(crate) op_mod: u16,
    /// At least as long as the table says.
    pub(crate) input: &'a [u8],
    /// Bytes that the driver has room for.
    pub(crate) outlen: usize,
    pub(crate) fault: Option<Action>,
}

/// How a command that did not fail goes on.
pub(crate) enum Flow {
    /// It is done, and its output is there.
    Done,
    /// Bytes are to be moved first.
    Transfer(Box<Transfer>),
}

/// Who may give a command, and from when on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Any function at any time.
    Any,
    /// After ENABLE_HCA.
    Enabled,
    /// After INIT_HCA.
    Initialised,
    /// The PF after INIT_HCA.
    Manager,
}

type Handler = fn(&mut Nic, &Call<'_>, &mut [u8]) -> Result<Flow>;

/// A line of the table.
pub(crate) struct Command {
    pub(crate) opcode: u16,
    /// Its name in the manual.
    pub(crate) name: &'static str,
    /// Bytes that input and output must have.
    input: usize,
    output: usize,
    scope: Scope,
    run: Handler,
}

macro_rules! commands {
    ($($opcode:literal $name:ident $input:expr, $output:expr, $scope:ident $run:path;)*) => {
        /// All commands that the model knows.
        pub(crate) const COMMANDS: &[Command] = &[$(Command {
            opcode: $opcode,
            name: stringify!($name),
            input: $input,
            output: $output,
            scope: Scope::$scope,
            run: $run,
        },)*];
    };
}

/// Input or output that has nothing but what every one has. The driver gives ENABLE_HCA and
/// DISABLE_HCA no more room than 12 bytes.
const PLAIN: usize = 8;
const SHORT: usize = 16;

commands! {
    0x100 QUERY_HCA_CAP layout::query_hca_cap_in::SIZE, SHORT + capability::cmd_hca_cap::SIZE, Enabled hca::query_hca_cap;
    0x101 QUERY_ADAPTER SHORT, layout::query_adapter_out::SIZE, Initialised hca::query_adapter;
    0x102 INIT_HCA SHORT, PLAIN, Enabled hca::init_hca;
    0x103 TEARDOWN_HCA SHORT, PLAIN, Initialised hca::teardown_hca;
    0x104 ENABLE_HCA SHORT, PLAIN, Any hca::enable_hca;
    0x105 DISABLE_HCA SHORT, PLAIN, Enabled hca::disable_hca;
    0x107 QUERY_PAGES SHORT, layout::query_pages_out::SIZE, Enabled pages::query_pages;
    0x108 MANAGE_PAGES SHORT, SHORT, Enabled pages::manage_pages;
    0x109 SET_HCA_CAP SHORT + capability::cmd_hca_cap::SIZE, PLAIN, Enabled hca::set_hca_cap;
    0x10a QUERY_ISSI SHORT, layout::query_issi_out::SIZE, Enabled hca::query_issi;
    0x10b SET_ISSI SHORT, PLAIN, Enabled hca::set_issi;
    0x115 SUSPEND_VHCA SHORT, PLAIN, Manager migration::suspend;
    0x116 RESUME_VHCA SHORT, PLAIN, Manager migration::resume;
    0x117 QUERY_VHCA_MIGRATION_STATE SHORT, layout::query_vhca_migration_state_out::SIZE, Manager migration::query;
    0x118 SAVE_VHCA_STATE layout::save_vhca_state_in::SIZE, SHORT, Manager migration::save;
    0x119 LOAD_VHCA_STATE layout::load_vhca_state_in::SIZE, PLAIN, Manager migration::load;
    0x200 CREATE_MKEY layout::create_mkey_in::SIZE, SHORT, Initialised resources::create_mkey;
    0x202 DESTROY_MKEY SHORT, PLAIN, Initialised resources::destroy_mkey;
    0x301 CREATE_EQ layout::create_eq_in::SIZE, SHORT, Initialised queues::create_eq;
    0x302 DESTROY_EQ SHORT, PLAIN, Initialised queues::destroy_eq;
    0x400 CREATE_CQ layout::create_cq_in::SIZE, SHORT, Initialised queues::create_cq;
    0x401 DESTROY_CQ SHORT, PLAIN, Initialised queues::destroy_cq;
    0x500 CREATE_QP layout::create_qp_in::SIZE, SHORT, Initialised qps::create_qp;
    0x501 DESTROY_QP SHORT, PLAIN, Initialised qps::destroy_qp;
    0x502 RST2INIT_QP layout::init2rtr_qp_in::SIZE, PLAIN, Initialised qps::modify_qp;
    0x503 INIT2RTR_QP layout::init2rtr_qp_in::SIZE, PLAIN, Initialised qps::modify_qp;
    0x504 RTR2RTS_QP layout::init2rtr_qp_in::SIZE, PLAIN, Initialised qps::modify_qp;
    0x507 QP_2ERR SHORT, PLAIN, Initialised qps::modify_qp;
    0x50a QP_2RST SHORT, PLAIN, Initialised qps::modify_qp;
    0x50b QUERY_QP SHORT, layout::query_qp_out::SIZE, Initialised qps::query_qp;
    0x800 ALLOC_PD SHORT, SHORT, Initialised resources::alloc_pd;
    0x801 DEALLOC_PD SHORT, PLAIN, Initialised resources::dealloc_pd;
    0x802 ALLOC_UAR SHORT, SHORT, Initialised resources::alloc_uar;
    0x803 DEALLOC_UAR SHORT, PLAIN, Initialised resources::dealloc_uar;
    0x805 ACCESS_REGISTER SHORT, SHORT, Enabled hca::access_register;
    0xa00 CREATE_GENERAL_OBJECT layout::create_page_track_obj_in::SIZE, SHORT, Manager general::create;
    0xa01 MODIFY_GENERAL_OBJECT layout::create_page_track_obj_in::SIZE, PLAIN, Manager general::modify;
    0xa02 QUERY_GENERAL_OBJECT SHORT, layout::query_page_track_obj_out::SIZE, Manager general::query;
    0xa03 DESTROY_GENERAL_OBJECT SHORT, PLAIN, Manager general::destroy;
}

const _: () = assert!(LONGEST_OUTPUT >= layout::query_adapter_out::SIZE);
const _: () = assert!(wire::BLOCK_DATA.is_power_of_two());

/// The names of all commands.
pub fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|command| command.name)
}

/// Their opcodes.
pub fn opcodes() -> impl Iterator<Item = u16> {
    COMMANDS.iter().map(|command| command.opcode)
}

/// The name of a command, for the trace.
pub(crate) fn name(opcode: u16) -> &'static str {
    find(opcode).map_or("unknown", |command| command.name)
}

fn find(opcode: u16) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.opcode == opcode)
}

impl Nic {
    /// Gives a command to its handler.
    pub(crate) fn dispatch(&mut self, call: &Call<'_>, output: &mut [u8]) -> Result<Flow> {
        let Some(command) = find(call.opcode) else {
            return refuse(Status::BadOp, "no such command");
        };
        require(
            call.input.len() >= command.input,
            Status::BadInputLen,
            "the input is too short",
        )?;
        require(
            call.outlen >= command.output,
            Status::BadOutputLen,
            "the output has too little room",
        )?;
        let function = &self.functions[call.f];
        let needed = match command.scope {
            Scope::Any => Phase::Disabled,
            Scope::Enabled => Phase::Enabled,
            Scope::Initialised | Scope::Manager => Phase::Initialised,
        };
        if command.scope == Scope::Manager && call.f != 0 {
            return refuse(Status::BadOp, "only the physical function may do this");
        }
        require(
            function.phase >= needed,
            Status::BadSysState,
            "the function is not that far",
        )?;
        (command.run)(self, call, output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(COMMANDS
            .windows(2)
            .all(|pair| pair[0].opcode < pair[1].opcode));
    }

    #[test]
    fn outputs_fit() {
        assert!(COMMANDS
            .iter()
            .all(|command| command.output <= LONGEST_OUTPUT));
    }
}
