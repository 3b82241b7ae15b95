// SPDX-License-Identifier: GPL-2.0
/*
 * Have a device write to memory, where there is a way to ask it: one function for each kind of
 * device. The memory is mapped for it.
 */
#include <unistd.h>

#include "engine.h"
#include "log.h"
#include "monitor.h"
#include "system.h"

/* vfio_migration_test_pci has no DMA of its own: what is written to this file is a write of it. */
static void test_pci_file(const struct mig_device *dev, char *path, size_t size)
{
	mon_path(dev, "log", path, size);
}

static int test_pci_write(const struct mig_device *dev, __u64 iova, __u64 length)
{
	char path[PATH_MAX], text[64];

	test_pci_file(dev, path, sizeof(path));
	snprintf(text, sizeof(text), "%llu %llu\n", iova, iova + length - 1);
	return __sys_write(path, text);
}

static bool test_pci_is(const struct mig_device *dev)
{
	char path[PATH_MAX];

	test_pci_file(dev, path, sizeof(path));
	return !access(path, W_OK);
}

bool dma_is_possible(const struct mig_device *dev)
{
	return test_pci_is(dev) || emu_is(dev);
}

/*
 * The device, which is RUNNING, writes something to this memory; the length is not 0. It has
 * done so when this returns 0.
 */
int dma_write(struct mig_device *dev, __u64 iova, __u64 length)
{
	return test_pci_is(dev) ? test_pci_write(dev, iova, length) :
				  engine_write(dev, iova, length);
}
