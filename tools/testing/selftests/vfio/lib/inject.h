/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Failing allocations and user copies in the kernel, one at a time and at every place, by
 * the kernel's own fault injection.
 */
#ifndef SELFTESTS_VFIO_INJECT_H
#define SELFTESTS_VFIO_INJECT_H

#include <stdbool.h>

struct mig_device;

bool inject_possible(const struct mig_device *dev);
void inject_setup(void);
void inject_nth(unsigned int n);
bool inject_end(void);

#endif
