// SPDX-License-Identifier: GPL-2.0

//! The PF and the VFs as PCI devices.

use crate::class::{VF, VF_TYPE};
use crate::ffi::{self, AccessSizes, Error, MemoryRegionOps, Object, ValidAccesses};
use crate::instance::{self, fail, Port};
use crate::machine::Card;
use connectx_firmware::{UAR_LAST, UAR_SIZE};
use core::ffi::{c_int, c_uint, c_void};
use core::ptr;
use std::sync::Arc;

/// 64 bits wide and prefetchable.
const BAR_KIND: u8 = 0x4 | 0x8;
const BAR_SIZE: u64 = (UAR_LAST as u64 + 1) * UAR_SIZE;

/// In configuration space.
const MSIX: u8 = 0x40;
const PCIE: u8 = 0x60;
const MSI: u8 = 0xa0;
const AER: u16 = 0x100;
const ARI: u16 = 0x150;
const SRIOV: u16 = 0x180;
/// A register of the PF, a byte wide, that is no capability: the option `fault`, as text.
const FAULT: u32 = 0xffc;
/// In the BAR, below the pages of doorbells.
const MSIX_TABLE: u32 = 0x4000;
const MSIX_PENDING: u32 = 0x6000;

static OPS: MemoryRegionOps = MemoryRegionOps {
    read,
    write,
    read_with_attrs: ptr::null(),
    write_with_attrs: ptr::null(),
    endianness: ffi::LITTLE_ENDIAN,
    valid: ValidAccesses {
        sizes: AccessSizes {
            min: 1,
            max: 8,
            unaligned: false,
        },
        accepts: ptr::null(),
    },
    implemented: AccessSizes {
        min: 1,
        max: 8,
        unaligned: false,
    },
};

fn port<'a>(opaque: *mut c_void) -> &'a Port {
    // SAFETY: It is the address that `build` gave to the region, which goes before the port does.
    unsafe { &*opaque.cast::<Port>() }
}

extern "C" fn read(opaque: *mut c_void, address: u64, size: c_uint) -> u64 {
    let port = port(opaque);
    port.card
        .enter(|nic| nic.read(port.number, address, size))
        .unwrap_or(u64::MAX)
}

extern "C" fn write(opaque: *mut c_void, address: u64, value: u64, size: c_uint) {
    let port = port(opaque);
    port.card
        .enter(|nic| nic.write(port.number, address, value, size));
}

/// Makes a function of the card of `device`: BAR, capabilities, vectors.
fn build(device: *mut Object, card: Arc<Card>, number: u16, errp: *mut *mut Error) -> bool {
    let vectors = card.vectors;
    let made = Port {
        card: card.clone(),
        number,
        region: Box::new([0; 128]),
    };
    let Some(port) = instance::set_port(device, made) else {
        fail(errp, "a device that was never made");
        return false;
    };
    let Some(region) = instance::region(device) else {
        return false;
    };
    // SAFETY: The region and the port stay until the device is freed, and the region goes before.
    unsafe {
        ffi::memory_region_init_io(
            region,
            device,
            &OPS,
            port.cast(),
            c"connectx".as_ptr(),
            BAR_SIZE,
        );
        ffi::pci_register_bar(device, 0, BAR_KIND, region);
    }
    // SAFETY: This is a PCI device that is being realized, and nothing lies at that offset.
    if unsafe { ffi::pcie_endpoint_cap_init(device, PCIE) } < 0 {
        fail(errp, "no room for the PCI Express capability");
        return false;
    }
    // SAFETY: The capability is there.
    unsafe { ffi::pcie_cap_flr_init(device) };
    // SAFETY: The region is large enough for table and pending bits.
    let status = unsafe {
        ffi::msix_init(
            device,
            vectors,
            region,
            0,
            MSIX_TABLE,
            region,
            0,
            MSIX_PENDING,
            MSIX,
            errp,
        )
    };
    if status != 0 {
        return false;
    }
    // SAFETY: Nothing lies at that offset.
    if card.msi && unsafe { ffi::msi_init(device, MSI, 1, true, false, errp) } != 0 {
        return false;
    }
    for vector in 0..vectors {
        // SAFETY: There are so many.
        unsafe { ffi::msix_vector_use(device, vector) };
    }
    // SAFETY: Nothing lies at these offsets.
    unsafe {
        if ffi::pcie_aer_init(device, 1, AER, 0x48, errp) < 0 {
            return false;
        }
        ffi::pcie_ari_init(device, ARI);
    }
    card.attach(number, device);
    true
}

fn unbuild(device: *mut Object) {
    let Some((card, number)) = instance::card(device) else {
        return;
    };
    card.detach(number);
    if let Some(region) = instance::region(device) {
        // SAFETY: `build` made what this takes away.
        unsafe {
            ffi::pcie_aer_exit(device);
            ffi::pcie_cap_exit(device);
            // Nothing happens where there is none.
            ffi::msi_uninit(device);
            ffi::msix_uninit(device, region, region);
        }
    }
}

pub(crate) extern "C" fn pf_realize(device: *mut Object, errp: *mut *mut Error) {
    let Some(options) = instance::options(device) else {
        return fail(errp, "a device that was never made");
    };
    let card = match Card::new(&options) {
        Ok(card) => card,
        Err(text) => return fail(errp, &text),
    };
    if !build(device, card, 0, errp) {
        return;
    }
    // SAFETY: The device is a PCI Express one; the VFs' type is registered. It realizes all of them.
    unsafe {
        let (count, first, stride) = (options.vfs, 1, 1);
        if ffi::pcie_sriov_pf_init(
            device,
            SRIOV,
            VF_TYPE.as_ptr(),
            VF,
            count,
            count,
            first,
            stride,
            errp,
        ) {
            ffi::pcie_sriov_pf_init_vf_bar(device, 0, BAR_KIND, BAR_SIZE);
        } else {
            unbuild(device);
        }
    }
}

pub(crate) extern "C" fn vf_realize(device: *mut Object, errp: *mut *mut Error) {
    // SAFETY: The device is a VF that is being realized.
    let (pf, number) = unsafe {
        (
            ffi::pcie_sriov_get_pf(device),
            ffi::pcie_sriov_vf_number(device),
        )
    };
    match instance::card(pf) {
        Some((card, _)) => {
            build(device, card, number + 1, errp);
        }
        None => fail(errp, "only a connectx-pf makes this device"),
    }
}

pub(crate) extern "C" fn pf_exit(device: *mut Object) {
    // SAFETY: The device is a PF; this takes its VFs away.
    unsafe { ffi::pcie_sriov_pf_exit(device) };
    unbuild(device);
}

pub(crate) extern "C" fn vf_exit(device: *mut Object) {
    unbuild(device);
}

pub(crate) extern "C" fn config_write(device: *mut Object, address: u32, value: u32, size: c_int) {
    // SAFETY: QEMU gives a PCI device and an access that lies in its configuration space.
    unsafe {
        ffi::pci_default_write_config(device, address, value, size);
        ffi::pcie_cap_flr_write_config(device, address, value, size);
    }
    if address == FAULT && instance::card(device).is_some_and(|(_, number)| number == 0) {
        instance::write_fault(device, value as u8);
    }
}

pub(crate) extern "C" fn pf_reset(device: *mut Object) {
    // SAFETY: The device is a PF.
    unsafe { ffi::pcie_sriov_pf_reset(device) };
    vf_reset(device);
}

pub(crate) extern "C" fn vf_reset(device: *mut Object) {
    if let Some((card, number)) = instance::card(device) {
        card.enter(|nic| nic.reset(number));
    }
}
