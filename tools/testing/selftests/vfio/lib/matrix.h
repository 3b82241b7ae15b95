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

/* One arc of a transition, as a driver sees it. */
struct mig_arc {
	int from, to;		/* of the transition */
	int leaves, enters;	/* of the arc */
};

struct mig_path mig_way(__u64 flags, int from, int to);
unsigned int mig_every_arc(__u64 flags, void (*call)(void *arg, const struct mig_arc *arc),
			   void *arg);

/* Whether the state before the arc can be kept where it fails. */
bool mig_can_keep(const struct mig_arc *arc);

#endif
