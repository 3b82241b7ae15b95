// SPDX-License-Identifier: GPL-2.0

//! The identity of a stream: who wrote it, and what a target must have to read it.

use super::{
    field,
    Error, //
};

/// Length of an encoded [`Identity`].
pub const IDENTITY_LEN: usize = REQUIREMENT_AT + REQUIREMENT_LEN;
/// Length of the field that holds the name of a backend.
pub const NAME_LEN: usize = 16;
/// Length of the field that belongs to the backend.
pub const REQUIREMENT_LEN: usize = 32;

/// Version of the format; another one is another format.
pub const VERSION_MAJOR: u16 = 1;
/// Version of what a reader may ignore.
pub const VERSION_MINOR: u16 = 0;

const MAGIC: [u8; 8] = *b"VFIOMIGR";

/// Features of the format that this version knows: none. A later version may add some without
/// becoming another format, and say here which ones a reader needs.
const KNOWN_FEATURES: u32 = 0;

const MAGIC_AT: usize = 0;
const MAJOR_AT: usize = 8;
const MINOR_AT: usize = 10;
const NAME_AT: usize = 12;
const BACKEND_VERSION_AT: usize = NAME_AT + NAME_LEN;
const FEATURES_AT: usize = BACKEND_VERSION_AT + 4;
const REQUIREMENT_AT: usize = FEATURES_AT + 4;

/// Who wrote a stream, and what a target must have to read it.
///
/// The magic number and the version of the format are added by [`encode`](Identity::encode) and
/// checked by [`decode`](Identity::decode). Whether `backend`, `backend_version` and `requirement`
/// suit is for the backend of the target to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of the backend: printable ASCII without blanks, filled up with zeros.
    pub backend: [u8; NAME_LEN],
    /// Version of the backend's device state.
    pub backend_version: u32,
    /// What the target must have, in the backend's own encoding.
    pub requirement: [u8; REQUIREMENT_LEN],
}

impl Identity {
    /// Fills up `name` to the field of a backend's name.
    ///
    /// # Panics
    ///
    /// Where `name` is empty, too long or not printable. It is meant for constants: then the compiler
    /// says so.
    pub const fn name(name: &str) -> [u8; NAME_LEN] {
        let name = name.as_bytes();
        let mut field = [0; NAME_LEN];
        let mut i = 0;
        while i < name.len() {
            field[i] = name[i];
            i += 1;
        }
        assert!(is_name(&field));
        field
    }

    /// The identity as the payload of its record.
    pub fn encode(&self) -> [u8; IDENTITY_LEN] {
        let mut bytes = [0; IDENTITY_LEN];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(MAGIC_AT, &MAGIC);
        put(MAJOR_AT, &VERSION_MAJOR.to_le_bytes());
        put(MINOR_AT, &VERSION_MINOR.to_le_bytes());
        put(NAME_AT, &self.backend);
        put(BACKEND_VERSION_AT, &self.backend_version.to_le_bytes());
        put(FEATURES_AT, &KNOWN_FEATURES.to_le_bytes());
        put(REQUIREMENT_AT, &self.requirement);
        bytes
    }

    /// Reads the payload of an identity's record.
    ///
    /// # Errors
    ///
    /// - [`Error::WrongSize`] unless there are [`IDENTITY_LEN`] bytes.
    /// - [`Error::BadMagic`], [`Error::BadName`] where this is no identity.
    /// - [`Error::UnknownVersion`], [`Error::UnknownFeature`] where it is one of another format.
    pub fn decode(bytes: &[u8]) -> Result<Identity, Error> {
        let bytes: &[u8; IDENTITY_LEN] = bytes.try_into().map_err(|_| Error::WrongSize)?;
        if field(bytes, MAGIC_AT) != MAGIC {
            return Err(Error::BadMagic);
        }
        if u16::from_le_bytes(field(bytes, MAJOR_AT)) != VERSION_MAJOR {
            return Err(Error::UnknownVersion);
        }
        if u32::from_le_bytes(field(bytes, FEATURES_AT)) & !KNOWN_FEATURES != 0 {
            return Err(Error::UnknownFeature);
        }
        let backend = field(bytes, NAME_AT);
        if !is_name(&backend) {
            return Err(Error::BadName);
        }
        Ok(Identity {
            backend,
            backend_version: u32::from_le_bytes(field(bytes, BACKEND_VERSION_AT)),
            requirement: field(bytes, REQUIREMENT_AT),
        })
    }
}

/// Whether a field holds at least one printable character and nothing but zeros after the last.
const fn is_name(field: &[u8; NAME_LEN]) -> bool {
    let mut ended = false;
    let mut i = 0;
    while i < NAME_LEN {
        if field[i] == 0 {
            ended = true;
        } else if ended || !field[i].is_ascii_graphic() {
            return false;
        }
        i += 1;
    }
    field[0] != 0
}
