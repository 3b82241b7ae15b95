// SPDX-License-Identifier: GPL-2.0

//! Drawings: a quantity over the size of the image or another option, with a line for each driver
//! and case, both axes logarithmic.

use crate::sample::{size, words, Data, Quantity};
use plotters::coord::ranged1d::Ranged;
use plotters::prelude::*;
use std::error::Error;

const SIZE: (u32, u32) = (800, 480);
/// Told from each other without colour vision too; a driver is a kind of line, a case a colour.
const COLOURS: [RGBColor; 4] = [
    RGBColor(0x1f, 0x5f, 0x99),
    RGBColor(0xd9, 0x7a, 0x1a),
    RGBColor(0x3c, 0x8f, 0x4b),
    RGBColor(0x7a, 0x3f, 0x9d),
];

/// What a drawing shows.
pub(crate) struct Drawing {
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
    measure: &'static str,
    unit: (&'static str, f64),
    axis: &'static str,
    /// The option that the horizontal axis is.
    over: fn(&Quantity) -> &str,
    /// The name of a case, if a quantity is of the drawing.
    case: fn(&Quantity) -> Option<String>,
}

pub(crate) const ARCS: Drawing = Drawing {
    file: "vfio-migration-performance-arcs.svg",
    title: "Arcs that open and close a stream",
    measure: "arc_ns",
    unit: ("µs", 1e3),
    axis: "size of the image",
    over: |quantity| &quantity.image,
    case: |quantity| {
        let names = [
            "STOP -> STOP_COPY",
            "STOP_COPY -> STOP",
            "RUNNING -> PRE_COPY",
            "RESUMING -> STOP",
        ];
        let shown = quantity.chunk == "off" && names.contains(&quantity.what.as_str());
        shown.then(|| quantity.what.clone())
    },
};

pub(crate) const TRANSFERS: Drawing = Drawing {
    file: "vfio-migration-performance-stop-copy.svg",
    title: "Stop-copy as a whole, in chunk mode with two threads",
    measure: "transfer_ns",
    unit: ("ms", 1e6),
    axis: "size of the image",
    over: |quantity| &quantity.image,
    case: |quantity| {
        let shown =
            quantity.clock == "exact" && quantity.chunk == "on" && quantity.what == "two threads";
        shown.then(|| match quantity.bandwidth.as_str() {
            "0" => "no limit".to_owned(),
            some => format!("{}/s", words(some)),
        })
    },
};

pub(crate) const DOWNTIME: Drawing = Drawing {
    file: "vfio-migration-performance-downtime.svg",
    title: "Time stopped after pre-copy",
    measure: "downtime_ns",
    unit: ("ms", 1e6),
    axis: "pages that change in a second",
    over: |quantity| &quantity.dirty,
    case: |quantity| (quantity.dirty != "0").then(|| words(&quantity.image)),
};

pub(crate) const MEMORY: Drawing = Drawing {
    file: "vfio-migration-performance-memory.svg",
    title: "Memory that is taken, plain",
    measure: "peak_taken_kib",
    unit: ("MiB", 1024.0),
    axis: "size of the image",
    over: |quantity| &quantity.image,
    case: |quantity| (quantity.chunk == "off").then(|| quantity.what.clone()),
};

/// The points of a line.
struct Series {
    name: String,
    driver: usize,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

impl Drawing {
    fn series(&self, data: &Data) -> Vec<Series> {
        let mut cases: Vec<String> = Vec::new();
        for case in data.of(self.measure).filter_map(self.case) {
            if !cases.contains(&case) {
                cases.push(case);
            }
        }
        let mut all = Vec::new();
        for (number, case) in cases.iter().enumerate() {
            for (driver, name) in data.drivers.iter().enumerate() {
                let mut points: Vec<(f64, f64)> = data
                    .of(self.measure)
                    .filter(|quantity| (self.case)(quantity).as_ref() == Some(case))
                    .filter_map(|quantity| {
                        let figure = data.get(quantity)[driver]?;
                        let x = size((self.over)(quantity)) as f64;
                        Some((x, figure.median / self.unit.1))
                    })
                    .filter(|(x, y)| *x > 0.0 && *y > 0.0)
                    .collect();
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                all.push(Series {
                    name: format!("{name}: {case}"),
                    driver,
                    colour: COLOURS[number % COLOURS.len()],
                    points,
                });
            }
        }
        all.retain(|series| !series.points.is_empty());
        all
    }

    /// Is there nothing to be drawn?
    pub(crate) fn is_empty(&self, data: &Data) -> bool {
        self.series(data).is_empty()
    }

