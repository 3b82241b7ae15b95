// SPDX-License-Identifier: GPL-2.0

//! The document: what was measured how, and the tables.

use crate::drawing::{self, Drawing};
use crate::sample::{size, words, Data, Quantity};
use crate::table::{pair, simple, Unit, MIB, MIB_OF_KIB, MICROSECONDS, MILLISECONDS, ONE, SECONDS};
use crate::worse::{self, Reasons};

/// The file's name.
pub(crate) const NAME: &str = "vfio-migration-performance.rst";

const HEAD: &str = "\
.. SPDX-License-Identifier: GPL-2.0
.. Made by `make bench`; the text is in tools/testing/vfio/bench/report/.

=======================================
Performance of VFIO migration drivers
=======================================

";

const HOW: &str = "\
How it was measured
===================

``make bench`` boots VMs with emulated ConnectX
(Documentation/dev-tools/vfio-connectx-model.rst). Each has four virtual
functions, two for each driver, and state goes from one to the other. Both
drivers run in the same VM, in turns; before each turn the functions are reset.
``tools/testing/vfio/bench/measure`` does it, with nothing else in the VM.
A VM has one processor, so what two threads gain is the overlap of the device's
work with the processor's.

A cell has the medians of the two drivers in the order above. ``±`` is half of
the distance of the quartiles, where it is a percent or more.

Instruction-exact
  The VM counts instructions (``tools/vm/run --icount``): one is a nanosecond,
  whatever else the machine does, and the model's commands take exactly the time
  that its options say. Bytes are copied by one instruction each, which a real
  processor does several times as fast; caches, the bandwidth of memory and
  several processors are not seen.

Wall clock
  As fast as the emulated processor is. The model itself takes time here that a
  card would not: it makes up each page, and has a checksum. The checksum of a
  stream, which ``vfio_migration_mlx5`` makes and ``mlx5_vfio_pci`` does not, is
  that of the kernel, here by the instruction ``crc32``. Without KVM the emulator
  works on it bit by bit, and a byte costs more than ten nanoseconds; a real
  processor does eight bytes in a cycle or so. So with a stream in it a figure
  of this clock says how slow that is, and little of a driver.

";

struct Page<'a> {
    data: &'a Data,
    text: String,
}

fn row(cells: impl IntoIterator<Item = String>) -> Vec<String> {
    cells.into_iter().collect()
}

