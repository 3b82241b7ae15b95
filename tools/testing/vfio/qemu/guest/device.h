/* SPDX-License-Identifier: GPL-2.0 */
/* The emulated migration device as the guest drives and checks it. */
#ifndef DEVICE_H
#define DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

#define DEVICE_VECTORS	8
#define DMA_QUEUES	4

#define PAGE_SIZE	4096
#define PAGE_WORDS	(PAGE_SIZE / 8)
#define RECORD_WORDS	2	/* of a tick, at the start of a page */
#define PATIENCE	5000	/* times to look again, 1 ms each */

struct dma {
	__u64 *ring;			/* of the generator */
	__u64 consumed;
	void *descriptors[DMA_QUEUES];
	__u32 done[DMA_QUEUES];
	__u64 copies;
	void *buffer;
};

struct device {
	unsigned int slot;		/* on PCI bus 0 */
	unsigned int first_msi;		/* of the guest's interrupts, its first */
	__u32 *regs;			/* BAR0 */
	__u64 *mem;			/* BAR2: the state that is migrated */
	size_t pages;

	/* What the guest's memory says of the device. */
	__u64 *shadow;		/* equals mem but for the tick records */
	__u64 *sums;			/* checksum of each page of shadow */
	__u32 scratch;
	__u64 ticks;
	__u64 stores;
	__u64 sweeps;		/* times that all pages were checked */
	__u32 irqs_raised[DEVICE_VECTORS];	/* by device_check_interrupt() */
	__u64 irqs_seen;
	unsigned int irqs_lost;
	unsigned int stores_per_step;

	__u64 ticks_base;		/* counters when ticking was enabled */
	__u32 irq_base;
	size_t next_page;
	__u64 random;
	struct dma dma;
};

/* The first device from slot on; false: there is none. */
bool device_find(struct device *dev, unsigned int slot);

void device_start(struct device *dev, __u64 seed, unsigned int first_msi);
void device_store(struct device *dev);
void device_check_pages(struct device *dev);
void device_check_registers(struct device *dev);
void device_check_interrupt(struct device *dev, unsigned int round);
void device_reinit(struct device *dev);

__u32 reg_read(struct device *dev, unsigned int reg);
void reg_write(struct device *dev, unsigned int reg, __u32 value);
__u64 read_pair(struct device *dev, unsigned int low, unsigned int high);

/* The caller brings this, or something new, to a word of BAR2. */
void device_expect(struct device *dev, size_t word, __u64 value);
__u64 device_expect_store(struct device *dev, size_t word);

void dma_start(struct device *dev);
void dma_check_pages(struct device *dev);
void dma_copy(struct device *dev, size_t page, bool to_device);
void dma_copy_to_peer(struct device *dev, struct device *peer, size_t page);

/* Interrupts that the engine raised. */
__u64 dma_interrupts(struct device *dev);

#endif
