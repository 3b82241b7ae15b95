/* SPDX-License-Identifier: GPL-2.0 */
/* Devices on PCI bus 0, which QEMU's firmware has given addresses. */
#ifndef PCI_H
#define PCI_H

#define PCI_SLOTS	32

/* The first such device from a slot on; PCI_SLOTS: there is none. */
unsigned int pci_find(unsigned int vendor, unsigned int device, unsigned int slot);

/* It answers accesses, and may do DMA. */
void pci_start(unsigned int slot);

void *pci_bar(unsigned int slot, unsigned int number);

/* Its first count vectors raise the guest's interrupts from first on; how many it has. */
unsigned int pci_start_msix(unsigned int slot, unsigned int first, unsigned int count);

#endif
