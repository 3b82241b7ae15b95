// SPDX-License-Identifier: GPL-2.0

//! QEMU as the machine that the firmware is in.

use crate::ffi::{self, Object, QEMUTimer};
use crate::instance::Options;
use connectx_firmware::{DmaError, Host, Nic};
use core::ffi::c_void;
use core::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

/// Bit of the register COMMAND: the function may do DMA, and send the writes that interrupts are.
const BUS_MASTER: u32 = 1 << 2;
const COMMAND: u32 = 4;

/// The objects of the functions, as far as they are there, and the timer. Used only while QEMU's
/// global lock is held.
pub(crate) struct Wiring {
    functions: Mutex<Vec<Option<usize>>>,
    vectors: u32,
    /// Room for a `QEMUTimer`, whose size may differ between versions.
    timer: Mutex<Box<[u64; 32]>>,
}

impl Wiring {
    fn object(&self, function: u16) -> Option<*mut Object> {
        let functions = self
            .functions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        functions
            .get(usize::from(function))
            .copied()
            .flatten()
            .map(|address| address as *mut Object)
    }

    /// The object of a function that may use the bus.
    fn master(&self, function: u16) -> Option<*mut Object> {
        let object = self.object(function)?;
        // SAFETY: The object is a PCI device: it is removed from the list before it goes.
        let command = unsafe { ffi::pci_default_read_config(object, COMMAND, 2) };
        (command & BUS_MASTER != 0).then_some(object)
    }

    fn timer(&self) -> *mut QEMUTimer {
        let mut timer = self.timer.lock().unwrap_or_else(PoisonError::into_inner);
        timer.as_mut_ptr().cast()
    }

    fn rw(
        &self,
        function: u16,
        iova: u64,
        data: *mut c_void,
        length: usize,
        write: bool,
    ) -> Result<(), DmaError> {
        let object = self.master(function).ok_or(DmaError)?;
        // SAFETY: The object is a PCI device, see `master`.
        let space = unsafe { ffi::pci_device_iommu_address_space(object) };
        // SAFETY: The space is the device's; the callers give memory of that length, which is only
        // read if `write` says that the guest's is written.
        let result = unsafe {
            ffi::address_space_rw(
                space,
                iova,
                ffi::ATTRS_UNSPECIFIED,
                data,
                length as u64,
                write,
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(DmaError)
        }
    }
}

struct Machine {
    wiring: Arc<Wiring>,
    trace: Option<BufWriter<File>>,
}

impl Host for Machine {
    fn dma_read(&mut self, function: u16, iova: u64, data: &mut [u8]) -> Result<(), DmaError> {
        self.wiring
            .rw(function, iova, data.as_mut_ptr().cast(), data.len(), false)
    }

    fn dma_write(&mut self, function: u16, iova: u64, data: &[u8]) -> Result<(), DmaError> {
        let pointer = data.as_ptr().cast_mut().cast();
        self.wiring.rw(function, iova, pointer, data.len(), true)
    }

    fn interrupt(&mut self, function: u16, vector: u16) {
        let vector = u32::from(vector);
        // QEMU itself sees to masks and to bus mastering.
        if let Some(object) = self
            .wiring
            .object(function)
            .filter(|_| vector < self.wiring.vectors)
        {
            // SAFETY: The object is a PCI device with so many vectors.
            unsafe { ffi::msix_notify(object, vector) };
        }
    }

    fn now(&self) -> u64 {
        // SAFETY: It may be asked at any time.
        let now = unsafe { ffi::qemu_clock_get_ns(ffi::CLOCK_VIRTUAL) };
        now.max(0) as u64
    }

    fn wake(&mut self, time: Option<u64>) {
        let timer = self.wiring.timer();
        match time {
            // SAFETY: It was initialised when the card was made.
            Some(time) => unsafe { ffi::timer_mod(timer, i64::try_from(time).unwrap_or(i64::MAX)) },
            // SAFETY: The same.
            None => unsafe { ffi::timer_del(timer) },
        }
    }

    fn trace(&mut self, line: fmt::Arguments<'_>) {
        let now = self.now();
        if let Some(file) = &mut self.trace {
            // A trace that cannot be written is no reason to stop.
            let _ = writeln!(file, "{:12.3} {line}", now as f64 / 1e3).and_then(|()| file.flush());
        }
    }
}

/// A card: what all its functions share.
pub(crate) struct Card {
    nic: Mutex<Nic>,
    pub(crate) wiring: Arc<Wiring>,
    pub(crate) vectors: u32,
    /// The functions have a capability for MSI.
    pub(crate) msi: bool,
}

impl Card {
    /// Makes one without functions.
    pub(crate) fn new(options: &Options) -> Result<Arc<Self>, String> {
        let trace = match &options.trace {
            Some(path) => {
                let file = File::create(path).map_err(|error| format!("{path}: {error}"))?;
                Some(BufWriter::new(file))
            }
            None => None,
        };
        let wiring = Arc::new(Wiring {
            functions: Mutex::new(vec![None; usize::from(options.vfs) + 1]),
            vectors: options.vectors,
            timer: Mutex::new(Box::new([0; 32])),
        });
        let machine = Machine {
            wiring: wiring.clone(),
            trace,
        };
        let nic = Nic::new(options.config.clone(), options.vfs, Box::new(machine));
        let card = Arc::new(Self {
            nic: Mutex::new(nic),
            wiring,
            vectors: options.vectors,
            msi: options.msi,
        });
        // SAFETY: There is room for it, which stays until the card goes; `detach` stops it before.
        unsafe {
            ffi::timer_init_full(
                card.wiring.timer(),
                core::ptr::null_mut(),
                ffi::CLOCK_VIRTUAL,
                ffi::SCALE_NS,
                0,
                tick,
                Arc::as_ptr(&card).cast_mut().cast(),
            );
        }
        Ok(card)
    }

    /// A function is there; its object.
    pub(crate) fn attach(&self, function: u16, object: *mut Object) {
        self.set_object(function, Some(object as usize));
    }

    /// A function goes. Without the PF nothing happens any more.
    pub(crate) fn detach(&self, function: u16) {
        self.set_object(function, None);
        if function == 0 {
            // SAFETY: It was initialised when the card was made.
            unsafe { ffi::timer_del(self.wiring.timer()) };
        }
    }

    fn set_object(&self, function: u16, object: Option<usize>) {
        let mut functions = self
            .wiring
            .functions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = functions.get_mut(usize::from(function)) {
            *place = object;
        }
    }

    /// Calls the firmware, unless it is it that calls: a DMA into a BAR of the card's own reaches
    /// nothing.
    pub(crate) fn enter<T>(&self, f: impl FnOnce(&mut Nic) -> T) -> Option<T> {
        match self.nic.try_lock() {
            Ok(mut nic) => Some(f(&mut nic)),
            Err(TryLockError::Poisoned(error)) => Some(f(&mut error.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Changes an option while the device is in use.
    pub(crate) fn set(&self, name: &str, value: &str) -> Result<(), String> {
        self.enter(|nic| nic.set(name, value))
            .unwrap_or_else(|| Err("the device is busy".to_owned()))
    }
}

extern "C" fn tick(opaque: *mut c_void) {
    // SAFETY: The timer runs only while the card is there, see `Card::detach`.
    let card = unsafe { &*opaque.cast::<Card>() };
    card.enter(Nic::tick);
}
