// SPDX-License-Identifier: GPL-2.0

//! The emulated device itself: what it holds and what it does.
//!
//! It ticks: with ticks enabled, each writes its number to a page of the memory, round robin, and may
//! raise an interrupt. So it changes its own state and can be seen to stop.

use crate::{
    config::{
        self,
        Config,
        Msix, //
    },
    image::PAGE,
    registers::{
        self,
        Action,
        Registers, //
    },
    tracker::Tracker,
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            ordering,
            Atomic, //
        },
        new_mutex,
        Arc,
        Mutex, //
    },
    time::{
        msecs_to_jiffies,
        Delta,
        Instant,
        Jiffies,
        Monotonic, //
    },
};
use vfio::{
    emulated::{
        REGION_BAR0,
        REGION_BAR2,
        REGION_CONFIG, //
    },
    irq::Vectors,
    memory::RegionMemory,
    task::{
        Run,
        Task, //
    },
};
use vfio_migration::backend::Waker;

// Memory is saved in the pages that it is mapped in.
const _: () = assert!(PAGE == kernel::page::PAGE_SIZE);

/// MSI-X vectors.
pub(crate) const VECTORS: usize = 8;
/// The vector of ticks.
const TICK_VECTOR: u32 = 0;
/// The most ticks that one run of the task makes up for.
const TICKS_AT_ONCE: i64 = 1024;

/// What the device does by itself.
struct Machine {
    running: bool,
    registers: Registers,
    config: Config,
    /// When the last tick was due.
    last_tick: Instant<Monotonic>,
}

/// The device, as data of the task that ticks.
#[pin_data]
pub(crate) struct Device {
    memory: Arc<RegionMemory<Tracker>>,
    #[pin]
    vectors: Vectors<VECTORS>,
    #[pin]
    machine: Mutex<Machine>,
    /// How often the guest asked pre-copy to begin anew.
    reinits: Atomic<u32>,
}

