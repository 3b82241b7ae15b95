// SPDX-License-Identifier: GPL-2.0

//! What QEMU is assumed to export, and the layouts it is assumed to have.

#![allow(non_snake_case)]

use core::ffi::{c_char, c_int, c_uint, c_void};

/// A type of QEMU's of which nothing is known here.
macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[repr(C)]
        pub(crate) struct $name {
            _private: [u8; 0],
        }
    )*};
}

opaque! {
    /// An object: every device is one.
    Object
    /// Its class.
    ObjectClass
    /// Reads or writes a property.
    Visitor
    /// An error.
    Error
    /// A range of addresses that a device answers.
    MemoryRegion
    /// What a device can reach by DMA.
    AddressSpace
    /// A timer.
    QEMUTimer
    /// What a type or property is known by.
    Handle
}

pub(crate) type Realize = extern "C" fn(*mut Object, *mut *mut Error);
pub(crate) type Exit = extern "C" fn(*mut Object);
pub(crate) type ConfigWrite = extern "C" fn(*mut Object, u32, u32, c_int);
pub(crate) type Accessor =
    extern "C" fn(*mut Object, *mut Visitor, *const c_char, *mut c_void, *mut *mut Error);

#[repr(C)]
pub(crate) struct InterfaceInfo {
    pub(crate) r#type: *const c_char,
}

#[repr(C)]
pub(crate) struct TypeInfo {
    pub(crate) name: *const c_char,
    pub(crate) parent: *const c_char,
    pub(crate) instance_size: usize,
    pub(crate) instance_align: usize,
    pub(crate) instance_init: Option<extern "C" fn(*mut Object)>,
    pub(crate) instance_post_init: Option<extern "C" fn(*mut Object)>,
    pub(crate) instance_finalize: Option<extern "C" fn(*mut Object)>,
    pub(crate) r#abstract: bool,
    pub(crate) class_size: usize,
    pub(crate) class_init: Option<extern "C" fn(*mut ObjectClass, *mut c_void)>,
    pub(crate) class_base_init: Option<extern "C" fn(*mut ObjectClass, *mut c_void)>,
    pub(crate) class_data: *mut c_void,
    pub(crate) interfaces: *const InterfaceInfo,
}

/// `struct MemoryRegionOps`
#[repr(C)]
pub(crate) struct MemoryRegionOps {
    pub(crate) read: extern "C" fn(*mut c_void, u64, c_uint) -> u64,
    pub(crate) write: extern "C" fn(*mut c_void, u64, u64, c_uint),
    pub(crate) read_with_attrs: *const c_void,
    pub(crate) write_with_attrs: *const c_void,
    pub(crate) endianness: c_int,
    pub(crate) valid: ValidAccesses,
    pub(crate) implemented: AccessSizes,
}

#[repr(C)]
pub(crate) struct ValidAccesses {
    pub(crate) sizes: AccessSizes,
    pub(crate) accepts: *const c_void,
}

#[repr(C)]
pub(crate) struct AccessSizes {
    pub(crate) min: c_uint,
    pub(crate) max: c_uint,
    pub(crate) unaligned: bool,
}

// What a compiler has to say to it: the pointer in `ValidAccesses` aligns it.
const _: () = assert!(core::mem::offset_of!(MemoryRegionOps, valid) == 40);
const _: () = assert!(core::mem::offset_of!(MemoryRegionOps, implemented) == 64);

// SAFETY: They are written here once and never again; the pointers are to what is static.
unsafe impl Sync for MemoryRegionOps {}
// SAFETY: The same.
unsafe impl Sync for TypeInfo {}
// SAFETY: The same.
unsafe impl Sync for InterfaceInfo {}

/// `DEVICE_LITTLE_ENDIAN`
pub(crate) const LITTLE_ENDIAN: c_int = 2;

/// The members of `PCIDeviceClass` that are its own, as far as they are needed.
#[repr(C)]
pub(crate) struct PciDeviceClass {
    pub(crate) realize: Option<Realize>,
    pub(crate) exit: Option<Exit>,
    pub(crate) config_read: *const c_void,
    pub(crate) config_write: Option<ConfigWrite>,
    pub(crate) vendor_id: u16,
    pub(crate) device_id: u16,
    pub(crate) revision: u8,
    pub(crate) class_id: u16,
}

#[repr(C)]
pub(crate) struct VersionTriple {
    pub(crate) major: i64,
    pub(crate) minor: i64,
    pub(crate) micro: i64,
}

#[repr(C)]
pub(crate) struct VersionInfo {
    pub(crate) qemu: *mut VersionTriple,
    pub(crate) package: *mut c_char,
}

/// `MEMTXATTRS_UNSPECIFIED`, as the integer that it is passed as.
pub(crate) const ATTRS_UNSPECIFIED: u64 = 1 << 32;
/// `QEMU_CLOCK_VIRTUAL`
pub(crate) const CLOCK_VIRTUAL: c_int = 1;
/// `SCALE_NS`
pub(crate) const SCALE_NS: c_int = 1;

