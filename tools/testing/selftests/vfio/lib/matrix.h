/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a SET of the state must do.
 */
#ifndef SELFTESTS_VFIO_MATRIX_H
#define SELFTESTS_VFIO_MATRIX_H

#include <stdbool.h>

#include <linux/types.h>

#define MIG_MAX_STEPS	6

struct mig_path {
	bool refused;
	int steps;
	int state[MIG_MAX_STEPS];	/* the last one is the target */
};

struct mig_path mig_way(__u64 flags, int from, int to);

#endif
