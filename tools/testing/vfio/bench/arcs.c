// SPDX-License-Identifier: GPL-2.0
/*
 * The time of each arc: that of the ioctl that changes the state. An image that was begun is there
 * before the next arc, so that none has a part of a SAVE in it. Closing the data file counts as an
 * arc, as a driver may leave work for it.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

struct walk {
	struct bench_pair *pair;
	int fd_from, fd_to;
	bool saving;			/* nobody has read yet what is being saved */
	void *buffer;
};

/* Reads more than what a driver may put before the image. */
static void await_image(struct walk *walk)
{
	ssize_t got, sum = 0;

	while (sum < 4096 && (got = read(walk->fd_from, walk->buffer, 4096)) > 0)
		sum += got;
	walk->saving = false;
}

static void arc(struct walk *walk, struct mig_device *dev, int from, int to, bool counts)
{
	int *data = dev == &walk->pair->from ? &walk->fd_from : &walk->fd_to;
	char name[64];
	uint64_t ns;
	int fd;

	if (walk->saving)
		await_image(walk);
	fd = timed_set(dev, to, &ns);
	snprintf(name, sizeof(name), "%s -> %s", mig_state_name(from), mig_state_name(to));
	if (counts)
		sample(walk->pair, "arc_ns", name, ns);
	if (fd >= 0) {
		*data = fd;
		walk->saving = mig_saving(to);
		return;
	}
	if (*data < 0 || mig_saving(to))
		return;
	timed_close(*data, &ns);
	*data = -1;
	if (counts)
		sample(walk->pair, "arc_ns", from == RE ? "close (loaded)" : "close (saved)", ns);
}

static void move_all(struct walk *walk)
{
	struct move move = {};

	move_stream(walk->fd_from, walk->fd_to, walk->buffer, BENCH_BUFFER, &move);
	walk->saving = false;
}

/* Each of the fifteen arcs once that counts. */
void measure_arcs(struct bench_pair *pair)
{
	struct mig_device *from = &pair->from, *to = &pair->to;
	struct walk walk = {
		.pair = pair, .fd_from = -1, .fd_to = -1, .buffer = touched(BENCH_BUFFER),
	};

	/* Pre-copy that is given up. */
	arc(&walk, from, R, RP, true);
	arc(&walk, from, RP, PP, true);
	arc(&walk, from, PP, RP, true);
	arc(&walk, from, RP, R, true);
	arc(&walk, from, R, PC, true);
	arc(&walk, from, PC, R, true);
	/* Pre-copy that goes on; nobody loads what comes. */
	arc(&walk, from, R, PC, false);
	move_all(&walk);
	arc(&walk, from, PC, PP, true);
	arc(&walk, from, PP, PC, true);
	arc(&walk, from, PC, PP, false);
	arc(&walk, from, PP, SC, true);
	move_all(&walk);
	arc(&walk, from, SC, ST, false);
	/* The short way, to the other device. */
	arc(&walk, to, R, RP, false);
	arc(&walk, to, RP, ST, true);
	arc(&walk, to, ST, RE, true);
	arc(&walk, from, ST, SC, true);
	move_all(&walk);
	arc(&walk, from, SC, ST, true);
	arc(&walk, to, RE, ST, true);
	arc(&walk, to, ST, RP, true);
	munmap(walk.buffer, BENCH_BUFFER);
}
