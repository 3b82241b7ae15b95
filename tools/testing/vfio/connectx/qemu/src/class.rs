// SPDX-License-Identifier: GPL-2.0

//! The two types of device, and their properties.

use crate::device;
use crate::ffi::{self, InterfaceInfo, ObjectClass, PciDeviceClass, TypeInfo};
use crate::instance;
use connectx_firmware::OPTIONS;
use core::ffi::{c_void, CStr};
use core::ptr;
use std::ffi::CString;
use std::sync::OnceLock;

const VENDOR: u16 = 0x15b3;
/// ConnectX-6 Dx.
const PF: u16 = 0x101d;
/// The VF of all cards of that family; the stock variant driver knows this one only.
pub(crate) const VF: u16 = 0x101e;
const ETHERNET: u16 = 0x0200;

pub(crate) const VF_TYPE: &CStr = c"connectx-vf";

static INTERFACES: [InterfaceInfo; 2] = [
    InterfaceInfo {
        r#type: c"pci-express-device".as_ptr(),
    },
    InterfaceInfo {
        r#type: ptr::null(),
    },
];

const fn device_type(
    name: &'static CStr,
    init: extern "C" fn(*mut ObjectClass, *mut c_void),
) -> TypeInfo {
    TypeInfo {
        name: name.as_ptr(),
        parent: c"pci-device".as_ptr(),
        // Zero is the size of the parent. What is ours is kept elsewhere.
        instance_size: 0,
        instance_align: 0,
        instance_init: Some(instance::init),
        instance_post_init: None,
        instance_finalize: Some(instance::finalize),
        r#abstract: false,
        class_size: 0,
        class_init: Some(init),
        class_base_init: None,
        class_data: ptr::null_mut(),
        interfaces: INTERFACES.as_ptr(),
    }
}

static PF_INFO: TypeInfo = device_type(c"connectx-pf", pf_class);
static VF_INFO: TypeInfo = device_type(VF_TYPE, vf_class);

/// Where the members of `PCIDeviceClass` of its own begin.
static OWN_MEMBERS: OnceLock<usize> = OnceLock::new();

/// Registers both types, if this QEMU is what it is taken for.
pub(crate) fn register() -> Result<(), &'static str> {
    let offset =
        find_own_members().ok_or("QEMU's class of PCI devices is not what it was: not loaded")?;
    OWN_MEMBERS.get_or_init(|| offset);
    for info in [&PF_INFO, &VF_INFO] {
        // SAFETY: It is static, as are all that it points to.
        unsafe { ffi::type_register_static(info) };
    }
    Ok(())
}

/// Three devices of QEMU whose ids are those of real hardware: there must be one place in their
/// classes, and only one, where all three have them.
fn find_own_members() -> Option<usize> {
    const KNOWN: [(&CStr, u16, u16, u16); 3] = [
        (c"igb", 0x8086, 0x10c9, 0x0200),
        (c"e1000e", 0x8086, 0x10d3, 0x0200),
        (c"edu", 0x1234, 0x11e8, 0x00ff),
    ];
    let mut classes = Vec::new();
    for (name, vendor, device, class) in KNOWN {
        // SAFETY: The name is a string of C.
        let object = unsafe { ffi::object_class_by_name(name.as_ptr()) };
        if object.is_null() {
            return None;
        }
        classes.push((object, (vendor, device, class)));
    }
    // A class begins with ObjectClass and DeviceClass, some hundred bytes; it is longer than this.
    let mut found = (64..384)
        .step_by(align_of::<PciDeviceClass>())
        .filter(|&offset| {
            classes.iter().all(|&(object, ids)| {
                // SAFETY: The class of a PCI device has more bytes than are looked at.
                let class = unsafe { &*object.byte_add(offset).cast::<PciDeviceClass>() };
                (class.vendor_id, class.device_id, class.class_id) == ids
            })
        });
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Sets what both types have.
fn common(
    class: *mut ObjectClass,
    id: u16,
    realize: ffi::Realize,
    exit: ffi::Exit,
    reset: ffi::Exit,
) {
    let Some(offset) = OWN_MEMBERS.get() else {
        unreachable!("the types are registered when the place is known");
    };
    // SAFETY: This is a class of a PCI device, which nobody else uses yet; see `find_own_members`.
    let pci = unsafe { &mut *class.byte_add(*offset).cast::<PciDeviceClass>() };
    pci.realize = Some(realize);
    pci.exit = Some(exit);
    pci.config_write = Some(device::config_write);
    pci.vendor_id = VENDOR;
    pci.device_id = id;
    pci.class_id = ETHERNET;
    // SAFETY: The class is one of a device, and the function stays.
    unsafe { ffi::device_class_set_legacy_reset(class, reset) };
}

extern "C" fn vf_class(class: *mut ObjectClass, _data: *mut c_void) {
    common(
        class,
        VF,
        device::vf_realize,
        device::vf_exit,
        device::vf_reset,
    );
}

extern "C" fn pf_class(class: *mut ObjectClass, _data: *mut c_void) {
    common(
        class,
        PF,
        device::pf_realize,
        device::pf_exit,
        device::pf_reset,
    );
    let firmware = OPTIONS.iter().map(|choice| (choice.name, choice.help));
    for (name, help) in instance::OPTIONS.iter().copied().chain(firmware) {
        let (Ok(name), Ok(help)) = (CString::new(name), CString::new(help)) else {
            continue;
        };
        // SAFETY: The strings are copied; the accessors stay.
        unsafe {
            ffi::object_class_property_add(
                class,
                name.as_ptr(),
                c"str".as_ptr(),
                Some(instance::get),
                Some(instance::set),
                ptr::null(),
                ptr::null_mut(),
            );
            ffi::object_class_property_set_description(class, name.as_ptr(), help.as_ptr());
        }
    }
}
