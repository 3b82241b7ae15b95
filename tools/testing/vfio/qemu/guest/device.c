// SPDX-License-Identifier: GPL-2.0
/* The emulated migration device as the guest drives and checks it. */
#include "device.h"
#include "pc.h"
#include "pci.h"

#define VENDOR			0x1af4
#define DEVICE			0x10f4

#define REG_ID			0x00
#define REG_STATUS		0x08
#define REG_STATE_SIZE_LO	0x0c
#define REG_STATE_SIZE_HI	0x10
#define REG_SCRATCH		0x14
#define REG_TICK_CTRL		0x18
#define REG_TICK_PERIOD_US	0x1c
#define REG_TICK_SEQ_LO		0x20
#define REG_TICK_SEQ_HI		0x24
#define REG_IRQ_RAISE		0x28
#define REG_IRQ_COUNT		0x2c
#define REG_REINIT		0x30

#define ID			0x47494d56
#define STATUS_RUNNING		1
#define TICK_ENABLE		1
#define TICK_INTERRUPT		2

#define TICK_PERIOD_US		5000
#define GENERATOR_VECTOR	1
#define QUEUE_VECTOR		2	/* of the first queue */

__u32 reg_read(struct device *dev, unsigned int reg)
{
	return load(&dev->regs[reg / 4]);
}

void reg_write(struct device *dev, unsigned int reg, __u32 value)
{
	put(&dev->regs[reg / 4], value);
}

/* The high half is read on both sides: the low one may carry between the reads. */
__u64 read_pair(struct device *dev, unsigned int low, unsigned int high)
{
	__u32 hi, lo;

	do {
		hi = reg_read(dev, high);
		lo = reg_read(dev, low);
	} while (hi != reg_read(dev, high));
	return (__u64)hi << 32 | lo;
}

static __u64 read_ticks(struct device *dev)
{
	return read_pair(dev, REG_TICK_SEQ_LO, REG_TICK_SEQ_HI);
}

static __u64 next_random(struct device *dev)
{
	__u64 x = dev->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return dev->random = x;
}

bool device_find(struct device *dev, unsigned int slot)
{
	dev->slot = pci_find(VENDOR, DEVICE, slot);
	return dev->slot < PCI_SLOTS;
}

/* A word's part of its page's checksum; odd factors let no change vanish. */
static __u64 weigh(size_t word, __u64 value)
{
	return value * (2 * (word % PAGE_WORDS) + 1);
}

void device_expect(struct device *dev, size_t word, __u64 value)
{
	dev->sums[word / PAGE_WORDS] += weigh(word, value) - weigh(word, dev->shadow[word]);
	dev->shadow[word] = value;
}

__u64 device_expect_store(struct device *dev, size_t word)
{
	__u64 value = next_random(dev);

	device_expect(dev, word, value);
	return value;
}

static void store(struct device *dev, size_t word, __u64 value)
{
	device_expect(dev, word, value);
	put(&dev->mem[word], value);
	dev->stores++;
}

void device_start(struct device *dev, __u64 seed, unsigned int first_msi)
{
	size_t size, word;

	pci_start(dev->slot);
	dev->regs = pci_bar(dev->slot, 0);
	dev->mem = pci_bar(dev->slot, 2);
	if (reg_read(dev, REG_ID) != ID)
		fail("the ID register reads %x", reg_read(dev, REG_ID));
	size = (__u64)reg_read(dev, REG_STATE_SIZE_HI) << 32 | reg_read(dev, REG_STATE_SIZE_LO);
	dev->pages = size / PAGE_SIZE;
	dev->shadow = take_memory(size);
	dev->sums = take_memory(dev->pages * sizeof(__u64));
	dev->random = seed | 1;
	dev->first_msi = first_msi;
	dev->stores_per_step = 4;

	for (word = 0; word < size / 8; word++)
		store(dev, word, word % PAGE_WORDS < RECORD_WORDS ? 0 : next_random(dev));

	if (pci_start_msix(dev->slot, first_msi, DEVICE_VECTORS) != DEVICE_VECTORS)
		fail("not %u MSI-X vectors", DEVICE_VECTORS);

	dev->scratch = next_random(dev);
	reg_write(dev, REG_SCRATCH, dev->scratch);
	dev->ticks = read_ticks(dev);
	dev->ticks_base = dev->ticks;
	dev->irq_base = reg_read(dev, REG_IRQ_COUNT);
	reg_write(dev, REG_TICK_PERIOD_US, TICK_PERIOD_US);
	reg_write(dev, REG_TICK_CTRL, TICK_ENABLE | TICK_INTERRUPT);
	dma_start(dev);
}

void device_store(struct device *dev)
{
	unsigned int i;

	for (i = 0; i < dev->stores_per_step; i++) {
		__u64 value = next_random(dev);
		size_t page = value % dev->pages;
		size_t word = RECORD_WORDS + (value >> 32) % (PAGE_WORDS - RECORD_WORDS);

		store(dev, page * PAGE_WORDS + word, value);
	}
}

/* The last tick up to @ticks that went to @page; 0: none. */
static __u64 last_tick(struct device *dev, __u64 ticks, size_t page)
{
	__u64 past = (ticks - page) % dev->pages;

	return ticks >= page && ticks - past > dev->ticks_base ? ticks - past : 0;
}

/*
 * The record at the start of a page must be that of the last tick that went
 * there. The device counts a tick and writes it in two steps, and goes on while this
 * looks: so look again before calling it wrong.
 */
