// SPDX-License-Identifier: GPL-2.0

//! Memory, interrupts and time.

use connectx_firmware::{DmaError, Host};
use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

const PAGE: usize = 4096;

/// What one function reaches: pages that were mapped, and nothing else.
#[derive(Debug, Default)]
pub struct Memory {
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
    /// The pages that the device wrote to.
    pub written: BTreeSet<u64>,
}

impl Memory {
    /// Maps the page at `iova`.
    pub fn map(&mut self, iova: u64) {
        self.pages
            .entry(iova / PAGE as u64)
            .or_insert_with(|| Box::new([0; PAGE]));
    }

    /// Takes it away.
    pub fn unmap(&mut self, iova: u64) {
        self.pages.remove(&(iova / PAGE as u64));
    }

    fn pieces(iova: u64, length: usize) -> Option<impl Iterator<Item = (u64, usize, usize)>> {
        iova.checked_add(length as u64)?;
        let mut done = 0;
        Some(std::iter::from_fn(move || {
            let at = iova + done as u64;
            let offset = (at % PAGE as u64) as usize;
            let count = (PAGE - offset).min(length - done);
            done += count;
            (count != 0).then_some((at / PAGE as u64, offset, count))
        }))
    }

    /// Reads; false if a page is not mapped.
    pub fn read(&self, iova: u64, data: &mut [u8]) -> bool {
        let Some(pieces) = Self::pieces(iova, data.len()) else {
            return false;
        };
        let mut done = 0;
        for (page, offset, count) in pieces {
            let Some(bytes) = self.pages.get(&page) else {
                return false;
            };
            data[done..done + count].copy_from_slice(&bytes[offset..offset + count]);
            done += count;
        }
        true
    }

    /// Writes; false if a page is not mapped.
    pub fn write(&mut self, iova: u64, data: &[u8]) -> bool {
        let Some(pieces) = Self::pieces(iova, data.len()) else {
            return false;
        };
        let mut done = 0;
        for (page, offset, count) in pieces {
            let Some(bytes) = self.pages.get_mut(&page) else {
                return false;
            };
            bytes[offset..offset + count].copy_from_slice(&data[done..done + count]);
            done += count;
        }
        true
    }
}

/// What the test and the device share.
#[derive(Debug, Default)]
pub struct Shared {
    /// By function.
    pub memory: Vec<Memory>,
    /// Function and vector, as they came.
    pub interrupts: Vec<(u16, u16)>,
    /// Nanoseconds.
    pub now: u64,
    /// When the device wants to be called.
    pub wake: Option<u64>,
    /// What it said.
    pub trace: Vec<String>,
}

/// The machine. Its clones are the same machine.
#[derive(Clone, Debug)]
pub struct Machine(Arc<Mutex<Shared>>);

impl Machine {
    /// A machine with so many functions.
    pub fn new(functions: usize) -> Self {
        let shared = Shared {
            memory: (0..functions).map(|_| Memory::default()).collect(),
            now: 1_000_000,
            ..Shared::default()
        };
        Self(Arc::new(Mutex::new(shared)))
    }

    /// All of it.
    ///
    /// # Panics
    ///
    /// If a test panicked while it had this.
    pub fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().expect("another test failed")
    }
}

impl Host for Machine {
    fn dma_read(&mut self, function: u16, iova: u64, data: &mut [u8]) -> Result<(), DmaError> {
        let shared = self.lock();
        let good = shared.memory[usize::from(function)].read(iova, data);
        good.then_some(()).ok_or(DmaError)
    }

    fn dma_write(&mut self, function: u16, iova: u64, data: &[u8]) -> Result<(), DmaError> {
        let mut shared = self.lock();
        let memory = &mut shared.memory[usize::from(function)];
        let good = memory.write(iova, data);
        if good && !data.is_empty() {
            let last = iova + data.len() as u64 - 1;
            memory
                .written
                .extend(iova / PAGE as u64..=last / PAGE as u64);
        }
        good.then_some(()).ok_or(DmaError)
    }

    fn interrupt(&mut self, function: u16, vector: u16) {
        self.lock().interrupts.push((function, vector));
    }

    fn now(&self) -> u64 {
        self.lock().now
    }

    fn wake(&mut self, time: Option<u64>) {
        self.lock().wake = time;
    }

    fn trace(&mut self, line: fmt::Arguments<'_>) {
        let mut shared = self.lock();
        let line = format!("{:10} {line}", shared.now);
        shared.trace.push(line);
    }
}
