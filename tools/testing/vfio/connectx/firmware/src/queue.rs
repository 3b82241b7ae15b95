// SPDX-License-Identifier: GPL-2.0

//! The command queue: how commands come in and go out.

use crate::command::{self, Call, Flow};
use crate::config::Action;
use crate::layout::command::{enable_hca_in, enable_hca_out};
use crate::layout::wire::{
    event, mlx5_cmd_layout, mlx5_cmd_prot_block, mlx5_eqe_cmd, BLOCK_DATA, PCI_CMD_XPORT,
};
use crate::layout::{Bits, Slot};
use crate::nic::{Event, Nic};
use crate::status::{Failure, Result};
use std::time::Duration;

/// Bytes of a command that are in the queue's entry itself.
const INLINE: usize = 16;
/// The longest input and output: a memory key of 4 GiB names a million pages.
const MAX_LENGTH: usize = 16 << 20;

/// What went wrong with the delivery of a command, as in `status_own`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    Ok = 0,
    Token = 2,
    BlockNumber = 3,
    OutputPointer = 4,
    InputPointer = 5,
    Firmware = 6,
    InputLength = 7,
    OutputLength = 8,
    Type = 0x10,
}

/// A command that was read.
pub(crate) struct Request {
    pub(crate) f: usize,
    generation: u64,
    slot: u32,
    /// The EQ that completions went to when it was read: only if it still does, an event is posted.
    eq: Option<u32>,
    input: Vec<u8>,
    out_ptr: u64,
    outlen: usize,
    fault: Option<Action>,
}

impl Nic {
    /// The doorbell of the command queue: a bit for each slot.
    pub(crate) fn ring(&mut self, f: usize, slots: u32) {
        let function = &mut self.functions[f];
        if function.vhca.suspended() {
            function.vhca.held |= slots;
            return;
        }
        let new = slots & !function.queue.busy;
        function.queue.busy |= new;
        let generation = function.generation;
        for slot in (0..u32::BITS).filter(|slot| new >> slot & 1 == 1) {
            let fetch = Event::Fetch {
                f,
                generation,
                slot,
            };
            self.after(self.config.latency, fetch);
        }
    }

    /// A command of a suspended function waits for it to resume.
    fn hold(&mut self, f: usize, slot: u32) -> bool {
        let function = &mut self.functions[f];
        let suspended = function.vhca.suspended();
        if suspended {
            function.vhca.held |= 1 << slot;
            function.queue.busy &= !(1 << slot);
        }
        suspended
    }

    fn entry_address(&self, f: usize, slot: u32) -> u64 {
        let offset = u64::from(slot) * mlx5_cmd_layout::SIZE as u64;
        self.functions[f].queue.address.wrapping_add(offset)
    }

    /// Reads the command in `slot`, and lets it be executed now or later.
    pub(crate) fn fetch(&mut self, f: usize, slot: u32) {
        if self.hold(f, slot) {
            return;
        }
        let mut entry = [0; mlx5_cmd_layout::SIZE];
        let address = self.entry_address(f, slot);
        let read = self.dma_read(f, address, &mut entry);
        if read.is_err() || mlx5_cmd_layout::status_own.get(&entry) & 1 == 0 {
            self.trace(f, format_args!("there is no command in slot {slot}"));
            self.functions[f].queue.busy &= !(1 << slot);
            return;
        }
        let mut request = Box::new(Request {
            f,
            generation: self.functions[f].generation,
            slot,
            eq: self.functions[f].objects.command_eq,
            input: Vec::new(),
            out_ptr: mlx5_cmd_layout::out_ptr.get(&entry),
            outlen: mlx5_cmd_layout::outlen.get(&entry) as usize,
            fault: None,
        });
        match self.gather(f, &entry) {
            Ok(input) => request.input = input,
            Err(delivery) => return self.end(&request, delivery),
        }
        if request.outlen < INLINE / 2 || request.outlen > MAX_LENGTH {
            return self.end(&request, Delivery::OutputLength);
        }
        if request.out_ptr & (BLOCK_DATA as u64 - 1) != 0 {
            return self.end(&request, Delivery::OutputPointer);
        }
        let opcode = enable_hca_in::opcode.get(&request.input) as u16;
        let faults = &mut self.config.faults;
        let struck: Vec<Action> = faults
            .iter_mut()
            .filter_map(|fault| fault.strike(opcode))
            .collect();
        request.fault = struck.first().copied();
        let mut delay = self.extra_latency(opcode);
        if let Some(Action::Stall(time)) = request.fault {
            delay += time;
        }
        if delay == Duration::ZERO {
            self.execute(request);
        } else {
            self.after(delay, Event::Execute(request));
        }
    }

    fn extra_latency(&self, opcode: u16) -> Duration {
        match opcode {
            command::SUSPEND_VHCA | command::RESUME_VHCA => self.config.suspend_latency,
            command::SAVE_VHCA_STATE | command::LOAD_VHCA_STATE => self.config.transfer_latency,
            _ => Duration::ZERO,
        }
    }

