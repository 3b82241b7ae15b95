// SPDX-License-Identifier: GPL-2.0

//! Layouts of the device's structures, declared once as data.
//!
//! A structure is a module that has the structure's name in the kernel's `mlx5_ifc.h`, and in it a
//! constant for each field, with the field's name there. All of it is big-endian; a bit is given as
//! the byte of its dword and its number there, 31 first, as the Programmer's Reference Manual does.
//! [`LAYOUTS`] lists them, so that a compiler can compare them with that header.
//!
//! Reading what lies past the end of the data gives zero, and writing there does nothing: how long
//! a command's data must be is said in the table of commands.

/// Declares structures; see the module's own text.
macro_rules! layouts {
    ($($(#[$doc:meta])* $name:ident: $size:literal { $($field:ident = $byte:literal $kind:tt;)* })*) => {
        $(
            $(#[$doc])*
            #[allow(non_upper_case_globals, missing_docs, dead_code, unreachable_pub)]
            pub mod $name {
                /// Bytes of the structure without an array of any length at its end.
                pub const SIZE: usize = $size;
                $(pub const $field: layouts!(@type $kind) = layouts!(@new $byte $kind);)*
            }
        )*

        /// The structures of this file.
        #[allow(dead_code, unreachable_pub, clippy::identity_op)]
        pub const LAYOUTS: &[$crate::layout::Layout] = &[$($crate::layout::Layout {
            name: stringify!($name),
            size: $size,
            fields: &[$((stringify!($field), layouts!(@place $byte $kind)),)*],
        },)*];
    };
    (@type quad) => { $crate::layout::Quad };
    (@type start) => { $crate::layout::Start };
    (@type $bits:tt) => { $crate::layout::Bits };
    (@new $byte:literal quad) => { $crate::layout::Quad($byte) };
    (@new $byte:literal start) => { $crate::layout::Start($byte) };
    (@new $byte:literal [$high:literal : $low:literal]) => {
        $crate::layout::Bits::new($byte, $high, $low)
    };
    (@place $byte:literal quad) => { ($byte * 8, 64) };
    (@place $byte:literal start) => { ($byte * 8, 0) };
    (@place $byte:literal [$high:literal : $low:literal]) => {
        ($byte * 8 + 31 - $high, $high - $low + 1)
    };
}

pub mod capability;
pub mod command;
pub mod context;
pub mod object;
pub mod wire;

/// A structure, for a comparison with another declaration of it.
#[derive(Debug)]
pub struct Layout {
    /// The name of `struct mlx5_ifc_NAME_bits`.
    pub name: &'static str,
    /// Bytes without an array of any length at the end.
    pub size: usize,
    /// Name, first bit, and number of bits, 0 for what is only a start.
    pub fields: &'static [(&'static str, (usize, usize))],
}

/// All structures that the kernel's header has too.
pub const LAYOUTS: &[&[Layout]] = &[
    capability::LAYOUTS,
    command::LAYOUTS,
    context::LAYOUTS,
    object::LAYOUTS,
];

/// A place in a structure that holds a value.
pub trait Slot: Copy {
    /// What it holds.
    type Value;

    /// Reads it.
    fn get(self, data: &[u8]) -> Self::Value;

    /// Writes it; bits of `value` that it has no room for are lost.
    fn put(self, data: &mut [u8], value: Self::Value);
}

/// At most 32 bits, all in one dword.
#[derive(Clone, Copy, Debug)]
pub struct Bits {
    byte: usize,
    shift: u32,
    mask: u32,
}

impl Bits {
    /// Bits `high` to `low` of the dword at `byte`.
    pub const fn new(byte: usize, high: u32, low: u32) -> Self {
        assert!(byte % 4 == 0 && low <= high && high < 32);
        Self {
            byte,
            shift: low,
            mask: u32::MAX >> (31 - (high - low)),
        }
    }
}

impl Slot for Bits {
    type Value = u32;

    fn get(self, data: &[u8]) -> u32 {
        dword(data, self.byte) >> self.shift & self.mask
    }

    fn put(self, data: &mut [u8], value: u32) {
        let old = dword(data, self.byte) & !(self.mask << self.shift);
        let new = old | (value & self.mask) << self.shift;
        if let Some(bytes) = data.get_mut(self.byte..self.byte + 4) {
            bytes.copy_from_slice(&new.to_be_bytes());
        }
    }
}

/// 64 bits.
#[derive(Clone, Copy, Debug)]
pub struct Quad(pub(crate) usize);

impl Quad {
    /// The 64 bits at `byte`.
    pub const fn at(byte: usize) -> Self {
        Self(byte)
    }
}

impl Slot for Quad {
    type Value = u64;

    fn get(self, data: &[u8]) -> u64 {
        u64::from(dword(data, self.0)) << 32 | u64::from(dword(data, self.0 + 4))
    }

    fn put(self, data: &mut [u8], value: u64) {
        if let Some(bytes) = data.get_mut(self.0..self.0 + 8) {
            bytes.copy_from_slice(&value.to_be_bytes());
        }
    }
}

/// Where an inner structure or an array begins.
#[derive(Clone, Copy, Debug)]
pub struct Start(pub(crate) usize);

impl Start {
    /// Bytes before it.
    pub const fn offset(self) -> u64 {
        self.0 as u64
    }

    /// The inner data.
    pub fn of(self, data: &[u8]) -> &[u8] {
        data.get(self.0..).unwrap_or(&[])
    }

    /// The inner data, to be written.
    pub fn of_mut(self, data: &mut [u8]) -> &mut [u8] {
        data.get_mut(self.0..).unwrap_or(&mut [])
    }
}

fn dword(data: &[u8], at: usize) -> u32 {
    match data.get(at..at.saturating_add(4)) {
        Some(bytes) => u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
        None => 0,
    }
}

/// The 64-bit elements of an array, as many as are whole.
pub fn quads(data: &[u8]) -> impl ExactSizeIterator<Item = u64> + '_ {
    data.chunks_exact(8).map(|quad| Quad(0).get(quad))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_numbered_as_the_manual_does() {
        let mut data = [0; 8];
        Bits::new(4, 31, 28).put(&mut data, 0x1a);
        Bits::new(4, 11, 0).put(&mut data, 0xfff);
        assert_eq!(data, [0, 0, 0, 0, 0xa0, 0, 0x0f, 0xff]);
        assert_eq!(Bits::new(4, 31, 0).get(&data), 0xa000_0fff);
        assert_eq!(Quad(0).get(&data), 0xa000_0fff);
    }

    #[test]
    fn the_end_of_the_data_is_respected() {
        let mut data = [0xff; 6];
        assert_eq!(Bits::new(4, 31, 0).get(&data), 0);
        assert_eq!(Quad(0).get(&data), 0xffff_ffff_0000_0000);
        Quad(0).put(&mut data, 0);
        Bits::new(4, 31, 0).put(&mut data, 0);
        assert_eq!(data, [0xff; 6]);
        assert!(Start(7).of(&data).is_empty());
        assert_eq!(quads(&[0; 23]).len(), 2);
    }

    #[test]
    fn fields_lie_in_their_structures_and_apart() {
        for layout in LAYOUTS.iter().copied().flatten() {
            for (i, (name, (bit, width))) in layout.fields.iter().enumerate() {
                assert!(bit + width <= layout.size * 8, "{}.{name}", layout.name);
                for (other, (start, length)) in &layout.fields[..i] {
                    assert!(
                        bit + width <= *start || start + length <= *bit || width * length == 0,
                        "{}.{name} and {other}",
                        layout.name
                    );
                }
            }
        }
    }
}
