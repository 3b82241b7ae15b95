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

/// An errno, which a file of `core` alone has no numbers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errno {
    /// `EIO`
    Io,
    /// `EINVAL`
    Invalid,
    /// `EBUSY`
    Busy,
    /// `EAGAIN`
    Again,
    /// `ENOMEM`
    NoMemory,
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

    /// The number that the firmware has for it.
    pub fn number(self) -> u8 {
        let known = (0..=u8::MAX).find(|number| Self::new(*number) == Some(self));
        // Each status is that of a number.
        known.unwrap_or(0)
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
            | Self::BadOutstandingCqes => Errno::Invalid,
            Self::ResourceBusy => Errno::Busy,
            Self::NotReady | Self::NoResources => Errno::Again,
            Self::ExceededLimit => Errno::NoMemory,
            Self::InternalError
            | Self::BadSystemState
            | Self::BadInputLength
            | Self::BadOutputLength
            | Self::Other(_) => Errno::Io,
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
            (0x01, Errno::Io),
            (0x02, Errno::Invalid),
            (0x03, Errno::Invalid),
            (0x04, Errno::Io),
            (0x05, Errno::Invalid),
            (0x06, Errno::Busy),
            (0x07, Errno::Again),
            (0x08, Errno::NoMemory),
            (0x09, Errno::Invalid),
            (0x0a, Errno::Invalid),
            (0x0f, Errno::Again),
            (0x10, Errno::Invalid),
            (0x30, Errno::Invalid),
            (0x40, Errno::Invalid),
            (0x50, Errno::Io),
            (0x51, Errno::Io),
        ];
        assert_eq!(Status::new(0), None);
        for number in 1..=u8::MAX {
            let status = Status::new(number);
            assert_eq!(status.map(Status::number), Some(number));
            match known.iter().find(|known| known.0 == number) {
                Some((_, errno)) => assert_eq!(status.map(Status::errno), Some(*errno)),
                None => assert_eq!(status, Some(Status::Other(number))),
            }
        }
        assert_eq!(Status::Other(0x77).errno(), Errno::Io);
    }
}
