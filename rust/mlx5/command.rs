// SPDX-License-Identifier: GPL-2.0

//! Commands to the firmware, each a type with its input and its output.
//!
//! C headers: [`include/linux/mlx5/driver.h`](srctree/include/linux/mlx5/driver.h),
//! [`include/linux/mlx5/mlx5_ifc.h`](srctree/include/linux/mlx5/mlx5_ifc.h).
//!
//! A command goes through the queue of the PF, and names the function that it is about. It sleeps
//! until the firmware is done with it, for up to a minute if that is in trouble.

mod capability;
mod memory;
mod migration;
mod opcode;
pub(crate) mod queue;
pub(crate) mod tracker;
mod transfer;

pub(crate) use capability::{
    Kind,
    Mode,
    QueryCapability, //
};
pub(crate) use memory::{
    AllocPd,
    CreateMkey,
    DeallocPd,
    DestroyMkey, //
};
pub use migration::{
    QueryMigrationState,
    Required,
    Resume,
    Side,
    State,
    Suspend, //
};
pub use opcode::Opcode;
pub use transfer::{
    LoadState,
    SaveState,
    Saved, //
};

use crate::{
    bindings,
    layout::{
        migration::{
            suspend_vhca_in as head,
            suspend_vhca_out as reply_head, //
        },
        Bytes,
        Misfit, //
    },
    status::{
        Errno,
        Status, //
    },
};
use kernel::{
    alloc::AllocError,
    error::to_result,
    ffi::{
        c_int,
        c_void, //
    },
    fmt,
    prelude::*, //
};

/// Why a command has no output.
#[derive(Clone, Copy, Debug)]
pub enum Failure {
    /// The firmware did not do it.
    Refused {
        /// The opcode of the command.
        opcode: Opcode,
        /// What kind of refusal.
        status: Status,
        /// Which one, in the firmware's own numbers.
        syndrome: u32,
    },
    /// What the firmware answered cannot be: the text says what.
    Answer(&'static str),
    /// It did not get to the firmware, or no answer came back.
    Transport(Error),
}

impl Failure {
    /// The status, if the firmware gave one.
    pub fn status(&self) -> Option<Status> {
        match *self {
            Self::Refused { status, .. } => Some(status),
            Self::Answer(_) | Self::Transport(_) => None,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused { status, .. } => match status.errno() {
                Errno::Io => EIO,
                Errno::Invalid => EINVAL,
                Errno::Busy => EBUSY,
                Errno::Again => EAGAIN,
                Errno::NoMemory => ENOMEM,
            },
            Failure::Answer(_) => EIO,
            Failure::Transport(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Transport(error)
    }
}

impl From<AllocError> for Failure {
    fn from(error: AllocError) -> Self {
        Self::Transport(error.into())
    }
}

impl From<Misfit> for Failure {
    fn from(_: Misfit) -> Self {
        Self::Transport(EOVERFLOW)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused {
                opcode,
                status,
                syndrome,
            } => {
                let name = opcode.name().to_str().unwrap_or_default();
                write!(f, "{name}: {status:?}, syndrome {syndrome:#x}")
            }
            Self::Answer(what) => f.write_str(what),
            Self::Transport(error) => write!(f, "{error:?}"),
        }
    }
}

/// Who is told of the commands of a function.
pub trait Observer: Send + Sync {
    /// A command is over, after `ns` nanoseconds. Called by whoever gave it, so by several at once.
    fn command(&self, opcode: Opcode, ns: u64, failure: Option<Failure>);
}

/// Memory of a message.
pub(crate) trait Message {
    fn bytes(&mut self) -> &mut [u8];
}

/// A message of one size.
pub(crate) trait Zeroed: Message + Sized {
    fn zeroed() -> Result<Self, AllocError>;
}

impl<const SIZE: usize> Message for Bytes<SIZE> {
    fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl<const SIZE: usize> Zeroed for Bytes<SIZE> {
    fn zeroed() -> Result<Self, AllocError> {
        Ok(Self::ZERO)
    }
}

pub(crate) mod sealed {
    //! Commands are declared in this crate, as with one the firmware can be made to write anywhere.

