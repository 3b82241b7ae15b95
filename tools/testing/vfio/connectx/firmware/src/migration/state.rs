// SPDX-License-Identifier: GPL-2.0

//! The part of a function's state that only its firmware understands. In the model it is pages of
//! noise. A page is made up when it is needed, of the function's seed and of how often the page has
//! changed, so that it takes no memory until it is loaded from elsewhere.

use crate::config::Config;
use crate::memory::PAGE;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A page's content.
pub(super) type Bytes = Arc<[u8; PAGE]>;

/// The state.
#[derive(Debug)]
pub(super) struct Opaque {
    seed: u64,
    /// How often each page has changed.
    versions: Vec<u32>,
    /// The pages whose content came from elsewhere, until they change.
    loaded: BTreeMap<u32, Bytes>,
    most: usize,
    dirty: Clock,
    growth: Clock,
    /// The page that changes next.
    next: u32,
}

/// Counts what happens at a rate.
#[derive(Debug)]
struct Clock {
    per_second: u64,
    last: u64,
}

impl Clock {
    /// How many times it happened until `now`. What is left of the time counts the next time.
    fn advance(&mut self, now: u64, running: bool) -> u64 {
        const SECOND: u128 = 1_000_000_000;

        if self.per_second == 0 || !running {
            self.last = now;
            return 0;
        }
        let elapsed = u128::from(now.saturating_sub(self.last));
        let count = elapsed * u128::from(self.per_second) / SECOND;
        let used = count * SECOND / u128::from(self.per_second);
        // CAST: `used` is at most `elapsed`; the rate is at most a million a second.
        self.last += used as u64;
        count as u64
    }
}

/// A page as it was when it was asked for.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) index: u32,
    pub(super) version: u32,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Made(u64),
    Loaded(Bytes),
}

impl Page {
    pub(super) fn bytes(&self) -> Bytes {
        match &self.content {
            Content::Loaded(bytes) => bytes.clone(),
            Content::Made(seed) => {
                let mut noise = mix(seed ^ u64::from(self.index) << 32 ^ u64::from(self.version));
                let mut bytes = [0; PAGE];
                for word in bytes.chunks_exact_mut(8) {
                    noise = mix(noise);
                    word.copy_from_slice(&noise.to_be_bytes());
                }
                Arc::new(bytes)
            }
        }
    }
}

/// The finaliser of splitmix64.
fn mix(value: u64) -> u64 {
    let mut x = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

impl Opaque {
    pub(super) fn new(config: &Config, number: u16, now: u64) -> Self {
        // CAST: At most 4 GiB.
        let pages = config.image.div_ceil(PAGE as u64) as usize;
        let clock = |per_second| Clock {
            per_second,
            last: now,
        };
        Self {
            seed: mix(u64::from(number)),
            versions: vec![0; if number == 0 { 0 } else { pages }],
            loaded: BTreeMap::new(),
            most: if config.growth == 0 { pages } else { 2 * pages },
            dirty: clock(config.dirty),
            growth: clock(config.growth),
            next: 0,
        }
    }

    pub(super) fn pages(&self) -> usize {
        self.versions.len()
    }

    /// Changes what changes until `now`, and tells which pages that were.
    pub(super) fn advance(&mut self, now: u64, running: bool) -> Vec<u32> {
        let (dirty, growth) = (
            self.dirty.advance(now, running),
            self.growth.advance(now, running),
        );
        let first = self.pages();
        // CAST: `most` fits.
        let grown = growth.min(self.most.saturating_sub(first) as u64) as usize;
        self.versions.resize(first + grown, 0);
        let mut changed: Vec<u32> = (first as u32..self.pages() as u32).collect();
        // Longer than once around does not show.
        for _ in 0..dirty.min(self.pages() as u64) {
            changed.push(self.touch());
        }
        changed
    }

    /// Changes a page, and tells which.
    pub(super) fn touch(&mut self) -> u32 {
        let index = self.next % self.pages().max(1) as u32;
        self.next = index + 1;
        if let Some(version) = self.versions.get_mut(index as usize) {
            *version = version.wrapping_add(1);
        }
        self.loaded.remove(&index);
        index
    }

    /// A page as it is now.
    pub(super) fn page(&self, index: u32) -> Page {
        let loaded = self.loaded.get(&index).cloned();
        Page {
            index,
            version: self.versions.get(index as usize).copied().unwrap_or(0),
            content: loaded.map_or(Content::Made(self.seed), Content::Loaded),
        }
    }

    /// Says which versions of which pages there are.
    pub(super) fn digest(&self) -> u64 {
        digest(self.versions.iter().copied())
    }

    /// Becomes another function's state.
    pub(super) fn replace(&mut self, versions: Vec<u32>, pages: BTreeMap<u32, Bytes>) {
        self.versions = versions;
        self.loaded = pages;
        self.next = 0;
    }
}

/// The digest of pages of these versions.
pub(super) fn digest(versions: impl Iterator<Item = u32>) -> u64 {
    versions.fold(0, |sum, version| mix(sum ^ u64::from(version)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opaque(dirty: u64, growth: u64) -> Opaque {
        let config = Config {
            image: 10 * PAGE as u64,
            dirty,
            growth,
            ..Config::default()
        };
        Opaque::new(&config, 1, 0)
    }

    #[test]
    fn changes_come_at_their_rate() {
        let mut state = opaque(3, 0);
        let mut changed = 0;
        for ms in 0..=10_000 {
            changed += state.advance(ms * 1_000_000, true).len();
        }
        assert_eq!(changed, 30);
        assert_eq!(state.advance(20_000_000_000, false), []);
        assert_eq!(state.advance(20_000_000_001, true), []);
        assert_eq!(state.advance(21_000_000_000, true).len(), 3);
    }

    #[test]
    fn it_grows_to_twice_its_size() {
        let mut state = opaque(0, 4);
        assert_eq!(state.advance(1_000_000_000, true), [10, 11, 12, 13]);
        assert_eq!(state.advance(9_000_000_000, true).len(), 6);
        assert_eq!(state.advance(19_000_000_000, true), []);
        assert_eq!(state.pages(), 20);
    }

    #[test]
    fn a_change_changes_content_and_digest() {
        let mut state = opaque(0, 0);
        let (before, digest) = (state.page(0), state.digest());
        assert_eq!(before.bytes(), state.page(0).bytes());
        assert_eq!(state.touch(), 0);
        assert_ne!(before.bytes(), state.page(0).bytes());
        assert_ne!(state.digest(), digest);
        assert_ne!(state.page(1).bytes(), state.page(2).bytes());
    }
}
