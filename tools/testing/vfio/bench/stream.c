// SPDX-License-Identifier: GPL-2.0
/*
 * How fast a stream is read and written, and what that costs, by the size of the user's buffer.
 * The device is through with what it saves at once when the first byte is read.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

static const size_t buffers[] = { 4 << 10, 64 << 10, 1 << 20 };

static uint64_t per_second(uint64_t bytes, uint64_t ns)
{
	return (double)bytes * 1e9 / ns;
}

static uint64_t per_gib(uint64_t ns, uint64_t bytes)
{
	return (double)ns * (1 << 30) / bytes;
}

/* From RUNNING; without a target the stream is dropped. */
static void one(struct bench_pair *pair, size_t size, bool load)
{
	void *buffer = touched(size);
	struct move move = {};
	uint64_t cpu, done, ns;
	int fd_to = -1, fd;
	char what[32];

	snprintf(what, sizeof(what), "%zu", size);
	cpu = cpu_ns();
	if (load)
		fd_to = timed_set(&pair->to, RE, &ns);
	fd = timed_set(&pair->from, SC, &ns);
	move_stream(fd, fd_to, buffer, size, &move);
	timed_set(&pair->from, R, &ns);
	close(fd);
	if (load) {
		/* What was written is loaded at the latest when RESUMING is over. */
		timed_set(&pair->to, ST, &done);
		timed_set(&pair->to, R, &ns);
		close(fd_to);
	}
	cpu = cpu_ns() - cpu;
	if (load) {
		sample(pair, "read_bps", what, per_second(move.bytes, move.read_ns));
		sample(pair, "write_bps", what, per_second(move.bytes, move.write_ns + done));
		sample(pair, "bytes", what, move.bytes);
	}
	sample(pair, load ? "cpu_moved_ns" : "cpu_saved_ns", what, per_gib(cpu, move.bytes));
	munmap(buffer, size);
}

void measure_stream(struct bench_pair *pair)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(buffers); i++)
		one(pair, buffers[i], true);
	one(pair, BENCH_BUFFER, false);
}