    fn draw(&self, data: &Data) -> Result<String, Box<dyn Error>> {
        let all = self.series(data);
        let points = || all.iter().flat_map(|series| &series.points);
        let range = |of: fn(&(f64, f64)) -> f64| {
            let least = points().map(of).fold(f64::INFINITY, f64::min);
            let most = points().map(of).fold(0.0, f64::max);
            least / 1.5..most * 1.5
        };
        let (x, y) = (range(|point| point.0), range(|point| point.1));
        let mut text = String::new();
        {
            let paper = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
            paper.fill(&WHITE)?;
            let mut chart = ChartBuilder::on(&paper)
                .caption(
                    format!("{} ({})", self.title, self.unit.0),
                    ("sans-serif", 18),
                )
                .margin(12)
                .x_label_area_size(40)
                .y_label_area_size(70)
                .build_cartesian_2d(Named::new(self.ticks(data), x), y.log_scale())?;
            chart
                .configure_mesh()
                .x_desc(self.axis)
                .x_label_formatter(&|value| label(*value))
                .y_label_formatter(&|value| format!("{value}"))
                .light_line_style(BLACK.mix(0.05))
                .draw()?;
            for series in &all {
                let style = series.colour.stroke_width(2);
                let Series {
                    points,
                    colour,
                    driver,
                    ..
                } = series;
                let legend = chart.draw_series(points.iter().map(|point| {
                    let fill = match driver {
                        0 => colour.stroke_width(2),
                        _ => colour.filled(),
                    };
                    Circle::new(*point, 4, fill)
                }))?;
                let (colour, driver) = (*colour, *driver);
                legend.label(&series.name).legend(move |(x, y)| {
                    let fill = match driver {
                        0 => colour.stroke_width(2),
                        _ => colour.filled(),
                    };
                    Circle::new((x + 10, y), 4, fill)
                });
                match driver {
                    0 => chart.draw_series(DashedLineSeries::new(
                        points.iter().copied(),
                        6,
                        4,
                        style,
                    ))?,
                    _ => chart.draw_series(LineSeries::new(points.iter().copied(), style))?,
                };
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .background_style(WHITE.mix(0.85))
                .border_style(BLACK.mix(0.4))
                .draw()?;
            paper.present()?;
        }
        Ok(format!(
            "<!-- SPDX-License-Identifier: GPL-2.0 -->\n{}\n",
            text.trim_end()
        ))
    }

    /// The values of the horizontal axis that have a label.
    fn ticks(&self, data: &Data) -> Vec<f64> {
        let of = data
            .of(self.measure)
            .filter(|quantity| (self.case)(quantity).is_some());
        let mut ticks: Vec<f64> = of
            .map(|quantity| size((self.over)(quantity)) as f64)
            .collect();
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        ticks
    }
}

/// A number on the horizontal axis: bytes where it is a whole number of MiB.
fn label(value: f64) -> String {
    let (kib, mib) = (1024.0, 1048576.0);
    match value {
        v if v >= mib && v % mib == 0.0 => format!("{} MiB", v / mib),
        v if v >= 16.0 * kib && v % (16.0 * kib) == 0.0 && v > 1e6 => format!("{} KiB", v / kib),
        v => format!("{v}"),
    }
}

/// A logarithmic axis whose labels are at given places.
struct Named {
    ticks: Vec<f64>,
    log: LogCoord<f64>,
}

impl Named {
    fn new(ticks: Vec<f64>, range: std::ops::Range<f64>) -> Self {
        Self {
            ticks,
            log: range.log_scale().into(),
        }
    }
}

impl Ranged for Named {
    type FormatOption = plotters::coord::ranged1d::NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.log.map(value, limit)
    }

    fn key_points<Hint: plotters::coord::ranged1d::KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.log.range()
    }
}

impl plotters::coord::ranged1d::ValueFormatter<f64> for Named {
    fn format_ext(&self, value: &f64) -> String {
        label(*value)
    }
}

/// All drawings for which there is something, by the names of their files.
pub(crate) fn all(data: &Data) -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
    [ARCS, TRANSFERS, DOWNTIME, MEMORY]
        .iter()
        .filter(|drawing| !drawing.is_empty(data))
        .map(|drawing| Ok((drawing.file, drawing.draw(data)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::tests::data;

    #[test]
    fn lines_of_both_drivers_are_drawn() {
        let all = all(&data()).unwrap();
        assert_eq!(all.len(), 1);
        let (name, text) = &all[0];
        assert_eq!(*name, ARCS.file);
        assert!(text.starts_with("<!-- SPDX"), "{text}");
        for part in ["one: STOP -&gt; STOP_COPY", "two: STOP", "16 MiB", "</svg>"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
