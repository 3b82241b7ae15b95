// SPDX-License-Identifier: GPL-2.0

//! `move`: one device becomes what the other one is.

use crate::device::{By, Device};
use crate::driver::protocol::fsm::State;
use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::load::hold;
use crate::output;
use crate::progress::Progress;
use crate::source::{Plan, Source};
use crate::summary;
use crate::target::Target;

/// The command. Whatever fails, one of the devices runs with the state afterwards: the source, until
/// the target does.
pub(crate) fn run(source: &str, target: &str, plan: &Plan, keep: bool, by: By) -> Result {
    let interrupt = Interrupt::new()?;
    let source = Device::open(source, by)?;
    let target = Device::open(target, by)?;
    let progress = Progress::new("moving", None);
    let moved = (|| {
        let mut sink = Target::open(&target, &interrupt)?;
        let summary = Source::save(&source, plan, &mut sink, &interrupt, &progress)?;
        // From here on there is no way back but by a failure of the target.
        interrupt.check()?;
        let steps = sink.run()?;
        let downtime = summary.stopped.map(|at| at.elapsed());
        Ok((summary, steps, downtime))
    })();
    progress.end();
    let (summary, steps, downtime) =
        moved.map_err(|error| target.recover(source.recover(error, true), false))?;
    leave(&source);
    output::print(&summary::moved(
        &source,
        &summary,
        (&target, &steps),
        downtime,
    ))?;
    hold(keep, &target, &interrupt)
}

/// The source's state lives on elsewhere, so it must not run with it again.
fn leave(source: &Device) {
    let stopped = source.set_state(State::Stop).map(drop);
    let left = if source.is_inherited() {
        stopped
    } else {
        source.reset()
    };
    if let Err(error) = left {
        source.abandon();
        eprintln!("vfio-migrate: the target runs, but the source was left as it is: {error}");
    }
}
