// SPDX-License-Identifier: GPL-2.0

//! What a log of the firmware tells apart, and what of it goes into which report. Uses `core::` only.
//!
//! The firmware reports by pages of the log, and what it reported is clean to it. A report of user
//! space may be of less than a page, or of another part of it: what the firmware said beyond it is
//! kept here for the report that asks for it.

use core::ops::RangeInclusive;

/// The largest message that is used because a device offers it: what a larger one would save is
/// little beside the pages in it.
const WANTED_MESSAGE_SHIFT: u32 = 16;

/// What a device takes, each as a power of two: inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The least and the largest page.
    pub(crate) page: (u32, u32),
    /// The least and the largest message.
    pub(crate) message: (u32, u32),
    /// The least and the largest sum of all ranges.
    pub(crate) space: (u32, u32),
}

/// `wanted`, or what of `limits` is next to it; `None` if nothing is in them.
fn nearest(wanted: u32, limits: (u32, u32)) -> Option<u32> {
    (limits.0 <= limits.1).then(|| wanted.clamp(limits.0, limits.1))
}

impl Limits {
    /// The page size, as a shift, where user space asks for pages of `1 << wanted` bytes.
    pub(crate) fn page_shift(&self, wanted: u32) -> Option<u32> {
        nearest(wanted, self.page)
    }

    /// The size of messages, as a shift.
    pub(crate) fn message_shift(&self) -> Option<u32> {
        nearest(WANTED_MESSAGE_SHIFT, self.message)
    }

    /// What all of `ranges` need, as a shift; `None` if it is more than the device has.
    pub(crate) fn space_shift(
        &self,
        mut ranges: impl Iterator<Item = RangeInclusive<u64>>,
    ) -> Option<u32> {
        let bytes = ranges.try_fold(0u64, |sum, range| {
            let length = (range.end() - range.start()).checked_add(1)?;
            sum.checked_add(length)
        })?;
        let shift = bytes.checked_next_power_of_two()?.trailing_zeros();
        nearest(shift, self.space).filter(|nearest| *nearest >= shift)
    }
}

/// The pages of `1 << shift` bytes that `range` touches.
pub(crate) fn whole(range: RangeInclusive<u64>, shift: u32) -> RangeInclusive<u64> {
    let low = 1u64.checked_shl(shift).map_or(u64::MAX, |size| size - 1);
    *range.start() & !low..=*range.end() | low
}

/// What is in both.
pub(crate) fn common(
    a: &RangeInclusive<u64>,
    b: &RangeInclusive<u64>,
) -> Option<RangeInclusive<u64>> {
    let both = *a.start().max(b.start())..=*a.end().min(b.end());
    (!both.is_empty()).then_some(both)
}

/// Both as one, where there is nothing between them.
fn joined(a: &RangeInclusive<u64>, b: &RangeInclusive<u64>) -> Option<RangeInclusive<u64>> {
    let meet = *a.start() <= b.end().saturating_add(1) && *b.start() <= a.end().saturating_add(1);
    meet.then(|| *a.start().min(b.start())..=*a.end().max(b.end()))
}

/// Joins each of the ranges with those after it that it meets.
#[derive(Clone)]
pub(crate) struct Runs<I> {
    rest: I,
    run: Option<RangeInclusive<u64>>,
}

/// The runs of `ranges`.
pub(crate) fn runs<I: Iterator<Item = RangeInclusive<u64>>>(mut ranges: I) -> Runs<I> {
    let run = ranges.next();
    Runs { rest: ranges, run }
}

impl<I: Iterator<Item = RangeInclusive<u64>>> Iterator for Runs<I> {
    type Item = RangeInclusive<u64>;

    fn next(&mut self) -> Option<RangeInclusive<u64>> {
        let mut run = self.run.take()?;
        for range in self.rest.by_ref() {
            match joined(&run, &range) {
                Some(more) => run = more,
                None => {
                    self.run = Some(range);
                    break;
                }
            }
        }
        Some(run)
    }
}

/// The most pieces that are kept apart.
const PIECES: usize = 32;
const NOTHING: RangeInclusive<u64> = RangeInclusive::new(1, 0);

