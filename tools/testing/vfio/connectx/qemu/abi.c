// SPDX-License-Identifier: GPL-2.0
/*
 * Compiles only if QEMU's headers declare what src/ffi.rs assumes. The types of pointers to QEMU's
 * own structures are QEMU's here and opaque there.
 */
#include "qemu/osdep.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci_device.h"
#include "hw/pci/pcie_sriov.h"
#include "qapi/error.h"
#include "qapi/qapi-builtin-visit.h"
#include "qapi/qapi-commands-control.h"
#include "qapi/visitor.h"
#include "qemu/timer.h"

#define FUNCTION(name, result, ...) \
	_Static_assert(__builtin_types_compatible_p(__typeof__(name), result(__VA_ARGS__)), #name)
#define MEMBER(type, member, at) \
	_Static_assert(offsetof(type, member) == (at), #type "." #member)
/* From the first member of a class that is its own. */
#define OWN(member, at) MEMBER(PCIDeviceClass, member, offsetof(PCIDeviceClass, realize) + (at))
#define VALUE(name, value) _Static_assert((name) == (value), #name)

FUNCTION(qmp_query_version, VersionInfo *, Error **);
FUNCTION(qapi_free_VersionInfo, void, VersionInfo *);

FUNCTION(type_register_static, Type, const TypeInfo *);
FUNCTION(object_class_by_name, ObjectClass *, const char *);
FUNCTION(object_class_property_add, ObjectProperty *, ObjectClass *, const char *, const char *,
	 ObjectPropertyAccessor *, ObjectPropertyAccessor *, ObjectPropertyRelease *, void *);
FUNCTION(object_class_property_set_description, void, ObjectClass *, const char *, const char *);
FUNCTION(device_class_set_legacy_reset, void, DeviceClass *, DeviceReset);
FUNCTION(visit_type_str, bool, Visitor *, const char *, char **, Error **);
FUNCTION(error_setg_internal, void, Error **, const char *, int, const char *, const char *, ...);

FUNCTION(memory_region_init_io, void, MemoryRegion *, Object *, const MemoryRegionOps *, void *,
	 const char *, uint64_t);
FUNCTION(pci_register_bar, void, PCIDevice *, int, uint8_t, MemoryRegion *);
FUNCTION(pci_default_read_config, uint32_t, PCIDevice *, uint32_t, int);
FUNCTION(pci_default_write_config, void, PCIDevice *, uint32_t, uint32_t, int);
FUNCTION(pci_device_iommu_address_space, AddressSpace *, PCIDevice *);
FUNCTION(address_space_rw, MemTxResult, AddressSpace *, hwaddr, MemTxAttrs, void *, hwaddr, bool);

FUNCTION(pcie_endpoint_cap_init, int, PCIDevice *, uint8_t);
FUNCTION(pcie_cap_exit, void, PCIDevice *);
FUNCTION(pcie_cap_flr_init, void, PCIDevice *);
FUNCTION(pcie_cap_flr_write_config, void, PCIDevice *, uint32_t, uint32_t, int);
FUNCTION(pcie_aer_init, int, PCIDevice *, uint8_t, uint16_t, uint16_t, Error **);
FUNCTION(pcie_aer_exit, void, PCIDevice *);
FUNCTION(pcie_ari_init, void, PCIDevice *, uint16_t);
FUNCTION(pcie_sriov_pf_init, bool, PCIDevice *, uint16_t, const char *, uint16_t, uint16_t,
	 uint16_t, uint16_t, uint16_t, Error **);
FUNCTION(pcie_sriov_pf_init_vf_bar, void, PCIDevice *, int, uint8_t, dma_addr_t);
FUNCTION(pcie_sriov_pf_exit, void, PCIDevice *);
FUNCTION(pcie_sriov_pf_reset, void, PCIDevice *);
FUNCTION(pcie_sriov_get_pf, PCIDevice *, PCIDevice *);
FUNCTION(pcie_sriov_vf_number, uint16_t, PCIDevice *);

FUNCTION(msix_init, int, PCIDevice *, uint32_t, MemoryRegion *, uint8_t, unsigned int,
	 MemoryRegion *, uint8_t, unsigned int, uint8_t, Error **);
FUNCTION(msix_uninit, void, PCIDevice *, MemoryRegion *, MemoryRegion *);
FUNCTION(msi_init, int, PCIDevice *, uint8_t, unsigned int, bool, bool, Error **);
FUNCTION(msi_uninit, void, PCIDevice *);
FUNCTION(msix_vector_use, void, PCIDevice *, unsigned int);
FUNCTION(msix_notify, void, PCIDevice *, unsigned int);

FUNCTION(qemu_clock_get_ns, int64_t, QEMUClockType);
FUNCTION(timer_init_full, void, QEMUTimer *, QEMUTimerListGroup *, QEMUClockType, int, int,
	 QEMUTimerCB *, void *);
FUNCTION(timer_mod, void, QEMUTimer *, int64_t);
FUNCTION(timer_del, void, QEMUTimer *);

_Static_assert(sizeof(TypeInfo) == 104, "TypeInfo");
MEMBER(TypeInfo, parent, 8);
MEMBER(TypeInfo, instance_size, 16);
MEMBER(TypeInfo, instance_align, 24);
MEMBER(TypeInfo, instance_init, 32);
MEMBER(TypeInfo, instance_post_init, 40);
MEMBER(TypeInfo, instance_finalize, 48);
MEMBER(TypeInfo, abstract, 56);
MEMBER(TypeInfo, class_size, 64);
MEMBER(TypeInfo, class_init, 72);
MEMBER(TypeInfo, class_base_init, 80);
MEMBER(TypeInfo, class_data, 88);
MEMBER(TypeInfo, interfaces, 96);
_Static_assert(sizeof(InterfaceInfo) == 8, "InterfaceInfo");

MEMBER(MemoryRegionOps, read, 0);
MEMBER(MemoryRegionOps, write, 8);
MEMBER(MemoryRegionOps, read_with_attrs, 16);
MEMBER(MemoryRegionOps, write_with_attrs, 24);
MEMBER(MemoryRegionOps, endianness, 32);
MEMBER(MemoryRegionOps, valid, 40);
MEMBER(MemoryRegionOps, valid.max_access_size, 44);
MEMBER(MemoryRegionOps, valid.unaligned, 48);
MEMBER(MemoryRegionOps, valid.accepts, 56);
MEMBER(MemoryRegionOps, impl, 64);
MEMBER(MemoryRegionOps, impl.max_access_size, 68);
MEMBER(MemoryRegionOps, impl.unaligned, 72);

OWN(exit, 8);
OWN(config_read, 16);
OWN(config_write, 24);
OWN(vendor_id, 32);
OWN(device_id, 34);
OWN(revision, 36);
OWN(class_id, 38);

MEMBER(VersionInfo, qemu, 0);
MEMBER(VersionTriple, major, 0);
MEMBER(VersionTriple, minor, 8);

/* What is kept for QEMU has room for it. */
_Static_assert(sizeof(MemoryRegion) <= 1024 && _Alignof(MemoryRegion) <= 8, "MemoryRegion");
_Static_assert(sizeof(QEMUTimer) <= 256 && _Alignof(QEMUTimer) <= 8, "QEMUTimer");

/* It is passed as the integer that has the same bytes. */
_Static_assert(sizeof(MemTxAttrs) == 8, "MemTxAttrs");
MEMBER(MemTxAttrs, unspecified, 4);
VALUE(DEVICE_LITTLE_ENDIAN, 2);
VALUE(QEMU_CLOCK_VIRTUAL, 1);
VALUE(SCALE_NS, 1);
VALUE(PCI_COMMAND_MASTER, 4);
