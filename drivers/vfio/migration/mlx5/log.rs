// SPDX-License-Identifier: GPL-2.0

//! DMA logging by the firmware's page tracker.
//!
//! The log belongs to the PF: a reset of the function does not end it, the last close does, and so
//! does the PF when it goes down. After an error it gives nothing until it is stopped and started.
//!
//! Locks: `active` is held to start and to stop, which is for as long as commands take. A report
//! holds none while it waits for the firmware, or accesses user memory.

use crate::{
    memory::Pool,
    pages::{
        self,
        Kept, //
    },
};
use core::{
    mem,
    num::NonZero,
    ops::RangeInclusive, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};
use mlx5::{
    tracker::{
        Limits,
        Parameters,
        Tracker, //
    },
    Function, //
};
use vfio::{
    busy::Busy,
    log::{
        Operations,
        PageSize,
        Ranges,
        Report, //
    },
    task::Task, //
};

/// Bytes of the buffer for messages, if that is not too few messages.
const BUFFER_SHIFT: u32 = 21;
/// The least and the most messages that there is room for. The queues take memory of `mlx5_core`,
/// which is charged to nobody.
const QUEUE_SHIFTS: RangeInclusive<u32> = 2..=12;
/// How many pages are taken from a message at once.
const BATCH: usize = 512;

/// A log that is active.
#[pin_data]
struct Active {
    tracker: Tracker,
    page_shift: u32,
    /// From the first to the last address that is logged.
    hull: RangeInclusive<u64>,
    reporter: Busy,
    #[pin]
    reporting: Mutex<Reporting>,
}

/// What only who reports uses.
struct Reporting {
    taken: bool,
    kept: Kept,
    /// Pages of a message; with who has the turn.
    batch: KVec<u64>,
}

impl Active {
    fn new(
        function: &Function,
        mut ranges: Ranges<'_>,
        page_size: PageSize,
    ) -> Result<impl PinInit<Self, Error>> {
        let limits = Limits::new(&function.enter()?)?;
        let sizes = pages::Limits {
            page: limits.page,
            message: limits.message,
            space: limits.space,
        };
        let page_shift = sizes
            .page_shift(page_size.bytes().trailing_zeros())
            .ok_or(EOPNOTSUPP)?;
        let message_shift = sizes.message_shift().ok_or(EOPNOTSUPP)?;
        let most = NonZero::new(limits.ranges).ok_or(EOPNOTSUPP)?;

        ranges.combine(most);
        let whole = ranges.iter().map(|range| pages::whole(range, page_shift));
        let mut list = KVec::with_capacity(whole.len(), GFP_KERNEL_ACCOUNT)?;
        for run in pages::runs(whole) {
            list.push(run, GFP_KERNEL_ACCOUNT)?;
        }
        let parameters = Parameters {
            page_shift,
            message_shift,
            space_shift: sizes.space_shift(list.iter().cloned()).ok_or(EOPNOTSUPP)?,
            queue_shift: BUFFER_SHIFT
                .saturating_sub(message_shift)
                .clamp(*QUEUE_SHIFTS.start(), *QUEUE_SHIFTS.end()),
        };
        let (Some(first), Some(last)) = (list.first(), list.last()) else {
            return Err(EINVAL);
        };
        let hull = *first.start()..=*last.end();
        let batch = KVec::from_elem(0, BATCH, GFP_KERNEL_ACCOUNT)?;
        let tracker = Tracker::new(function, &parameters, &list)?;
        Ok(try_pin_init!(Self {
            tracker,
            page_shift,
            hull,
            reporter: Busy::new(),
            reporting <- new_mutex!(
                Reporting { taken: false, kept: Kept::new(), batch },
                "vfio_migration_mlx5::Log::reporting"
            ),
        }? Error))
    }

    /// Waits until nobody else reports.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` if the thread is killed.
    fn turn(&self) -> Result<Turn<'_>> {
        loop {
            let mut reporting = self.reporting.lock();
            if !reporting.taken {
                reporting.taken = true;
                self.reporter.begin();
                return Ok(Turn {
                    log: self,
                    batch: mem::take(&mut reporting.batch),
                });
            }
            drop(reporting);
            self.reporter.wait()?;
        }
    }

    fn report(&self, report: &mut Report<'_>) -> Result {
        let mut turn = self.turn()?;
        let range = report.range();
        if let Some(asked) =
            pages::common(&pages::whole(range.clone(), self.page_shift), &self.hull)
        {
            let mut messages = self.tracker.report(&asked)?;
            while let Some(count) = messages.next(&mut turn.batch)? {
                let found = turn.batch.iter().take(count);
                for run in
                    pages::runs(found.map(|page| pages::whole(*page..=*page, self.page_shift)))
                {
                    turn.with(|kept| kept.add_outside(&run, &range));
                    report.set(run);
                }
            }
        }
        // What was kept of earlier reports goes last: if the report fails it is still there.
        let (mut first, last) = range.into_inner();
        while let Some(piece) = turn.with(|kept| kept.take(&(first..=last))) {
            let end = *piece.end();
            report.set(piece);
            if end == last {
                break;
            }
            // OVERFLOW: The piece ends before the report does.
            first = end + 1;
        }
        Ok(())
    }
}

/// The turn to report.
struct Turn<'a> {
    log: &'a Active,
    batch: KVec<u64>,
}

impl Turn<'_> {
    fn with<R>(&self, f: impl FnOnce(&mut Kept) -> R) -> R {
        f(&mut self.log.reporting.lock().kept)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut reporting = self.log.reporting.lock();
        reporting.batch = mem::take(&mut self.batch);
        reporting.taken = false;
        // With the lock, or it could be the turn of the next that ends.
        self.log.reporter.end();
    }
}

/// The log of one device.
#[pin_data]
pub(crate) struct Log {
    function: Function,
    pool: Arc<Task<Pool>>,
    #[pin]
    active: Mutex<Option<Arc<Active>>>,
}

impl Log {
    /// A log that is not active, of a function whose firmware has a page tracker.
    pub(crate) fn new(function: Function, pool: Arc<Task<Pool>>) -> impl PinInit<Self> {
        pin_init!(Self {
            function,
            pool,
            active <- new_mutex!(None, "vfio_migration_mlx5::Log::active"),
        })
    }
}

impl Operations for Log {
    fn start(&self, ranges: Ranges<'_>, page_size: PageSize) -> Result<PageSize> {
        let mut active = self.active.lock();
        if active.is_some() {
            return Err(EBUSY);
        }
        // The firmware may have room for one only, and still have the last.
        self.function.take_back();
        let new = Active::new(&self.function, ranges, page_size)
            .and_then(|new| Arc::pin_init(new, GFP_KERNEL_ACCOUNT))
            .inspect_err(|_| Pool::come_again(&self.pool))?;
        let chosen = PageSize::try_from(1 << new.page_shift)?;
        *active = Some(new);
        Ok(chosen)
    }

    fn stop(&self) {
        let mut active = self.active.lock();
        if let Some(old) = active.take() {
            // Not when the last reporter leaves: the next log may begin now.
            if !old.tracker.end() {
                Pool::come_again(&self.pool);
            }
        }
    }

    fn read_and_clear(&self, report: &mut Report<'_>) -> Result {
        let active = self.active.lock().clone();
        active.ok_or(EINVAL)?.report(report)
    }
}
