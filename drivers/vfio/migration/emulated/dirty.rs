// SPDX-License-Identifier: GPL-2.0

//! Which pages of some ranges of addresses were written: a bit for each. Uses `core::` only.
//!
//! The bits take memory in proportion to the ranges, and all of it is there from the start: noting a
//! write can neither fail nor sleep.

use core::ops::RangeInclusive;

/// The smallest page that is told apart.
pub(crate) const MIN_SHIFT: u32 = 12;
/// The largest that is used because a user asks for it.
const MAX_WANTED_SHIFT: u32 = 21;
/// The most bits of one log (16 MiB): pages are as large as it takes.
const MAX_BITS: u64 = 1 << 27;

const WORD_BITS: usize = 64;

/// One range, with its place among the bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    first: u64,
    last: u64,
    /// The bit of the page that `first` is in.
    bit: usize,
}

/// Ranges, page size and the places of their bits; the bits are the caller's.
#[derive(Clone, Copy)]
pub(crate) struct Layout<'a> {
    spans: &'a [Span],
    shift: u32,
}

/// Pages of `1 << shift` bytes that `first..=last` touches.
fn pages(first: u64, last: u64, shift: u32) -> u64 {
    // OVERFLOW: The shift is at least 1.
    (last >> shift) - (first >> shift) + 1
}

/// The page size, as a shift, for ranges of which the user asked for pages of `1 << wanted` bytes.
pub(crate) fn shift(wanted: u32, ranges: impl Iterator<Item = RangeInclusive<u64>> + Clone) -> u32 {
    let fits = |shift: &u32| {
        let bits = |range: RangeInclusive<u64>| pages(*range.start(), *range.end(), *shift);
        ranges.clone().map(bits).sum::<u64>() <= MAX_BITS
    };
    let wanted = wanted.clamp(MIN_SHIFT, MAX_WANTED_SHIFT);
    // Pages of half of all there is always fit: there are a few hundred ranges.
    (wanted..u64::BITS - 1).find(fits).unwrap_or(u64::BITS - 1)
}

/// Lays `ranges` out, each behind the one before.
pub(crate) fn spans(
    shift: u32,
    ranges: impl Iterator<Item = RangeInclusive<u64>>,
) -> impl Iterator<Item = Span> {
    ranges.scan(0, move |bit, range| {
        let (first, last) = range.into_inner();
        let span = Span {
            first,
            last,
            bit: *bit,
        };
        // CAST: There are at most `MAX_BITS`.
        *bit += pages(first, last, shift) as usize;
        Some(span)
    })
}

/// Words that the bits of `spans` take.
pub(crate) fn words(spans: &[Span], shift: u32) -> usize {
    let bits = spans.last().map_or(0, |span| {
        // CAST: There are at most `MAX_BITS`.
        span.bit + pages(span.first, span.last, shift) as usize
    });
    bits.div_ceil(WORD_BITS)
}

impl Span {
    /// The bit of `address`, which is in the range.
    fn bit_of(&self, address: u64, shift: u32) -> usize {
        // CAST: There are at most `MAX_BITS`.
        self.bit + ((address >> shift) - (self.first >> shift)) as usize
    }

    /// The addresses of the page of a bit of this range, as far as they are in it.
    fn page(&self, bit: usize, shift: u32) -> RangeInclusive<u64> {
        // CAST: A `usize` has at most 64 bits.
        let number = (self.first >> shift) + (bit - self.bit) as u64;
        let start = number << shift;
        let end = start | ((1 << shift) - 1);
        start.max(self.first)..=end.min(self.last)
    }
}

impl<'a> Layout<'a> {
    /// The layout of `spans`, which were made with `shift`.
    pub(crate) fn new(spans: &'a [Span], shift: u32) -> Self {
        Self { spans, shift }
    }

    /// The parts of the ranges that are in `first..=last`.
    fn inside(self, first: u64, last: u64) -> impl Iterator<Item = (Span, u64, u64)> + 'a {
        let clip = move |span: &Span| {
            let (low, high) = (first.max(span.first), last.min(span.last));
            (low <= high).then_some((*span, low, high))
        };
        self.spans.iter().filter_map(clip)
    }

    /// Notes a write to `first..=last`; what is in no range is not noted.
    pub(crate) fn mark(self, bits: &mut [u64], first: u64, last: u64) {
        for (span, low, high) in self.inside(first, last) {
            for bit in span.bit_of(low, self.shift)..=span.bit_of(high, self.shift) {
                if let Some(word) = bits.get_mut(bit / WORD_BITS) {
                    *word |= 1 << (bit % WORD_BITS);
                }
            }
        }
    }

    /// The first run of written addresses in `first..=last`, which is noted no more.
    ///
    /// A page of which only a part is asked for stays noted, as the rest of it may have been
    /// written too.
    pub(crate) fn take(
        self,
        bits: &mut [u64],
        first: u64,
        last: u64,
    ) -> Option<RangeInclusive<u64>> {
        self.inside(first, last).find_map(|(span, low, high)| {
            let end = span.bit_of(high, self.shift);
            let start = next(bits, true, span.bit_of(low, self.shift), end)?;
            let end = next(bits, false, start, end).map_or(end, |clear| clear - 1);
            let head = span.page(start, self.shift);
            let tail = span.page(end, self.shift);
            for bit in start..=end {
                let page = span.page(bit, self.shift);
                if *page.start() >= low && *page.end() <= high {
                    if let Some(word) = bits.get_mut(bit / WORD_BITS) {
                        *word &= !(1 << (bit % WORD_BITS));
                    }
                }
            }
            Some(low.max(*head.start())..=high.min(*tail.end()))
        })
    }
}

