/* SPDX-License-Identifier: GPL-2.0 */
#ifndef GUEST_H
#define GUEST_H

#include <linux/types.h>
#include <stdio.h>
#include <stdnoreturn.h>
#include <unistd.h>

/* To the host, on the serial console. */
#define say(...)	dprintf(STDOUT_FILENO, __VA_ARGS__)

/* Say why the guest no longer believes its device, and stop for good. */
#define fail(format, ...)	do {						\
	say("guest: FAIL t=%llu " format "\n", uptime_ms(), ##__VA_ARGS__);	\
	stop();									\
} while (0)

__u64 uptime_ms(void);			/* since this program began */
noreturn void stop(void);

#endif