    /// The input: the first bytes are in the entry, the rest in a chain of blocks. The chain may be
    /// longer than the input.
    fn gather(&mut self, f: usize, entry: &[u8]) -> core::result::Result<Vec<u8>, Delivery> {
        if mlx5_cmd_layout::r#type.get(entry) != PCI_CMD_XPORT {
            return Err(Delivery::Type);
        }
        let length = mlx5_cmd_layout::inlen.get(entry) as usize;
        if !(INLINE / 2..=MAX_LENGTH).contains(&length) {
            return Err(Delivery::InputLength);
        }
        let token = mlx5_cmd_layout::token.get(entry);
        let mut input = mlx5_cmd_layout::r#in.of(entry)[..INLINE].to_vec();
        let mut next = mlx5_cmd_layout::in_ptr.get(entry);
        let mut number = 0;
        while input.len() < length {
            if next == 0 {
                return Err(Delivery::InputLength);
            }
            if next & (BLOCK_DATA as u64 - 1) != 0 {
                return Err(Delivery::InputPointer);
            }
            let mut block = [0; mlx5_cmd_prot_block::SIZE];
            if self.dma_read(f, next, &mut block).is_err() {
                return Err(Delivery::Firmware);
            }
            if mlx5_cmd_prot_block::token.get(&block) != token {
                return Err(Delivery::Token);
            }
            if mlx5_cmd_prot_block::block_num.get(&block) != number {
                return Err(Delivery::BlockNumber);
            }
            input.extend_from_slice(&block[..BLOCK_DATA]);
            next = mlx5_cmd_prot_block::next.get(&block);
            number += 1;
        }
        input.truncate(length.max(INLINE));
        Ok(input)
    }

    /// Executes a command that was read.
    pub(crate) fn execute(&mut self, request: Box<Request>) {
        let f = request.f;
        if self.functions[f].generation != request.generation || self.hold(f, request.slot) {
            return;
        }
        match request.fault {
            Some(Action::Silent) => {
                self.trace(f, format_args!("slot {} never ends", request.slot));
                return;
            }
            Some(Action::Status(status, syndrome)) => {
                let failure = Failure {
                    status,
                    syndrome,
                    reason: "a fault that was asked for",
                };
                return self.finish(&request, &mut [0; INLINE], Err(failure));
            }
            _ => {}
        }
        let call = Call {
            f,
            opcode: enable_hca_in::opcode.get(&request.input) as u16,
            op_mod: enable_hca_in::op_mod.get(&request.input) as u16,
            input: &request.input,
            outlen: request.outlen,
            fault: request.fault,
        };
        let mut output = vec![0; request.outlen.max(command::LONGEST_OUTPUT)];
        match self.dispatch(&call, &mut output) {
            Ok(Flow::Done) => self.finish(&request, &mut output, Ok(())),
            Ok(Flow::Transfer(mut transfer)) => {
                transfer.request = Some(request);
                self.after(Duration::ZERO, Event::Transfer(transfer));
            }
            Err(failure) => self.finish(&request, &mut output, Err(failure)),
        }
    }

    /// Ends a command with what it gives, or with the failure.
    pub(crate) fn finish(&mut self, request: &Request, output: &mut [u8], result: Result<()>) {
        let f = request.f;
        if self.functions[f].generation != request.generation {
            return;
        }
        let opcode = enable_hca_in::opcode.get(&request.input) as u16;
        let name = command::name(opcode);
        if let Err(failure) = result {
            output.fill(0);
            enable_hca_out::status.put(output, u32::from(failure.status));
            enable_hca_out::syndrome.put(output, failure.syndrome);
            self.trace(f, format_args!("{name} ({opcode:#x}): {failure}"));
        } else {
            let op_mod = enable_hca_in::op_mod.get(&request.input);
            let argument = Bits::new(8, 31, 0).get(&request.input);
            let answer = Bits::new(8, 31, 0).get(output);
            self.trace(
                f,
                format_args!("{name}/{op_mod:#x} {argument:#x} -> {answer:#x}"),
            );
        }
        let delivery = self.scatter(request, output);
        self.end(request, delivery);
    }

    /// Writes the output: first bytes to the entry, the rest to its chain of blocks.
    fn scatter(&mut self, request: &Request, output: &[u8]) -> Delivery {
        let output = &output[..output.len().min(request.outlen.max(INLINE))];
        let (inline, mut rest) = output.split_at(INLINE.min(output.len()));
        let entry = self.entry_address(request.f, request.slot);
        let out = entry.wrapping_add(mlx5_cmd_layout::out.offset());
        if self.dma_write(request.f, out, inline).is_err() {
            return Delivery::Firmware;
        }
        let mut next = request.out_ptr;
        while !rest.is_empty() {
            if next == 0 {
                return Delivery::OutputLength;
            }
            if next & (BLOCK_DATA as u64 - 1) != 0 {
                return Delivery::OutputPointer;
            }
            let (data, after) = rest.split_at(rest.len().min(BLOCK_DATA));
            let mut block = [0; mlx5_cmd_prot_block::SIZE];
            if self.dma_write(request.f, next, data).is_err()
                || self.dma_read(request.f, next, &mut block).is_err()
            {
                return Delivery::Firmware;
            }
            next = mlx5_cmd_prot_block::next.get(&block);
            rest = after;
        }
        Delivery::Ok
    }

    /// Gives the entry back to the driver, and says so if the driver has a queue for that.
    fn end(&mut self, request: &Request, delivery: Delivery) {
        let f = request.f;
        if delivery != Delivery::Ok {
            self.trace(
                f,
                format_args!("slot {}: delivery failed: {delivery:?}", request.slot),
            );
        }
        let last = self
            .entry_address(f, request.slot)
            .wrapping_add(mlx5_cmd_layout::SIZE as u64 - 1);
        let _ = self.dma_write(f, last, &[(delivery as u8) << 1]);
        let function = &mut self.functions[f];
        function.queue.busy &= !(1 << request.slot);
        if let (Some(eqn), true) = (request.eq, function.objects.command_eq == request.eq) {
            if request.fault == Some(Action::Lost) {
                self.trace(
                    f,
                    format_args!("the event for slot {} is lost", request.slot),
                );
                return;
            }
            let slots = 1 << request.slot;
            self.post(f, eqn, event::CMD, |data| {
                mlx5_eqe_cmd::vector.put(data, slots)
            });
        }
    }
}
