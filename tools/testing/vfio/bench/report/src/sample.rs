// SPDX-License-Identifier: GPL-2.0

//! What was measured: samples, and for each quantity the median and how far they spread.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

/// What a quantity is, beside the driver that it is of. Options of the device are as they were
/// given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Quantity {
    /// `exact` or `wall`.
    pub(crate) clock: String,
    pub(crate) measure: String,
    pub(crate) what: String,
    #[serde(default = "off")]
    pub(crate) chunk: String,
    #[serde(default = "none", rename = "save-bandwidth")]
    pub(crate) bandwidth: String,
    #[serde(default = "none")]
    pub(crate) dirty: String,
    pub(crate) image: String,
}

fn off() -> String {
    "off".to_owned()
}

fn none() -> String {
    "0".to_owned()
}

impl Quantity {
    /// One of the instruction-exact clock with the default options.
    pub(crate) fn new(measure: &str, what: &str, image: &str) -> Self {
        Self {
            clock: "exact".to_owned(),
            measure: measure.to_owned(),
            what: what.to_owned(),
            chunk: off(),
            bandwidth: none(),
            dirty: none(),
            image: image.to_owned(),
        }
    }
}

#[derive(Deserialize)]
struct Sample {
    #[serde(flatten)]
    quantity: Quantity,
    driver: String,
    value: u64,
}

/// What it was measured on, in words.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: u32,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) qemu: String,
    pub(crate) accelerator: String,
    pub(crate) commit: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Machine { machine: Machine },
    Sample(Sample),
}

/// Samples of one quantity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    /// Half of the distance of the quartiles, as a part of the median.
    pub(crate) spread: f64,
    pub(crate) count: usize,
}

impl Figure {
    fn of(values: &[u64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        let at = |part: f64| {
            let place = part * (sorted.len() - 1) as f64;
            let (low, high) = (
                sorted[place.floor() as usize],
                sorted[place.ceil() as usize],
            );
            low as f64 + (high as f64 - low as f64) * place.fract()
        };
        let median = at(0.5);
        let spread = match median > 0.0 {
            true => (at(0.75) - at(0.25)) / 2.0 / median,
            false => 0.0,
        };
        Self {
            median,
            spread,
            count: sorted.len(),
        }
    }
}

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) machine: Machine,
    /// The two drivers, in the order in which they came.
    pub(crate) drivers: [String; 2],
    /// The figures of the two.
    figures: BTreeMap<Quantity, [Option<Figure>; 2]>,
}

impl Data {
    /// Reads lines of JSON: one about the machine, and samples.
    ///
    /// # Errors
    ///
    /// A line is neither, there are not two drivers, or nothing about the machine.
    pub(crate) fn parse(text: &str) -> Result<Self, Box<dyn Error>> {
        let mut machine = None;
        let mut drivers: Vec<String> = Vec::new();
        let mut values: BTreeMap<Quantity, [Vec<u64>; 2]> = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = serde_json::from_str(line).map_err(|e| format!("line {number}: {e}"))?;
            let sample = match line {
                Line::Machine { machine: named } => {
                    machine = Some(named);
                    continue;
                }
                Line::Sample(sample) => sample,
            };
            let known = drivers.iter().position(|name| *name == sample.driver);
            let driver = known.unwrap_or_else(|| {
                drivers.push(sample.driver.clone());
                drivers.len() - 1
            });
            let both = values.entry(sample.quantity).or_default();
            let place = both.get_mut(driver).ok_or("more than two drivers")?;
            place.push(sample.value);
        }
        let drivers = drivers.try_into().map_err(|_| "not two drivers")?;
        let figure = |values: Vec<u64>| (!values.is_empty()).then(|| Figure::of(&values));
        Ok(Self {
            machine: machine.ok_or("nothing about the machine")?,
            drivers,
            figures: values
                .into_iter()
                .map(|(quantity, both)| (quantity, both.map(figure)))
                .collect(),
        })
    }

    /// Does the device take the time for a SAVE that its bandwidth says? That is what the first
    /// driver waits for, as far as it saves an image in one piece.
    ///
    /// # Errors
    ///
    /// It does not, to a fiftieth and what some instructions take.
    pub(crate) fn check_clock(&self) -> Result<(), String> {
        const INSTRUCTIONS: f64 = 5e4;

        let limited = self
            .of("transfer_wait_ns")
            .filter(|q| q.clock == "exact" && q.chunk == "off" && q.bandwidth != "0");
        for wait in limited {
            let bytes = Quantity {
                measure: "bytes".to_owned(),
                ..wait.clone()
            };
            let (Some(ns), Some(bytes)) = (self.get(wait)[0], self.get(&bytes)[0]) else {
                continue;
            };
            let wanted = bytes.median / size(&wait.bandwidth) as f64 * 1e9;
            if (ns.median - wanted).abs() > wanted / 50.0 + INSTRUCTIONS {
                return Err(format!(
                    "SAVE of {} bytes at {}/s took {} ns, not {wanted}: the clock is wrong",
                    bytes.median, wait.bandwidth, ns.median
                ));
            }
        }
        Ok(())
    }

    /// The figures of the two drivers.
    pub(crate) fn get(&self, quantity: &Quantity) -> [Option<Figure>; 2] {
        self.figures.get(quantity).copied().unwrap_or_default()
    }

    /// All quantities of a measure.
    pub(crate) fn of<'a>(&'a self, measure: &'a str) -> impl Iterator<Item = &'a Quantity> {
        self.figures.keys().filter(move |q| q.measure == measure)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&Quantity, [Option<Figure>; 2])> {
        self.figures
            .iter()
            .map(|(quantity, both)| (quantity, *both))
    }

    /// The different values of an option or a name, in the order of their sizes.
    pub(crate) fn values(&self, measure: &str, of: impl Fn(&Quantity) -> &str) -> Vec<String> {
        let all: BTreeSet<(u64, String)> = self
            .of(measure)
            .map(|quantity| (size(of(quantity)), of(quantity).to_owned()))
            .collect();
        all.into_iter().map(|(_, text)| text).collect()
    }
}