extern "C" {
    pub(crate) fn qmp_query_version(errp: *mut *mut Error) -> *mut VersionInfo;
    pub(crate) fn qapi_free_VersionInfo(info: *mut VersionInfo);

    pub(crate) fn type_register_static(info: *const TypeInfo) -> *mut Handle;
    pub(crate) fn object_class_by_name(name: *const c_char) -> *mut ObjectClass;
    pub(crate) fn object_class_property_add(
        class: *mut ObjectClass,
        name: *const c_char,
        kind: *const c_char,
        get: Option<Accessor>,
        set: Option<Accessor>,
        release: *const c_void,
        opaque: *mut c_void,
    ) -> *mut Handle;
    pub(crate) fn object_class_property_set_description(
        class: *mut ObjectClass,
        name: *const c_char,
        description: *const c_char,
    );
    pub(crate) fn device_class_set_legacy_reset(class: *mut ObjectClass, reset: Exit);
    pub(crate) fn visit_type_str(
        visitor: *mut Visitor,
        name: *const c_char,
        text: *mut *mut c_char,
        errp: *mut *mut Error,
    ) -> bool;
    pub(crate) fn error_setg_internal(
        errp: *mut *mut Error,
        file: *const c_char,
        line: c_int,
        function: *const c_char,
        format: *const c_char,
        ...
    );

    pub(crate) fn memory_region_init_io(
        region: *mut MemoryRegion,
        owner: *mut Object,
        ops: *const MemoryRegionOps,
        opaque: *mut c_void,
        name: *const c_char,
        size: u64,
    );
    pub(crate) fn pci_register_bar(
        device: *mut Object,
        number: c_int,
        kind: u8,
        region: *mut MemoryRegion,
    );
    pub(crate) fn pci_default_read_config(device: *mut Object, address: u32, size: c_int) -> u32;
    pub(crate) fn pci_default_write_config(
        device: *mut Object,
        address: u32,
        value: u32,
        size: c_int,
    );
    pub(crate) fn pci_device_iommu_address_space(device: *mut Object) -> *mut AddressSpace;
    pub(crate) fn address_space_rw(
        space: *mut AddressSpace,
        address: u64,
        attrs: u64,
        data: *mut c_void,
        length: u64,
        write: bool,
    ) -> u32;

    pub(crate) fn pcie_endpoint_cap_init(device: *mut Object, offset: u8) -> c_int;
    pub(crate) fn pcie_cap_exit(device: *mut Object);
    pub(crate) fn pcie_cap_flr_init(device: *mut Object);
    pub(crate) fn pcie_cap_flr_write_config(
        device: *mut Object,
        address: u32,
        value: u32,
        size: c_int,
    );
    pub(crate) fn pcie_aer_init(
        device: *mut Object,
        version: u8,
        offset: u16,
        size: u16,
        errp: *mut *mut Error,
    ) -> c_int;
    pub(crate) fn pcie_aer_exit(device: *mut Object);
    pub(crate) fn pcie_ari_init(device: *mut Object, offset: u16);
    pub(crate) fn pcie_sriov_pf_init(
        device: *mut Object,
        offset: u16,
        vf: *const c_char,
        vf_id: u16,
        initial: u16,
        total: u16,
        first: u16,
        stride: u16,
        errp: *mut *mut Error,
    ) -> bool;
    pub(crate) fn pcie_sriov_pf_init_vf_bar(
        device: *mut Object,
        number: c_int,
        kind: u8,
        size: u64,
    );
    pub(crate) fn pcie_sriov_pf_exit(device: *mut Object);
    pub(crate) fn pcie_sriov_pf_reset(device: *mut Object);
    pub(crate) fn pcie_sriov_get_pf(device: *mut Object) -> *mut Object;
    pub(crate) fn pcie_sriov_vf_number(device: *mut Object) -> u16;

    pub(crate) fn msix_init(
        device: *mut Object,
        vectors: c_uint,
        table: *mut MemoryRegion,
        table_bar: u8,
        table_offset: c_uint,
        pending: *mut MemoryRegion,
        pending_bar: u8,
        pending_offset: c_uint,
        capability: u8,
        errp: *mut *mut Error,
    ) -> c_int;
    pub(crate) fn msix_uninit(
        device: *mut Object,
        table: *mut MemoryRegion,
        pending: *mut MemoryRegion,
    );
    pub(crate) fn msi_init(
        device: *mut Object,
        offset: u8,
        vectors: c_uint,
        wide: bool,
        mask: bool,
        errp: *mut *mut Error,
    ) -> c_int;
    pub(crate) fn msi_uninit(device: *mut Object);
    pub(crate) fn msix_vector_use(device: *mut Object, vector: c_uint);
    pub(crate) fn msix_notify(device: *mut Object, vector: c_uint);

    pub(crate) fn qemu_clock_get_ns(clock: c_int) -> i64;
    pub(crate) fn timer_init_full(
        timer: *mut QEMUTimer,
        group: *mut c_void,
        clock: c_int,
        scale: c_int,
        attributes: c_int,
        callback: extern "C" fn(*mut c_void),
        opaque: *mut c_void,
    );
    pub(crate) fn timer_mod(timer: *mut QEMUTimer, time: i64);
    pub(crate) fn timer_del(timer: *mut QEMUTimer);

    /// Of GLib, which QEMU has.
    pub(crate) fn g_free(memory: *mut c_void);
}