    use super::{
        Failure,
        Message,
        Opcode,
        Zeroed, //
    };

    /// The half of a command that is about bytes.
    pub trait Encoded {
        /// What the firmware gets.
        #[expect(private_bounds)]
        type Input: Message;
        /// What it answers.
        #[expect(private_bounds)]
        type Reply: Zeroed;
        /// What the caller makes of it.
        type Output;

        /// The opcode.
        const OPCODE: Opcode;
        /// Statuses that are no reason for a line in the log.
        const EXPECTED: &'static [super::Status] = &[super::Status::NotReady];

        /// The modifier of the opcode.
        fn op_mod(&self) -> u16 {
            0
        }

        /// Everything but the opcode and its modifier, for the function with this VHCA id.
        fn input(&self, vhca_id: u16) -> Result<Self::Input, Failure>;

        /// Reads the reply of a command that was done.
        fn output(&self, reply: Self::Reply) -> Result<Self::Output, Failure>;

        /// The firmware is about to access the memory that the command names.
        fn begin(&self) {}

        /// It will no longer.
        fn end(&self) {}
    }
}

/// A command; see [`Access::execute`](crate::Access::execute).
pub trait Command: sealed::Encoded {}

impl<C: sealed::Encoded> Command for C {}

/// The queue of a PF.
///
/// # Invariants
///
/// The PF is there, and its interface up, while this is used: who has it sees to that.
#[derive(Clone, Copy)]
pub(crate) struct Pf(*mut bindings::mlx5_core_dev);

// SAFETY: Commands may be issued by any thread.
unsafe impl Send for Pf {}
// SAFETY: As above, and by any number at once.
unsafe impl Sync for Pf {}

impl Pf {
    /// # Safety
    ///
    /// Where this is used, `core` must be valid and its interface up.
    pub(crate) unsafe fn new(core: *mut bindings::mlx5_core_dev) -> Self {
        // INVARIANT: By the safety requirements.
        Self(core)
    }

    pub(crate) fn as_raw(self) -> *mut bindings::mlx5_core_dev {
        self.0
    }

    pub(crate) fn execute<C: Command>(
        self,
        vhca_id: u16,
        command: &C,
    ) -> Result<C::Output, Failure> {
        let mut input = command.input(vhca_id)?;
        let mut reply = C::Reply::zeroed()?;
        let (input, bytes) = (input.bytes(), reply.bytes());
        head::opcode.put(input, C::OPCODE as u16)?;
        head::op_mod.put(input, command.op_mod())?;
        command.begin();
        let done = self.transfer(input, bytes, C::EXPECTED);
        command.end();
        match Status::new(reply_head::status.get(bytes) as u8) {
            // A status is there only if the firmware gave one.
            Some(status) if done.is_err() => Err(Failure::Refused {
                opcode: C::OPCODE,
                status,
                syndrome: reply_head::syndrome.get(bytes) as u32,
            }),
            _ => {
                done?;
                command.output(reply)
            }
        }
    }

    fn transfer(self, input: &mut [u8], reply: &mut [u8], expected: &[Status]) -> Result {
        let input_len = c_int::try_from(input.len())?;
        let reply_len = c_int::try_from(reply.len())?;
        let to = input.as_mut_ptr().cast::<c_void>();
        let from = reply.as_mut_ptr().cast::<c_void>();
        // SAFETY: The PF is there by the type's invariant. Both buffers are valid for their lengths,
        // which are at least those of the heads, and aligned for dwords.
        let error = unsafe { bindings::mlx5_cmd_do(self.0, to, input_len, from, reply_len) };
        let status = Status::new(reply_head::status.get(reply) as u8);
        if error == EREMOTEIO.to_errno() && status.is_some_and(|status| expected.contains(&status))
        {
            return Err(EREMOTEIO);
        }
        // This logs it, and answers in place of a device that is gone.
        // SAFETY: As above.
        to_result(unsafe { bindings::mlx5_cmd_check(self.0, error, to, from) })
    }
}
