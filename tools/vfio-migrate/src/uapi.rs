// SPDX-License-Identifier: GPL-2.0

//! What `include/uapi/linux/vfio.h` and `include/uapi/linux/iommufd.h` define, as far as this
//! program needs it: numbers of ioctls, and the layouts of what they take.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `_IO(VFIO_TYPE, number)`; IOMMUFD has the same type. No ioctl of either has a size in its number.
const fn io(number: u32) -> u32 {
    ((b';' as u32) << 8) | number
}

pub(crate) const VFIO_GET_API_VERSION: u32 = io(100);
pub(crate) const VFIO_SET_IOMMU: u32 = io(102);
pub(crate) const VFIO_GROUP_GET_STATUS: u32 = io(103);
pub(crate) const VFIO_GROUP_SET_CONTAINER: u32 = io(104);
pub(crate) const VFIO_GROUP_GET_DEVICE_FD: u32 = io(106);
pub(crate) const VFIO_DEVICE_GET_INFO: u32 = io(107);
pub(crate) const VFIO_DEVICE_RESET: u32 = io(111);
pub(crate) const VFIO_DEVICE_FEATURE: u32 = io(117);
pub(crate) const VFIO_DEVICE_BIND_IOMMUFD: u32 = io(118);
pub(crate) const VFIO_DEVICE_ATTACH_IOMMUFD_PT: u32 = io(119);
pub(crate) const VFIO_MIG_GET_PRECOPY_INFO: u32 = io(121);
pub(crate) const IOMMU_IOAS_ALLOC: u32 = io(0x81);

pub(crate) const VFIO_TYPE1V2_IOMMU: u32 = 3;
pub(crate) const VFIO_GROUP_FLAGS_VIABLE: u32 = 1 << 0;

pub(crate) const FEATURE_GET: u32 = 1 << 16;
pub(crate) const FEATURE_SET: u32 = 1 << 17;
pub(crate) const FEATURE_PROBE: u32 = 1 << 18;

pub(crate) const FEATURE_MIGRATION: u32 = 1;
pub(crate) const FEATURE_MIG_DEVICE_STATE: u32 = 2;
pub(crate) const FEATURE_DMA_LOGGING_START: u32 = 6;
pub(crate) const FEATURE_MIG_DATA_SIZE: u32 = 9;
pub(crate) const FEATURE_MIG_PRECOPY_INFO_V2: u32 = 12;

pub(crate) const PRECOPY_INFO_REINIT: u32 = 1 << 0;

/// `struct vfio_device_feature` with its payload.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes)]
#[repr(C, packed)]
pub(crate) struct Feature<T> {
    pub(crate) argsz: u32,
    pub(crate) flags: u32,
    pub(crate) data: T,
}

/// `struct vfio_device_feature_mig_state`.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
pub(crate) struct MigState {
    pub(crate) device_state: u32,
    pub(crate) data_fd: i32,
}

/// `struct vfio_precopy_info`.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
pub(crate) struct PrecopyInfo {
    pub(crate) argsz: u32,
    pub(crate) flags: u32,
    pub(crate) initial_bytes: u64,
    pub(crate) dirty_bytes: u64,
}

/// `struct vfio_device_info`, up to the fields of the first version.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
pub(crate) struct DeviceInfo {
    pub(crate) argsz: u32,
    pub(crate) flags: u32,
    pub(crate) num_regions: u32,
    pub(crate) num_irqs: u32,
}

/// `struct vfio_group_status`.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
pub(crate) struct GroupStatus {
    pub(crate) argsz: u32,
    pub(crate) flags: u32,
}

/// `struct vfio_device_bind_iommufd`, without the token.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
pub(crate) struct BindIommufd {
    pub(crate) argsz: u32,
    pub(crate) flags: u32,
    pub(crate) iommufd: i32,
    pub(crate) out_devid: u32,
}

/// `struct vfio_device_attach_iommufd_pt`.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
pub(crate) struct AttachPt {
    pub(crate) argsz: u32,
    pub(crate) flags: u32,
    pub(crate) pt_id: u32,
}

/// `struct iommu_ioas_alloc`.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
pub(crate) struct IoasAlloc {
    pub(crate) size: u32,
    pub(crate) flags: u32,
    pub(crate) out_ioas_id: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_header() {
        assert_eq!(size_of::<Feature<MigState>>(), 16);
        assert_eq!(size_of::<Feature<u64>>(), 16);
        assert_eq!(size_of::<PrecopyInfo>(), 24);
        assert_eq!(size_of::<DeviceInfo>(), 16);
        assert_eq!(size_of::<BindIommufd>(), 16);
        assert_eq!(size_of::<AttachPt>(), 12);
        assert_eq!(size_of::<IoasAlloc>(), 12);
    }

    #[test]
    fn numbers_are_those_of_the_header() {
        assert_eq!(VFIO_DEVICE_FEATURE, 0x3b75);
        assert_eq!(VFIO_MIG_GET_PRECOPY_INFO, 0x3b79);
        assert_eq!(IOMMU_IOAS_ALLOC, 0x3b81);
    }
}
