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
#include <sys/wait.h>
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

static struct peak begin(void)
{
	struct peak peak;

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

/* From one file to the other, or to nowhere, with a look after each buffer. */
static void move_looking(int from, int to, void *buffer, struct peak *peak)
{
	ssize_t got;
	int ret = 0;

	while ((got = read(from, buffer, BENCH_BUFFER)) > 0) {
		if (to >= 0)
			ret = mig_write(to, buffer, got, MIG_WHOLE);
		if (ret)
			mig_die("write: %s", strerror(-ret));
		if (peak)
			look(peak);
	}
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
		move_looking(fd, -1, buffer, &peak);
		timed_set(&pair->from, SC, &ns);
	} else {
		fd = timed_set(&pair->from, SC, &ns);
	}
	look(&peak);
	move_looking(fd, -1, buffer, &peak);
	timed_set(&pair->from, R, &ns);
	close(fd);
	end(pair, &peak, precopy ? "pre-copy" : "save");
}

/* The saving side is another process, which has what it needs before. */
static void load(struct bench_pair *pair, void *buffer)
{
	struct peak peak;
	int fd, fd_to, ends[2], status;
	uint64_t ns;
	pid_t pid;

	fd = timed_set(&pair->from, SC, &ns);
	await_data(fd);
	if (pipe(ends))
		mig_die("pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		mig_die("fork: %s", strerror(errno));
	if (!pid) {
		close(ends[0]);
		move_looking(fd, ends[1], buffer, NULL);
		_exit(0);
	}
	close(ends[1]);
	peak = begin();
	fd_to = timed_set(&pair->to, RE, &ns);
	move_looking(ends[0], fd_to, buffer, &peak);
	look(&peak);
	timed_set(&pair->to, R, &ns);
	close(fd_to);
	end(pair, &peak, "load");
	close(ends[0]);
	if (waitpid(pid, &status, 0) != pid || status)
		mig_die("the process that saves ended with status %#x", status);
	timed_set(&pair->from, R, &ns);
	close(fd);
}

void measure_peak(struct bench_pair *pair)
{
	void *buffer = touched(BENCH_BUFFER);

	save(pair, buffer, false);
	save(pair, buffer, true);
	load(pair, buffer);
	munmap(buffer, BENCH_BUFFER);
}