/// What was written and is still to be reported, although the firmware does not know it any more.
///
/// Where there are too many pieces, what is between two of them counts as written as well.
pub(crate) struct Kept {
    /// In ascending order, no two of which meet; the first `count`.
    pieces: [RangeInclusive<u64>; PIECES],
    count: usize,
}

impl Kept {
    /// Nothing is kept.
    pub(crate) const fn new() -> Self {
        Self {
            pieces: [NOTHING; PIECES],
            count: 0,
        }
    }

    fn pieces(&self) -> &[RangeInclusive<u64>] {
        self.pieces.get(..self.count).unwrap_or(&[])
    }

    fn remove(&mut self, at: usize) {
        if let Some(rest) = self.pieces.get_mut(at..self.count) {
            rest.rotate_left(1);
            self.count -= 1;
        }
    }

    fn insert(&mut self, at: usize, piece: RangeInclusive<u64>) {
        if let Some(rest) = self.pieces.get_mut(at..=self.count) {
            rest.rotate_right(1);
            if let Some(slot) = rest.first_mut() {
                *slot = piece;
            }
            self.count += 1;
        }
    }

    /// Joins the two pieces with the least between them.
    fn join(&mut self) {
        let gap = |pair: &[RangeInclusive<u64>]| match pair {
            [a, b] => b.start() - a.end(),
            _ => u64::MAX,
        };
        let least = self.pieces().windows(2).map(gap).enumerate();
        let Some((at, _)) = least.min_by_key(|(_, gap)| *gap) else {
            return;
        };
        if let Some([a, b]) = self.pieces.get_mut(at..at + 2) {
            *a = *a.start()..=*b.end();
            self.remove(at + 1);
        }
    }

    /// Keeps `range` as well.
    pub(crate) fn add(&mut self, range: RangeInclusive<u64>) {
        if range.is_empty() {
            return;
        }
        let mut new = range;
        let mut at = 0;
        while let Some(piece) = self.pieces().get(at) {
            if let Some(both) = joined(piece, &new) {
                new = both;
                self.remove(at);
            } else if piece.start() > new.start() {
                break;
            } else {
                at += 1;
            }
        }
        if self.count == PIECES {
            self.join();
            // The place may be another one now, or inside of what was joined.
            return self.add(new);
        }
        self.insert(at, new);
    }

    /// The first piece of it in `range`, which is then not kept any more. The next is to be asked for
    /// behind its end, as it may have been joined with others again.
    pub(crate) fn take(&mut self, range: &RangeInclusive<u64>) -> Option<RangeInclusive<u64>> {
        let at = self
            .pieces()
            .iter()
            .position(|piece| common(piece, range).is_some())?;
        let piece = self.pieces.get(at)?.clone();
        let both = common(&piece, range)?;
        self.remove(at);
        self.add_outside(&piece, range);
        Some(both)
    }

