// SPDX-License-Identifier: GPL-2.0
/*
 * Moving a migration stream in and out of a data file, and looking into it.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vfio_migration.h"

/* xorshift64*: the same everywhere, so a seed names one run. */
uint64_t mig_random(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return *seed * 0x2545f4914f6cdd1dULL;
}

/* Tests that draw much can be told another seed. */
uint64_t mig_seed(uint64_t seed)
{
	const char *env = getenv("VFIO_MIGRATION_SEED");

	return env && *env ? strtoull(env, NULL, 0) ^ seed ?: 1 : seed;
}

/* How often a test that may go on for ever is to do what it does: as often as told, or N%. */
size_t mig_rounds(size_t rounds)
{
	const char *env = getenv("VFIO_MIGRATION_ROUNDS");
	size_t told;
	char *end;

	if (!env || !*env)
		return rounds;
	told = strtoull(env, &end, 0);
	if (!strcmp(end, "%"))
		told = (rounds * told + 99) / 100;
	else if (*end)
		mig_die("VFIO_MIGRATION_ROUNDS=%s", env);
	return told;
}

size_t mig_cut_next(struct mig_cut *cut)
{
	return cut->min + mig_random(&cut->seed) % (cut->max - cut->min + 1);
}

static void buf_room(struct mig_buf *buf, size_t more)
{
	if (buf->cap - buf->len >= more)
		return;
	buf->cap = 2 * (buf->len + more);
	buf->data = realloc(buf->data, buf->cap);
	if (!buf->data)
		mig_die("no memory for a stream of %zu bytes", buf->cap);
}

void mig_buf_add(struct mig_buf *buf, const void *data, size_t len)
{
	buf_room(buf, len);
	memcpy(buf->data + buf->len, data, len);
	buf->len += len;
}

void mig_buf_free(struct mig_buf *buf)
{
	free(buf->data);
	*buf = (struct mig_buf){};
}

/* Append to buf until the stream ends: 0 at the end, -ENOMSG at a temporary one. */
int mig_read(int data_fd, struct mig_buf *buf, struct mig_cut cut)
{
	ssize_t got;

	for (;;) {
		size_t want = mig_cut_next(&cut);

		buf_room(buf, want);
		got = read(data_fd, buf->data + buf->len, want);
		if (got < 0)
			return -errno;
		if (!got)
			return 0;
		if ((size_t)got > want)
			mig_die("read of %zu bytes returned %zd", want, got);
		buf->len += got;
	}
}

int mig_write(int data_fd, const void *data, size_t len, struct mig_cut cut)
{
	size_t done = 0;

	while (done < len) {
		size_t want = mig_cut_next(&cut);
		ssize_t put;

		if (want > len - done)
			want = len - done;
		put = write(data_fd, (const char *)data + done, want);
		if (put < 0)
			return -errno;
		if (!put || (size_t)put > want)
			mig_die("[R12] write of %zu bytes returned %zd", want, put);
		done += put;
	}
	return 0;
}

/* The whole state by the short way: STOP_COPY only. Leaves STOP. */
void mig_save(struct mig_device *dev, struct mig_buf *buf)
{
	int fd = mig_set(dev, SC), ret;

	ret = mig_read(fd, buf, MIG_WHOLE);
	if (ret)
		mig_die("read in STOP_COPY: %s", strerror(-ret));
	mig_set(dev, ST);
	close(fd);
}

/* 0 with the device in STOP, or the first error, from write or from leaving RESUMING. */
int __mig_load(struct mig_device *dev, const struct mig_buf *buf, struct mig_cut cut)
{
	int fd = mig_set(dev, RE), none, ret;

	ret = mig_write(fd, buf->data, buf->len, cut);
	if (!ret)
		ret = __mig_set(dev, ST, &none);
	close(fd);
	return ret;
}

/* Open the device, and keep the stream that it gives. */
void mig_open_sampled(struct mig_device *dev, struct mig_buf *ref, int state)
{
	*ref = (struct mig_buf){};
	mig_open(dev);
	if (mig_reset(dev))
		mig_die("[X1] reset failed");
	mig_set(dev, ST);
	mig_save(dev, ref);
	if (!ref->len)
		mig_die("the device has no state");
	mig_set(dev, state);
}

