// SPDX-License-Identifier: GPL-2.0

//! What the firmware says became of a command.

/// The status of a command that was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Status {
    InternalError,
    BadOperation,
    BadParameter,
    BadSystemState,
    BadResource,
    ResourceBusy,
    NotReady,
    ExceededLimit,
    BadResourceState,
    BadIndex,
    NoResources,
    BadQpState,
    BadPacket,
    BadOutstandingCqes,
    BadInputLength,
    BadOutputLength,
    /// One that this crate has no name for.
    Other(u8),
}

/// An errno, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Errno {
    EIO,
    EINVAL,
    EBUSY,
    EAGAIN,
    ENOMEM,
}

impl Status {
    /// The status of a reply; `None` if the command was done.
    pub const fn new(status: u8) -> Option<Self> {
        Some(match status {
            0x00 => return None,
            0x01 => Self::InternalError,
            0x02 => Self::BadOperation,
            0x03 => Self::BadParameter,
            0x04 => Self::BadSystemState,
            0x05 => Self::BadResource,
            0x06 => Self::ResourceBusy,
            0x07 => Self::NotReady,
            0x08 => Self::ExceededLimit,
            0x09 => Self::BadResourceState,
            0x0a => Self::BadIndex,
            0x0f => Self::NoResources,
            0x10 => Self::BadQpState,
            0x30 => Self::BadPacket,
            0x40 => Self::BadOutstandingCqes,
            0x50 => Self::BadInputLength,
            0x51 => Self::BadOutputLength,
            other => Self::Other(other),
        })
    }

    /// What `mlx5_core` makes of it.
    pub const fn errno(self) -> Errno {
        match self {
            Self::BadOperation
            | Self::BadParameter
            | Self::BadResource
            | Self::BadResourceState
            | Self::BadIndex
            | Self::BadQpState
            | Self::BadPacket
            | Self::BadOutstandingCqes => Errno::EINVAL,
            Self::ResourceBusy => Errno::EBUSY,
            Self::NotReady | Self::NoResources => Errno::EAGAIN,
            Self::ExceededLimit => Errno::ENOMEM,
            Self::InternalError
            | Self::BadSystemState
            | Self::BadInputLength
            | Self::BadOutputLength
            | Self::Other(_) => Errno::EIO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errnos() {
        // Of `mlx5_core`, by the number of the status.
        let known = [
            (0x01, Errno::EIO),
            (0x02, Errno::EINVAL),
            (0x03, Errno::EINVAL),
            (0x04, Errno::EIO),
            (0x05, Errno::EINVAL),
            (0x06, Errno::EBUSY),
            (0x07, Errno::EAGAIN),
            (0x08, Errno::ENOMEM),
            (0x09, Errno::EINVAL),
            (0x0a, Errno::EINVAL),
            (0x0f, Errno::EAGAIN),
            (0x10, Errno::EINVAL),
            (0x30, Errno::EINVAL),
            (0x40, Errno::EINVAL),
            (0x50, Errno::EIO),
            (0x51, Errno::EIO),
        ];
        assert_eq!(Status::new(0), None);
        for number in 1..=u8::MAX {
            let status = Status::new(number);
            match known.iter().find(|known| known.0 == number) {
                Some((_, errno)) => assert_eq!(status.map(Status::errno), Some(*errno)),
                None => assert_eq!(status, Some(Status::Other(number))),
            }
        }
        assert_eq!(Status::Other(0x77).errno(), Errno::EIO);
    }
}
