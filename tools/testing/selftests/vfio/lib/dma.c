// SPDX-License-Identifier: GPL-2.0
/*
 * Have a device write to memory, where there is a way to ask it: one function for each kind of
 * device. The memory is mapped for it.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "emulated.h"
#include "log.h"

/* vfio_migration_test_pci has no DMA of its own: what is written to this file is a write of it. */
static void test_pci_file(const struct mig_device *dev, char *path, size_t size)
{
	snprintf(path, size, "/sys/kernel/debug/vfio_migration_test_pci-%s/log", dev->name);
}

static int test_pci_write(const struct mig_device *dev, __u64 iova, __u64 length)
{
	char path[PATH_MAX], text[64];
	int fd, ret;

	test_pci_file(dev, path, sizeof(path));
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	snprintf(text, sizeof(text), "%llu %llu\n", iova, iova + length - 1);
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/*
 * The emulated device: descriptors of its first queue, in a page of their own that is mapped
 * where no test has anything.
 */
#define RING		0x8000000ULL
#define QUEUE		0x100
enum {
	RING_LO = 0x00,
	RING_HI = 0x04,
	RING_SIZE = 0x08,
	CTRL = 0x0c,
	PRODUCER = 0x10,
	CONSUMER = 0x14,
};

enum { TO_GUEST = 2, DONE = 1 };

struct descriptor {
	__le64 address;
	__le64 offset;
	__le32 length;
	__le32 direction;
	__le32 status;
	__le32 cookie;
};

static void set(struct emulated *emu, __u64 reg, __u32 value)
{
	emu_write(emu, QUEUE + reg, value);
}

/* A part that one descriptor can have. */
static int write_part(struct emulated *emu, struct descriptor *descriptor, __u64 iova,
		      __u32 length, __u32 number)
{
	int wait;

	*descriptor = (struct descriptor){
		.address = htole64(iova),
		.length = htole32(length),
		.direction = htole32(TO_GUEST),
	};
	set(emu, PRODUCER, number);
	for (wait = 0; emu_read(emu, QUEUE + CONSUMER) != number; wait++) {
		if (wait == 5000)
			return -ETIMEDOUT;
		usleep(1000);
	}
	return le32toh(descriptor->status) == DONE ? 0 : -EFAULT;
}

static int emulated_write(const struct mig_device *dev, __u64 iova, __u64 length)
{
	struct emulated emu = { .dev = *dev };
	struct vfio_region_info bar2;
	struct descriptor *descriptor;
	long page = sysconf(_SC_PAGESIZE);
	__u64 most = 65536, part;
	__u32 number = 0;
	int ret;

	ret = mig_region(&emu.dev, VFIO_PCI_BAR0_REGION_INDEX, &emu.bar0);
	if (!ret)
		ret = mig_region(&emu.dev, VFIO_PCI_BAR2_REGION_INDEX, &bar2);
	if (ret)
		return ret;
	if (bar2.size < most)
		most = bar2.size;
	descriptor = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (descriptor == MAP_FAILED)
		return -errno;
	ret = mig_map(&emu.dev, descriptor, RING, page, true);
	if (!ret) {
		set(&emu, CTRL, 0);
		set(&emu, RING_LO, RING);
		set(&emu, RING_HI, 0);
		set(&emu, RING_SIZE, 1);
		set(&emu, CTRL, 1);
		for (; length && !ret; iova += part, length -= part) {
			part = length < most ? length : most;
			ret = write_part(&emu, descriptor, iova, part, ++number);
		}
		set(&emu, CTRL, 0);
		mig_unmap(&emu.dev, RING, page);
	}
	munmap(descriptor, page);
	return ret;
}

/* Has it got the engine? Its registers are new. */
static bool emulated_has_dma(const struct mig_device *dev)
{
	struct emulated emu = { .dev = *dev };

	return emu_is(dev) && !mig_region(&emu.dev, VFIO_PCI_BAR0_REGION_INDEX, &emu.bar0) &&
	       emu_read(&emu, QUEUE + RING_SIZE) == 1;
}

static bool test_pci_is(const struct mig_device *dev)
{
	char path[PATH_MAX];

	test_pci_file(dev, path, sizeof(path));
	return !access(path, W_OK);
}

bool dma_is_possible(const struct mig_device *dev)
{
	return test_pci_is(dev) || emulated_has_dma(dev);
}

/*
 * The device, which is RUNNING, writes something to this memory; the length is not 0. It has
 * done so when this returns 0.
 */
int dma_write(struct mig_device *dev, __u64 iova, __u64 length)
{
	return test_pci_is(dev) ? test_pci_write(dev, iova, length) :
				  emulated_write(dev, iova, length);
}
