// SPDX-License-Identifier: GPL-2.0
/*
 * The DMA engine of the emulated migration device as the guest drives and checks it.
 *
 * The generator writes numbered pages all the time, also while the guest is migrated. The guest
 * does not write to most of its ring, so that only the device's log of its writes can have them
 * migrated. It erases what it has read in some places, where a page that is written twice
 * would come back.
 */
#include "device.h"
#include "pc.h"

#define GEN_CTRL		0x40
#define GEN_PERIOD_US		0x44
#define GEN_ADDRESS_LO		0x48
#define GEN_ADDRESS_HI		0x4c
#define GEN_PAGES		0x50
#define GEN_ERRORS		0x54
#define GEN_SEQ_LO		0x58
#define GEN_SEQ_HI		0x5c
#define GEN_CONSUMED		0x60

#define QUEUE(n, reg)		(0x100 + 0x40 * (n) + (reg))
#define RING_LO			0x00
#define RING_HI			0x04
#define SIZE			0x08
#define CTRL			0x0c
#define PRODUCER		0x10
#define CONSUMER		0x14

#define ON			1
#define INTERRUPT		2
#define WAIT			4

#define TO_DEVICE		1
#define TO_MEMORY		2
#define DONE			1

#define PERIOD_US		3000
#define RING_PAGES		64
#define ERASED			8	/* one slot of so many is erased when it is read */
#define DESCRIPTORS		8	/* of each queue's ring */

struct descriptor {
	__u64 address;
	__u64 offset;
	__u32 length;
	__u32 command;
	__u32 status;
	__u32 tag;
};

static __u64 *slot_of(struct dma *dma, __u64 number)
{
	return dma->ring + (number - 1) % RING_PAGES * PAGE_WORDS;
}

static void set_address(struct device *dev, unsigned int low, unsigned int high, void *memory)
{
	reg_write(dev, low, (__u64)memory);
	reg_write(dev, high, (__u64)memory >> 32);
}

void dma_start(struct device *dev)
{
	struct dma *dma = &dev->dma;
	unsigned int n;

	dma->ring = take_memory(RING_PAGES * PAGE_SIZE);
	dma->buffer = take_memory(PAGE_SIZE);
	for (n = 0; n < DMA_QUEUES; n++) {
		dma->descriptors[n] = take_memory(PAGE_SIZE);
		set_address(dev, QUEUE(n, RING_LO), QUEUE(n, RING_HI), dma->descriptors[n]);
		reg_write(dev, QUEUE(n, SIZE), DESCRIPTORS);
		reg_write(dev, QUEUE(n, CTRL), ON | INTERRUPT);
	}
	set_address(dev, GEN_ADDRESS_LO, GEN_ADDRESS_HI, dma->ring);
	reg_write(dev, GEN_PAGES, RING_PAGES);
	reg_write(dev, GEN_PERIOD_US, PERIOD_US);
	reg_write(dev, GEN_CTRL, ON | INTERRUPT | WAIT);
}

__u64 dma_interrupts(struct device *dev)
{
	return read_pair(dev, GEN_SEQ_LO, GEN_SEQ_HI) + dev->dma.copies;
}

/* The page must be this one, whole: it is counted after it was written. */
static void check_page(struct dma *dma, __u64 number)
{
	__u64 *page = slot_of(dma, number);
	unsigned int i;

	for (i = 0; i < PAGE_WORDS; i++) {
		__u64 due = i % 2 ? ~number : number, value = load(&page[i]);

		if (value != due)
			fail("DMA page %llu: word %u is %llx", number, i, value);
	}
}

/* An erased page stays so until the device comes round to it. */
static void check_erased(struct dma *dma, __u64 number)
{
	__u64 value = load(slot_of(dma, number));

	if (value && value != number + RING_PAGES)
		fail("DMA page %llu was written again, as %llu", number, value);
}

