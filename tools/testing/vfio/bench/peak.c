// SPDX-License-Identifier: GPL-2.0
/*
 * The most memory that a migration takes: what is charged to the user's control group, and what
 * is missing in the machine, which has what is charged to nobody as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

struct peak {
	long charged, free;		/* before, in KiB */
	long least;			/* free */
};

/* Free memory in KiB, with what the allocator keeps for each CPU. Takes none itself. */
static long memory_free(void)
{
	static char text[1 << 16];
	int fd = open("/proc/zoneinfo", O_RDONLY);
	long pages = 0;
	ssize_t got;
	char *at;

	if (fd < 0)
		mig_die("/proc/zoneinfo: %s", strerror(errno));
	for (at = text; (got = read(fd, at, text + sizeof(text) - 1 - at)) > 0; at += got)
		;
	*at = '\0';
	close(fd);
	for (at = strtok(text, "\n"); at; at = strtok(NULL, "\n")) {
		long count;

		if (sscanf(at, " nr_free_pages %ld", &count) == 1 ||
		    sscanf(at, " count: %ld", &count) == 1)
			pages += count;
	}
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void look(struct peak *peak)
{
	long now = memory_free();

	if (now < peak->least)
		peak->least = now;
}

/* Waits until nobody gives memory back any more: a driver may do so when a session is over. */
static void settle(void)
{
	long most = memory_free();
	int calm;

	for (calm = 0; calm < 5; calm++) {
		long now;

		usleep(20000);
		now = memory_free();
		if (now > most) {
			most = now;
			calm = 0;
		}
	}
}

static struct peak begin(void)
{
	struct peak peak;

	settle();
	cgroup_enter();
	peak.charged = cgroup_charged();
	peak.free = memory_free();
	peak.least = peak.free;
	return peak;
}

static void end(struct bench_pair *pair, struct peak *peak, const char *what)
{
	long charged = cgroup_peak() - peak->charged;

	look(peak);
	sample(pair, "peak_charged_kib", what, charged);
	sample(pair, "peak_taken_kib", what, peak->free - peak->least);
	cgroup_leave();
}

/* With a look after each buffer. */
static void read_looking(int from, void *buffer, struct peak *peak)
{
	ssize_t got;

	while ((got = read(from, buffer, BENCH_BUFFER)) > 0)
		look(peak);
	if (got < 0 && errno != ENOMSG)
		mig_die("read: %s", strerror(errno));
}

static void save(struct bench_pair *pair, void *buffer, bool precopy)
{
	struct peak peak = begin();
	uint64_t ns;
	int fd;

	if (precopy) {
		fd = timed_set(&pair->from, PC, &ns);
		read_looking(fd, buffer, &peak);
		timed_set(&pair->from, SC, &ns);
	} else {
		fd = timed_set(&pair->from, SC, &ns);
	}
	look(&peak);
	read_looking(fd, buffer, &peak);
	timed_set(&pair->from, R, &ns);
	close(fd);
	end(pair, &peak, precopy ? "pre-copy" : "save");
}

/* The stream is there before, in memory of the user. */
static void load(struct bench_pair *pair)
{
	struct mig_buf stream = {};
	struct peak peak;
	uint64_t ns;
	size_t at;
	int fd;

	mig_save(&pair->from, &stream);
	peak = begin();
	fd = timed_set(&pair->to, RE, &ns);
	for (at = 0; at < stream.len; at += BENCH_BUFFER) {
		size_t size = stream.len - at < BENCH_BUFFER ? stream.len - at : BENCH_BUFFER;
		int ret = mig_write(fd, stream.data + at, size, MIG_WHOLE);

		if (ret)
			mig_die("write: %s", strerror(-ret));
		look(&peak);
	}
	timed_set(&pair->to, R, &ns);
	close(fd);
	end(pair, &peak, "load");
	mig_buf_free(&stream);
}

void measure_peak(struct bench_pair *pair)
{
	void *buffer = touched(BENCH_BUFFER);

	save(pair, buffer, false);
	save(pair, buffer, true);
	load(pair);
	munmap(buffer, BENCH_BUFFER);
}