/// A size such as `16M` in bytes; 0 if it is none.
pub(crate) fn size(text: &str) -> u64 {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    digits.parse::<u64>().map_or(0, |number| number << shift)
}

/// A size for people: `16M` as `16 MiB`.
pub(crate) fn words(text: &str) -> String {
    match text.as_bytes().last() {
        Some(b'K' | b'M' | b'G') => {
            let (digits, unit) = text.split_at(text.len() - 1);
            format!("{digits} {unit}iB")
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const MACHINE: &str = concat!(
        r#"{"machine":{"processor":"P","cores":2,"memory_mib":1,"kernel":"K","#,
        r#""qemu":"Q","accelerator":"TCG","commit":"C"}}"#
    );

    /// Two drivers, one measure.
    pub(crate) fn data() -> Data {
        let mut text = String::from(MACHINE);
        for (driver, factor) in [("one", 1), ("two", 2)] {
            for round in 1..=5 {
                for image in ["1M", "16M"] {
                    text += &format!(
                        "\n{{\"clock\":\"exact\",\"image\":\"{image}\",\"driver\":\"{driver}\",\
                         \"round\":{round},\"measure\":\"arc_ns\",\"what\":\"STOP -> STOP_COPY\",\
                         \"value\":{}}}",
                        round * factor * size(image)
                    );
                }
            }
        }
        Data::parse(&text).unwrap()
    }

    #[test]
    fn medians_and_quartiles() {
        let figure = Figure::of(&[5, 1, 3, 2, 4]);
        assert_eq!((figure.median, figure.count), (3.0, 5));
        assert!((figure.spread - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(Figure::of(&[1, 2]).median, 1.5);
        assert_eq!(Figure::of(&[0]).spread, 0.0);
    }

    #[test]
    fn lines_are_told_apart() {
        let data = data();
        let quantity = Quantity::new("arc_ns", "STOP -> STOP_COPY", "1M");
        let [one, two] = data.get(&quantity).map(|figure| figure.unwrap().median);
        assert_eq!((one, two), (3.0 * 1048576.0, 6.0 * 1048576.0));
        assert_eq!(data.values("arc_ns", |q| &q.image), ["1M", "16M"]);
        assert_eq!(data.drivers, ["one", "two"]);
    }

    #[test]
    fn a_clock_that_is_wrong_is_noticed() {
        let with = |ns: u64| {
            let mut text = String::from(MACHINE);
            for (driver, measure, value) in [
                ("one", "transfer_wait_ns", ns),
                ("one", "bytes", 64 << 20),
                ("two", "bytes", 64 << 20),
            ] {
                text += &format!(
                    "\n{{\"clock\":\"exact\",\"image\":\"64M\",\"save-bandwidth\":\"64M\",\
                     \"driver\":\"{driver}\",\"measure\":\"{measure}\",\"what\":\"one thread\",\
                     \"value\":{value}}}"
                );
            }
            Data::parse(&text).unwrap().check_clock()
        };
        assert_eq!(with(1_010_000_000), Ok(()));
        assert!(with(1_030_000_000).is_err());
        assert!(with(900_000_000).is_err());
    }

    #[test]
    fn what_is_no_sample_is_an_error() {
        for text in ["", "{}", "nonsense", r#"{"driver":"x"}"#] {
            assert!(Data::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(
            [size("0"), size("48K"), size("16M"), size("4G")],
            [0, 49152, 16 << 20, 4 << 30]
        );
        assert_eq!(words("16M"), "16 MiB");
    }
}
