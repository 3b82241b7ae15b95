// SPDX-License-Identifier: GPL-2.0
/*
 * Small files of the kernel, its clock, and the driver of a device.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "system.h"
#include "vfio_migration.h"

int sys_open_files(void)
{
	int fd, count = 0;

	for (fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

uint64_t sys_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

uint64_t sys_now_us(void)
{
	return sys_now_ns() / 1000;
}

/* The whole text of a file; the caller frees it. */
char *sys_read(const char *path)
{
	struct mig_buf buf = {};
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0)
		mig_die("%s: %s", path, strerror(errno));
	ret = mig_read(fd, &buf, MIG_WHOLE);
	if (ret)
		mig_die("%s: %s", path, strerror(-ret));
	close(fd);
	mig_buf_add(&buf, "", 1);
	return (char *)buf.data;
}

int __sys_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

void sys_write(const char *path, const char *text)
{
	int ret = __sys_write(path, text);

	if (ret)
		mig_die("%s > %s: %s", text, path, strerror(-ret));
}

static const char *name_of(const char *device)
{
	return strrchr(device, '/') + 1;
}

/* An mdev is not bound again but made again, of the same type. */
void sys_unbind(const char *device, struct sys_driver *driver)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/mdev_type", device);
	driver->mdev = realpath(path, driver->back);
	if (driver->mdev) {
		snprintf(path, sizeof(path), "%s/remove", device);
		sys_write(path, "1");
		return;
	}
	snprintf(path, sizeof(path), "%s/driver", device);
	if (!realpath(path, driver->back))
		mig_die("%s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), "%s/driver/unbind", device);
	sys_write(path, name_of(device));
}

void sys_bind(const char *device, const struct sys_driver *driver)
{
	char path[PATH_MAX + 8];

	snprintf(path, sizeof(path), "%s/%s", driver->back, driver->mdev ? "create" : "bind");
	sys_write(path, name_of(device));
}
