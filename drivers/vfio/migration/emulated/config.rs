// SPDX-License-Identifier: GPL-2.0

//! The PCI configuration space of the emulated device.
//!
//! Follows the PCI Local Bus Specification 3.0, type 0 header and MSI-X capability. Uses `core::`
//! only.

/// Bytes of the configuration space.
pub(crate) const SIZE: usize = 256;

/// Red Hat, Inc., who reserve the devices 0x10f0 to 0x10ff for experiments (QEMU's
/// `docs/specs/pci-ids.rst`).
const VENDOR: u16 = 0x1af4;
const DEVICE: u16 = 0x10f4;
/// Base system peripheral, other.
const CLASS: u8 = 0x08;
const SUBCLASS: u8 = 0x80;

const COMMAND: usize = 0x04;
const BAR0: usize = 0x10;
const BAR2: usize = 0x18;
const BAR3: usize = 0x1c;
const CAP_MSIX: usize = 0x40;
const MSIX_CONTROL: usize = CAP_MSIX + 2;

/// I/O and memory decoding are not modelled, yet the bits can be set, as in any device.
const COMMAND_WRITABLE: u16 = 0x0547;
const STATUS_CAP_LIST: u16 = 0x0010;
const BAR_64BIT_PREFETCHABLE: u32 = 0xc;
const MSIX_ENABLE_MASK: u16 = 0xc000;

/// The configuration space: what is read, and which bits can be written.
pub(crate) struct Config {
    bytes: [u8; SIZE],
    writable: [u8; SIZE],
}

/// Where MSI-X has its structures in BAR0, and how many vectors.
pub(crate) struct Msix {
    pub(crate) vectors: u16,
    pub(crate) table: u32,
    pub(crate) pba: u32,
}

impl Config {
    /// The configuration after a reset, for BARs of these sizes, both powers of two.
    pub(crate) fn new(bar0: u64, bar2: u64, msix: &Msix) -> Self {
        let mut this = Self {
            bytes: [0; SIZE],
            writable: [0; SIZE],
        };
        this.put(0x00, VENDOR.to_le_bytes());
        this.put(0x02, DEVICE.to_le_bytes());
        this.put(0x06, STATUS_CAP_LIST.to_le_bytes());
        this.put(0x08, [1, 0, SUBCLASS, CLASS]);
        this.put(BAR2, BAR_64BIT_PREFETCHABLE.to_le_bytes());
        this.put(0x2c, VENDOR.to_le_bytes());
        this.put(0x2e, DEVICE.to_le_bytes());
        // CAST: An offset in 256 bytes.
        this.put(0x34, [CAP_MSIX as u8]);
        this.put(CAP_MSIX, [0x11, 0]);
        this.put(MSIX_CONTROL, (msix.vectors - 1).to_le_bytes());
        this.put(CAP_MSIX + 4, msix.table.to_le_bytes());
        this.put(CAP_MSIX + 8, msix.pba.to_le_bytes());

        let address = |size: u64| !(size - 1);
        this.allow(COMMAND, COMMAND_WRITABLE.to_le_bytes());
        // Interrupt line: scratch for the firmware.
        this.allow(0x3c, [0xff]);
        // CAST: The register has the low half of the address.
        this.allow(BAR0, ((address(bar0) as u32) & !0xf).to_le_bytes());
        this.allow(BAR2, ((address(bar2) as u32) & !0xf).to_le_bytes());
        this.allow(BAR3, ((address(bar2) >> 32) as u32).to_le_bytes());
        this.allow(MSIX_CONTROL, MSIX_ENABLE_MASK.to_le_bytes());
        this
    }

    fn put<const N: usize>(&mut self, at: usize, value: [u8; N]) {
        self.bytes[at..at + N].copy_from_slice(&value);
    }

    fn allow<const N: usize>(&mut self, at: usize, mask: [u8; N]) {
        self.writable[at..at + N].copy_from_slice(&mask);
    }

    /// Copies from `offset` on; false if that is not inside.
    pub(crate) fn read(&self, offset: usize, out: &mut [u8]) -> bool {
        let range = offset..offset.saturating_add(out.len());
        match self.bytes.get(range) {
            Some(bytes) => {
                out.copy_from_slice(bytes);
                true
            }
            None => false,
        }
    }

    /// Changes the bits that can be written, from `offset` on; false if that is not inside.
    pub(crate) fn write(&mut self, offset: usize, data: &[u8]) -> bool {
        let range = offset..offset.saturating_add(data.len());
        let (Some(bytes), Some(writable)) =
            (self.bytes.get_mut(range.clone()), self.writable.get(range))
        else {
            return false;
        };
        for ((byte, mask), new) in bytes.iter_mut().zip(writable).zip(data) {
            *byte = (*byte & !mask) | (new & mask);
        }
        true
    }

    /// All of it, for the image of the device.
    pub(crate) fn bytes(&self) -> &[u8; SIZE] {
        &self.bytes
    }

    /// Whether `image` is a configuration that this device can have: it differs only in bits that
    /// can be written.
    pub(crate) fn accepts(&self, image: &[u8; SIZE]) -> bool {
        let pairs = self.bytes.iter().zip(image);
        pairs
            .zip(&self.writable)
            .all(|((ours, theirs), mask)| (ours ^ theirs) & !mask == 0)
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    not(test),
    ::kernel::macros::kunit_tests(rust_vfio_migration_emulated_config)
)]
mod tests {
    use super::*;

    const MSIX: Msix = Msix {
        vectors: 8,
        table: 0x800,
        pba: 0xc00,
    };

    fn bar_mask(config: &mut Config, at: usize) -> u32 {
        config.write(at, &[0xff; 4]);
        let mut out = [0; 4];
        config.read(at, &mut out);
        u32::from_le_bytes(out)
    }

    #[test]
    fn bars_tell_their_sizes() {
        for shift in 12..=32 {
            let mut config = Config::new(4096, 1 << shift, &MSIX);
            assert_eq!(bar_mask(&mut config, BAR0), 0xffff_f000);
            let low = u64::from(bar_mask(&mut config, BAR2));
            let high = u64::from(bar_mask(&mut config, BAR3));
            assert_eq!(low & 0xf, 0xc);
            assert_eq!(!((high << 32 | low) & !0xf) + 1, 1 << shift);
        }
    }

    #[test]
    fn what_is_fixed_stays() {
        let mut config = Config::new(4096, 1 << 20, &MSIX);
        assert!(config.write(0, &[0xff; SIZE]));
        assert!(!config.write(1, &[0xff; SIZE]));
        assert!(!config.write(usize::MAX, &[0]));
        let mut out = [0; 4];
        assert!(config.read(0, &mut out));
        assert_eq!(out, [0xf4, 0x1a, 0xf4, 0x10]);
        assert!(config.read(MSIX_CONTROL, &mut out[..2]));
        assert_eq!(out[..2], [0x07, 0xc0]);
    }

    #[test]
    fn an_image_differs_only_where_it_may() {
        let config = Config::new(4096, 1 << 20, &MSIX);
        let mut image = *config.bytes();
        image[COMMAND] = 6;
        assert!(config.accepts(&image));
        image[0] ^= 1;
        assert!(!config.accepts(&image));
    }
}
