// SPDX-License-Identifier: GPL-2.0

//! Anonymous stream files.
//!
//! C headers: [`include/linux/anon_inodes.h`](srctree/include/linux/anon_inodes.h),
//! [`include/linux/fs.h`](srctree/include/linux/fs.h).
//!
//! A stream has no position (`lseek()` and `pread()` fail with `ESPIPE`), is open in one direction,
//! and serves `read()`/`write()`, their vectored forms, `io_uring` and `splice()` from one
//! function each way. Its private data is owned by the file alone, so what the file was made from
//! may go away first. The module that has the code stays pinned while the file is open.

use crate::bindings;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    error::{
        from_err_ptr,
        VTABLE_DEFAULT_ERROR, //
    },
    ffi::{
        c_int,
        c_long,
        c_uint,
        c_ulong,
        c_void, //
    },
    fs::{
        file::flags,
        File,
        Kiocb, //
    },
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    module::this_module,
    prelude::*,
    sync::{
        aref::ARef,
        poll::PollTable, //
    },
    types::ForeignOwnable,
};

/// Command of `VFIO_MIG_GET_PRECOPY_INFO`.
pub const GET_PRECOPY_INFO: u32 = bindings::VFIO_MIG_GET_PRECOPY_INFO;

/// Events for [`StreamFile::poll`].
pub mod events {
    use crate::bindings;

    /// Data can be read, or an end or error be seen, without waiting.
    pub const READABLE: u32 = bindings::POLLIN | bindings::POLLRDNORM;
    /// Data is taken, or an error seen, without waiting.
    pub const WRITABLE: u32 = bindings::POLLOUT | bindings::POLLWRNORM;
    /// The stream has ended by an error.
    pub const ERROR: u32 = bindings::POLLERR;
}

/// Which way the data goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// User space reads.
    Read,
    /// User space writes.
    Write,
}

/// How a call wants to wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until there is something to do, or a signal.
    Interruptible,
    /// Not at all: `EAGAIN`.
    No,
}

/// Operations of a stream.
///
/// All of them run in the context of the calling process, several at once.
#[vtable]
pub trait StreamFile: Sized {
    /// The pointer that the file owns.
    type Ptr: ForeignOwnable + Send + Sync;

    /// Gives data to user space; returns the number of bytes, 0 at the end of the stream.
    fn read(
        _this: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _out: &mut IovIterDest<'_>,
        _wait: Wait,
    ) -> Result<usize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Takes data from user space; returns the number of bytes.
    fn write(
        _this: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        _data: &mut IovIterSource<'_>,
        _wait: Wait,
    ) -> Result<usize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Registers for a change and returns the present [`events`].
    fn poll(
        this: <Self::Ptr as ForeignOwnable>::Borrowed<'_>,
        file: &File,
        table: PollTable<'_>,
    ) -> u32;