/// The first bit from `from` to `last` that is set, or clear.
fn next(bits: &[u64], set: bool, from: usize, last: usize) -> Option<usize> {
    let mut at = from;
    while at <= last {
        let word = *bits.get(at / WORD_BITS)?;
        let word = if set { word } else { !word };
        let rest = word >> (at % WORD_BITS);
        if rest != 0 {
            // CAST: Below 64.
            return Some(at + rest.trailing_zeros() as usize).filter(|at| *at <= last);
        }
        at = (at / WORD_BITS + 1) * WORD_BITS;
    }
    None
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    not(test),
    ::kernel::macros::kunit_tests(rust_vfio_migration_emulated_dirty)
)]
mod tests {
    use super::*;

    const RANGES: [RangeInclusive<u64>; 3] = [
        0x1000..=0x8fff,
        0x10_0000..=0x14_ffff,
        u64::MAX - 0xfff..=u64::MAX,
    ];
    const EMPTY: Span = Span {
        first: 0,
        last: 0,
        bit: 0,
    };

    fn layout(shift: u32) -> ([Span; 3], usize) {
        let mut out = [EMPTY; 3];
        for (slot, span) in out.iter_mut().zip(spans(shift, RANGES.into_iter())) {
            *slot = span;
        }
        (out, words(&out, shift))
    }

    /// The only run, or nothing; what is left is checked to be nothing.
    fn only(layout: Layout<'_>, bits: &mut [u64]) -> Option<(u64, u64)> {
        let run = layout.take(bits, 0, u64::MAX);
        assert!(layout.take(bits, 0, u64::MAX).is_none());
        assert!(bits.iter().all(|word| *word == 0));
        run.map(RangeInclusive::into_inner)
    }

    #[test]
    fn memory_follows_the_ranges() {
        // 8, 80 and 1 pages.
        assert_eq!(layout(12).1, 2);
        // 1, 5 and 1 pages.
        assert_eq!(layout(16).1, 1);
        assert_eq!(words(&[], 12), 0);
    }

    #[test]
    fn pages_grow_until_the_bits_fit() {
        let ranges = |last: u64| [0..=last].into_iter();
        assert_eq!(shift(0, ranges(0xfff)), 12);
        assert_eq!(shift(12, ranges((1 << 39) - 1)), 12);
        assert_eq!(shift(12, ranges(1 << 39)), 13);
        assert_eq!(shift(16, ranges(1 << 39)), 16);
        assert_eq!(shift(30, ranges(1 << 39)), 21);
        assert_eq!(shift(12, ranges(u64::MAX)), 37);
        let halves = [0..=u64::MAX / 2, u64::MAX / 2 + 1..=u64::MAX];
        assert_eq!(shift(63, halves.into_iter()), 37);
    }

    #[test]
    fn writes_are_noted_by_whole_pages() {
        let (spans, _) = layout(12);
        let layout = Layout::new(&spans, 12);
        let mut bits = [0; 2];
        for (first, last, run) in [
            (0x2345, 0x2345, Some((0x2000, 0x2fff))),
            (0x2fff, 0x3000, Some((0x2000, 0x3fff))),
            (0, 0x1000, Some((0x1000, 0x1fff))),
            (0x8fff, 0xffff, Some((0x8000, 0x8fff))),
            (0x9000, 0xf_ffff, None),
            (u64::MAX, u64::MAX, Some((u64::MAX - 0xfff, u64::MAX))),
            (0x10_0000, 0x14_ffff, Some((0x10_0000, 0x14_ffff))),
        ] {
            layout.mark(&mut bits, first, last);
            assert_eq!(only(layout, &mut bits), run);
        }
    }

    #[test]
    fn runs_come_in_order_and_once() {
        let (spans, _) = layout(12);
        let layout = Layout::new(&spans, 12);
        let mut bits = [0; 2];
        layout.mark(&mut bits, 0, u64::MAX);
        for range in RANGES {
            assert_eq!(layout.take(&mut bits, 0, u64::MAX), Some(range));
        }
        assert_eq!(layout.take(&mut bits, 0, u64::MAX), None);
    }

    #[test]
    fn only_what_is_asked_for_is_taken() {
        let (spans, _) = layout(12);
        let layout = Layout::new(&spans, 12);
        let mut bits = [0; 2];
        layout.mark(&mut bits, 0x1000, 0x8fff);
        assert_eq!(
            layout.take(&mut bits, 0x3000, 0x4fff),
            Some(0x3000..=0x4fff)
        );
        assert_eq!(layout.take(&mut bits, 0x3000, 0x4fff), None);
        assert_eq!(layout.take(&mut bits, 0, 0x5fff), Some(0x1000..=0x2fff));
        assert_eq!(layout.take(&mut bits, 0, 0x5fff), Some(0x5000..=0x5fff));
    }

    #[test]
    fn a_part_of_a_page_leaves_it_noted() {
        let (spans, _) = layout(16);
        let layout = Layout::new(&spans, 16);
        let mut bits = [0; 1];
        layout.mark(&mut bits, 0x11_2345, 0x11_2345);
        // Halves of a page of 64 KiB.
        let half = |bits: &mut [u64], first| layout.take(bits, first, first + 0x7fff);
        assert_eq!(half(&mut bits, 0x11_0000), Some(0x11_0000..=0x11_7fff));
        assert_eq!(half(&mut bits, 0x11_8000), Some(0x11_8000..=0x11_ffff));
        assert_eq!(only(layout, &mut bits), Some((0x11_0000, 0x11_ffff)));
        // A range that is less than its page is all of it.
        layout.mark(&mut bits, 0x2000, 0x2000);
        assert_eq!(
            layout.take(&mut bits, 0x1000, 0x8fff),
            Some(0x1000..=0x8fff)
        );
        assert_eq!(only(layout, &mut bits), None);
    }
}
