// SPDX-License-Identifier: GPL-2.0

//! A driver: commands, and the objects that most tests need.

use crate::machine::Machine;
use connectx_firmware::layout::capability::{cmd_hca_cap, kind, LENGTH};
use connectx_firmware::layout::command as layout;
use connectx_firmware::layout::context::{cqc, eqc, mkc};
use connectx_firmware::layout::wire::{mlx5_cmd_layout, mlx5_cmd_prot_block, mlx5_eqe, BLOCK_DATA};
use connectx_firmware::layout::{Bits, Slot};
use connectx_firmware::{Config, Nic, UAR_SIZE};

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well, with this output.
    Output(Vec<u8>),
    /// With a status that is not 0.
    Status(u8, u32),
    /// It was not delivered.
    Delivery(u8),
    /// It never ended.
    Silence,
}

impl Outcome {
    /// The output.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn unwrap(self) -> Vec<u8> {
        match self {
            Self::Output(output) => output,
            other => panic!("the command ended so: {other:?}"),
        }
    }

    /// The status, 0 if it is good.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn status(&self) -> u8 {
        match self {
            Self::Output(_) => 0,
            Self::Status(status, _) => *status,
            other => panic!("the command ended so: {other:?}"),
        }
    }
}

/// An EQ of the driver.
#[derive(Clone, Debug)]
pub struct EventQueue {
    /// Its number.
    pub number: u32,
    log_size: u32,
    pages: Vec<u64>,
    consumer: u32,
}

/// A card, the machine, and the driver's own account.
#[derive(Debug)]
pub struct Rig {
    /// The card.
    pub nic: Nic,
    /// The machine.
    pub machine: Machine,
    /// Where memory is free, by function.
    next: Vec<u64>,
    /// The command queues, by function.
    queues: Vec<u64>,
    /// A mailbox of each, for input and output.
    mailboxes: Vec<(Vec<u64>, Vec<u64>)>,
    token: u8,
}

impl Rig {
    /// A card as after a reset.
    pub fn new(config: Config, vfs: u16) -> Self {
        let functions = usize::from(vfs) + 1;
        let machine = Machine::new(functions);
        let mut rig = Self {
            nic: Nic::new(config, vfs, Box::new(machine.clone())),
            machine,
            next: vec![0x10_0000; functions],
            queues: vec![0; functions],
            mailboxes: vec![(Vec::new(), Vec::new()); functions],
            token: 1,
        };
        for f in 0..functions {
            rig.queues[f] = rig.page(f);
        }
        rig
    }

    /// The same with the default options but these.
    ///
    /// # Panics
    ///
    /// If there is no such option.
    pub fn with(options: &[(&str, &str)], vfs: u16) -> Self {
        let mut config = Config::default();
        for (name, value) in options {
            config.set(name, value).expect("an option");
        }
        Self::new(config, vfs)
    }

    /// A page of memory of function `f`. No two lie side by side.
    pub fn page(&mut self, f: usize) -> u64 {
        let iova = self.next[f];
        self.next[f] += 2 * PAGE as u64;
        self.machine.lock().memory[f].map(iova);
        iova
    }

