// SPDX-License-Identifier: GPL-2.0

//! DMA logging of the emulated device; the bits are those of [`crate::dirty`].

use crate::dirty::{
    self,
    Layout,
    Span, //
};
use kernel::{
    prelude::*,
    sync::{
        new_mutex,
        Mutex, //
    },
};
use vfio::log::{
    Operations,
    PageSize,
    Ranges,
    Report, //
};

/// What there is while logging is active.
struct Active {
    shift: u32,
    spans: KVec<Span>,
    bits: KVVec<u64>,
}

impl Active {
    fn new(ranges: &Ranges<'_>, wanted: PageSize) -> Result<Self> {
        let shift = dirty::shift(wanted.bytes().trailing_zeros(), ranges.iter());
        let mut spans = KVec::with_capacity(ranges.iter().len(), GFP_KERNEL_ACCOUNT)?;
        for span in dirty::spans(shift, ranges.iter()) {
            spans.push(span, GFP_KERNEL_ACCOUNT)?;
        }
        let bits = KVVec::zeroed(dirty::words(&spans, shift), GFP_KERNEL_ACCOUNT)?;
        Ok(Self { shift, spans, bits })
    }

    fn parts(&mut self) -> (Layout<'_>, &mut [u64]) {
        (Layout::new(&self.spans, self.shift), &mut self.bits)
    }
}

/// The log of one device.
#[pin_data]
pub(crate) struct Log {
    /// Writes that begin in one page of so many are left out; none if 0. Only for tests of those
    /// who use the log: what they miss must not depend on how often a page is written.
    lose: u32,
    #[pin]
    active: Mutex<Option<Active>>,
}

impl Log {
    /// A log that is not active.
    pub(crate) fn new(lose: u32) -> impl PinInit<Self> {
        pin_init!(Self {
            lose,
            active <- new_mutex!(None, "vfio_migration_emulated::Log::active"),
        })
    }

    /// The device wrote the `len` bytes from `address` on, or may have. Called after the write, so
    /// that a report in between does not take the note away too early.
    pub(crate) fn wrote(&self, address: u64, len: usize) {
        // CAST: A `usize` has at most 64 bits.
        let Some(more) = (len as u64).checked_sub(1) else {
            return;
        };
        if (address >> dirty::MIN_SHIFT).checked_rem(self.lose.into()) == Some(0) {
            return;
        }
        if let Some(active) = &mut *self.active.lock() {
            let (layout, bits) = active.parts();
            layout.mark(bits, address, address.saturating_add(more));
        }
    }
}

impl Operations for Log {
    fn start(&self, ranges: Ranges<'_>, page_size: PageSize) -> Result<PageSize> {
        // Before the lock, which who writes waits for.
        let new = Active::new(&ranges, page_size)?;
        let chosen = PageSize::try_from(1 << new.shift)?;
        let mut active = self.active.lock();
        if active.is_some() {
            return Err(EBUSY);
        }
        *active = Some(new);
        Ok(chosen)
    }

    fn stop(&self) {
        let old = self.active.lock().take();
        drop(old);
    }

    fn read_and_clear(&self, report: &mut Report<'_>) -> Result {
        let (mut first, last) = report.range().into_inner();
        loop {
            // The lock is not held over the access to user memory.
            let run = match &mut *self.active.lock() {
                Some(active) => {
                    let (layout, bits) = active.parts();
                    layout.take(bits, first, last)
                }
                None => return Err(EINVAL),
            };
            let Some(run) = run else {
                return Ok(());
            };
            let end = *run.end();
            report.set(run);
            if end == last {
                return Ok(());
            }
            // OVERFLOW: The run ends before the report does.
            first = end + 1;
        }
    }
}
