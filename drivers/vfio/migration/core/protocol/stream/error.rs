// SPDX-License-Identifier: GPL-2.0

//! Why a stream is refused.

/// What a reader can do about a refused stream; callers map it to an error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The stream breaks the format.
    Invalid,
    /// The stream asks for more than the reader accepts.
    TooLarge,
    /// The stream is of another device, or of another version of the format.
    Incompatible,
    /// The stream does not contain what was written.
    Corrupt,
    /// The stream ended too early.
    Incomplete,
}

/// Declares [`Error`]: for each its doc, which is also what [`Error::describe`] says, and its class.
macro_rules! errors {
    ($($error:ident: $class:ident, $text:literal;)*) => {
        /// Why a stream is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Error {
            $(
                #[doc = concat!("The stream is refused: ", $text, ".")]
                $error,
            )*
        }

        impl Error {
            /// All errors.
            pub const ALL: &'static [Error] = &[$(Error::$error),*];

            /// What kind of error this is.
            pub const fn class(self) -> ErrorClass {
                match self {
                    $(Error::$error => ErrorClass::$class,)*
                }
            }

            /// The error in words, for logs and tracing.
            pub const fn describe(self) -> &'static str {
                match self {
                    $(Error::$error => $text,)*
                }
            }
        }
    };
}

errors! {
    RecordTooLarge: TooLarge, "a record is larger than accepted";
    EmptyData: Invalid, "a record of device state is empty";
    UnknownTag: Incompatible, "a record that must be understood has an unknown tag";
    WrongFlags: Invalid, "a record has flags that its tag does not allow";
    WrongSize: Invalid, "a record has a size that its tag does not allow";
    ReservedNotZero: Invalid, "a reserved field is not zero";
    IdentityMissing: Incompatible, "the first record is not an identity";
    IdentityMisplaced: Invalid, "an identity is not the first record";
    BadMagic: Invalid, "the identity has a wrong magic number";
    UnknownVersion: Incompatible, "the identity names an unknown version of the format";
    UnknownFeature: Incompatible, "the identity requires an unknown feature of the format";
    BadName: Invalid, "the identity holds a malformed name of a backend";
    NotIdentified: Invalid, "a checksum or trailer in a stream without identity";
    ChecksumMismatch: Corrupt, "a checksum does not match the bytes before it";
    TotalsMismatch: Corrupt, "the totals of the trailer do not match the stream";
    AfterTrailer: Invalid, "something follows the trailer";
    NoData: Incomplete, "there is no device state in the stream";
    CutRecord: Incomplete, "the stream ends inside a record";
    TrailerMissing: Incomplete, "the stream ends without its trailer";
}
