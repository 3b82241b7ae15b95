// SPDX-License-Identifier: GPL-2.0
/*
 * Which tests apply: the fixtures that need what the device does not have are excluded by
 * the harness's own option. For each of them another one tests that the device refuses.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vfio_migration.h"

char **mig_select(int *argc, char **argv, const struct mig_need *needs, size_t count)
{
	char **args = calloc(*argc + 2 * count + 1, sizeof(*args));
	struct mig_device dev;
	int n = 0, i;
	size_t k;

	/* Listing the tests or asking for help needs no device. */
	for (i = 1; i < *argc; i++)
		if (!strcmp(argv[i], "-l") || !strcmp(argv[i], "-h"))
			return argv;
	if (!args)
		mig_die("no memory for arguments");

	mig_open(&dev);
	args[n++] = argv[0];
	for (k = 0; k < count; k++) {
		if (needs[k].applies(&dev))
			continue;
		args[n++] = "-F";
		args[n++] = (char *)needs[k].fixture;
	}
	mig_close(&dev);
	for (i = 1; i < *argc; i++)
		args[n++] = argv[i];
	*argc = n;
	return args;
}

bool mig_has_precopy(const struct mig_device *dev)
{
	return mig_supports(dev->flags, PC);
}

bool mig_no_precopy(const struct mig_device *dev)
{
	return !mig_supports(dev->flags, PC);
}

bool mig_has_p2p(const struct mig_device *dev)
{
	return mig_supports(dev->flags, RP);
}

bool mig_has_precopy_p2p(const struct mig_device *dev)
{
	return mig_supports(dev->flags, PP);
}

bool mig_has_peer(const struct mig_device *dev)
{
	return dev && mig_peer_path();
}

bool mig_has_foreign(const struct mig_device *dev)
{
	return dev && mig_foreign_path();
}

bool mig_has_mmap(const struct mig_device *dev)
{
	struct mig_device copy = *dev;
	size_t size;
	void *map = mig_mmap(&copy, &size);

	/* A mapping left behind would keep the device open. */
	return map && !munmap(map, size);
}
