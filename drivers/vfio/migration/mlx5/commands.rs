// SPDX-License-Identifier: GPL-2.0

//! How long the firmware's commands take: a file in debugfs and a trace event.

use kernel::{
    device,
    fmt,
    prelude::*,
    str::CString,
    sync::Arc, //
};
use mlx5::{
    Failure,
    Observer,
    Opcode, //
};
use vfio::{
    debugfs,
    trace, //
};
use vfio_migration::times::Times;

/// The commands of one VF, from when it was bound.
#[pin_data]
pub(crate) struct Commands {
    device: CString,
    #[pin]
    times: [Times; Opcode::ALL.len()],
}

impl Commands {
    /// Of the VF `device`, whose name it has in traces.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(device: &device::Device) -> Result<Arc<Self>> {
        let device = CString::try_from(device.name())?;
        let init = pin_init!(Self {
            device,
            times <- pin_init::pin_init_array_from_fn(|_| Times::new()),
        });
        Arc::pin_init(init, GFP_KERNEL_ACCOUNT)
    }
}

/// What the trace says: 0, the firmware's status, or a negative error number if it gave none.
fn status(failure: Option<Failure>) -> i32 {
    match failure {
        None => 0,
        Some(Failure::Refused { status, .. }) => status.number().into(),
        Some(failure) => Error::from(failure).to_errno(),
    }
}

impl Observer for Commands {
    fn command(&self, opcode: Opcode, ns: u64, failure: Option<Failure>) {
        if let Some(times) = self.times.get(opcode.index()) {
            times.add(ns, failure.is_some());
        }
        trace::command(&self.device, opcode.name(), status(failure), ns);
    }
}

#[vtable]
impl debugfs::File for Commands {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (opcode, times) in Opcode::ALL.iter().zip(&self.times) {
            if times.count() > 0 {
                let name = opcode.name().to_str().map_err(|_| fmt::Error)?;
                write!(f, "command={name} ")?;
                times.show(f)?;
            }
        }
        Ok(())
    }
}
