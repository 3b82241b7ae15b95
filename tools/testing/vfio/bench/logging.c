// SPDX-License-Identifier: GPL-2.0
/*
 * DMA logging of memory that the device does not write to: the time to begin, to report a GiB of
 * it, and to end, by how much is logged.
 */
#include <string.h>

#include "bench.h"

#define PAGE	(4 * KIB)

static const uint64_t sizes[] = { 1, 16, 64 };

/* Nanoseconds since *start, which begins anew. */
static uint64_t lap(uint64_t *start)
{
	uint64_t now = sys_now_ns(), ns = now - *start;

	*start = now;
	return ns;
}

static void check(int ret, const char *what)
{
	if (ret)
		mig_die("DMA logging, %s: %s", what, strerror(-ret));
}

static void one(struct bench_pair *pair, uint64_t gib)
{
	/* A bit for each page of a GiB. */
	static uint64_t bitmap[GIB / PAGE / 64];
	uint64_t base = 4 * GIB, start, at, ns;
	char what[32];

	memset(bitmap, 0, sizeof(bitmap));
	snprintf(what, sizeof(what), "%llu GiB", (unsigned long long)gib);
	start = sys_now_ns();
	check(log_start(&pair->from, base, gib * GIB, PAGE), "start");
	ns = lap(&start);
	sample(pair, "log_start_ns", what, ns);
	lap(&start);
	for (at = 0; at < gib; at++)
		check(log_report(&pair->from, base + at * GIB, GIB, PAGE, bitmap), "report");
	sample(pair, "log_report_ns", what, lap(&start) / gib);
	lap(&start);
	check(log_stop(&pair->from), "stop");
	sample(pair, "log_stop_ns", what, lap(&start));
}

void measure_logging(struct bench_pair *pair)
{
	size_t i;

	if (!log_is_there(&pair->from)) {
		fprintf(stderr, "%s has no DMA logging\n", pair->driver);
		return;
	}
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		one(pair, sizes[i]);
}
