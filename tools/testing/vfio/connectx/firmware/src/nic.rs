// SPDX-License-Identifier: GPL-2.0

//! The card as a whole, and its time.

use crate::config::Config;
use crate::function::Function;
use crate::host::Host;
use crate::migration::{Transfer, Vhca};
use crate::queue::Request;
use core::fmt;
use std::collections::BTreeMap;
use std::time::Duration;

/// Something that happens at a time.
pub(crate) enum Event {
    /// The command in a slot is read.
    Fetch {
        f: usize,
        generation: u64,
        slot: u32,
    },
    /// One that was read is executed.
    Execute(Box<Request>),
    /// A slice of a SAVE or LOAD.
    Transfer(Box<Transfer>),
    /// Some of the work of a send queue.
    Work { f: usize, generation: u64, qpn: u32 },
    /// Page trackers look whether the driver has made room.
    Report { generation: u64 },
}

/// A network card: a PF, number 0, and VFs, from number 1 on.
pub struct Nic {
    pub(crate) config: Config,
    pub(crate) functions: Vec<Function>,
    pub(crate) host: Box<dyn Host>,
    /// By time, and by the order in which they were asked for.
    events: BTreeMap<(u64, u64), Event>,
    next_event: u64,
    /// [`Event::Report`] was asked for.
    pub(crate) report_pending: bool,
}

impl fmt::Debug for Nic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nic")
            .field("functions", &self.functions)
            .finish_non_exhaustive()
    }
}

impl Nic {
    /// A card with `vfs` VFs, as after a reset.
    pub fn new(config: Config, vfs: u16, host: Box<dyn Host>) -> Self {
        let functions = (0..=vfs)
            .map(|number| Function::new(number, Vhca::new(&config, number, 0)))
            .collect();
        let mut nic = Self {
            config,
            functions,
            host,
            events: BTreeMap::new(),
            next_event: 0,
            report_pending: false,
        };
        for f in 0..nic.functions.len() {
            nic.reset_one(f);
        }
        nic
    }

    /// Changes an option of a device in use. The size of the state changes with the next reset.
    ///
    /// # Errors
    ///
    /// A text for the user, as [`Config::set`].
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        self.config.set(name, value)
    }

    /// The number of functions, the PF included.
    pub fn functions(&self) -> usize {
        self.functions.len()
    }

    /// Resets a function; with the PF all go.
    pub fn reset(&mut self, function: u16) {
        let f = usize::from(function);
        if f == 0 {
            for vf in 1..self.functions.len() {
                self.reset_one(vf);
                self.functions[vf].granted = false;
                self.functions[vf].firmware_pages.clear();
            }
            self.functions[0].firmware_pages.clear();
        }
        if f < self.functions.len() {
            self.trace(f, format_args!("reset"));
            self.reset_one(f);
        }
        self.settle();
    }

    fn reset_one(&mut self, f: usize) {
        let vhca = Vhca::new(&self.config, f as u16, self.host.now());
        self.functions[f].reset(vhca);
    }

    /// Does what is due.
    pub fn tick(&mut self) {
        let (now, last) = (self.host.now(), self.next_event);
        // What these ask for comes in the next call, so that this one ends.
        while let Some((&key, _)) = self.events.iter().find(|((_, n), _)| *n < last) {
            if key.0 > now {
                break;
            }
            if let Some(event) = self.events.remove(&key) {
                self.happen(event);
            }
        }
        self.settle();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Fetch {
                f,
                generation,
                slot,
            } => {
                if self.functions[f].generation == generation {
                    self.fetch(f, slot);
                }
            }
            Event::Execute(request) => self.execute(request),
            Event::Transfer(transfer) => self.transfer(transfer),
            Event::Work { f, generation, qpn } => {
                if self.functions[f].generation == generation {
                    self.work(f, qpn);
                }
            }
            Event::Report { generation } => {
                self.report_pending = false;
                if self.functions[0].generation == generation {
                    self.report();
                }
            }
        }
    }

    /// Lets `event` happen after `delay`.
    pub(crate) fn after(&mut self, delay: Duration, event: Event) {
        // CAST: Delays are of hours at most.
        let time = self.host.now().saturating_add(delay.as_nanos() as u64);
        self.events.insert((time, self.next_event), event);
        self.next_event += 1;
    }

    /// Ends a call from outside: tells the host when to come back.
    pub(crate) fn settle(&mut self) {
        let first = self.events.first_key_value().map(|((time, _), _)| *time);
        self.host.wake(first);
    }

    /// The function that commands for migration mean.
    pub(crate) fn vf_by_id(&self, vhca_id: u32) -> Option<usize> {
        (1..self.functions.len()).find(|&f| self.functions[f].vhca_id() == vhca_id)
    }

    pub(crate) fn trace(&mut self, f: usize, line: fmt::Arguments<'_>) {
        self.host.trace(format_args!("f{f} {line}"));
    }
}
