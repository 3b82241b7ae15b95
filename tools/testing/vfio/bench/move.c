// SPDX-License-Identifier: GPL-2.0
/*
 * A stream goes from one data file to another: by one thread, or by two with a queue between.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

static void write_all(int to, const char *data, size_t size)
{
	int ret = mig_write(to, data, size, (struct mig_cut){ size, size, 1 });

	if (ret)
		mig_die("write: %s", strerror(-ret));
}

static void set_flags(int fd, int flags)
{
	if (fcntl(fd, F_SETFL, flags))
		mig_die("F_SETFL: %s", strerror(errno));
}

/*
 * Until the end (0), the end for now (-ENOMSG), or there are move->most bytes (1). Adds to *move.
 * Without a target (-1) the bytes are dropped. What the source takes to have some is kept apart
 * from the time of its reads: it is that of a read of one byte. poll() would not do, as the file of
 * a device that has stopped is always readable.
 */
int move_stream(int from, int to, void *buffer, size_t size, struct move *move)
{
	set_flags(from, O_NONBLOCK);
	while (!move->most || move->bytes < move->most) {
		uint64_t start = sys_now_ns(), end;
		ssize_t got = read(from, buffer, size);
		int error = errno;

		end = sys_now_ns();
		if (got < 0 && error == EAGAIN) {
			set_flags(from, 0);
			start = sys_now_ns();
			got = read(from, buffer, 1);
			error = errno;
			move->wait_ns += sys_now_ns() - start;
			set_flags(from, O_NONBLOCK);
		} else {
			move->read_ns += end - start;
		}
		if (got < 0 && error != ENOMSG)
			mig_die("read: %s", strerror(error));
		if (got <= 0)
			return got ? -ENOMSG : 0;
		move->bytes += got;
		if (to < 0)
			continue;
		start = sys_now_ns();
		write_all(to, buffer, got);
		move->write_ns += sys_now_ns() - start;
	}
	return 1;
}

/* Buffers, used in a circle. */
struct queue {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct {
		char *data;
		ssize_t filled;		/* 0 is the end of the stream */
	} slot[MOVE_SLOTS];
	unsigned int put, taken;
	int from;
	size_t size;
};

static void *read_all(void *arg)
{
	struct queue *queue = arg;
	ssize_t got;

	do {
		unsigned int slot = queue->put % MOVE_SLOTS;

		pthread_mutex_lock(&queue->lock);
		while (queue->put - queue->taken == MOVE_SLOTS)
			pthread_cond_wait(&queue->changed, &queue->lock);
		pthread_mutex_unlock(&queue->lock);
		got = read(queue->from, queue->slot[slot].data, queue->size);
		if (got < 0)
			mig_die("read: %s", strerror(errno));
		pthread_mutex_lock(&queue->lock);
		queue->slot[slot].filled = got;
		queue->put++;
		pthread_cond_signal(&queue->changed);
		pthread_mutex_unlock(&queue->lock);
	} while (got);
	return NULL;
}

/*
 * A thread that reads, and this one that writes, with MOVE_SLOTS buffers of that size. Returns the
 * number of bytes.
 */
uint64_t move_threaded(int from, int to, char *buffers, size_t size)
{
	struct queue queue = {
		.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER,
		.from = from, .size = size,
	};
	uint64_t bytes = 0;
	pthread_t reader;
	ssize_t got;
	int i;

	for (i = 0; i < MOVE_SLOTS; i++)
		queue.slot[i].data = buffers + i * size;
	i = pthread_create(&reader, NULL, read_all, &queue);
	if (i)
		mig_die("no thread: %s", strerror(i));
	for (;;) {
		unsigned int slot = queue.taken % MOVE_SLOTS;

		pthread_mutex_lock(&queue.lock);
		while (queue.put == queue.taken)
			pthread_cond_wait(&queue.changed, &queue.lock);
		got = queue.slot[slot].filled;
		pthread_mutex_unlock(&queue.lock);
		if (!got)
			break;
		write_all(to, queue.slot[slot].data, got);
		bytes += got;
		pthread_mutex_lock(&queue.lock);
		queue.taken++;
		pthread_cond_signal(&queue.changed);
		pthread_mutex_unlock(&queue.lock);
	}
	pthread_join(reader, NULL);
	return bytes;
}