void dma_check_pages(struct device *dev)
{
	struct dma *dma = &dev->dma;
	__u64 written = read_pair(dev, GEN_SEQ_LO, GEN_SEQ_HI), number, kept;

	if (written < dma->consumed || written > dma->consumed + RING_PAGES)
		fail("DMA pages: %llu written, %llu consumed", written, dma->consumed);
	if (reg_read(dev, GEN_ERRORS))
		fail("DMA pages: %u errors", reg_read(dev, GEN_ERRORS));
	for (number = dma->consumed + 1; number <= written; number++) {
		check_page(dma, number);
		if (number % ERASED == 0)
			put(slot_of(dma, number), 0);
	}
	/*
	 * The device cannot come round to what was read last before this is done. So it is still
	 * there, unless a migration lost it, even if the device went on before the guest did.
	 */
	kept = dma->consumed > RING_PAGES / 2 ? dma->consumed - RING_PAGES / 2 : 0;
	number = written > RING_PAGES ? written - RING_PAGES : 0;
	while (number++ < written)
		if (number % ERASED == 0)
			check_erased(dma, number);
		else if (number > kept && number <= dma->consumed)
			check_page(dma, number);
	dma->consumed = written;
	/* The reader is behind: what was read stays for half a turn. */
	reg_write(dev, GEN_CONSUMED, written > RING_PAGES / 2 ? written - RING_PAGES / 2 : 0);
}

/* One copy, which may begin on one host and end on another. */
static void copy(struct device *dev, void *memory, __u64 offset, __u32 length, __u32 command)
{
	struct dma *dma = &dev->dma;
	unsigned int n = dma->copies % DMA_QUEUES;
	__u32 done = dma->done[n], i;
	struct descriptor *descriptor = dma->descriptors[n];

	descriptor += done % DESCRIPTORS;
	descriptor->address = (__u64)memory;
	descriptor->offset = offset;
	descriptor->length = length;
	descriptor->command = command;
	descriptor->tag = done;
	put(&descriptor->status, 0);
	reg_write(dev, QUEUE(n, PRODUCER), ++done);
	for (i = 0; reg_read(dev, QUEUE(n, CONSUMER)) != done; i++) {
		if (i == PATIENCE)
			fail("queue %u does not come to descriptor %u", n, done);
		pause_ms();
	}
	if (load(&descriptor->status) != DONE || descriptor->tag != done - 1)
		fail("queue %u, descriptor %u has status %u", n, done, descriptor->status);
	dma->done[n] = done;
	dma->copies++;
}

/* Copies a page, or what of it the device's ticks leave alone, to it or from it. */
void dma_copy(struct device *dev, size_t page, bool to_device)
{
	__u64 *buffer = dev->dma.buffer;
	size_t first = page * PAGE_WORDS, i;

	if (to_device) {
		for (i = RECORD_WORDS; i < PAGE_WORDS; i++)
			buffer[i - RECORD_WORDS] = device_expect_store(dev, first + i);
		copy(dev, buffer, (first + RECORD_WORDS) * 8, PAGE_SIZE - RECORD_WORDS * 8,
		     TO_DEVICE);
		return;
	}
	copy(dev, buffer, first * 8, PAGE_SIZE, TO_MEMORY);
	for (i = RECORD_WORDS; i < PAGE_WORDS; i++)
		if (load(&buffer[i]) != dev->shadow[first + i])
			fail("page %zu: word %zu came by DMA as %llx, written was %llx", page, i,
			     buffer[i], dev->shadow[first + i]);
}

/* The same for the memory of another device, by peer-to-peer DMA. */
void dma_copy_to_peer(struct device *dev, struct device *peer, size_t page)
{
	size_t first = page * PAGE_WORDS + RECORD_WORDS, i;

	for (i = 0; i < PAGE_WORDS - RECORD_WORDS; i++)
		device_expect(peer, first + i, dev->shadow[first + i]);
	copy(dev, &peer->mem[first], first * 8, PAGE_SIZE - RECORD_WORDS * 8, TO_MEMORY);
}
