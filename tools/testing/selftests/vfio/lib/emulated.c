// SPDX-License-Identifier: GPL-2.0
/*
 * Access to the emulated device.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "emulated.h"

int emu_open(struct emulated *emu, const char *path)
{
	int ret;

	*emu = (struct emulated){};
	ret = __mig_open(&emu->dev, path, mig_mode());
	if (ret)
		return ret;
	ret = mig_reset(&emu->dev);
	if (!ret)
		ret = mig_region(&emu->dev, VFIO_PCI_CONFIG_REGION_INDEX, &emu->config);
	if (!ret)
		ret = mig_region(&emu->dev, VFIO_PCI_BAR0_REGION_INDEX, &emu->bar0);
	if (!ret)
		ret = mig_region(&emu->dev, VFIO_PCI_BAR2_REGION_INDEX, &emu->bar2);
	if (ret)
		return ret;
	emu->size = emu->bar2.size;
	emu->mem = mmap(NULL, emu->size, PROT_READ | PROT_WRITE, MAP_SHARED, emu->dev.fd,
			emu->bar2.offset);
	return emu->mem == MAP_FAILED ? -errno : 0;
}

void emu_close(struct emulated *emu)
{
	munmap(emu->mem, emu->size);
	mig_close(&emu->dev);
}

__u32 emu_read(struct emulated *emu, __u64 offset)
{
	__u32 value;

	if (pread(emu->dev.fd, &value, sizeof(value), emu->bar0.offset + offset) != sizeof(value))
		mig_die("read of register %#llx: %s", offset, strerror(errno));
	return value;
}

void emu_write(struct emulated *emu, __u64 offset, __u32 value)
{
	if (pwrite(emu->dev.fd, &value, sizeof(value), emu->bar0.offset + offset) !=
	    sizeof(value))
		mig_die("write of register %#llx: %s", offset, strerror(errno));
}

/* A counter whose halves are read one by one: the low one, then the high one behind it. */
__u64 emu_count(struct emulated *emu, __u64 offset)
{
	__u32 high, low, again = emu_read(emu, offset + 4);

	do {
		high = again;
		low = emu_read(emu, offset);
		again = emu_read(emu, offset + 4);
	} while (again != high);
	return (__u64)high << 32 | low;
}

__u64 emu_ticks(struct emulated *emu)
{
	return emu_count(emu, EMU_TICK_SEQ_LO);
}

void emu_config(struct emulated *emu, unsigned char *config)
{
	if (pread(emu->dev.fd, config, 256, emu->config.offset) != 256)
		mig_die("read of the configuration space: %s", strerror(errno));
}

/* Put something else in every page, by mapping or by system call. */
void emu_fill(struct emulated *emu, uint64_t seed)
{
	uint64_t value[8];
	size_t at, i;

	for (at = 0; at < emu->size; at += EMU_PAGE / 2) {
		for (i = 0; i < 8; i++)
			value[i] = mig_random(&seed);
		if (at & EMU_PAGE)
			memcpy(emu->mem + at, value, sizeof(value));
		else if (pwrite(emu->dev.fd, value, sizeof(value), emu->bar2.offset + at) !=
			 sizeof(value))
			mig_die("write of the memory: %s", strerror(errno));
	}
}

/* The interrupts that came since the last time. */
uint64_t emu_events(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

bool emu_is(const struct mig_device *dev)
{
	return mig_has_pci_id(dev, EMU_VENDOR_DEVICE);
}

bool emu_has_precopy(const struct mig_device *dev)
{
	return emu_is(dev) && mig_has_precopy(dev);
}

bool emu_has_p2p(const struct mig_device *dev)
{
	return emu_is(dev) && mig_has_p2p(dev);
}

bool emu_has_peer(const struct mig_device *dev)
{
	return emu_is(dev) && mig_has_peer(dev);
}

bool emu_has_precopy_peer(const struct mig_device *dev)
{
	return emu_has_precopy(dev) && mig_has_peer(dev);
}
