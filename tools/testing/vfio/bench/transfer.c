// SPDX-License-Identifier: GPL-2.0
/*
 * The whole of a stop-copy: from the order to save, given to a device that runs, until the other
 * device runs, which was RESUMING before. With one thread that reads and writes, and with two.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

static void one(struct bench_pair *pair, const char *what, bool threads)
{
	size_t size = MOVE_SLOTS * BENCH_BUFFER;
	void *buffer = touched(size);
	struct move move = {};
	uint64_t start, ns;
	int fd_to, fd;

	fd_to = timed_set(&pair->to, RE, &ns);
	start = sys_now_ns();
	fd = timed_set(&pair->from, SC, &ns);
	if (threads)
		move.bytes = move_threaded(fd, fd_to, buffer, BENCH_BUFFER);
	else
		move_stream(fd, fd_to, buffer, BENCH_BUFFER, &move);
	timed_set(&pair->to, R, &ns);
	sample(pair, "transfer_ns", what, sys_now_ns() - start);
	sample(pair, "bytes", what, move.bytes);
	if (!threads) {
		sample(pair, "transfer_wait_ns", what, move.wait_ns);
		sample(pair, "transfer_read_ns", what, move.read_ns);
		sample(pair, "transfer_write_ns", what, move.write_ns);
	}
	timed_set(&pair->from, R, &ns);
	close(fd);
	close(fd_to);
	munmap(buffer, size);
}

void measure_transfer(struct bench_pair *pair)
{
	one(pair, "one thread", false);
	one(pair, "two threads", true);
}
