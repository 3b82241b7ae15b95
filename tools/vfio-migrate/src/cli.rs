// SPDX-License-Identifier: GPL-2.0

//! The command line.

use crate::device::By;
use crate::error::Result;
use crate::load::Extra;
use crate::source::Plan;
use crate::{check, list, load, mv, report, save};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

const DEVICES: &str = "\
DEV is one of:
  0000:01:00.1             a PCI address; the domain may be left out
  UUID                     a mediated device
  /sys/...                 its folder in sysfs, or a link to that
  /dev/vfio/devices/vfio0  its character device
  fd:N                     its open file, as number N of this process

A device that is opened here is in no guest: it is reset when it is opened or closed, by most \
drivers. With fd:N it is whatever its owner makes of it.

Exit status: 0 done; 1 something was refused; 2 wrong usage; 3 no such device, or it cannot be used; \
4 the stream is bad; 5 a device that should run again does not, or lost its state; 6 the format is \
unknown; 128 + N after signal N.";

/// Save, load, move and look at the state of VFIO devices that migrate
#[derive(Debug, Parser)]
#[command(name = "vfio-migrate", version, after_help = DEVICES)]
pub(crate) struct Arguments {
    /// How to open devices
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_possible_values = false
    )]
    by: By,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the VFIO devices of this machine
    List {
        /// Open no device to learn what debugfs does not say
        #[arg(long)]
        no_open: bool,
    },
    /// Show what one device can, and its statistics
    Info {
        /// The device
        dev: String,
    },
    /// Save a device's state; it runs on
    Save {
        /// The device
        dev: String,
        /// The file to make or replace; `-` is standard output
        file: PathBuf,
        #[command(flatten)]
        plan: PlanArguments,
    },
    /// Have a device run with a saved state
    Load {
        /// The device
        dev: String,
        /// The file; `-` is standard input
        file: PathBuf,
        /// Let the device judge the file, do not look through it first
        #[arg(long)]
        no_check: bool,
        /// Keep the device open until a signal
        #[arg(long)]
        hold: bool,
    },
    /// Move the state of one device to another
    Move {
        /// The device that has the state; it stops
        src: String,
        /// The device that takes the state; it then runs
        dst: String,
        #[command(flatten)]
        plan: PlanArguments,
        /// Keep the target open until a signal
        #[arg(long)]
        hold: bool,
    },
    /// Say whether a saved state is whole and undamaged, and print its records
    Check {
        /// The file; `-` is standard input
        file: PathBuf,
        /// Print the verdict only
        #[arg(short, long)]
        quiet: bool,
    },
    /// Show the tracepoints vfio_migration:* as a timeline
    Report(report::Arguments),
}

/// When pre-copy ends.
#[derive(Args, Debug)]
struct PlanArguments {
    /// Stop the device at once, without pre-copy
    #[arg(long)]
    stop_only: bool,
    /// The most rounds of pre-copy
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Stop the device when no more than this has changed since it was read
    #[arg(long, value_name = "BYTES", default_value_t = 65536)]
    rest: u64,
}

impl From<PlanArguments> for Plan {
    fn from(arguments: PlanArguments) -> Plan {
        Plan {
            stop_only: arguments.stop_only,
            rounds: arguments.rounds,
            rest: arguments.rest,
        }
    }
}

/// Does what the user asked for.
pub(crate) fn run(arguments: Arguments) -> Result {
    let by = arguments.by;
    match arguments.command {
        Command::List { no_open } => list::list(!no_open, by),
        Command::Info { dev } => list::info(&dev, by),
        Command::Save { dev, file, plan } => save::run(&dev, &file, &plan.into(), by),
        Command::Load {
            dev,
            file,
            no_check,
            hold,
        } => {
            let check = !no_check;
            load::run(&dev, &file, Extra { check, hold }, by)
        }
        Command::Move {
            src,
            dst,
            plan,
            hold,
        } => mv::run(&src, &dst, &plan.into(), hold, by),
        Command::Check { file, quiet } => check::run(&file, quiet),
        Command::Report(arguments) => report::run(&arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
