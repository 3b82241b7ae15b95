// SPDX-License-Identifier: GPL-2.0
/* The emulated migration device as the guest drives and checks it. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "guest.h"

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
#define REG_MSIX_TABLE		0x800

#define ID			0x47494d56
#define STATUS_RUNNING		1
#define TICK_ENABLE		1
#define TICK_INTERRUPT		2

#define PCI_COMMAND		0x04
#define PCI_COMMAND_MEMORY	2
#define PCI_COMMAND_MASTER	4
#define PCI_STATUS		0x06
#define PCI_STATUS_CAP_LIST	0x10
#define PCI_CAPABILITY_LIST	0x34
#define PCI_CAP_ID_MSIX		0x11
#define PCI_MSIX_FLAGS		2
#define PCI_MSIX_FLAGS_ENABLE	0x8000

#define PAGE			4096
#define WORDS			(PAGE / 8)
#define RECORD_WORDS		2	/* of a tick, at the start of a page */
#define VECTORS			8
#define TICK_PERIOD_US		5000
#define MESSAGE			0x4d530000	/* what vector 0 writes */
#define PATIENCE		200		/* times to look again, 1 ms each */

/* Memory that the device changes or watches: one access each, in this order. */
#define load(where)		__atomic_load_n(where, __ATOMIC_ACQUIRE)
#define put(where, value)	__atomic_store_n(where, value, __ATOMIC_RELEASE)

static __u32 reg_read(struct device *dev, unsigned int reg)
{
	return load(&dev->regs[reg / 4]);
}

static void reg_write(struct device *dev, unsigned int reg, __u32 value)
{
	put(&dev->regs[reg / 4], value);
}

/* The high half is read on both sides: a tick may carry between the reads. */
static __u64 read_ticks(struct device *dev)
{
	__u32 hi, lo;

	do {
		hi = reg_read(dev, REG_TICK_SEQ_HI);
		lo = reg_read(dev, REG_TICK_SEQ_LO);
	} while (hi != reg_read(dev, REG_TICK_SEQ_HI));
	return (__u64)hi << 32 | lo;
}

static __u64 next_random(struct device *dev)
{
	__u64 x = dev->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return dev->random = x;
}

static void wait_ms(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static int open_file(struct device *dev, const char *name, int flags)
{
	char path[sizeof(dev->path) + 16];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dev->path, name);
	fd = open(path, flags);
	if (fd < 0)
		fail("%s: %m", path);
	return fd;
}

static unsigned long read_number(struct device *dev, const char *name)
{
	char text[32] = "";
	int fd = open_file(dev, name, O_RDONLY);

	if (read(fd, text, sizeof(text) - 1) <= 0)
		fail("%s/%s: %m", dev->path, name);
	close(fd);
	return strtoul(text, NULL, 0);
}

void device_find(struct device *dev)
{
	static const char root[] = "/sys/bus/pci/devices";
	DIR *dir = opendir(root);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(dev->path, sizeof(dev->path), "%s/%s", root, entry->d_name);
		if (read_number(dev, "vendor") == VENDOR && read_number(dev, "device") == DEVICE) {
			closedir(dir);
			return;
		}
	}
	fail("no device %04x:%04x", VENDOR, DEVICE);
}

static __u16 config_read(int fd, unsigned int where)
{
	__u16 value;

	if (pread(fd, &value, sizeof(value), where) != sizeof(value))
		fail("config space: read at %#x: %m", where);
	return value;
}

static void config_write(int fd, unsigned int where, __u16 value)
{
	if (pwrite(fd, &value, sizeof(value), where) != sizeof(value))
		fail("config space: write at %#x: %m", where);
}

static void *map_bar(struct device *dev, const char *name, size_t size)
{
	int fd = open_file(dev, name, O_RDWR);
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		fail("%s: mmap of %zu bytes: %m", name, size);
	close(fd);
	return p;
}

static void *zeroed_pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED, -1, 0);

	if (p == MAP_FAILED)
		fail("no memory: %zu bytes", size);
	return p;
}

static __u64 physical_address(void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	__u64 entry = 0, frame;

	if (fd < 0 || pread(fd, &entry, 8, (unsigned long)p / PAGE * 8) != 8)
		fail("/proc/self/pagemap: %m");
	close(fd);
	frame = entry & ((1ULL << 55) - 1);
	if (!frame)
		fail("/proc/self/pagemap: no page");
	return frame * PAGE;
}

/*
 * A message-signalled interrupt is a write by the device to an address that the
 * vector's table entry names. Named is a page of this program, so that
 * an arriving interrupt is a changed word: no kernel driver is needed.
 */
static void start_interrupts(struct device *dev, int config)
{
	unsigned int cap, i;
	void *page = zeroed_pages(PAGE);
	__u64 address = physical_address(page);

	if (!(config_read(config, PCI_STATUS) & PCI_STATUS_CAP_LIST))
		fail("no PCI capabilities");
	cap = config_read(config, PCI_CAPABILITY_LIST) & 0xff;
	while (cap && (config_read(config, cap) & 0xff) != PCI_CAP_ID_MSIX)
		cap = config_read(config, cap) >> 8;
	if (!cap)
		fail("no MSI-X capability");
	if ((config_read(config, cap + PCI_MSIX_FLAGS) & 0x7ff) != VECTORS - 1)
		fail("not %u MSI-X vectors", VECTORS);

	dev->mailbox = page;
	for (i = 0; i < VECTORS; i++) {
		unsigned int entry = REG_MSIX_TABLE + i * 16;

		reg_write(dev, entry, address + i * 4);
		reg_write(dev, entry + 4, (address + i * 4) >> 32);
		reg_write(dev, entry + 8, MESSAGE + i);
		reg_write(dev, entry + 12, 0);
	}
	config_write(config, cap + PCI_MSIX_FLAGS,
		     config_read(config, cap + PCI_MSIX_FLAGS) | PCI_MSIX_FLAGS_ENABLE);
}

