// SPDX-License-Identifier: GPL-2.0

//! What there is of the folder where the VFIO core has none: the types.

use super::File;
use crate::bindings;
use core::marker::PhantomData;
use kernel::prelude::*;

/// A folder that does not exist.
pub struct Dir<'a>(PhantomData<fn(&'a ()) -> &'a ()>);

impl<'a> Dir<'a> {
    /// # Safety
    ///
    /// None; it is that of the function for which this stands.
    pub(crate) unsafe fn of_device(_device: *mut bindings::vfio_device) -> Option<Self> {
        None
    }

    /// A folder in this one.
    pub fn subdir(&self, _name: &CStr) -> Option<Self> {
        None
    }

    /// Makes a file in this folder.
    pub fn file<T: File>(&self, _name: &CStr, _data: &'a T) {}
}
