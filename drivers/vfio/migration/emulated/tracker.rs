// SPDX-License-Identifier: GPL-2.0

//! Which pages of the device's memory changed since they were saved.
//!
//! A page that the first pass of a session has not come to needs no mark: it is saved anyway. The
//! others are marked with the number of the session, so that neither the begin nor the end of a
//! session touches a mark, however many pages there are.
//!
//! How no change is lost: who changes a page changes it first and then calls `written()`; who saves
//! a page moves the pass over it and clears its mark first and then copies it. Each has a full
//! barrier in between, so either the copy has the change or the mark is set after it was cleared.

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            ordering,
            Atomic, //
        },
        barrier::{
            smp_mb,
            Full, //
        },
    },
};
use vfio::memory::Observer;
use vfio_migration::backend::Waker;

/// The marks of all pages.
pub(crate) struct Tracker {
    /// The last session for which each page was marked.
    marks: VVec<Atomic<u32>>,
    /// Session number (high half; 0 when there is none) and count of its marks (low half).
    session: Atomic<u64>,
    /// The last session's number.
    last: Atomic<u32>,
    /// The first page that the first pass has not come to.
    pass: Atomic<usize>,
    waker: Waker,
}

fn number(session: u64) -> u32 {
    // CAST: The high half.
    (session >> 32) as u32
}

fn count(session: u64) -> u32 {
    // CAST: The low half.
    session as u32
}

impl Tracker {
    /// A tracker for so many pages.
    pub(crate) fn new(pages: usize, waker: Waker) -> Result<Self> {
        let mut marks = VVec::with_capacity(pages, GFP_KERNEL_ACCOUNT)?;
        for _ in 0..pages {
            marks.push(Atomic::new(0), GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self {
            marks,
            session: Atomic::new(0),
            last: Atomic::new(0),
            pass: Atomic::new(0),
            waker,
        })
    }

    /// Begins a session, or begins the one that is under way anew: no page is marked, and the
    /// first pass is at its begin. Not to be called by two at once.
    pub(crate) fn begin(&self) {
        // Session numbers never return: at one a microsecond they last for an hour of nothing but
        // sessions, and then the marks are cleared.
        let number = match self.last.load(ordering::Relaxed).checked_add(1) {
            Some(number) => number,
            None => {
                self.marks
                    .iter()
                    .for_each(|m| m.store(0, ordering::Relaxed));
                1
            }
        };
        self.last.store(number, ordering::Relaxed);
        self.pass.store(0, ordering::Relaxed);
        self.session.xchg(u64::from(number) << 32, ordering::Full);
    }

    /// Who waits for pre-copy data.
    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Ends the session.
    pub(crate) fn end(&self) {
        self.session.xchg(0, ordering::Full);
    }

    /// The first page that the first pass has not come to.
    pub(crate) fn pass(&self) -> usize {
        self.pass.load(ordering::Relaxed)
    }

    /// Pages that are marked.
    pub(crate) fn marked(&self) -> usize {
        count(self.session.load(ordering::Relaxed)) as usize
    }

    /// The pages up to `end` are about to be saved by the first pass.
    pub(crate) fn advance(&self, end: usize) {
        // The barrier orders this before the copy of the pages.
        self.pass.xchg(end, ordering::Full);
    }

    /// Finds the first run of marked pages at or after `from`, of at most `most` pages, and clears
    /// their marks, as they are about to be saved.
    pub(crate) fn take_run(&self, from: usize, most: usize) -> Option<core::ops::Range<usize>> {
        let number = number(self.session.load(ordering::Relaxed));
        let marked = |mark: &Atomic<u32>| mark.load(ordering::Relaxed) == number;
        let first = from + self.marks.get(from..)?.iter().position(marked)?;
        let run = self.marks.get(first..)?.iter().take(most);
        let len = run.take_while(|mark| self.clear(mark, number)).count();
        Some(first..first + len).filter(|run| !run.is_empty())
    }

    /// Clears a mark; false if it was not set.
    fn clear(&self, mark: &Atomic<u32>, number: u32) -> bool {
        // The barrier of the exchange orders it before the copy of the page.
        let cleared = mark.cmpxchg(number, number - 1, ordering::Full).is_ok();
        if cleared {
            self.add(number, u64::MAX);
        }
        cleared
    }

    /// Adds to the count of marks if the session is still `of`; returns the count before.
    fn add(&self, of: u32, change: u64) -> Option<u32> {
        let mut session = self.session.load(ordering::Relaxed);
        while number(session) == of {
            let new = session.wrapping_add(change);
            match self.session.cmpxchg(session, new, ordering::Full) {
                Ok(_) => return Some(count(session)),
                Err(now) => session = now,
            }
        }
        None
    }
}

impl Observer for Tracker {
    fn written(&self, page: usize) {
        // Pairs with the exchanges of who saves; see the top of this file.
        smp_mb(Full);
        let number = number(self.session.load(ordering::Relaxed));
        if number == 0 || page >= self.pass.load(ordering::Relaxed) {
            return;
        }
        let Some(mark) = self.marks.get(page) else {
            return;
        };
        let mut old = mark.load(ordering::Relaxed);
        if old >= number {
            return;
        }
        // Counted before it is marked, so that clearing the mark finds it counted.
        let first = self.add(number, 1) == Some(0);
        // A mark only grows here: one for a session that has ended meanwhile replaces none of a
        // later session.
        while old < number {
            match mark.cmpxchg(old, number, ordering::Full) {
                Ok(_) => {
                    if first {
                        self.waker.wake();
                    }
                    return;
                }
                Err(now) => old = now,
            }
        }
        // Somebody else marked it, perhaps without having been the first to count.
        self.add(number, u64::MAX);
        if first {
            self.waker.wake();
        }
    }
}
