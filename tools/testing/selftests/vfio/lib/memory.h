/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How much memory the kernel takes, and whom it charges: control groups, version 2.
 */
#ifndef SELFTESTS_VFIO_MEMORY_H
#define SELFTESTS_VFIO_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

struct mig_device;

/* All in KiB. What else goes on in the machine at the same time takes up to so much. */
#define MEMORY_NOISE	(4 << 10)

long memory_available(void);
long memory_settled(void);
bool memory_is_back(long before, size_t sessions);

bool cgroup_is_possible(const struct mig_device *dev);
void cgroup_enter(void);
void cgroup_leave(void);
void cgroup_limit(long kib);
long cgroup_charged(void);
long cgroup_peak(void);
long cgroup_event(const char *name);

#endif