impl Device {
    /// A device that is running, with `size` bytes of memory.
    pub(crate) fn new(size: usize, waker: Waker) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let tracker = Tracker::new(size / PAGE, waker)?;
            let memory = RegionMemory::new(size, tracker)?;
            let machine = Machine {
                running: true,
                registers: Registers::new(),
                config: Self::reset_config(size),
                last_tick: Instant::now(),
            };
            Ok(try_pin_init!(Self {
                memory,
                vectors <- Vectors::new(),
                machine <- new_mutex!(machine, "vfio_migration_emulated::Device::machine"),
                reinits: Atomic::new(0),
            }? Error))
        })
    }

    fn reset_config(size: usize) -> Config {
        let msix = Msix {
            // CAST: A handful.
            vectors: VECTORS as u16,
            table: registers::MSIX_TABLE,
            pba: registers::MSIX_PBA,
        };
        // CAST: Bytes of memory.
        Config::new(registers::SIZE, size as u64, &msix)
    }

    pub(crate) fn memory(&self) -> &Arc<RegionMemory<Tracker>> {
        &self.memory
    }

    pub(crate) fn vectors(&self) -> &Vectors<VECTORS> {
        &self.vectors
    }

    /// How often the guest asked pre-copy to begin anew.
    pub(crate) fn reinits(&self) -> u32 {
        self.reinits.load(ordering::Relaxed)
    }

    /// Reads from a region.
    pub(crate) fn read(&self, region: u32, offset: u64, out: &mut [u8]) -> Result {
        let index = usize::try_from(offset).map_err(|_| EINVAL)?;
        match region {
            REGION_BAR0 => {
                let machine = self.machine.lock();
                // CAST: Bytes of memory.
                let size = self.memory.size() as u64;
                machine.registers.read(offset, machine.running, size, out);
                Ok(())
            }
            REGION_BAR2 => self.memory.read(index, out),
            REGION_CONFIG => {
                let inside = self.machine.lock().config.read(index, out);
                inside.then_some(()).ok_or(EINVAL)
            }
            _ => Err(EINVAL),
        }
    }

    /// Writes to a region.
    pub(crate) fn write(task: &Task<Self>, region: u32, offset: u64, data: &[u8]) -> Result {
        let index = usize::try_from(offset).map_err(|_| EINVAL)?;
        match region {
            REGION_BAR0 => {
                let mut machine = task.machine.lock();
                match machine.registers.write(offset, data) {
                    Action::None => {}
                    Action::Raise(vector) => task.raise(&mut machine, vector),
                    Action::Tick => {
                        machine.last_tick = Instant::now();
                        task.start();
                    }
                    Action::Reinit => {
                        task.reinits.add(1, ordering::Relaxed);
                        task.memory.observer().waker().wake();
                    }
                }
                Ok(())
            }
            REGION_BAR2 => task.memory.write(index, data),
            REGION_CONFIG => {
                let inside = task.machine.lock().config.write(index, data);
                inside.then_some(()).ok_or(EINVAL)
            }
            _ => Err(EINVAL),
        }
    }

    /// Lets the device run, or stops it: after that returns, it does nothing more by itself.
    pub(crate) fn set_running(task: &Task<Self>, running: bool) {
        let mut machine = task.machine.lock();
        machine.running = running;
        machine.last_tick = Instant::now();
        drop(machine);
        if running {
            task.start();
        }
    }

    /// Everything but the memory.
    pub(crate) fn registers(&self) -> (Registers, [u8; config::SIZE]) {
        let machine = self.machine.lock();
        (machine.registers, *machine.config.bytes())
    }

    /// Whether this device can have that configuration space.
    pub(crate) fn accepts(&self, config: &[u8; config::SIZE]) -> bool {
        self.machine.lock().config.accepts(config)
    }

    /// Replaces everything but the memory by what came from another device, and was checked.
    pub(crate) fn restore(&self, registers: Registers, config: &[u8; config::SIZE]) -> Result {
        let mut machine = self.machine.lock();
        if !machine.config.write(0, config) {
            return Err(EINVAL);
        }
        machine.registers = registers;
        Ok(())
    }

    /// Makes the device as it was when it was made, and running.
    pub(crate) fn reset(&self) {
        let mut machine = self.machine.lock();
        machine.running = true;
        machine.registers = Registers::new();
        machine.config = Self::reset_config(self.memory.size());
        self.memory.clear();
    }

    /// Raises a vector, if the device may do anything.
    pub(crate) fn interrupt(&self, vector: u32) {
        self.raise(&mut self.machine.lock(), vector);
    }

    /// As [`Self::interrupt`], with the lock held.
    fn raise(&self, machine: &mut Machine, vector: u32) {
        // CAST: Any number that is no vector is none as a `usize` too.
        if machine.running && self.vectors.raise(vector as usize) {
            machine.registers.count_irq();
        }
    }

    /// One tick.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if its page could not be allocated; the tick did not happen.
    fn tick(&self, machine: &mut Machine) -> Result {
        let mut registers = machine.registers;
        let number = registers.next_tick();
        // CAST: The remainder is below the number of pages.
        let page = number
            .checked_rem(self.memory.page_count() as u64)
            .ok_or(EINVAL)? as usize;
        let mut stamp = [0; 16];
        stamp[..8].copy_from_slice(&number.to_le_bytes());
        stamp[8..].copy_from_slice(&(!number).to_le_bytes());
        self.memory.write(page * PAGE, &stamp)?;
        machine.registers = registers;
        if registers.tick_raises() {
            self.raise(machine, TICK_VECTOR);
        }
        Ok(())
    }

    /// Makes up for the ticks since the last; returns when to look again.
    fn catch_up(&self, machine: &mut Machine) -> Option<Jiffies> {
        if !machine.running || !machine.registers.ticks() {
            return None;
        }
        let period = i64::from(machine.registers.period_us()) * 1000;
        let elapsed = machine.last_tick.elapsed().as_nanos();
        let due = elapsed.checked_div(period).unwrap_or(0);
        let mut done = 0;
        while done < due.min(TICKS_AT_ONCE) {
            if self.tick(machine).is_err() {
                // Without memory the tick is late, not lost: its number comes next.
                break;
            }
            done += 1;
        }
        machine.last_tick = match due > TICKS_AT_ONCE {
            true => Instant::now(),
            false => machine.last_tick + Delta::from_nanos(done * period),
        };
        Some(msecs_to_jiffies(machine.registers.period_us().div_ceil(1000)).max(1))
    }
}

impl Run for Device {
    fn run(task: &Task<Self>) {
        let again = task.catch_up(&mut task.machine.lock());
        if let Some(delay) = again {
            task.start_after(delay);
        }
    }
}
