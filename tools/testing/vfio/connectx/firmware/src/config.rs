// SPDX-License-Identifier: GPL-2.0

//! What can be chosen about a device. Options have names and values in text; [`OPTIONS`] lists
//! them, so that who embeds the model needs to know none of them.

mod fault;

pub use fault::Fault;
pub(crate) use fault::{Action, Error};

use std::time::Duration;

/// All that can be chosen. The default is a device that does everything, and quickly.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes of opaque state of a VF, in whole pages of 4 KiB.
    pub image: u64,
    /// Pages by which that state grows per second while the VF runs, up to twice its size.
    pub growth: u64,
    /// Pages of that state that change per second while the VF runs.
    pub dirty: u64,
    /// Bytes per second that are saved; 0 is as fast as it goes.
    pub save_bandwidth: u64,
    /// Bytes per second that are loaded; 0 is as fast as it goes.
    pub load_bandwidth: u64,
    /// From the doorbell to a command being executed.
    pub latency: Duration,
    /// The same for SAVE_VHCA_STATE and LOAD_VHCA_STATE, in addition.
    pub transfer_latency: Duration,
    /// The same for SUSPEND_VHCA and RESUME_VHCA, in addition.
    pub suspend_latency: Duration,
    /// Capability migration_in_chunks.
    pub chunk: bool,
    /// Capability adv_virtualization: the page tracker.
    pub tracker: bool,
    /// Capability migration_state.
    pub migration_state: bool,
    /// How often after a first SAVE a VF has new initial state; needs `migration_state`.
    pub reinit: u32,
    /// Pages of memory that the PF wants when it boots.
    pub boot_pages: u32,
    /// Pages of memory that the PF wants when it is initialised.
    pub init_pages: u32,
    /// Pages of memory that it wants for each VF, by an event.
    pub vf_pages: u32,
    /// The most bytes in a message of the page tracker, as a power of two.
    pub log_message: u32,
    /// Commands that do not end as they should.
    pub faults: Vec<Fault>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            image: 48 << 10,
            growth: 0,
            dirty: 0,
            save_bandwidth: 0,
            load_bandwidth: 0,
            latency: Duration::from_micros(1),
            transfer_latency: Duration::ZERO,
            suspend_latency: Duration::ZERO,
            chunk: false,
            tracker: true,
            migration_state: false,
            reinit: 0,
            boot_pages: 0,
            init_pages: 0,
            vf_pages: 0,
            log_message: 16,
            faults: Vec::new(),
        }
    }
}

/// An option.
pub struct Choice {
    /// Its name.
    pub name: &'static str,
    /// What it does, with its unit.
    pub help: &'static str,
    set: fn(&mut Config, &str) -> Option<()>,
}

/// The largest opaque state: its page numbers are small.
const MAX_IMAGE: u64 = 4 << 30;

