/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The work of rdma.h as a thread of this process, which interrupts wake.
 */
#ifndef SELFTESTS_VFIO_WORKER_H
#define SELFTESTS_VFIO_WORKER_H

#include <pthread.h>

#include "mlx5_vfio.h"
#include "rdma.h"

struct worker {
	struct rdma work;
	struct mlx5_vfio *own;	/* the function that works */
	pthread_t thread;
	int kick;
};

void worker_setup(struct worker *worker, struct mlx5_vfio *own);
void worker_teardown(struct worker *worker);
/* Begin and end of the thread. What is under way at its end goes on. */
void worker_go(struct worker *worker);
void worker_pause(struct worker *worker);
/* The thread has done so many more. */
void worker_progress(struct worker *worker, __u64 more);
/* Nothing is under way any more, and all of the memory is as it should be. */
void worker_drain(struct worker *worker);
/* It goes on with another function, which has become what its own was. */
void worker_move(struct worker *worker, struct mlx5_vfio *own);

#endif