    /// An ioctl other than those of the VFS; the layout of its argument is the same for 32-bit
    /// processes.
    fn ioctl(_this: <Self::Ptr as ForeignOwnable>::Borrowed<'_>, _cmd: u32, _arg: usize) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

struct VTable<T: StreamFile>(PhantomData<T>);

impl<T: StreamFile> VTable<T> {
    /// # Safety
    ///
    /// `file` must have been made by [`new`] for `T` and not have been released.
    unsafe fn data<'a>(file: *mut bindings::file) -> <T::Ptr as ForeignOwnable>::Borrowed<'a> {
        // SAFETY: `private_data` is constant between `anon_inode_getfile()` and `release`.
        let ptr = unsafe { (*file).private_data };
        // SAFETY: `new()` put the result of `into_foreign()` there, and only `release` takes it
        // back, after the last call of any other operation.
        unsafe { T::Ptr::borrow(ptr) }
    }

    /// # Safety
    ///
    /// `kiocb` must be valid.
    unsafe fn wait(kiocb: *mut bindings::kiocb) -> Wait {
        // SAFETY: By the safety requirements.
        if unsafe { bindings::vfio_kiocb_nowait(kiocb) } {
            Wait::No
        } else {
            Wait::Interruptible
        }
    }

    /// # Safety
    ///
    /// Called by the VFS for a file made by [`new`] for `T`.
    unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: The file is valid in its `release`.
        let ptr = unsafe { (*file).private_data };
        // SAFETY: The pointer is from `into_foreign()` in `new()`, and no other operation of the
        // file runs during or after its `release`.
        drop(unsafe { T::Ptr::from_foreign(ptr) });
        0
    }

    /// # Safety
    ///
    /// Called by the VFS for a file made by [`new`] for `T`.
    unsafe extern "C" fn read_iter(
        kiocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: The VFS passes a valid `kiocb`.
        let wait = unsafe { Self::wait(kiocb) };
        // SAFETY: The VFS passes a valid `kiocb` of a `T` file.
        let this = unsafe { Kiocb::<'_, T::Ptr>::from_raw(kiocb) }.file();
        // SAFETY: `read_iter` gets an iterator to write to, its own for the time of the call.
        let out = unsafe { IovIterDest::from_raw(iter) };
        match T::read(this, out, wait) {
            // CAST: A read is limited to `MAX_RW_COUNT`, below `isize::MAX`.
            Ok(n) => n as isize,
            Err(e) => e.to_errno() as isize,
        }
    }

    /// # Safety
    ///
    /// Called by the VFS for a file made by [`new`] for `T`.
    unsafe extern "C" fn write_iter(
        kiocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: The VFS passes a valid `kiocb`.
        let wait = unsafe { Self::wait(kiocb) };
        // SAFETY: The VFS passes a valid `kiocb` of a `T` file.
        let this = unsafe { Kiocb::<'_, T::Ptr>::from_raw(kiocb) }.file();
        // SAFETY: `write_iter` gets an iterator to read from, its own for the time of the call.
        let data = unsafe { IovIterSource::from_raw(iter) };
        match T::write(this, data, wait) {
            // CAST: A write is limited to `MAX_RW_COUNT`, below `isize::MAX`.
            Ok(n) => n as isize,
            Err(e) => e.to_errno() as isize,
        }
    }

    /// # Safety
    ///
    /// Called by the VFS for a file made by [`new`] for `T`.
    unsafe extern "C" fn poll(
        file: *mut bindings::file,
        table: *mut bindings::poll_table,
    ) -> bindings::__poll_t {
        // SAFETY: The file was made by `new()` for `T` and is open during the call.
        let this = unsafe { Self::data(file) };
        // SAFETY: The file is valid for the call, and no `fdget_pos` of this thread is active.
        let file = unsafe { File::from_raw_file(file) };
        // SAFETY: The VFS passes a null or valid table.
        let table = unsafe { PollTable::from_raw(table) };
        T::poll(this, file, table)
    }

    /// # Safety
    ///
    /// Called by the VFS for a file made by [`new`] for `T`.
    unsafe extern "C" fn ioctl(file: *mut bindings::file, cmd: c_uint, arg: c_ulong) -> c_long {
        // SAFETY: The file was made by `new()` for `T` and is open during the call.
        let this = unsafe { Self::data(file) };
        match T::ioctl(this, cmd, arg) {
            Ok(()) => 0,
            Err(e) => e.to_errno() as c_long,
        }
    }

    const VTABLE: bindings::file_operations = bindings::file_operations {
        owner: this_module::<T::OwnerModule>().as_ptr(),
        release: Some(Self::release),
        poll: Some(Self::poll),
        read_iter: if T::HAS_READ {
            Some(Self::read_iter)
        } else {
            None
        },
        splice_read: if T::HAS_READ {
            Some(bindings::copy_splice_read)
        } else {
            None
        },
        write_iter: if T::HAS_WRITE {
            Some(Self::write_iter)
        } else {
            None
        },
        splice_write: if T::HAS_WRITE {
            Some(bindings::iter_file_splice_write)
        } else {
            None
        },
        unlocked_ioctl: if T::HAS_IOCTL {
            Some(Self::ioctl)
        } else {
            None
        },
        #[cfg(CONFIG_COMPAT)]
        compat_ioctl: if T::HAS_IOCTL {
            bindings::compat_ptr_ioctl
        } else {
            None
        },
        ..pin_init::zeroed()
    };
}

/// Makes a stream file called `name` that owns `data`.
///
/// The file is not installed in a file descriptor table: whoever gets it may still drop it.
///
/// # Errors
///
/// - `ENOMEM` if there is no memory.
/// - `ENFILE` if the system has too many open files.
pub fn new<T: StreamFile>(
    name: &'static CStr,
    data: T::Ptr,
    direction: Direction,
) -> Result<ARef<File>> {
    let access = match direction {
        Direction::Read => flags::O_RDONLY,
        Direction::Write => flags::O_WRONLY,
    };
    let fops: &'static bindings::file_operations = &VTable::<T>::VTABLE;
    let ptr = data.into_foreign();
    // SAFETY: `name` and `fops` are static and valid; the file gets the ownership of `ptr`.
    let file = from_err_ptr(unsafe {
        // CAST: The access modes are 0 and 1.
        bindings::anon_inode_getfile(
            name.as_char_ptr(),
            fops,
            ptr.cast::<c_void>(),
            access as c_int,
        )
    })
    .inspect_err(|_| {
        // SAFETY: Without a file nobody else has the pointer, which is from `into_foreign()`.
        drop(unsafe { T::Ptr::from_foreign(ptr) })
    })?;
    // SAFETY: The file is valid and new: nobody else reads or writes its fields yet.
    // `stream_open()` does not fail.
    unsafe { bindings::stream_open((*file).f_inode, file) };
    // SAFETY: As above. Reads and writes honour `IOCB_NOWAIT`.
    unsafe { (*file).f_mode |= bindings::FMODE_NOWAIT };
    // SAFETY: `from_err_ptr()` gave no error, and `anon_inode_getfile()` does not return null.
    let file = unsafe { NonNull::new_unchecked(file) };
    // SAFETY: `File` is a transparent wrapper of `struct file`, and the reference that
    // `anon_inode_getfile()` returned is passed on.
    Ok(unsafe { ARef::from_raw(file.cast::<File>()) })
}