impl Page<'_> {
    fn heading(&mut self, title: &str, text: &str) {
        self.text += &format!("{title}\n{}\n\n{text}\n", "=".repeat(title.chars().count()));
    }

    fn drawing(&mut self, drawing: &Drawing) {
        if !drawing.is_empty(self.data) {
            self.text += &format!(
                ".. image:: {}\n   :alt: {}\n\n",
                drawing.file, drawing.title
            );
        }
    }

    /// A table with a column for each image; a row is its name and what it shows.
    fn by_image(&mut self, title: &str, first: &str, rows: &[(String, Quantity, Unit)]) {
        let mut images: Vec<String> = Vec::new();
        for (_, quantity, _) in rows {
            for known in self.data.values(&quantity.measure, |q| &q.image) {
                let there = Quantity {
                    image: known.clone(),
                    ..quantity.clone()
                };
                if self.data.get(&there) != [None, None] && !images.contains(&known) {
                    images.push(known);
                }
            }
        }
        if images.is_empty() {
            return;
        }
        images.sort_by_key(|image| size(image));
        let head = row([first.to_owned()]
            .into_iter()
            .chain(images.iter().map(|image| words(image))));
        let mut all = vec![head];
        for (name, quantity, unit) in rows {
            let cells: Vec<String> = images
                .iter()
                .map(|image| {
                    let quantity = Quantity {
                        image: image.clone(),
                        ..quantity.clone()
                    };
                    pair(self.data, &quantity, *unit)
                })
                .collect();
            if cells.iter().any(|cell| cell != "-") {
                all.push(row([name.clone()].into_iter().chain(cells)));
            }
        }
        self.text += &format!("{title}:\n\n{}", simple(&all));
    }

    fn both_modes(&self) -> [(&'static str, &'static str); 2] {
        [("off", "plain"), ("on", "chunk mode")]
    }

    fn arcs(&mut self) {
        self.heading(
            "Arcs",
            "The time of the ioctl that changes the state, and of closing the data file, with \
             a\ndevice whose commands take no time. Instruction-exact.\n",
        );
        self.drawing(&drawing::ARCS);
        let names = self.data.values("arc_ns", |quantity| &quantity.what);
        for (chunk, mode) in self.both_modes() {
            let rows: Vec<_> = names
                .iter()
                .map(|name| {
                    let quantity = Quantity {
                        chunk: chunk.to_owned(),
                        ..Quantity::new("arc_ns", name, "")
                    };
                    (name.clone(), quantity, MICROSECONDS)
                })
                .collect();
            self.by_image(&format!("Microseconds, {mode}"), "Arc", &rows);
        }
    }

    fn streams(&mut self) {
        self.heading(
            "Streams",
            "How fast ``read()`` and ``write()`` of a stream are, by the size of the buffer. The\n\
             time in which the device saves is not part of a read; the time in which it loads\n\
             is part of the writes, with that of the arc that ends the load.\n",
        );
        for (clock, name) in [("exact", "instruction-exact"), ("wall", "wall clock")] {
            for (chunk, mode) in self.both_modes() {
                let mut rows = Vec::new();
                for (measure, verb) in [("read_bps", "read"), ("write_bps", "write")] {
                    for buffer in self.data.values(measure, |quantity| &quantity.what) {
                        let quantity = Quantity {
                            clock: clock.to_owned(),
                            chunk: chunk.to_owned(),
                            ..Quantity::new(measure, &buffer, "")
                        };
                        let kib = size(&buffer) >> 10;
                        rows.push((format!("{verb}, {kib} KiB"), quantity, MIB));
                    }
                }
                self.by_image(&format!("MiB/s, {mode}, {name}"), "Buffer", &rows);
            }
        }
    }

    fn cpu(&mut self) {
        self.heading(
            "CPU time",
            "Of all processes and threads of the kernel, with that of the arcs. \
             Instruction-exact:\na second is 10\\ :sup:`9` instructions, of which copying a GiB \
             once to or from the user\ntakes 1.07.\n",
        );
        for (chunk, mode) in self.both_modes() {
            let mut rows = Vec::new();
            for (measure, verb) in [
                ("cpu_saved_ns", "saved"),
                ("cpu_moved_ns", "saved and loaded"),
            ] {
                for buffer in self.data.values(measure, |quantity| &quantity.what) {
                    let quantity = Quantity {
                        chunk: chunk.to_owned(),
                        ..Quantity::new(measure, &buffer, "")
                    };
                    let kib = size(&buffer) >> 10;
                    rows.push((format!("{verb}, {kib} KiB"), quantity, SECONDS));
                }
            }
            self.by_image(&format!("Seconds per GiB, {mode}"), "Buffer", &rows);
        }
    }

    fn transfers(&mut self) {
        self.heading(
            "Stop-copy as a whole",
            "From the order to save, given to a device that runs, until the other device runs.\n\
             The bandwidth is that of SAVE and of LOAD. ``device alone`` is what the two take\n\
             one after the other, and ``the larger`` what one of them takes; nothing can be\n\
             faster than that.\n",
        );
        self.drawing(&drawing::TRANSFERS);
        for (clock, name) in [("exact", "instruction-exact"), ("wall", "wall clock")] {
            for (chunk, mode) in self.both_modes() {
                let mut rows = Vec::new();
                for bandwidth in self.data.values("transfer_ns", |q| &q.bandwidth) {
                    for what in self.data.values("transfer_ns", |q| &q.what) {
                        let quantity = Quantity {
                            clock: clock.to_owned(),
                            chunk: chunk.to_owned(),
                            bandwidth: bandwidth.clone(),
                            ..Quantity::new("transfer_ns", &what, "")
                        };
                        let limit = match bandwidth.as_str() {
                            "0" => "no limit".to_owned(),
                            some => format!("{}/s", words(some)),
                        };
                        rows.push((format!("{limit}, {what}"), quantity, MILLISECONDS));
                    }
                }
                let title = format!("Milliseconds, {mode}, {name}");
                self.by_image(&title, "Bandwidth", &rows);
            }
        }
        self.floor();
    }

    /// What the device alone takes.
    fn floor(&mut self) {
        let mut rows = vec![row(
            ["Bandwidth", "Image", "device alone", "the larger"].map(str::to_owned)
        )];
        for bandwidth in self.data.values("transfer_ns", |q| &q.bandwidth) {
            for image in self.data.values("transfer_ns", |q| &q.image) {
                if bandwidth == "0" {
                    continue;
                }
                let ms = size(&image) as f64 / size(&bandwidth) as f64 * 1e3;
                rows.push(row([
                    format!("{}/s", words(&bandwidth)),
                    words(&image),
                    format!("{:.1}", 2.0 * ms),
                    format!("{ms:.1}"),
                ]));
            }
        }
        if rows.len() > 1 {
            self.text += &format!("Milliseconds of the device:\n\n{}", simple(&rows));
        }
    }

    fn precopy(&mut self) {
        self.heading(
            "Pre-copy",
            "Of a device that changes its state: rounds until no more than 1 MiB is left, but \
             20\nat the most, with one thread that reads and writes; then the time from the order \
             to\nstop until the other device runs. A round is over when as much has come as was \
             left\nbefore it. Instruction-exact.\n",
        );
        self.drawing(&drawing::DOWNTIME);
        let mut rows = vec![row([
            "Image",
            "Bandwidth",
            "Pages/s",
            "Rounds",
            "Seconds",
            "MiB running",
            "MiB stopped",
            "ms stopped",
        ]
        .map(str::to_owned))];
        let mut settings: Vec<&Quantity> = self.data.of("precopy_rounds").collect();
        settings.sort_by_key(|q| (size(&q.image), size(&q.bandwidth), size(&q.dirty)));
        for setting in settings {
            let cell = |measure: &str, what: &str, unit| {
                let quantity = Quantity {
                    measure: measure.to_owned(),
                    what: what.to_owned(),
                    ..setting.clone()
                };
                pair(self.data, &quantity, unit)
            };
            let bandwidth = match setting.bandwidth.as_str() {
                "0" => "no limit".to_owned(),
                some => format!("{}/s", words(some)),
            };
            rows.push(row([
                words(&setting.image),
                bandwidth,
                setting.dirty.clone(),
                cell("precopy_rounds", "", ONE),
                cell("precopy_ns", "", SECONDS),
                cell("precopy_bytes", "running", MIB),
                cell("precopy_bytes", "stopped", MIB),
                cell("downtime_ns", "", MILLISECONDS),
            ]));
        }
        if rows.len() > 1 {
            self.text += &simple(&rows);
        }
    }

    fn memory(&mut self) {
        self.heading(
            "Memory",
            "The most that a migration takes in the kernel: ``charged`` to the control group of \
             the\nuser, and ``taken`` from the machine, charged or not.\n",
        );
        self.drawing(&drawing::MEMORY);
        for (chunk, mode) in self.both_modes() {
            let mut rows = Vec::new();
            for what in ["save", "pre-copy", "load"] {
                for (measure, name) in
                    [("peak_charged_kib", "charged"), ("peak_taken_kib", "taken")]
                {
                    let quantity = Quantity {
                        chunk: chunk.to_owned(),
                        ..Quantity::new(measure, what, "")
                    };
                    rows.push((format!("{what}, {name}"), quantity, MIB_OF_KIB));
                }
            }
            self.by_image(&format!("MiB, {mode}"), "Session", &rows);
        }
    }

    fn logging(&mut self) {
        self.heading(
            "DMA logging",
            "Of memory that the device does not write to: the model has no traffic. To report is \
             for a\nGiB, in pages of 4 KiB. Instruction-exact.\n",
        );
        let mut rows = vec![row(
            ["Logged", "Start, µs", "Report a GiB, µs", "Stop, µs"].map(str::to_owned)
        )];
        let Some(some) = self.data.of("log_report_ns").next().cloned() else {
            return;
        };
        let mut sizes: Vec<String> = self.data.values("log_report_ns", |q| &q.what);
        sizes.sort_by_key(|text| text.split(' ').next().map(size));
        for what in sizes {
            let cell = |measure: &str| {
                let quantity = Quantity {
                    measure: measure.to_owned(),
                    what: what.clone(),
                    ..some.clone()
                };
                pair(self.data, &quantity, MICROSECONDS)
            };
            let cells = ["log_start_ns", "log_report_ns", "log_stop_ns"].map(cell);
            rows.push(row([what.clone()].into_iter().chain(cells)));
        }
        self.text += &simple(&rows);
    }
}

