// SPDX-License-Identifier: GPL-2.0

//! Makes a document with tables, and drawings, of the lines of JSON that `../run` collects.
//! Contract: the same lines give the same files. What was not measured is a dash in a table; a
//! line that cannot be understood is an error.

mod document;
mod drawing;
mod sample;
mod table;
mod worse;

use clap::Parser;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// Makes vfio-migration-performance.rst and its drawings.
#[derive(Parser)]
struct Arguments {
    /// What was measured, a line of JSON each.
    lines: PathBuf,
    /// The folder for what is made.
    folder: PathBuf,
    /// Why a figure of the second driver may be worse: lines of `MEASURE<tab>REASON`.
    #[arg(long)]
    reasons: PathBuf,
}

fn read(path: &Path) -> Result<String, Box<dyn Error>> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let data = sample::Data::parse(&read(&arguments.lines)?)?;
    data.check_clock()?;
    let reasons = worse::Reasons::parse(&read(&arguments.reasons)?)?;
    for (name, text) in drawing::all(&data)? {
        fs::write(arguments.folder.join(name), text)?;
    }
    let text = document::write(&data, &reasons);
    fs::write(arguments.folder.join(document::NAME), text)?;
    Ok(())
}
