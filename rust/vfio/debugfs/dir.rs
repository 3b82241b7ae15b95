// SPDX-License-Identifier: GPL-2.0

//! The folder and its files, where the VFIO core has one.

use super::File;
use crate::bindings;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::from_result,
    ffi::{
        c_char,
        c_int,
        c_void, //
    },
    fmt,
    module::this_module,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};

/// The most bytes that a file takes in one `write()`.
const MAX_TEXT: usize = 256;

/// A folder of a device, for files that show what lives for `'a`.
///
/// Debugfs is for people: where a file or folder cannot be made there is none, and that is no
/// error for anyone.
///
/// # Invariants
///
/// `entry` is a counted reference to a folder that is removed before `'a` ends.
pub struct Dir<'a> {
    entry: NonNull<bindings::dentry>,
    life: PhantomData<fn(&'a ()) -> &'a ()>,
}

impl<'a> Dir<'a> {
    /// The folder `vfio/DEVICE/migration` of `device`.
    ///
    /// # Safety
    ///
    /// `device` must be registered, must not be unregistered while the result exists, and must be
    /// before `'a` ends.
    pub(crate) unsafe fn of_device(device: *mut bindings::vfio_device) -> Option<Self> {
        // SAFETY: The device is registered, which sets the field, for good.
        let root = NonNull::new(unsafe { (*device).debug_root })?;
        // SAFETY: The folder is the registered device's, and lives as long as that is registered.
        unsafe { Self::lookup(c"migration", root.as_ptr()) }
    }

    /// # Safety
    ///
    /// `parent` must be an error, or a folder that exists and is removed before `'a` ends.
    unsafe fn lookup(name: &CStr, parent: *mut bindings::dentry) -> Option<Self> {
        let parent = kernel::error::from_err_ptr(parent).ok()?;
        // SAFETY: By the safety requirements; the name is a valid string.
        let entry = unsafe { bindings::debugfs_lookup(name.as_char_ptr(), parent) };
        // INVARIANT: `debugfs_lookup()` returns a counted reference, or null, and what is in the
        // parent is removed with it.
        Some(Self {
            entry: NonNull::new(entry)?,
            life: PhantomData,
        })
    }

    /// A folder in this one.
    pub fn subdir(&self, name: &CStr) -> Option<Self> {
        let parent = self.entry.as_ptr();
        // SAFETY: The parent is a folder by the type invariants, the name a valid string.
        unsafe { bindings::debugfs_create_dir(name.as_char_ptr(), parent) };
        // SAFETY: By the type invariants.
        unsafe { Self::lookup(name, parent) }
    }

    /// Makes a file in this folder.
    pub fn file<T: File>(&self, name: &CStr, data: &'a T) {
        let fops: &'static bindings::file_operations = &VTable::<T>::FOPS;
        let mode = if T::HAS_STORE { 0o600 } else { 0o400 };
        // SAFETY: The folder is valid by the type invariants. These are the operations for a file
        // of a `T`, and the file is removed before the data's life ends.
        unsafe {
            bindings::debugfs_create_file_full(
                name.as_char_ptr(),
                mode,
                self.entry.as_ptr(),
                core::ptr::from_ref(data).cast_mut().cast::<c_void>(),
                core::ptr::null(),
                fops,
            )
        };
    }
}

impl Drop for Dir<'_> {
    fn drop(&mut self) {
        // SAFETY: The reference is given up.
        unsafe { bindings::dput(self.entry.as_ptr()) };
    }
}

struct VTable<T>(PhantomData<T>);

/// Makes [`File::show`] something that can be printed.
struct Shown<'a, T>(&'a T);

impl<T: File> fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f)
    }
}

impl<T: File> VTable<T> {
    /// # Safety
    ///
    /// Called by debugfs for a file of a `T`, which it does not remove during the call.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: By the safety requirements.
        let data = unsafe { (*inode).i_private };
        // SAFETY: The file is being opened, and `show` is for what the data is.
        unsafe { bindings::single_open(file, Some(Self::show), data) }
    }

    /// # Safety
    ///
    /// Called by `seq_read()` for a file that [`Self::open`] has opened, and which debugfs does not
    /// remove during the call.
    unsafe extern "C" fn show(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
        // SAFETY: `single_open()` put the pointer to the data there, which lives as long as the file.
        let data = unsafe { &*(*seq).private.cast::<T>() };
        // SAFETY: The sequence is this call's alone.
        let seq = unsafe { SeqFile::from_raw(seq) };
        seq_print!(seq, "{}", Shown(data));
        0
    }

    /// # Safety
    ///
    /// Called by debugfs for a file that [`Self::open`] has opened, and which it does not remove
    /// during the call.
    unsafe extern "C" fn write(
        file: *mut bindings::file,
        text: *const c_char,
        count: usize,
        _pos: *mut bindings::loff_t,
    ) -> isize {
        from_result(|| {
            // SAFETY: `single_open()` put the sequence there.
            let seq = unsafe { (*file).private_data.cast::<bindings::seq_file>() };
            // SAFETY: As in `show()`.
            let data = unsafe { &*(*seq).private.cast::<T>() };
            let mut bytes = [0; MAX_TEXT];
            let bytes = bytes.get_mut(..count).ok_or(EINVAL)?;
            UserSlice::new(UserPtr::from_ptr(text.cast_mut().cast()), count)
                .reader()
                .read_slice(bytes)?;
            data.store(core::str::from_utf8(bytes).map_err(|_| EINVAL)?)?;
            // CAST: At most `MAX_TEXT`.
            Ok(count as isize)
        })
    }

    const FOPS: bindings::file_operations = bindings::file_operations {
        owner: this_module::<T::OwnerModule>().as_ptr(),
        open: Some(Self::open),
        read: Some(bindings::seq_read),
        write: if T::HAS_STORE {
            Some(Self::write)
        } else {
            None
        },
        llseek: Some(bindings::seq_lseek),
        release: Some(bindings::single_release),
        ..pin_init::zeroed()
    };
}
