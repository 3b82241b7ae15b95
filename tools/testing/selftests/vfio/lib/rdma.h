/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Work for a virtual function of a ConnectX: RDMA WRITE and SEND between two queue pairs of it, in
 * turns, for ever. Every page and message has a number; that each completion comes once, in
 * order, and that memory has what was written, is checked on the way, and ends the test if not.
 *
 * Apart from `vf` this is what a guest has in its own memory: after a migration it goes on with
 * another function.
 */
#ifndef SELFTESTS_VFIO_RDMA_H
#define SELFTESTS_VFIO_RDMA_H

#include "mlx5.h"

/* Pages of a WRITE and of a message; how many of each have a place of their own. */
#define RDMA_WRITE_PAGES	4
#define RDMA_WRITES		128
#define RDMA_SEND_PAGES		2
#define RDMA_SENDS		16
/* The most pieces of work that are under way. */
#define RDMA_DEPTH		8

/* The function's memory. */
enum {
	/* What only the driver writes. */
	RDMA_DOORBELLS = MLX5_MEM_FREE,
	RDMA_QUEUES = RDMA_DOORBELLS + 0x1000,	/* two pages for each queue pair */
	RDMA_SOURCE = RDMA_QUEUES + 0x4000,
	/* What only the function writes, once it runs. */
	RDMA_DEVICE = RDMA_SOURCE + 2 * RDMA_DEPTH * RDMA_WRITE_PAGES * 0x1000,
	RDMA_EQ = RDMA_DEVICE,
	RDMA_CQ = RDMA_EQ + 0x1000,
	RDMA_WRITTEN = RDMA_CQ + 0x1000,
	RDMA_SENT = RDMA_WRITTEN + RDMA_WRITES * RDMA_WRITE_PAGES * 0x1000,
	RDMA_SIZE = RDMA_SENT + RDMA_SENDS * RDMA_SEND_PAGES * 0x1000,
};

struct rdma {
	struct mlx5 *vf;
	__u32 uar, pd, eqn, cqn;
	__u32 source_key, target_key;
	__u32 qpn[2];
	__u32 eq_ci, cq_ci;
	/* Pieces of work: WRITEs have even numbers, SENDs odd ones. */
	__u64 posted, done;
	__u64 receives, received;
};

void rdma_setup(struct rdma *work, struct mlx5 *vf);
void rdma_teardown(struct rdma *work);
/* As much as may be under way, but nothing before what was in its place was looked at. */
void rdma_post(struct rdma *work);
/* The number of completions that there are, and of events. */
size_t rdma_poll(struct rdma *work);
size_t rdma_events(struct rdma *work);
/* The next completion is to make an event. */
void rdma_arm(struct rdma *work);
/* Nothing is under way any more: all of the memory is as it should be. */
void rdma_check_memory(struct rdma *work);
/* The objects are what they were. */
void rdma_check_objects(struct rdma *work);

#endif