/* A word's part of its page's checksum; odd factors let no change vanish. */
static __u64 weigh(size_t word, __u64 value)
{
	return value * (2 * (word % WORDS) + 1);
}

static void store(struct device *dev, size_t word, __u64 value)
{
	dev->sums[word / WORDS] += weigh(word, value) - weigh(word, dev->shadow[word]);
	dev->shadow[word] = value;
	put(&dev->mem[word], value);
	dev->stores++;
}

void device_start(struct device *dev)
{
	int config = open_file(dev, "config", O_RDWR);
	size_t size, word;

	config_write(config, PCI_COMMAND,
		     config_read(config, PCI_COMMAND) | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	dev->regs = map_bar(dev, "resource0", PAGE);
	if (reg_read(dev, REG_ID) != ID)
		fail("the ID register reads %#x", reg_read(dev, REG_ID));
	size = (__u64)reg_read(dev, REG_STATE_SIZE_HI) << 32 | reg_read(dev, REG_STATE_SIZE_LO);
	dev->mem = map_bar(dev, "resource2", size);
	dev->pages = size / PAGE;
	dev->shadow = zeroed_pages(size);
	dev->sums = zeroed_pages(dev->pages * sizeof(__u64));
	if (getrandom(&dev->id, sizeof(dev->id), 0) != sizeof(dev->id))
		fail("getrandom: %m");
	dev->random = dev->id | 1;
	dev->stores_per_step = 4;

	for (word = 0; word < size / 8; word++)
		store(dev, word, word % WORDS < RECORD_WORDS ? 0 : next_random(dev));

	start_interrupts(dev, config);
	close(config);

	dev->scratch = next_random(dev);
	reg_write(dev, REG_SCRATCH, dev->scratch);
	dev->ticks = read_ticks(dev);
	dev->ticks_base = dev->ticks;
	dev->irq_base = reg_read(dev, REG_IRQ_COUNT);
	reg_write(dev, REG_TICK_PERIOD_US, TICK_PERIOD_US);
	reg_write(dev, REG_TICK_CTRL, TICK_ENABLE | TICK_INTERRUPT);
}

void device_store(struct device *dev)
{
	unsigned int i;

	for (i = 0; i < dev->stores_per_step; i++) {
		__u64 value = next_random(dev);
		size_t page = value % dev->pages;
		size_t word = RECORD_WORDS + (value >> 32) % (WORDS - RECORD_WORDS);

		store(dev, page * WORDS + word, value);
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
	__u64 *record = dev->mem + page * WORDS;
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
		wait_ms();
	}
	fail("page %zu: tick record %llu/%llx, but the counter says %llu to %llu", page,
	     seq, inverse,
	     before, after);
}

static void check_page(struct device *dev, size_t page)
{
	size_t first = page * WORDS, word;
	__u64 sum = 0, value;

	for (word = first + RECORD_WORDS; word < first + WORDS; word++) {
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

/* A 256th of the state, so that a sweep takes the same time for any size. */
void device_check_pages(struct device *dev)
{
	size_t n = (dev->pages + 255) / 256;

	while (n--) {
		check_page(dev, dev->next_page);
		if (++dev->next_page == dev->pages) {
			dev->next_page = 0;
			dev->sweeps++;
		}
	}
}

/* Interrupts counted by the device: one for each tick and each one raised. */
static void check_irq_count(struct device *dev)
{
	__u32 count = 0, least = 0, most = 0;
	unsigned int i;

	for (i = 0; i < PATIENCE; i++) {
		least = dev->irq_base + dev->irqs_raised + (read_ticks(dev) - dev->ticks_base);
		count = reg_read(dev, REG_IRQ_COUNT);
		most = dev->irq_base + dev->irqs_raised + (read_ticks(dev) - dev->ticks_base);
		if ((int32_t)(count - least) >= 0 && (int32_t)(most - count) >= 0)
			return;
		wait_ms();
	}
	fail("the device counted %u interrupts, not %u to %u", count, least, most);
}

static void expect(struct device *dev, const char *name, unsigned int reg, __u32 value)
{
	__u32 now = reg_read(dev, reg);

	if (now != value)
		fail("register %s is %#x, written was %#x", name, now, value);
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

/*
 * Raise one vector, another each time, and wait for its message; vector 0 comes
 * with every tick. A host may lose a message that is on its way
 * when the guest stops: one retry is allowed, and reported.
 */
void device_check_interrupt(struct device *dev, unsigned int round)
{
	unsigned int vector = round % VECTORS, attempt, i;

	for (attempt = 0; attempt < 2; attempt++) {
		put(&dev->mailbox[vector], 0);
		if (vector) {
			reg_write(dev, REG_IRQ_RAISE, vector);
			dev->irqs_raised++;
		}
		for (i = 0; i < PATIENCE; i++) {
			if (load(&dev->mailbox[vector]) == MESSAGE + vector) {
				dev->irqs_seen++;
				return;
			}
			wait_ms();
		}
		dev->irqs_lost++;
	}
	fail("interrupt %u did not arrive, twice", vector);
}

void device_reinit(struct device *dev)
{
	reg_write(dev, REG_REINIT, 1);
}
