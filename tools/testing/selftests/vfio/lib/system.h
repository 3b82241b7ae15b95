/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the system has around the device: files, sysfs, its driver.
 */
#ifndef SELFTESTS_VFIO_SYSTEM_H
#define SELFTESTS_VFIO_SYSTEM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mig_device;

/* How a device is taken from its driver and given back. */
struct sys_driver {
	char back[PATH_MAX];	/* the driver's folder, or that of the type of an mdev */
	bool mdev;
};

int sys_open_files(void);
uint64_t sys_now_ns(void);
uint64_t sys_now_us(void);
char *sys_read(const char *path);
void sys_write(const char *path, const char *text);
int __sys_write(const char *path, const char *text);
void sys_unbind(const char *device, struct sys_driver *driver);
void sys_bind(const char *device, const struct sys_driver *driver);

#endif
