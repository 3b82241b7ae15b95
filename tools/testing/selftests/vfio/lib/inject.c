// SPDX-License-Identifier: GPL-2.0
/*
 * Fault injection for this thread, see Documentation/fault-injection/fault-injection.rst.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inject.h"
#include "system.h"
#include "vfio_migration.h"

#define DEBUGFS	"/sys/kernel/debug/"

static int nth_fd = -1;

bool inject_possible(const struct mig_device *dev)
{
	return dev && !access("/proc/thread-self/fail-nth", W_OK) &&
	       !access(DEBUGFS "failslab", W_OK) && !access(DEBUGFS "fail_page_alloc", W_OK) &&
	       !access(DEBUGFS "fail_usercopy", W_OK);
}

static void set(const char *file, const char *value)
{
	char path[256];

	snprintf(path, sizeof(path), DEBUGFS "%s", file);
	sys_write(path, value);
}

/* Fail any kind of allocation, and do not print a stack each time. */
void inject_setup(void)
{
	set("failslab/verbose", "0");
	set("failslab/ignore-gfp-wait", "N");
	set("fail_page_alloc/verbose", "0");
	set("fail_page_alloc/ignore-gfp-wait", "N");
	set("fail_page_alloc/ignore-gfp-highmem", "N");
	set("fail_page_alloc/min-order", "0");
	set("fail_usercopy/verbose", "0");
	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (nth_fd < 0)
		mig_die("fail-nth: %s", strerror(errno));
}

/* The n-th place from now on that can fail does. */
void inject_nth(unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	if (pwrite(nth_fd, text, len, 0) != len)
		mig_die("fail-nth: %s", strerror(errno));
}

/* No more. Did it fail before this? */
bool inject_end(void)
{
	char text[16] = "";
	ssize_t len;

	/* Reading is a place that can fail too. */
	len = pread(nth_fd, text, sizeof(text) - 1, 0);
	while (pwrite(nth_fd, "0", 1, 0) != 1)
		if (errno != EFAULT)
			mig_die("fail-nth: %s", strerror(errno));
	return len > 0 && !strtoul(text, NULL, 10);
}