    /// Several.
    pub fn pages(&mut self, f: usize, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.page(f)).collect()
    }

    /// Reads the driver's memory.
    pub fn peek(&self, f: usize, iova: u64, length: usize) -> Vec<u8> {
        let mut data = vec![0; length];
        assert!(
            self.machine.lock().memory[f].read(iova, &mut data),
            "{iova:#x} is not mapped"
        );
        data
    }

    /// Writes it.
    pub fn poke(&self, f: usize, iova: u64, data: &[u8]) {
        assert!(
            self.machine.lock().memory[f].write(iova, data),
            "{iova:#x} is not mapped"
        );
    }

    /// Reads through pages that are one after another.
    pub fn peek_pages(&self, f: usize, pages: &[u64], length: usize) -> Vec<u8> {
        let mut data: Vec<u8> = pages
            .iter()
            .flat_map(|page| self.peek(f, *page, PAGE))
            .collect();
        data.truncate(length);
        data
    }

    /// Writes through them.
    pub fn poke_pages(&self, f: usize, pages: &[u64], data: &[u8]) {
        for (page, piece) in pages.iter().zip(data.chunks(PAGE)) {
            self.poke(f, *page, piece);
        }
    }

    /// Writes a big-endian register.
    pub fn write32(&mut self, f: usize, address: u64, value: u32) {
        self.nic
            .write(f as u16, address, u64::from(value.swap_bytes()), 4);
    }

    /// Reads one.
    pub fn read32(&self, f: usize, address: u64) -> u32 {
        (self.nic.read(f as u16, address, 4) as u32).swap_bytes()
    }

    /// Lets time pass until `until`, or until the device waits for nothing.
    pub fn pass(&mut self, until: u64) {
        loop {
            let wake = self.machine.lock().wake;
            match wake {
                Some(time) if time <= until => {
                    let mut shared = self.machine.lock();
                    shared.now = shared.now.max(time);
                }
                _ => break,
            }
            self.nic.tick();
        }
        let mut shared = self.machine.lock();
        shared.now = shared.now.max(until);
    }

    /// Lets so many nanoseconds pass.
    pub fn idle(&mut self, nanos: u64) {
        let now = self.machine.lock().now;
        self.pass(now + nanos);
    }

    /// Tells the device where its command queue is.
    pub fn set_queue(&mut self, f: usize) {
        let queue = self.queues[f];
        self.write32(f, 0x10, (queue >> 32) as u32);
        self.write32(f, 0x14, queue as u32);
    }

    fn mailbox(&mut self, f: usize, count: usize, output: bool) -> Vec<u64> {
        let boxes = &self.mailboxes[f];
        let mut blocks = if output {
            boxes.1.clone()
        } else {
            boxes.0.clone()
        };
        while blocks.len() < count {
            let page = self.page(f);
            blocks.extend((0..PAGE as u64 / 1024).map(|i| page + i * 1024));
        }
        let token = self.token;
        for (number, block) in blocks.iter().take(count).enumerate() {
            let mut bytes = vec![0; mlx5_cmd_prot_block::SIZE];
            // The chain goes on beyond what is used, as that of the kernel's driver may.
            let next = blocks.get(number + 1).copied().unwrap_or(0);
            mlx5_cmd_prot_block::next.put(&mut bytes, next);
            mlx5_cmd_prot_block::block_num.put(&mut bytes, number as u32);
            mlx5_cmd_prot_block::token.put(&mut bytes, u32::from(token));
            self.poke(f, *block, &bytes);
        }
        let boxes = &mut self.mailboxes[f];
        if output {
            boxes.1 = blocks.clone();
        } else {
            boxes.0 = blocks.clone();
        }
        blocks
    }

    /// Puts a command into slot 0, and does not ring.
    pub fn place(&mut self, f: usize, input: &[u8], outlen: usize) {
        self.token = self.token.wrapping_add(1).max(1);
        let (first, rest) = input.split_at(16.min(input.len()));
        let blocks = rest.len().div_ceil(BLOCK_DATA);
        let chain = self.mailbox(f, blocks, false);
        for (block, piece) in chain.iter().zip(rest.chunks(BLOCK_DATA)) {
            self.poke(f, *block, piece);
        }
        let outblocks = outlen.saturating_sub(16).div_ceil(BLOCK_DATA);
        let outchain = self.mailbox(f, outblocks, true);
        let mut entry = [0; mlx5_cmd_layout::SIZE];
        mlx5_cmd_layout::r#type.put(&mut entry, 7);
        mlx5_cmd_layout::inlen.put(&mut entry, input.len() as u32);
        mlx5_cmd_layout::outlen.put(&mut entry, outlen as u32);
        if blocks != 0 {
            mlx5_cmd_layout::in_ptr.put(&mut entry, chain[0]);
        }
        if outblocks != 0 {
            mlx5_cmd_layout::out_ptr.put(&mut entry, outchain[0]);
        }
        mlx5_cmd_layout::token.put(&mut entry, u32::from(self.token));
        mlx5_cmd_layout::r#in.of_mut(&mut entry)[..first.len()].copy_from_slice(first);
        mlx5_cmd_layout::status_own.put(&mut entry, 1);
        self.poke(f, self.queues[f], &entry);
    }

    /// How the command in slot 0 ended.
    pub fn outcome(&mut self, f: usize, outlen: usize) -> Outcome {
        let entry = self.peek(f, self.queues[f], mlx5_cmd_layout::SIZE);
        let own = mlx5_cmd_layout::status_own.get(&entry);
        if own & 1 == 1 {
            return Outcome::Silence;
        }
        if own != 0 {
            return Outcome::Delivery((own >> 1) as u8);
        }
        let mut output = mlx5_cmd_layout::out.of(&entry)[..16].to_vec();
        for block in &self.mailboxes[f].1 {
            output.extend(self.peek(f, *block, BLOCK_DATA));
        }
        output.truncate(outlen);
        match layout::enable_hca_out::status.get(&output) {
            0 => Outcome::Output(output),
            status => Outcome::Status(status as u8, layout::enable_hca_out::syndrome.get(&output)),
        }
    }

    /// Gives a command and waits up to a minute for its end.
    pub fn raw(&mut self, f: usize, input: &[u8], outlen: usize) -> Outcome {
        self.place(f, input, outlen);
        self.write32(f, 0x18, 1);
        let mut steps = 0;
        let limit = self.machine.lock().now + 60_000_000_000;
        loop {
            match self.outcome(f, outlen) {
                Outcome::Silence => {}
                outcome => return outcome,
            }
            let wake = self.machine.lock().wake;
            match wake {
                Some(time) if time <= limit && steps < 1_000_000 => self.pass(time),
                _ => return Outcome::Silence,
            }
            steps += 1;
        }
    }

    /// The same, of parts: `fill` writes the input after the opcode.
    pub fn command(
        &mut self,
        f: usize,
        opcode: u16,
        op_mod: u16,
        length: usize,
        outlen: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Outcome {
        let mut input = vec![0; length];
        layout::enable_hca_in::opcode.put(&mut input, u32::from(opcode));
        layout::enable_hca_in::op_mod.put(&mut input, u32::from(op_mod));
        fill(&mut input);
        self.raw(f, &input, outlen)
    }

    /// A command whose one argument is the dword at byte 8.
    pub fn simple(&mut self, f: usize, opcode: u16, op_mod: u16, argument: u32) -> Outcome {
        self.command(f, opcode, op_mod, 16, 16, |input| {
            Bits::new(8, 31, 0).put(input, argument)
        })
    }

    /// The same with a number as its answer there.
    #[track_caller]
    pub fn number(&mut self, f: usize, opcode: u16, argument: u32) -> u32 {
        let output = self.simple(f, opcode, 0, argument).unwrap();
        Bits::new(8, 31, 0).get(&output)
    }

    /// Capabilities; of another function with `of`.
    pub fn capabilities(&mut self, f: usize, kind: u16, current: bool, of: Option<u32>) -> Vec<u8> {
        let argument = of.map_or(0, |number| 1 << 31 | number);
        let op_mod = kind << 1 | u16::from(current);
        let output = self
            .command(f, 0x100, op_mod, 16, 16 + LENGTH, |input| {
                Bits::new(8, 31, 0).put(input, argument)
            })
            .unwrap();
        output[16..].to_vec()
    }

    /// Does what `mlx5_core` does up to INIT_HCA.
    pub fn init(&mut self, f: usize) {
        self.set_queue(f);
        self.simple(f, 0x104, 0, 0).unwrap();
        self.command(f, 0x10a, 0, 16, 0x70, |_| ()).unwrap();
        self.simple(f, 0x10b, 0, 1).unwrap();
        let mut set = self.capabilities(f, kind::GENERAL, true, None);
        cmd_hca_cap::log_max_qp.put(&mut set, 10);
        self.command(f, 0x109, 0, 16 + LENGTH, 16, |input| {
            input[16..].copy_from_slice(&set)
        })
        .unwrap();
        self.simple(f, 0x102, 0, 0).unwrap();
    }

    /// Allows VF `f` to be used.
    pub fn enable(&mut self, f: usize) {
        self.simple(0, 0x104, 0, f as u32).unwrap();
    }

    /// A PF and VFs as far as [`Self::init`].
    pub fn running(options: &[(&str, &str)], vfs: u16) -> Self {
        let mut rig = Self::with(options, vfs);
        rig.init(0);
        for f in 1..=usize::from(vfs) {
            rig.enable(f);
        }
        rig
    }

    /// An EQ for the events in `mask`, whose interrupt is `vector`.
    pub fn create_eq(
        &mut self,
        f: usize,
        uar: u32,
        log_size: u32,
        vector: u32,
        mask: u64,
    ) -> EventQueue {
        let pages = self.pages(f, (64usize << log_size).div_ceil(PAGE));
        for page in &pages {
            let mut entries = [0; PAGE];
            entries
                .chunks_exact_mut(64)
                .for_each(|eqe| mlx5_eqe::owner.put(eqe, 1));
            self.poke(f, *page, &entries);
        }
        let output = self.command(f, 0x301, 0, 0x110 + pages.len() * 8, 16, |input| {
            let context = layout::create_eq_in::eq_context_entry.of_mut(input);
            eqc::log_eq_size.put(context, log_size);
            eqc::uar_page.put(context, uar);
            eqc::intr.put(context, vector);
            layout::create_eq_in::event_bitmask.put(input, mask);
            put_pages(layout::create_eq_in::pas.of_mut(input), &pages);
        });
        EventQueue {
            number: layout::create_eq_out::eq_number.get(&output.unwrap()),
            log_size,
            pages,
            consumer: 0,
        }
    }

    /// The next event, if there is one.
    pub fn next_event(&mut self, f: usize, eq: &mut EventQueue) -> Option<Vec<u8>> {
        let offset = (eq.consumer as usize & ((1 << eq.log_size) - 1)) * 64;
        let eqe = self.peek(f, eq.pages[offset / PAGE] + (offset % PAGE) as u64, 64);
        if mlx5_eqe::owner.get(&eqe) & 1 != eq.consumer >> eq.log_size & 1 {
            return None;
        }
        eq.consumer += 1;
        Some(eqe)
    }

    /// Says how far the EQ was read, and arms it.
    pub fn arm_eq(&mut self, f: usize, uar: u32, eq: &EventQueue) {
        let address = u64::from(uar) * UAR_SIZE + 0x40;
        self.write32(f, address, eq.number << 24 | eq.consumer & 0xff_ffff);
    }

    /// A CQ; its number and the address of its doorbell record.
    pub fn create_cq(
        &mut self,
        f: usize,
        uar: u32,
        eqn: u32,
        pages: &[u64],
        log_size: u32,
    ) -> (u32, u64) {
        let doorbell = self.page(f);
        let output = self.command(f, 0x400, 0, 0x110 + pages.len() * 8, 16, |input| {
            let context = layout::create_cq_in::cq_context.of_mut(input);
            cqc::log_cq_size.put(context, log_size);
            cqc::uar_page.put(context, uar);
            cqc::c_eqn_or_apu_element.put(context, eqn);
            cqc::dbr_addr.put(context, doorbell);
            put_pages(layout::create_cq_in::pas.of_mut(input), pages);
        });
        (layout::create_cq_out::cqn.get(&output.unwrap()), doorbell)
    }

    /// A memory key for these pages, for all that one can be used for.
    pub fn create_mkey(&mut self, f: usize, pd: u32, pages: &[u64]) -> u32 {
        self.create_mkey_but(f, pd, pages, |_| ())
    }

    /// The same but for what `change` does to its context.
    pub fn create_mkey_but(
        &mut self,
        f: usize,
        pd: u32,
        pages: &[u64],
        change: impl FnOnce(&mut [u8]),
    ) -> u32 {
        let key = self.try_create_mkey(f, pd, pages, change);
        key.expect("a key for pages")
    }

    /// The same for `length` bytes in blocks of `1 << log` bytes; or the status.
    pub fn create_mkey_of_blocks(
        &mut self,
        f: usize,
        pd: u32,
        blocks: &[u64],
        log: u32,
        length: u64,
    ) -> Result<u32, u8> {
        self.try_create_mkey(f, pd, blocks, |context| {
            mkc::len.put(context, length);
            mkc::log_page_size.put(context, log);
        })
    }

    fn try_create_mkey(
        &mut self,
        f: usize,
        pd: u32,
        pages: &[u64],
        change: impl FnOnce(&mut [u8]),
    ) -> Result<u32, u8> {
        let length = (pages.len() * PAGE) as u64;
        let outcome = self.command(f, 0x200, 0, 0x110 + pages.len() * 8, 16, |input| {
            let context = layout::create_mkey_in::memory_key_mkey_entry.of_mut(input);
            mkc::rw.put(context, 1);
            mkc::lw.put(context, 1);
            mkc::lr.put(context, 1);
            mkc::access_mode_1_0.put(context, 1);
            mkc::qpn.put(context, 0xff_ffff);
            mkc::pd.put(context, pd);
            mkc::len.put(context, length);
            mkc::log_page_size.put(context, 12);
            mkc::mkey_7_0.put(context, 0x5a);
            change(context);
            put_pages(layout::create_mkey_in::klm_pas_mtt.of_mut(input), pages);
        });
        match outcome {
            Outcome::Output(output) => {
                Ok(layout::create_mkey_out::mkey_index.get(&output) << 8 | 0x5a)
            }
            other => Err(other.status()),
        }
    }
}

/// Writes an array of addresses.
pub(crate) fn put_pages(array: &mut [u8], pages: &[u64]) {
    for (place, page) in array.chunks_exact_mut(8).zip(pages) {
        place.copy_from_slice(&page.to_be_bytes());
    }
}
