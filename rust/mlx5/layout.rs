// SPDX-License-Identifier: GPL-2.0

//! Layouts of what goes to and comes from the firmware, declared once as data.
//!
//! A structure is a module that has the structure's name in the kernel's `mlx5_ifc.h`, and in it a
//! constant for each field, with the field's name there: its first bit and its number of bits, bit 0
//! being the most significant of the first byte. All of it is big-endian. When the crate is built,
//! each is compared with that header.

/// Declares structures; see the module's own text.
macro_rules! layouts {
    ($($(#[$doc:meta])* $name:ident: $bits:literal {
        $($field:ident: $first:literal, $width:literal;)*
    })*) => {
        $(
            $(#[$doc])*
            #[allow(non_upper_case_globals, missing_docs, dead_code, unreachable_pub)]
            pub mod $name {
                /// In bytes, without an array of any length at the end.
                pub const SIZE: usize = $bits / 8;
                /// All of it.
                pub type Bytes = super::super::Bytes<SIZE>;
                $(pub const $field: super::super::Field =
                    super::super::Field::new($first, $width, $bits);)*
            }
            #[cfg(not(test))]
            ::kernel::macros::paste! {
                const _: () = {
                    use $crate::bindings::[<mlx5_ifc_ $name _bits>] as Kernel;
                    assert!(::core::mem::size_of::<Kernel>() == $bits);
                    $(assert!(::core::mem::offset_of!(Kernel, $field) == $first);)*
                    $(assert!(super::width(|of: &Kernel| &of.$field) == $width);)*
                };
            }
        )*
    };
}

pub mod capability;
pub mod memory;
pub mod migration;
pub mod queue;
#[cfg(test)]
mod tests;
pub mod tracker;

/// The size of what the function returns: the bits of a field, where each is a byte.
#[cfg(not(test))]
#[allow(
    dead_code,
    reason = "the compiler does not count what only a constant calls"
)]
const fn width<S, F>(_: fn(&S) -> &F) -> usize {
    core::mem::size_of::<F>()
}

/// A structure in memory, zero at first, aligned as `mlx5_core` accesses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Bytes<const SIZE: usize>(pub [u8; SIZE]);

impl<const SIZE: usize> Bytes<SIZE> {
    /// All zeroes.
    pub const ZERO: Self = Self([0; SIZE]);
}

/// A value has more bits than its field, or the field is not in the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misfit;

/// A place in a structure, of at most 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    first: usize,
    width: usize,
}

impl Field {
    /// `width` bits from bit `first` on, in a structure of `bits` bits.
    pub const fn new(first: usize, width: usize, bits: usize) -> Self {
        assert!(bits % 8 == 0 && first + width <= bits);
        Self { first, width }
    }

    /// The field of an inner structure in the outer one, where the inner one begins at bit `base`.
    pub const fn at(self, base: usize) -> Self {
        Self {
            first: base + self.first,
            width: self.width,
        }
    }

    /// The first bit.
    pub const fn first(self) -> usize {
        self.first
    }

    /// The bytes that it touches, and how many bits of the last one follow it.
    const fn place(self) -> (usize, usize, usize) {
        let end = self.first + self.width;
        let bytes = end.div_ceil(8);
        (self.first / 8, bytes, bytes * 8 - end)
    }

    /// The value, of which bits past the end of `data` are zero.
    pub fn get(self, data: &[u8]) -> u64 {
        let (begin, end, below) = self.place();
        let value = (begin..end).fold(0u128, |value, at| {
            value << 8 | u128::from(data.get(at).copied().unwrap_or(0))
        });
        ((value >> below) & self.mask()) as u64
    }

    /// Writes the value.
    ///
    /// # Errors
    ///
    /// [`Misfit`], and `data` is as it was.
    pub fn put(self, data: &mut [u8], value: impl Into<u64>) -> Result<(), Misfit> {
        let value = u128::from(value.into());
        if value > self.mask() {
            return Err(Misfit);
        }
        let (begin, end, below) = self.place();
        let (mut value, mut mask) = (value << below, self.mask() << below);
        for byte in data.get_mut(begin..end).ok_or(Misfit)?.iter_mut().rev() {
            *byte = *byte & !(mask as u8) | value as u8;
            (value, mask) = (value >> 8, mask >> 8);
        }
        Ok(())
    }

    const fn mask(self) -> u128 {
        (1 << self.width) - 1
    }
}