    /// Keeps what of `found` is not in `range`.
    pub(crate) fn add_outside(&mut self, found: &RangeInclusive<u64>, range: &RangeInclusive<u64>) {
        match common(found, range) {
            None => self.add(found.clone()),
            Some(both) => {
                if found.start() < both.start() {
                    self.add(*found.start()..=*both.start() - 1);
                }
                if both.end() < found.end() {
                    self.add(*both.end() + 1..=*found.end());
                }
            }
        }
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    not(test),
    ::kernel::macros::kunit_tests(rust_vfio_migration_mlx5_pages)
)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        page: (12, 21),
        message: (6, 20),
        space: (14, 40),
    };

    #[test]
    fn sizes_are_those_of_the_device() {
        assert_eq!(LIMITS.page_shift(0), Some(12));
        assert_eq!(LIMITS.page_shift(16), Some(16));
        assert_eq!(LIMITS.page_shift(63), Some(21));
        assert_eq!(LIMITS.message_shift(), Some(16));
        let small = Limits {
            message: (6, 12),
            page: (13, 12),
            ..LIMITS
        };
        assert_eq!(small.message_shift(), Some(12));
        assert_eq!(small.page_shift(12), None);
    }

    #[test]
    fn the_space_is_for_the_sum_of_the_ranges() {
        let space = |ranges: &[(u64, u64)]| {
            LIMITS.space_shift(ranges.iter().map(|(first, last)| *first..=*last))
        };
        assert_eq!(space(&[(0, 0xfff)]), Some(14));
        assert_eq!(space(&[(0, 0x3fff)]), Some(14));
        assert_eq!(space(&[(0, 0x3fff), (0x10_0000, 0x10_0fff)]), Some(15));
        assert_eq!(space(&[(0, (1 << 40) - 1)]), Some(40));
        assert_eq!(space(&[(0, 1 << 40)]), None);
        assert_eq!(space(&[(0, u64::MAX)]), None);
        assert_eq!(space(&[(1, u64::MAX)]), None);
    }

    #[test]
    fn ranges_that_meet_are_one() {
        let mut of = runs([0..=9, 10..=19, 15..=17, 21..=29, u64::MAX..=u64::MAX].into_iter());
        assert_eq!(of.next(), Some(0..=19));
        assert_eq!(of.next(), Some(21..=29));
        assert_eq!(of.next(), Some(u64::MAX..=u64::MAX));
        assert_eq!(of.next(), None);
        assert_eq!(runs(core::iter::empty()).next(), None);
        assert_eq!(whole(0x1234..=0x2000, 12), 0x1000..=0x2fff);
        assert_eq!(whole(5..=6, 64), 0..=u64::MAX);
    }

    #[test]
    fn what_is_not_asked_for_is_kept() {
        let mut kept = Kept::new();
        kept.add_outside(&(0x1000..=0x4fff), &(0x2000..=0x2fff));
        kept.add_outside(&(0x8000..=0x8fff), &(0x2000..=0x2fff));
        kept.add_outside(&(0x2000..=0x2fff), &(0..=u64::MAX));
        assert_eq!(kept.take(&(0x2000..=0x2fff)), None);
        assert_eq!(kept.take(&(0x1800..=0x37ff)), Some(0x1800..=0x1fff));
        assert_eq!(kept.take(&(0x1800..=0x37ff)), Some(0x3000..=0x37ff));
        assert_eq!(kept.take(&(0x1800..=0x37ff)), None);
        assert_eq!(kept.take(&(0..=u64::MAX)), Some(0x1000..=0x17ff));
        assert_eq!(kept.take(&(0..=u64::MAX)), Some(0x3800..=0x4fff));
        assert_eq!(kept.take(&(0..=u64::MAX)), Some(0x8000..=0x8fff));
        assert_eq!(kept.take(&(0..=u64::MAX)), None);
    }

    #[test]
    fn pieces_that_meet_are_one() {
        let mut kept = Kept::new();
        kept.add(20..=29);
        kept.add(0..=9);
        kept.add(40..=49);
        kept.add(10..=19);
        kept.add(30..=45);
        assert_eq!(kept.take(&(0..=u64::MAX)), Some(0..=49));
        assert_eq!(kept.take(&(0..=u64::MAX)), None);
    }

    /// With too many pieces, nothing that was written is missing.
    #[test]
    fn no_piece_is_lost() {
        let mut kept = Kept::new();
        // CAST: Small numbers.
        let many = 3 * PIECES as u64;
        for n in 0..many {
            // In no order.
            let at = n * 37 % many * 100 + n;
            kept.add(at..=at + 9);
        }
        assert!(kept.count <= PIECES);
        for n in 0..many {
            let at = n * 37 % many * 100 + n;
            for byte in at..=at + 9 {
                assert_eq!(kept.take(&(byte..=byte)), Some(byte..=byte));
            }
        }
        assert_eq!(kept.take(&(0..=many * 100)).is_some(), kept.count != 0);
    }

    /// A piece of which the middle is taken may have no room for both of its ends.
    #[test]
    fn taking_comes_to_an_end() {
        let mut kept = Kept::new();
        for n in 0..PIECES as u64 {
            kept.add(n * 100..=n * 100 + 50);
        }
        assert_eq!(kept.take(&(1020..=1021)), Some(1020..=1021));
        assert_eq!(kept.take(&(1022..=1099)), Some(1022..=1050));
        assert_eq!(kept.take(&(1051..=1099)), None);
        assert!(kept.take(&(1000..=1010)).is_some());
    }
}
