// SPDX-License-Identifier: GPL-2.0

//! The system calls that have no safe wrapper elsewhere: all `unsafe` of this program.
//!
//! Each function is one ioctl, with all that its argument must be. What the kernel hands out as a
//! number of a file becomes an owned file here.

#![allow(unsafe_code)]

use crate::uapi::{self, AttachPt, BindIommufd, DeviceInfo, Feature, GroupStatus, IoasAlloc};
use crate::uapi::{MigState, PrecopyInfo};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Length of a plain structure, as the kernel's `argsz` counts.
fn size<T>() -> u32 {
    u32::try_from(size_of::<T>()).expect("a structure of the uAPI is small")
}

/// The result of a system call.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// # Safety
///
/// `request` must be an ioctl that reads and writes nothing but `T` at its argument: its size field,
/// if it has one, holds no more than the size of `T`, and where `T` holds pointers, that is valid
/// too.
unsafe fn with_struct<T>(fd: BorrowedFd<'_>, request: u32, argument: &mut T) -> io::Result<i32>
where
    T: FromBytes + IntoBytes + Immutable,
{
    let argument: *mut T = argument;
    // SAFETY: The caller's promise; the pointer is to a live `T` that is ours alone, and `T` may hold
    // any bytes (`FromBytes`).
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request.into(), argument) })
}

/// # Safety
///
/// `request` must be an ioctl whose argument is a number, or ignored.
unsafe fn with_number(fd: BorrowedFd<'_>, request: u32, number: u32) -> io::Result<i32> {
    // SAFETY: The caller's promise: the kernel takes no address from the argument.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request.into(), libc::c_ulong::from(number)) })
}

/// Takes ownership of a file that the kernel has just installed.
fn own(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: It is not negative, and was made by the kernel for the caller, so nobody else has it.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A second descriptor of the open file `fd`, closed over `exec`.
pub(crate) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: The kernel looks a number up; any number is allowed.
    let copy = check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?;
    own(copy).ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
}