fn machine(data: &Data) -> String {
    let m = &data.machine;
    let counts = data
        .all()
        .flat_map(|(_, both)| both)
        .flatten()
        .map(|f| f.count);
    let (least, most) = counts.fold((usize::MAX, 0), |(l, m), n| (l.min(n), m.max(n)));
    let lines = [
        (
            "Drivers",
            format!("``{}`` and ``{}``", data.drivers[0], data.drivers[1]),
        ),
        (
            "Machine",
            format!("{}, {} cores, {} MiB", m.processor, m.cores, m.memory_mib),
        ),
        (
            "VM",
            format!("{}, {}, one processor", m.qemu, m.accelerator),
        ),
        ("Kernel", m.kernel.clone()),
        ("Project", m.commit.clone()),
        ("Samples of a figure", format!("{least} to {most}")),
    ];
    let mut text = String::new();
    for (name, value) in lines {
        text += &format!("{name}\n  {value}\n");
    }
    text.push('\n');
    text
}

/// The whole document.
pub(crate) fn write(data: &Data, reasons: &Reasons) -> String {
    let mut page = Page {
        data,
        text: HEAD.to_owned() + &machine(data) + HOW,
    };
    let title = format!("Where {} is worse", data.drivers[1]);
    page.heading(
        &title,
        "By more than a twentieth. The worst of the cases is shown.\n",
    );
    page.text += &worse::table(data, reasons);
    page.arcs();
    page.streams();
    page.cpu();
    page.transfers();
    page.precopy();
    page.memory();
    page.logging();
    page.text.trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::tests::data;

    #[test]
    fn it_has_what_was_measured() {
        let text = write(&data(), &Reasons::parse("").unwrap());
        assert!(text.starts_with(".. SPDX-License-Identifier: GPL-2.0\n"));
        for part in [
            "``one`` and ``two``",
            "Where two is worse",
            "STOP -> STOP_COPY  3146 ±33 % | 6291 ±33 %",
            "Samples of a figure\n  5 to 5",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("Bandwidth  "), "{text}");
    }
}