static void check_record(struct device *dev, size_t page)
{
	__u64 *record = dev->mem + page * PAGE_WORDS;
	__u64 before = 0, after = 0, seq = 0, inverse = 0;
	unsigned int i;

	for (i = 0; i < PATIENCE; i++) {
		before = read_ticks(dev);
		seq = load(&record[0]);
		inverse = load(&record[1]);
		after = read_ticks(dev);
		if (seq && seq != ~inverse)
			goto again;
		if (seq >= last_tick(dev, before, page) && seq <= last_tick(dev, after, page) &&
		    (!seq || seq % dev->pages == page))
			return;
again:
		pause_ms();
	}
	fail("page %zu: tick record %llu/%llx, but the counter says %llu to %llu", page,
	     seq, inverse,
	     before, after);
}

static void check_page(struct device *dev, size_t page)
{
	size_t first = page * PAGE_WORDS, word;
	__u64 sum = 0, value;

	for (word = first + RECORD_WORDS; word < first + PAGE_WORDS; word++) {
		value = load(&dev->mem[word]);
		if (value != dev->shadow[word])
			fail("page %zu: word %zu of BAR2 is %016llx, written was %016llx", page,
			     word - first, value,
			     dev->shadow[word]);
		sum += weigh(word, dev->shadow[word]);
	}
	if (sum != dev->sums[page])
		fail("page %zu: the guest's memory changed by itself", page);
	check_record(dev, page);
}

/* A 64th of the state, so that a sweep takes the same time for any size. */
void device_check_pages(struct device *dev)
{
	size_t n = (dev->pages + 63) / 64;

	while (n--) {
		check_page(dev, dev->next_page);
		if (++dev->next_page == dev->pages) {
			dev->next_page = 0;
			dev->sweeps++;
		}
	}
}

/* Interrupts that the device must have counted by now. */
static __u32 irqs_due(struct device *dev)
{
	__u32 due = dev->irq_base + dma_interrupts(dev);
	unsigned int vector;

	for (vector = 0; vector < DEVICE_VECTORS; vector++)
		due += dev->irqs_raised[vector];
	return due + (read_ticks(dev) - dev->ticks_base);
}

static void check_irq_count(struct device *dev)
{
	__u32 count = 0, least = 0, most = 0;
	unsigned int i;

	for (i = 0; i < PATIENCE; i++) {
		least = irqs_due(dev);
		count = reg_read(dev, REG_IRQ_COUNT);
		most = irqs_due(dev);
		if ((__s32)(count - least) >= 0 && (__s32)(most - count) >= 0)
			return;
		pause_ms();
	}
	fail("the device counted %u interrupts, not %u to %u", count, least, most);
}

static void expect(struct device *dev, const char *name, unsigned int reg, __u32 value)
{
	__u32 now = reg_read(dev, reg);

	if (now != value)
		fail("register %s is %x, written was %x", name, now, value);
}

void device_check_registers(struct device *dev)
{
	__u64 ticks;

	expect(dev, "SCRATCH", REG_SCRATCH, dev->scratch);
	dev->scratch = next_random(dev);
	reg_write(dev, REG_SCRATCH, dev->scratch);
	expect(dev, "TICK_CTRL", REG_TICK_CTRL, TICK_ENABLE | TICK_INTERRUPT);
	expect(dev, "TICK_PERIOD_US", REG_TICK_PERIOD_US, TICK_PERIOD_US);
	if (!(reg_read(dev, REG_STATUS) & STATUS_RUNNING))
		fail("the guest runs and its device does not");
	ticks = read_ticks(dev);
	if (ticks < dev->ticks)
		fail("ticks went back from %llu to %llu", dev->ticks,
		     ticks);
	dev->ticks = ticks;
	check_irq_count(dev);
}

/* How often a vector that was raised may arrive, if it has before times: a copy's may be late. */
static __u32 most_to_come(struct device *dev, unsigned int vector, __u32 before)
{
	unsigned int queue = vector - QUEUE_VECTOR;

	if (vector < QUEUE_VECTOR || queue >= DMA_QUEUES)
		return 1;
	return dev->irqs_raised[vector] + dev->dma.done[queue] - before;
}

/*
 * Raise one vector, another each time, and wait until it arrives, once; vector 0 comes
 * with every tick, and the generator's with every page. A host may lose an interrupt that is
 * on its way when the guest stops: one retry is allowed, and reported.
 */
void device_check_interrupt(struct device *dev, unsigned int round)
{
	unsigned int vector = round % DEVICE_VECTORS, attempt, i;
	__u64 ticks = read_ticks(dev), started = uptime_ms();
	__u32 count = reg_read(dev, REG_IRQ_COUNT);

	for (attempt = 0; attempt < 2; attempt++) {
		__u32 before = msi_count(dev->first_msi + vector), most;

		if (vector) {
			reg_write(dev, REG_IRQ_RAISE, vector);
			dev->irqs_raised[vector]++;
		}
		most = most_to_come(dev, vector, before);
		for (i = 0; i < PATIENCE; i++) {
			__u32 arrived = msi_count(dev->first_msi + vector) - before;

			if (arrived > most && vector > GENERATOR_VECTOR)
				fail("interrupt %u arrived %u times", vector, arrived);
			if (arrived) {
				dev->irqs_seen++;
				return;
			}
			pause_ms();
		}
		dev->irqs_lost++;
	}
	fail("interrupt %u did not arrive in %llu ms, while the device counted %llu ticks and %u",
	     vector, uptime_ms() - started, read_ticks(dev) - ticks,
	     reg_read(dev, REG_IRQ_COUNT) - count);
}

void device_reinit(struct device *dev)
{
	reg_write(dev, REG_REINIT, 1);
}