fn feature<T>(fd: BorrowedFd<'_>, flags: u32, data: T) -> io::Result<T>
where
    T: Copy + FromBytes + IntoBytes + Immutable,
    Feature<T>: FromBytes + IntoBytes + Immutable,
{
    let argsz = size::<Feature<T>>();
    let mut argument = Feature { argsz, flags, data };
    // SAFETY: `VFIO_DEVICE_FEATURE` stays within `argsz` bytes, and no feature that is called
    // with this holds a pointer.
    unsafe { with_struct(fd, uapi::VFIO_DEVICE_FEATURE, &mut argument) }?;
    Ok(argument.data)
}

/// The flags of `VFIO_DEVICE_FEATURE_MIGRATION`.
pub(crate) fn migration_flags(device: BorrowedFd<'_>) -> io::Result<u64> {
    feature(device, uapi::FEATURE_GET | uapi::FEATURE_MIGRATION, 0)
}

/// The number of the device's state.
pub(crate) fn get_state(device: BorrowedFd<'_>) -> io::Result<u32> {
    let flags = uapi::FEATURE_GET | uapi::FEATURE_MIG_DEVICE_STATE;
    Ok(feature(device, flags, MigState::default())?.device_state)
}

/// Changes the device's state; returns the data file, if one was opened.
pub(crate) fn set_state(device: BorrowedFd<'_>, state: u32) -> io::Result<Option<OwnedFd>> {
    let flags = uapi::FEATURE_SET | uapi::FEATURE_MIG_DEVICE_STATE;
    let argument = MigState {
        device_state: state,
        data_fd: -1,
    };
    Ok(own(feature(device, flags, argument)?.data_fd))
}

/// `VFIO_DEVICE_FEATURE_MIG_DATA_SIZE`.
pub(crate) fn data_size(device: BorrowedFd<'_>) -> io::Result<u64> {
    feature(device, uapi::FEATURE_GET | uapi::FEATURE_MIG_DATA_SIZE, 0)
}

/// Has the flags of [`precopy_info`] say something, until the device is closed.
pub(crate) fn use_precopy_info_v2(device: BorrowedFd<'_>) -> io::Result<()> {
    let flags = uapi::FEATURE_SET | uapi::FEATURE_MIG_PRECOPY_INFO_V2;
    feature(device, flags, [0u8; 0]).map(drop)
}

/// Whether the device has a feature in that direction ([`uapi::FEATURE_GET`] or `SET`).
pub(crate) fn has_feature(device: BorrowedFd<'_>, feature_and_direction: u32) -> bool {
    feature(
        device,
        uapi::FEATURE_PROBE | feature_and_direction,
        [0u8; 0],
    )
    .is_ok()
}

/// `VFIO_MIG_GET_PRECOPY_INFO`, on the data file.
pub(crate) fn precopy_info(data: BorrowedFd<'_>) -> io::Result<PrecopyInfo> {
    let mut info = PrecopyInfo {
        argsz: size::<PrecopyInfo>(),
        ..Default::default()
    };
    // SAFETY: It stays within `argsz` bytes.
    unsafe { with_struct(data, uapi::VFIO_MIG_GET_PRECOPY_INFO, &mut info) }?;
    Ok(info)
}

/// `VFIO_DEVICE_RESET`.
pub(crate) fn reset(device: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: It has no argument.
    unsafe { with_number(device, uapi::VFIO_DEVICE_RESET, 0) }.map(drop)
}

/// `VFIO_DEVICE_GET_INFO`.
pub(crate) fn device_info(device: BorrowedFd<'_>) -> io::Result<DeviceInfo> {
    let mut info = DeviceInfo {
        argsz: size::<DeviceInfo>(),
        ..Default::default()
    };
    // SAFETY: It stays within `argsz` bytes.
    unsafe { with_struct(device, uapi::VFIO_DEVICE_GET_INFO, &mut info) }?;
    Ok(info)
}

/// Opens the device of a character device, with an empty address space of `iommufd`.
pub(crate) fn bind(device: BorrowedFd<'_>, iommufd: BorrowedFd<'_>) -> io::Result<()> {
    let mut bind = BindIommufd {
        argsz: size::<BindIommufd>(),
        iommufd: iommufd.as_raw_fd(),
        ..Default::default()
    };
    // SAFETY: It stays within `argsz` bytes; no flag says that there is a pointer.
    unsafe { with_struct(device, uapi::VFIO_DEVICE_BIND_IOMMUFD, &mut bind) }?;
    let mut ioas = IoasAlloc {
        size: size::<IoasAlloc>(),
        ..Default::default()
    };
    // SAFETY: It stays within `size` bytes.
    unsafe { with_struct(iommufd, uapi::IOMMU_IOAS_ALLOC, &mut ioas) }?;
    let mut attach = AttachPt {
        argsz: size::<AttachPt>(),
        pt_id: ioas.out_ioas_id,
        ..Default::default()
    };
    // SAFETY: It stays within `argsz` bytes.
    unsafe { with_struct(device, uapi::VFIO_DEVICE_ATTACH_IOMMUFD_PT, &mut attach) }.map(drop)
}

/// Version of the API of a legacy container.
pub(crate) fn container_version(container: BorrowedFd<'_>) -> io::Result<i32> {
    // SAFETY: It has no argument.
    unsafe { with_number(container, uapi::VFIO_GET_API_VERSION, 0) }
}

/// Whether all devices of a group belong to VFIO, so that the group can be used.
pub(crate) fn group_is_viable(group: BorrowedFd<'_>) -> io::Result<bool> {
    let mut status = GroupStatus {
        argsz: size::<GroupStatus>(),
        ..Default::default()
    };
    // SAFETY: It stays within `argsz` bytes.
    unsafe { with_struct(group, uapi::VFIO_GROUP_GET_STATUS, &mut status) }?;
    Ok(status.flags & uapi::VFIO_GROUP_FLAGS_VIABLE != 0)
}

/// Puts a group into a container, and gives that an IOMMU of type 1.
pub(crate) fn join(group: BorrowedFd<'_>, container: BorrowedFd<'_>) -> io::Result<()> {
    let mut number = container.as_raw_fd();
    // SAFETY: It reads one `int`.
    unsafe { with_struct(group, uapi::VFIO_GROUP_SET_CONTAINER, &mut number) }?;
    // SAFETY: Its argument is a number.
    unsafe { with_number(container, uapi::VFIO_SET_IOMMU, uapi::VFIO_TYPE1V2_IOMMU) }.map(drop)
}

/// Opens the device `name` of a group.
pub(crate) fn device_of_group(group: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let group = group.as_raw_fd();
    let name = name.to_bytes_with_nul().as_ptr();
    // SAFETY: It reads a string that ends with zero, which this is.
    let fd = check(unsafe { libc::ioctl(group, uapi::VFIO_GROUP_GET_DEVICE_FD.into(), name) })?;
    own(fd).ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
}
