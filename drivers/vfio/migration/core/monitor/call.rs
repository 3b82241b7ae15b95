// SPDX-License-Identifier: GPL-2.0

//! The calls of a backend, by the names that people know them by.

use super::rule::Ways;
use crate::protocol::fsm::{
    Arc as StateArc,
    ArcKind,
    Features, //
};
use kernel::prelude::*;

/// A call of a backend that can be made to fail, or to take longer.
///
/// A call that is an arc has the name of that arc, since one method may serve several.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// `quiet()`, `begin_save()`, `stop_copy()`, `end_save()`, `begin_resume()` or
    /// `finish_resume()`.
    Arc(StateArc),
    Accept,
    Close,
    DataSize,
    /// `load()` or `load_image()`.
    Load,
    Open,
    Pending,
    Reset,
    Save,
}

const ARCS: usize = StateArc::ALL.len();

impl Call {
    const OTHERS: [Call; 8] = [
        Call::Accept,
        Call::Close,
        Call::DataSize,
        Call::Load,
        Call::Open,
        Call::Pending,
        Call::Reset,
        Call::Save,
    ];

    /// How many calls there are.
    pub(crate) const COUNT: usize = ARCS + Self::OTHERS.len();

    /// The call with the index `index`, below [`Call::COUNT`].
    pub(crate) fn from_index(index: usize) -> Option<Call> {
        match StateArc::ALL.get(index) {
            Some(arc) => Some(Call::Arc(*arc)),
            None => Self::OTHERS.get(index - ARCS).copied(),
        }
    }

    /// The index of the call, below [`Call::COUNT`].
    pub(crate) const fn index(self) -> usize {
        match self {
            Call::Arc(arc) => arc as usize,
            Call::Accept => ARCS,
            Call::Close => ARCS + 1,
            Call::DataSize => ARCS + 2,
            Call::Load => ARCS + 3,
            Call::Open => ARCS + 4,
            Call::Pending => ARCS + 5,
            Call::Reset => ARCS + 6,
            Call::Save => ARCS + 7,
        }
    }

    /// The name of the call.
    pub(crate) const fn name(self) -> &'static CStr {
        match self {
            Call::Arc(arc) => arc.word(),
            Call::Accept => c"accept",
            Call::Close => c"close",
            Call::DataSize => c"data_size",
            Call::Load => c"load",
            Call::Open => c"open",
            Call::Pending => c"pending",
            Call::Reset => c"reset",
            Call::Save => c"save",
        }
    }

    /// Whether the core makes this call of a device with these features.
    pub(crate) fn available(self, features: Features) -> bool {
        match self {
            Call::Arc(arc) => arc.available(features),
            _ => true,
        }
    }

    /// How the call can fail, by its signature in [`Backend`](crate::backend::Backend).
    pub(crate) const fn ways(self) -> Ways {
        let (kept, lost) = match self {
            Call::Arc(arc) => match arc.kind() {
                ArcKind::Quiet
                | ArcKind::OpenSave
                | ArcKind::ContinueSave
                | ArcKind::OpenResume => (true, true),
                ArcKind::CloseSave => (false, true),
                ArcKind::CloseResume => (true, false),
            },
            Call::Accept
            | Call::DataSize
            | Call::Load
            | Call::Open
            | Call::Pending
            | Call::Save => (true, false),
            Call::Close | Call::Reset => (false, false),
        };
        Ways {
            kept,
            lost,
            done: matches!(
                self,
                Call::Arc(StateArc::ResumingToStop) | Call::Load | Call::Save
            ),
            position: matches!(self, Call::Load | Call::Save),
        }
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[::kernel::macros::kunit_tests(rust_vfio_migration_call)]
mod tests {
    use super::*;

    #[test]
    fn each_index_is_that_of_one_call() {
        for index in 0..Call::COUNT {
            assert_eq!(Call::from_index(index).map(Call::index), Some(index));
        }
        assert!(Call::from_index(Call::COUNT).is_none());
    }
}