/// All options.
pub const OPTIONS: &[Choice] = &[
    Choice {
        name: "image",
        help: "bytes of opaque state of a VF (48K)",
        set: |c, v| {
            let size = number(v)?;
            (1..=MAX_IMAGE).contains(&size).then(|| c.image = size)
        },
    },
    Choice {
        name: "growth",
        help: "pages by which that grows per second while the VF runs, up to twice its size (0)",
        set: |c, v| rate(v, &mut c.growth),
    },
    Choice {
        name: "dirty",
        help: "pages of it that change per second while the VF runs (0)",
        set: |c, v| rate(v, &mut c.dirty),
    },
    Choice {
        name: "save-bandwidth",
        help: "bytes per second, 0 without limit (0)",
        set: |c, v| number(v).map(|n| c.save_bandwidth = n),
    },
    Choice {
        name: "load-bandwidth",
        help: "bytes per second, 0 without limit (0)",
        set: |c, v| number(v).map(|n| c.load_bandwidth = n),
    },
    Choice {
        name: "latency",
        help: "of every command, e.g. 20us (1us)",
        set: |c, v| time(v).map(|t| c.latency = t),
    },
    Choice {
        name: "transfer-latency",
        help: "of a SAVE or LOAD, in addition (0us)",
        set: |c, v| time(v).map(|t| c.transfer_latency = t),
    },
    Choice {
        name: "suspend-latency",
        help: "of a SUSPEND or RESUME, in addition (0us)",
        set: |c, v| time(v).map(|t| c.suspend_latency = t),
    },
    Choice {
        name: "chunk",
        help: "save the state in chunks: on, off (off)",
        set: |c, v| switch(v).map(|on| c.chunk = on),
    },
    Choice {
        name: "tracker",
        help: "log DMA writes: on, off (on)",
        set: |c, v| switch(v).map(|on| c.tracker = on),
    },
    Choice {
        name: "migration-state",
        help: "tell whether the state is initial or dirty: on, off (off)",
        set: |c, v| switch(v).map(|on| c.migration_state = on),
    },
    Choice {
        name: "reinit",
        help: "how often pre-copy has new initial state, with migration-state (0)",
        set: |c, v| small(v).map(|n| c.reinit = n),
    },
    Choice {
        name: "boot-pages",
        help: "pages that the PF wants to boot (0)",
        set: |c, v| small(v).map(|n| c.boot_pages = n),
    },
    Choice {
        name: "init-pages",
        help: "pages that the PF wants to be initialised (0)",
        set: |c, v| small(v).map(|n| c.init_pages = n),
    },
    Choice {
        name: "vf-pages",
        help: "pages that it wants for each VF (0)",
        set: |c, v| small(v).map(|n| c.vf_pages = n),
    },
    Choice {
        name: "log-message",
        help: "log2 of the bytes in a message of the page tracker, 6 to 16 (16)",
        set: |c, v| {
            let log = small(v)?;
            (6..=16).contains(&log).then(|| c.log_message = log)
        },
    },
    Choice {
        name: "fault",
        help: "faults with + between them: COMMAND:WHICH:ACTION, see the documentation (none)",
        set: |c, v| fault::parse(v).map(|faults| c.faults = faults),
    },
];

impl Config {
    /// Sets option `name` to what `value` says.
    ///
    /// # Errors
    ///
    /// A text for the user: there is no such option, or not with this value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let Some(choice) = OPTIONS.iter().find(|choice| choice.name == name) else {
            return Err(format!("no such option: {name}"));
        };
        (choice.set)(self, value).ok_or_else(|| format!("{name} is: {}", choice.help))
    }
}

/// A number, with K, M or G for powers of 1024.
fn number(text: &str) -> Option<u64> {
    let (digits, shift) = match text.strip_suffix(['K', 'M', 'G']) {
        Some(digits) if text.ends_with('K') => (digits, 10),
        Some(digits) if text.ends_with('M') => (digits, 20),
        Some(digits) => (digits, 30),
        None => (text, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// A number that fits many things.
fn small(text: &str) -> Option<u32> {
    number(text)?.try_into().ok().filter(|&n| n <= 1 << 20)
}

/// Pages per second.
fn rate(text: &str, to: &mut u64) -> Option<()> {
    let pages = number(text)?;
    (pages <= 1_000_000).then(|| *to = pages)
}

/// A number of ns, us, ms or s; at most an hour.
fn time(text: &str) -> Option<Duration> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let count: u64 = text[..text.len() - unit.len()].parse().ok()?;
    let time = match unit {
        "ns" => Duration::from_nanos(count),
        "us" => Duration::from_micros(count),
        "ms" => Duration::from_millis(count),
        "s" => Duration::from_secs(count),
        _ => return None,
    };
    (time <= Duration::from_secs(3600)).then_some(time)
}

fn switch(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let mut config = Config::default();
        for (name, value) in [
            ("image", "1G"),
            ("latency", "20us"),
            ("chunk", "on"),
            ("dirty", "7"),
        ] {
            config.set(name, value).unwrap();
        }
        assert_eq!(config.image, 1 << 30);
        assert_eq!(config.latency, Duration::from_micros(20));
        assert!(config.chunk);
        assert_eq!(config.dirty, 7);
        for (name, value) in [
            ("image", "0"),
            ("image", "5G"),
            ("image", "99999999999999999G"),
            ("latency", "20"),
            ("latency", "2h"),
            ("latency", "us"),
            ("chunk", "yes"),
            ("dirty", "2M"),
            ("log-message", "17"),
            ("nothing", "0"),
        ] {
            assert!(config.set(name, value).is_err(), "{name}={value}");
        }
    }
}
