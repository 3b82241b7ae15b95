// SPDX-License-Identifier: GPL-2.0
/*
 * CPU time of the whole machine, in nanoseconds: that of every process and every thread of the
 * kernel. Interrupts count with the task that they interrupt, and not at all in an idle machine.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

static uint64_t sum_of_tasks(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	uint64_t sum = 0;

	if (!dir)
		mig_die("/proc: %s", strerror(errno));
	while ((entry = readdir(dir))) {
		struct timespec time;
		clockid_t clock;

		if (!isdigit(entry->d_name[0]))
			continue;
		/* It may have ended in the meantime. */
		if (clock_getcpuclockid(atoi(entry->d_name), &clock) ||
		    clock_gettime(clock, &time))
			continue;
		sum += time.tv_sec * 1000000000ULL + time.tv_nsec;
	}
	closedir(dir);
	return sum;
}

/* The difference of two calls is what ran between them, without the calls themselves. */
uint64_t cpu_ns(void)
{
	static uint64_t own;
	uint64_t before = sum_of_tasks(), now = before - own;

	/* What one look costs is what the next one sees of it. */
	own += 2 * (sum_of_tasks() - before);
	return now;
}
