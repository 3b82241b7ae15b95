/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the measurements of VFIO migration drivers share. Times are nanoseconds of the machine's
 * monotonic clock; what does not go as it should ends the program.
 */
#ifndef VFIO_BENCH_H
#define VFIO_BENCH_H

#include "kselftest.h"

#include "lib/log.h"
#include "lib/memory.h"
#include "lib/system.h"
#include "lib/vfio_migration.h"

/* Two devices of one driver; state goes from the first to the second. */
struct bench_pair {
	const char *driver;
	struct mig_device from, to;
};

/* The buffer of a reader that is not measured with others: QEMU's. */
#define BENCH_BUFFER	((size_t)MIB)

/* measure.c */
void sample(const struct bench_pair *pair, const char *measure, const char *what,
	    uint64_t value);
int timed_set(struct mig_device *dev, int state, uint64_t *ns);
void timed_close(int fd, uint64_t *ns);
void *touched(size_t size);
uint64_t precopy_enough(void);

/* move.c: bytes of a stream, from a data file to another */
#define MOVE_SLOTS	8

struct move {
	uint64_t bytes;
	uint64_t most;		/* no more than about so many bytes; 0 is no limit */
	uint64_t wait_ns;	/* until there was something to read */
	uint64_t read_ns;
	uint64_t write_ns;
};

int move_stream(int from, int to, void *buffer, size_t size, struct move *move);
uint64_t move_threaded(int from, int to, char *buffers, size_t size);

/* cpu.c: time that all tasks of the machine have run */
uint64_t cpu_ns(void);

/* The measurements, each with two devices that are RUNNING after a reset. */
void measure_arcs(struct bench_pair *pair);
void measure_stream(struct bench_pair *pair);
void measure_transfer(struct bench_pair *pair);
void measure_precopy(struct bench_pair *pair);
void measure_peak(struct bench_pair *pair);
void measure_logging(struct bench_pair *pair);

#endif
