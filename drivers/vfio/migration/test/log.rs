// SPDX-License-Identifier: GPL-2.0

//! DMA logging that records what it is told and reports what it is told.
//!
//! The file in debugfs shows the log; writing two numbers there, the first and the last address,
//! is a write of the device to that memory.

use core::ops::RangeInclusive;
use kernel::{
    fmt,
    prelude::*,
    sync::{
        new_mutex,
        Mutex, //
    },
};
use vfio::{
    debugfs,
    log::{
        Operations,
        PageSize,
        Ranges,
        Report, //
    }, //
};

/// The page sizes that the log can tell apart.
const PAGE_SIZES: RangeInclusive<u64> = 1 << 12..=1 << 21;
/// More writes than that are an error of the test.
const MAX_WRITES: usize = 64;

type Range = RangeInclusive<u64>;

/// The log of one device.
#[pin_data]
pub(crate) struct Log {
    #[pin]
    active: Mutex<Option<Active>>,
}

/// What there is while logging is active.
struct Active {
    page_size: PageSize,
    ranges: KVec<Range>,
    written: KVec<Range>,
}

fn overlap(a: &Range, b: &Range) -> Option<Range> {
    let both = *a.start().max(b.start())..=*a.end().min(b.end());
    (!both.is_empty()).then_some(both)
}

impl Active {
    /// Whole pages of `range`, as far as it is logged.
    fn write(&mut self, range: &Range) -> Result {
        let low = self.page_size.bytes() - 1;
        for logged in &self.ranges {
            if let Some(both) = overlap(logged, range) {
                if self.written.len() == MAX_WRITES {
                    return Err(ENOSPC);
                }
                self.written
                    .push(*both.start() & !low..=*both.end() | low, GFP_KERNEL)?;
            }
        }
        Ok(())
    }

    /// Takes away what was written inside `range`, and returns it.
    fn take(&mut self, range: &Range) -> Result<KVec<Range>> {
        let mut taken = KVec::new();
        let mut kept = KVec::new();
        for written in &self.written {
            let Some(both) = overlap(written, range) else {
                kept.push(written.clone(), GFP_KERNEL)?;
                continue;
            };
            if written.start() < both.start() {
                kept.push(*written.start()..=*both.start() - 1, GFP_KERNEL)?;
            }
            if both.end() < written.end() {
                kept.push(*both.end() + 1..=*written.end(), GFP_KERNEL)?;
            }
            taken.push(both, GFP_KERNEL)?;
        }
        self.written = kept;
        Ok(taken)
    }
}

impl Log {
    /// A log that is not active.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            active <- new_mutex!(None, "vfio_migration_test::Log"),
        })
    }
}

#[vtable]
impl debugfs::File for Log {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let active = self.active.lock();
        let Some(active) = &*active else {
            return writeln!(f, "inactive");
        };
        writeln!(f, "page_size {}", active.page_size.bytes())?;
        for range in &active.ranges {
            writeln!(f, "range {:#x} {:#x}", range.start(), range.end())?;
        }
        for range in &active.written {
            writeln!(f, "written {:#x} {:#x}", range.start(), range.end())?;
        }
        Ok(())
    }

    fn store(&self, text: &str) -> Result {
        let mut numbers = text.split_whitespace().map(|n| n.parse::<u64>());
        let (Some(Ok(first)), Some(Ok(last)), None) =
            (numbers.next(), numbers.next(), numbers.next())
        else {
            return Err(EINVAL);
        };
        match &mut *self.active.lock() {
            Some(active) => active.write(&(first..=last)),
            None => Err(EINVAL),
        }
    }
}

impl Operations for Log {
    fn start(&self, ranges: Ranges<'_>, page_size: PageSize) -> Result<PageSize> {
        let mut active = self.active.lock();
        if active.is_some() {
            return Err(EBUSY);
        }
        let bytes = page_size
            .bytes()
            .clamp(*PAGE_SIZES.start(), *PAGE_SIZES.end());
        let page_size = PageSize::try_from(bytes)?;
        let mut list = KVec::with_capacity(ranges.iter().len(), GFP_KERNEL)?;
        for range in ranges.iter() {
            list.push(range, GFP_KERNEL)?;
        }
        *active = Some(Active {
            page_size,
            ranges: list,
            written: KVec::new(),
        });
        Ok(page_size)
    }

    fn stop(&self) {
        let old = self.active.lock().take();
        drop(old);
    }

    fn read_and_clear(&self, report: &mut Report<'_>) -> Result {
        let range = report.range();
        // The lock is not held over the access to user memory.
        let written = match &mut *self.active.lock() {
            Some(active) => active.take(&range)?,
            None => return Err(EINVAL),
        };
        for range in written {
            report.set(range);
        }
        Ok(())
    }
}
