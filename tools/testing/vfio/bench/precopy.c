// SPDX-License-Identifier: GPL-2.0
/*
 * Pre-copy of a device that changes its state all the time, until little enough is left: rounds,
 * time, bytes, and how long the device is stopped after that.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

/* More rounds than that do not converge. */
#define MOST_ROUNDS	20

static uint64_t left(int fd)
{
	struct vfio_precopy_info info;
	int ret = mig_precopy_info(fd, &info);

	if (ret)
		mig_die("VFIO_MIG_GET_PRECOPY_INFO: %s", strerror(-ret));
	return info.initial_bytes + info.dirty_bytes;
}

void measure_precopy(struct bench_pair *pair)
{
	void *buffer = touched(BENCH_BUFFER);
	struct move move = {};
	uint64_t start, running, stopped, rest, rounds, ns;
	int fd_to = timed_set(&pair->to, RE, &ns), fd;

	start = sys_now_ns();
	fd = timed_set(&pair->from, PC, &ns);
	/* As QEMU does: a round is over when what was left before it has come. */
	for (rounds = 0, rest = left(fd); rest > precopy_enough() && rounds < MOST_ROUNDS;
	     rest = left(fd)) {
		move.most = move.bytes + rest;
		if (!move_stream(fd, fd_to, buffer, BENCH_BUFFER, &move))
			mig_die("a stream of pre-copy has ended");
		rounds++;
	}
	stopped = sys_now_ns();
	running = move.bytes;
	move.most = 0;
	timed_set(&pair->from, SC, &ns);
	move_stream(fd, fd_to, buffer, BENCH_BUFFER, &move);
	timed_set(&pair->to, R, &ns);
	ns = sys_now_ns();
	sample(pair, "precopy_rounds", "", rounds);
	sample(pair, "precopy_ns", "", stopped - start);
	sample(pair, "precopy_bytes", "running", running);
	sample(pair, "precopy_bytes", "stopped", move.bytes - running);
	sample(pair, "downtime_ns", "", ns - stopped);
	timed_set(&pair->from, R, &ns);
	close(fd);
	close(fd_to);
	munmap(buffer, BENCH_BUFFER);
}
