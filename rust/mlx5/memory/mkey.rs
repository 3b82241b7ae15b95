// SPDX-License-Identifier: GPL-2.0

//! Protection domains and memory keys.

use super::{
    buffer::Buffer,
    mapping::{
        Direction,
        Mapping, //
    },
};
use crate::{
    command::{
        AllocPd,
        CreateMkey,
        DeallocPd,
        DestroyMkey,
        Failure, //
    },
    function::{
        Access,
        Function, //
    },
    held::{
        judge,
        Again,
        Held,
        Release, //
    },
};
use core::mem;
use kernel::{
    prelude::*,
    sync::Arc, //
};

struct PdNumber(u32);

impl Release for PdNumber {
    type Rest = ();

    fn release(self, access: &Access<'_>, last: bool) -> Result<(), Self> {
        match judge(access.execute(&DeallocPd(self.0)), last) {
            Err(Again) => return Err(self),
            Ok(None) => {}
            // The firmware may keep it if it also keeps a key of it; all that costs is the number.
            Ok(Some(failure)) => pr_warn!("a protection domain is left over: {failure}\n"),
        }
        Ok(())
    }
}

/// A protection domain: commands only reach memory of keys in it. Clones are the same domain, which
/// goes with the last one and the last key.
#[derive(Clone)]
pub struct Pd(Arc<Held<PdNumber>>);

impl Pd {
    /// # Errors
    ///
    /// `ENOTCONN` if the PF is down; else see [`Failure`].
    pub fn new(function: &Function) -> Result<Self, Failure> {
        let held = Held::new(function, |access| access.execute(&AllocPd).map(PdNumber))?;
        Ok(Self(Arc::new(held, GFP_KERNEL)?))
    }

    /// The function that it is for.
    pub fn function(&self) -> &Function {
        self.0.function()
    }

    /// The number of the domain, for commands; only asked inside.
    pub(crate) fn number(&self) -> Result<u32> {
        self.0.with(|number| number.0)
    }
}

struct Key {
    key: u32,
    mapping: Mapping,
    /// It is in use as long as the key is there.
    pd: Pd,
}

impl Release for Key {
    type Rest = Pd;

    fn release(self, access: &Access<'_>, last: bool) -> Result<Pd, Self> {
        match judge(access.execute(&DestroyMkey(self.key)), last) {
            Err(Again) => return Err(self),
            Ok(None) => {}
            Ok(Some(failure)) => {
                pr_warn!("a memory key is left over, and its memory with it: {failure}\n");
                // The device may still write there, so neither the mapping nor the memory may be used
                // for anything else.
                mem::forget(self.mapping);
            }
        }
        Ok(self.pd)
    }
}

/// A buffer that commands can name.
///
/// While a command that does is executed its memory belongs to the device, which is why that takes
/// the key borrowed; else it belongs to the CPU. It stays readable when the PF is down.
pub struct Mkey {
    // Dropped first.
    held: Held<Key>,
    buffer: Arc<Buffer>,
}

impl Mkey {
    /// Lets the firmware access `buffer`, which is freed if that fails.
    ///
    /// # Errors
    ///
    /// - `ENOTCONN` if the PF is down.
    /// - `EINVAL` if the buffer is empty.
    /// - `ENOMEM`
    /// - else see [`Failure`].
    pub fn new(pd: &Pd, buffer: Buffer, direction: Direction) -> Result<Self, Failure> {
        let buffer = Arc::new(buffer, GFP_KERNEL)?;
        let held = Held::new(pd.function(), |access| {
            let mapping = Mapping::new(access.pf(), &buffer, direction)?;
            let key = access.execute(&CreateMkey {
                pd: pd.number()?,
                log_page_size: mapping.shift(),
                addresses: &mapping.addresses()?,
            })?;
            Ok::<_, Failure>(Key {
                key,
                mapping,
                pd: pd.clone(),
            })
        })?;
        Ok(Self { held, buffer })
    }

    /// Takes the buffer back, with what is in it.
    ///
    /// # Errors
    ///
    /// `EIO` if the firmware would not let go of it.
    pub fn into_buffer(self) -> Result<Buffer> {
        let Self { held, buffer } = self;
        drop(held);
        let mut buffer = Arc::into_unique_or_drop(buffer).ok_or(EIO)?;
        Ok(mem::take(&mut *buffer))
    }

    /// All of it, in bytes.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// See [`Buffer::piece`].
    pub fn piece(&self, offset: usize) -> &[u8] {
        self.buffer.piece(offset)
    }

    /// See [`Buffer::piece_mut`].
    pub fn piece_mut(&mut self, offset: usize) -> &mut [u8] {
        // SAFETY: The other references to the buffer are those of mappings, which do not access it,
        // and commands that do have the key borrowed.
        unsafe { self.buffer.piece_unshared(offset) }
    }

    /// The key, for a command that lets data go that way; only asked inside.
    pub(crate) fn key(&self, direction: Direction) -> Result<u32> {
        self.held.with(|key| {
            if key.mapping.direction() == direction {
                Ok(key.key)
            } else {
                Err(EINVAL)
            }
        })?
    }

    /// The first `bytes` bytes now belong to the device; only done inside.
    pub(crate) fn give(&self, bytes: usize) {
        // Without a key no command can name it.
        let _ = self.held.with(|key| key.mapping.give(bytes));
    }

    /// They belong to the CPU again; only done inside.
    pub(crate) fn take(&self, bytes: usize) {
        let _ = self.held.with(|key| key.mapping.take(bytes));
    }
}