/* Go to a state, with the load complete where that is RESUMING. */
int mig_enter(struct mig_device *dev, const struct mig_buf *ref, int state)
{
	int fd = mig_set(dev, state), ret;

	if (state != RE)
		return fd;
	ret = mig_write(fd, ref->data, ref->len, MIG_WHOLE);
	if (ret)
		mig_die("write: %s", strerror(-ret));
	return fd;
}

bool mig_buf_equal(const struct mig_buf *a, const struct mig_buf *b)
{
	return a->len == b->len && !memcmp(a->data, b->data, a->len);
}

/* Does the device take this stream, and does it then save the same? */
bool mig_round_trip(struct mig_device *dev, const struct mig_buf *buf)
{
	struct mig_buf again = {};
	bool same;

	if (__mig_load(dev, buf, MIG_WHOLE))
		return false;
	mig_save(dev, &again);
	same = mig_buf_equal(buf, &again);
	mig_buf_free(&again);
	return same;
}

/* The number of records, 0 if the stream is not made of records. */
size_t mig_records(const struct mig_buf *buf, struct mig_record *rec, size_t max)
{
	size_t at = 0, n = 0;

	while (at < buf->len) {
		uint32_t word[4];
		uint64_t size;

		if (n == max || buf->len - at < MIG_RECORD_HEADER)
			return 0;
		memcpy(word, buf->data + at, sizeof(word));
		size = le32toh(word[0]) | (uint64_t)le32toh(word[1]) << 32;
		if (size > buf->len - at - MIG_RECORD_HEADER)
			return 0;
		rec[n++] = (struct mig_record){
			.start = at, .size = size,
			.flags = le32toh(word[2]), .tag = le32toh(word[3]),
		};
		at += MIG_RECORD_HEADER + size;
	}
	return n;
}

/* Are there two records of the same kind and size before it? */
static bool seen_twice(const struct mig_record *rec, size_t i)
{
	unsigned int seen = 0;
	size_t k;

	for (k = 0; k < i; k++)
		seen += rec[k].tag == rec[i].tag && rec[k].flags == rec[i].flags &&
			rec[k].size == rec[i].size;
	return seen >= 2;
}

/*
 * The offsets of a stream that tests of single bytes visit, sorted: all of them in a stream
 * of up to `small` bytes. In a longer one every byte of every header and of every record
 * of up to `small` bytes, the edges of the others, and `sample` drawn at random; what comes
 * a third time, of the same kind and size, is left out.
 */
size_t mig_offsets(const struct mig_buf *buf, size_t small, size_t sample, size_t **list)
{
	enum { MAX = 4096 };
	static struct mig_record rec[MAX];
	uint64_t seed = 0x0ff5e7;
	size_t n, i, out = 0;
	unsigned char *hit = calloc(1, buf->len);

	*list = calloc(buf->len + 1, sizeof(**list));
	if (!hit || !*list)
		mig_die("no memory for %zu offsets", buf->len);
	n = mig_records(buf, rec, MAX);
	if (buf->len <= small)
		memset(hit, 1, buf->len);
	for (i = 0; i < n; i++) {
		size_t body = rec[i].start + MIG_RECORD_HEADER;

		if (buf->len > small && seen_twice(rec, i))
			continue;
		memset(hit + rec[i].start, 1, MIG_RECORD_HEADER);
		if (rec[i].size <= small / 16) {
			memset(hit + body, 1, rec[i].size);
		} else {
			hit[body] = 1;
			hit[body + rec[i].size - 1] = 1;
		}
	}
	if (!n && buf->len > small) {
		memset(hit, 1, 64);
		memset(hit + buf->len - 64, 1, 64);
	}
	if (buf->len > small)
		for (i = 0; i < sample; i++)
			hit[mig_random(&seed) % buf->len] = 1;
	for (i = 0; i < buf->len; i++)
		if (hit[i])
			(*list)[out++] = i;
	free(hit);
	return out;
}
