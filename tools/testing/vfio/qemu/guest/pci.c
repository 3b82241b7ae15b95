// SPDX-License-Identifier: GPL-2.0
/* Devices on PCI bus 0, which QEMU's firmware has given addresses. */
#include "pc.h"
#include "pci.h"

#define ID			0x00
#define COMMAND			0x04
#define COMMAND_MEMORY		2
#define COMMAND_MASTER		4
#define BAR_0			0x10
#define BAR_64			4
#define CAPABILITY_LIST		0x34
#define CAP_MSIX		0x11
#define MSIX_ENABLE		0x80000000
#define MSIX_TABLE		4
#define MSIX_TABLE_BAR		7
#define MSIX_ENTRY		4	/* words */

unsigned int pci_find(unsigned int vendor, unsigned int device, unsigned int slot)
{
	while (slot < PCI_SLOTS && pci_read(slot, ID) != (device << 16 | vendor))
		slot++;
	return slot;
}

void pci_start(unsigned int slot)
{
	pci_write(slot, COMMAND, COMMAND_MEMORY | COMMAND_MASTER);
}

void *pci_bar(unsigned int slot, unsigned int number)
{
	__u32 low = pci_read(slot, BAR_0 + number * 4);
	__u64 high = low & BAR_64 ? pci_read(slot, BAR_0 + number * 4 + 4) : 0;

	if (!(low & ~0xf) && !high)
		fail("BAR%u of slot %u has no address", number, slot);
	return (void *)(high << 32 | (low & ~0xf));
}

unsigned int pci_start_msix(unsigned int slot, unsigned int first, unsigned int count)
{
	unsigned int cap, there, place, i;
	__u32 *entry;

	cap = pci_read(slot, CAPABILITY_LIST) & 0xff;
	while (cap && (pci_read(slot, cap) & 0xff) != CAP_MSIX)
		cap = pci_read(slot, cap) >> 8 & 0xff;
	if (!cap)
		fail("slot %u has no MSI-X capability", slot);
	there = (pci_read(slot, cap) >> 16 & 0x7ff) + 1;
	place = pci_read(slot, cap + MSIX_TABLE);
	entry = pci_bar(slot, place & MSIX_TABLE_BAR);
	entry += (place & ~MSIX_TABLE_BAR) / sizeof(*entry);

	for (i = 0; i < count && i < there; i++, entry += MSIX_ENTRY) {
		put(&entry[0], msi_address());
		put(&entry[1], msi_address() >> 32);
		put(&entry[2], msi_data(first + i));
		put(&entry[3], 0);
	}
	pci_write(slot, cap, pci_read(slot, cap) | MSIX_ENABLE);
	return there;
}
