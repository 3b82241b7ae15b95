// SPDX-License-Identifier: GPL-2.0
/*
 * Streams that were made to hurt: whatever is written to a device in RESUMING, it is refused
 * unless it is a good stream, takes a bounded amount of memory, and a reset forgets it.
 *
 * VFIO_MIGRATION_SEED gives other streams, VFIO_MIGRATION_ROUNDS more or fewer of them.
 */
#include <endian.h>
#include <pthread.h>
#include <sys/uio.h>

#include "lib/fixture.h"
#include "lib/memory.h"

/* Of many failures of one kind the first few say it all. */
#define LOGGED		3

/*
 * The most that a driver may take for what it cannot yet judge. A record of data may have to be
 * whole before anybody can: then what was written of it is kept, too.
 */
#define BOUND_KIB	(24 << 10)

/* Tags and flags that streams of records are known to have. */
enum { TAG_DATA, TAG_STOP_COPY_SIZE };
enum { OPTIONAL = 1 };

MIG_STREAM_FIXTURE(hostile, R);

/* Is the device in a state that it may have now? It is RUNNING afterwards. */
static void recover(struct mig_device *dev, bool taken)
{
	int state = mig_get(dev);

	if (taken ? state != ST : state != RE && state != ERR)
		mig_die("[R8] %s, and then in %s", taken ? "taken" : "refused",
			mig_state_name(state));
	if (mig_reset(dev) || mig_get(dev) != R)
		mig_die("[R6] [X1] no recovery from %s", mig_state_name(state));
}

/* Was the stream refused, and did a reset recover the device? */
static bool refused(struct mig_device *dev, const struct mig_buf *buf)
{
	bool taken = !__mig_load(dev, buf, MIG_WHOLE);

	recover(dev, taken);
	return !taken;
}

TEST_F(hostile, r5_r6_random_bytes)
{
	size_t rounds = mig_rounds(200), taken = 0, i, len;
	uint64_t seed = mig_seed(0xbad), word;

	for (i = 0; i < rounds; i++) {
		struct mig_buf buf = {};

		/* Many begin as a good stream does. */
		len = mig_random(&seed) % 200;
		if (i % 2)
			mig_buf_add(&buf, self->ref.data,
				    len < self->ref.len ? len : self->ref.len);
		for (len = 1 + mig_random(&seed) % 5000; len; len--) {
			word = mig_random(&seed);
			mig_buf_add(&buf, &word, sizeof(word));
		}
		if (!refused(&self->dev, &buf) && taken++ < LOGGED)
			TH_LOG("[R5] round %zu, %zu bytes", i, buf.len);
		mig_buf_free(&buf);
	}
	EXPECT_EQ(0, taken) TH_LOG("[R5] %zu of %zu taken", taken, rounds);
	EXPECT_TRUE(mig_round_trip(&self->dev, &self->ref)) TH_LOG("[R6]");
}

/* Calls of absurd sizes, from and to memory that is there once and seen everywhere. */
TEST_F(hostile, r13_t14_calls_of_any_size)
{
	static const size_t size[] = {
		1UL << 30, (1UL << 31) - 1, 1UL << 31, 1UL << 33, ~0UL >> 1,
	};
	char *map = mmap(NULL, 1UL << 30, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct mig_buf got = {};
	struct iovec iov[1024];
	long before, took;
	ssize_t n = 1;
	size_t i;
	int fd;

	ASSERT_NE(MAP_FAILED, map);
	for (i = 0; i < ARRAY_SIZE(iov); i++)
		iov[i] = (struct iovec){ map, i % 3 ? 1 << 20 : 0 };
	before = memory_available();
	for (i = 0; i <= ARRAY_SIZE(size); i++) {
		int none;

		fd = mig_set(&self->dev, RE);
		/* Zeros, which no device takes for long; and some lead out of the mapping. */
		if (i < ARRAY_SIZE(size))
			n = write(fd, map, size[i]);
		else
			n = writev(fd, iov, ARRAY_SIZE(iov));
		EXPECT_NE(0, __mig_set(&self->dev, ST, &none)) TH_LOG("[R5] %zd bytes", n);
		took = before - memory_available();
		EXPECT_GT(BOUND_KIB, took) TH_LOG("[R13] %ld KiB for call %zu", took, i);
		recover(&self->dev, false);
		close(fd);
	}
	/* The largest one is not even an address. */
	for (i = 0; i < ARRAY_SIZE(size) - 1; i++) {
		fd = mig_set(&self->dev, SC);
		got.len = 0;
		for (n = 1; n > 0; ) {
			n = read(fd, map, size[i]);
			ASSERT_LE(0, n) TH_LOG("[T14] %zu: %s", size[i], strerror(errno));
			mig_buf_add(&got, map, n);
		}
		EXPECT_TRUE(mig_buf_equal(&self->ref, &got)) TH_LOG("[T1] [T14] by %zu", size[i]);
		mig_set(&self->dev, R);
		close(fd);
	}
	munmap(map, 1UL << 30);
	mig_buf_free(&got);
}

/* What a session leaves behind must not make up for what the next one lacks. */
TEST_F(hostile, r1_r2_x5_e18_two_halves_in_two_sessions)
{
	size_t part[] = {
		1, MIG_RECORD_HEADER, self->ref.len / 2, self->ref.len - 1, self->ref.len,
	};
	struct mig_buf none = {}, rest;
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(part); i++) {
		fd = mig_set(&self->dev, RE);
		ASSERT_EQ(0, mig_write(fd, self->ref.data, part[i], MIG_WHOLE));
		ASSERT_EQ(0, mig_reset(&self->dev));
		close(fd);
		rest = self->ref;
		rest.data += part[i];
		rest.len -= part[i];
		EXPECT_TRUE(refused(&self->dev, &rest))
			TH_LOG("[R2] the last %zu bytes alone", rest.len);
		EXPECT_TRUE(refused(&self->dev, &none)) TH_LOG("[R3] nothing at all");
		EXPECT_TRUE(mig_round_trip(&self->dev, &self->ref)) TH_LOG("[R6] [X5]");
		EXPECT_EQ(0, mig_reset(&self->dev));
		/* Nor does a whole load make up for a second one of nothing. */
		EXPECT_EQ(0, __mig_load(&self->dev, &self->ref, MIG_WHOLE));
		EXPECT_TRUE(refused(&self->dev, &none)) TH_LOG("[R3] after a good one");
	}
}

struct crowd {
	int fd;
	uint64_t seed;
	const struct mig_buf *from;
};

/* Pieces of a good stream, with reads that the file is not open for, and questions. */
static void *mix(void *arg)
{
	struct crowd *me = arg;
	struct vfio_precopy_info info;
	struct pollfd poll_fd = { .fd = me->fd, .events = POLLIN | POLLOUT };
	char part[4096];
	int i;

	for (i = 0; i < 200; i++) {
		size_t at = mig_random(&me->seed) % me->from->len;
		size_t len = 1 + mig_random(&me->seed) % (me->from->len - at);

		switch (mig_random(&me->seed) % 8) {
		case 0:
			if (read(me->fd, part, sizeof(part)) >= 0)
				mig_die("[D6] the file of RESUMING gives data");
			break;
		case 1:
			if (!mig_precopy_info(me->fd, &info))
				mig_die("[P3] the file of RESUMING announces data");
			break;
		case 2:
			poll(&poll_fd, 1, 0);
			break;
		default:
			/* Errors are what is expected. */
			if (write(me->fd, me->from->data + at, len) > (ssize_t)len)
				mig_die("[R12] more was taken than was given");
		}
	}
	return NULL;
}

/* [R2] The order is lost, and pieces are there twice. */
TEST_F_TIMEOUT(hostile, r2_r5_t17_shuffled_by_many, 600)
{
	size_t rounds = mig_rounds(5), round, i, taken = 0;
	struct crowd crowd[4];
	pthread_t thread[ARRAY_SIZE(crowd)];
	int fd, none;
	bool good;

	for (round = 0; round < rounds; round++) {
		fd = mig_set(&self->dev, RE);
		for (i = 0; i < ARRAY_SIZE(crowd); i++) {
			crowd[i] = (struct crowd){
				.fd = fd, .from = &self->ref,
				.seed = mig_seed(1 + i + round * 10),
			};
			ASSERT_EQ(0, pthread_create(&thread[i], NULL, mix, &crowd[i]));
		}
		for (i = 0; i < ARRAY_SIZE(crowd); i++)
			ASSERT_EQ(0, pthread_join(thread[i], NULL));
		good = !__mig_set(&self->dev, ST, &none);
		taken += good;
		recover(&self->dev, good);
		close(fd);
	}
	EXPECT_EQ(0, taken) TH_LOG("[R2] [T17] %zu of %zu taken", taken, rounds);
	EXPECT_TRUE(mig_round_trip(&self->dev, &self->ref)) TH_LOG("[R6]");
}

/* Streams of records. */
FIXTURE(records) {
	struct mig_device dev;
	struct mig_buf ref;
	struct mig_record rec[4096];
	size_t count;
};

FIXTURE_SETUP(records)
{
	mig_open_sampled(&self->dev, &self->ref, R);
	self->count = mig_records(&self->ref, self->rec, ARRAY_SIZE(self->rec));
	ASSERT_LT(1, self->count);
}

FIXTURE_TEARDOWN(records)
{
	EXPECT_EQ(0, mig_reset(&self->dev));
	mig_close(&self->dev);
	mig_buf_free(&self->ref);
}

static void add_header(struct mig_buf *buf, uint64_t size, uint32_t flags, uint32_t tag)
{
	uint32_t header[4] = {
		htole32(size), htole32(size >> 32), htole32(flags), htole32(tag),
	};

	mig_buf_add(buf, header, sizeof(header));
}

static void add_record(struct mig_buf *buf, const struct mig_buf *from,
		       const struct mig_record *rec)
{
	mig_buf_add(buf, from->data + rec->start, MIG_RECORD_HEADER + rec->size);
}

TEST_F(records, r2_record_missing_or_twice_or_moved)
{
	static const char * const what[] = { "missing", "twice", "behind the next" };
	struct mig_buf buf = {};
	size_t skip, i, step = 1 + self->count / 100;
	unsigned int how;

	for (skip = 0; skip < self->count; skip += skip < 4 ? 1 : step) {
		for (how = 0; how < ARRAY_SIZE(what); how++) {
			buf.len = 0;
			for (i = 0; i < self->count; i++) {
				if (i != skip || how == 1)
					add_record(&buf, &self->ref, &self->rec[i]);
				if ((i == skip && how == 1) || (i == skip + 1 && how == 2))
					add_record(&buf, &self->ref, &self->rec[skip]);
			}
			if (mig_buf_equal(&buf, &self->ref))
				continue;
			EXPECT_TRUE(refused(&self->dev, &buf))
				TH_LOG("[R2] record %zu (tag %#x) %s", skip,
				       self->rec[skip].tag, what[how]);
		}
	}
	EXPECT_TRUE(mig_round_trip(&self->dev, &self->ref)) TH_LOG("[R6]");
	mig_buf_free(&buf);
}

/* A version that nobody has written yet, and one that is gone; nothing of it stays. */
TEST_F(records, r9_e11_another_identity)
{
	struct mig_record *first = &self->rec[0];
	size_t i, at;

	for (i = 0; i < first->size; i++) {
		at = first->start + MIG_RECORD_HEADER + i;
		self->ref.data[at]++;
		EXPECT_TRUE(refused(&self->dev, &self->ref)) TH_LOG("[R9] byte %zu", i);
		self->ref.data[at]--;
	}
	EXPECT_TRUE(mig_round_trip(&self->dev, &self->ref)) TH_LOG("[R6] [R9]");
}

/* Each record without its payload, or with a part of it. */
TEST_F(records, r2_e11_emptied_records)
{
	size_t which, i, step = 1 + self->count / 50, cut;
	struct mig_buf buf = {};

	for (which = 0; which < self->count; which += which < 4 ? 1 : step) {
		struct mig_record *rec = &self->rec[which];

		for (cut = 0; cut < 2; cut++) {
			size_t left = cut ? rec->size / 2 : 0;

			if (left == rec->size)
				continue;
			buf.len = 0;
			for (i = 0; i < self->count; i++) {
				if (i != which) {
					add_record(&buf, &self->ref, &self->rec[i]);
					continue;
				}
				add_header(&buf, left, rec->flags, rec->tag);
				mig_buf_add(&buf, self->ref.data + rec->start + MIG_RECORD_HEADER,
					    left);
			}
			EXPECT_TRUE(refused(&self->dev, &buf))
				TH_LOG("[R2] record %zu (tag %#x) of %zu bytes", which, rec->tag,
				       left);
		}
	}
	mig_buf_free(&buf);
}

/* One of the sizes that a 64-bit number of bytes should not have. */
static uint64_t odd_size(uint64_t *seed)
{
	uint64_t bits = mig_random(seed);

	switch (mig_random(seed) % 4) {
	case 0:
		return bits % 64;
	case 1:
		return 1ULL << bits % 64;
	case 2:
		return (1ULL << bits % 64) - 1 - bits % 3;
	default:
		return bits;
	}
}

/* Several things at a time are done to a stream, record by record. */
static void maul(struct mig_buf *out, const struct mig_buf *ref, const struct mig_record *rec,
		 size_t count, uint64_t *seed)
{
	size_t i, hits = 1 + mig_random(seed) % 3, hit[3], k;

	for (k = 0; k < hits; k++)
		/* What comes early is looked at most. */
		hit[k] = mig_random(seed) % (mig_random(seed) % 2 ? count : count < 4 ? count : 4);
	for (i = 0; i < count; i++) {
		const struct mig_record *other = &rec[mig_random(seed) % count];
		size_t from = out->len;
		uint32_t word;

		for (k = 0; k < hits && hit[k] != i; k++)
			;
		if (k == hits) {
			add_record(out, ref, &rec[i]);
			continue;
		}
		switch (mig_random(seed) % 7) {
		case 0: /* another one instead */
			add_record(out, ref, other);
			break;
		case 1: /* another one before it */
			add_record(out, ref, other);
			add_record(out, ref, &rec[i]);
			break;
		case 2: /* its size says something else */
			add_record(out, ref, &rec[i]);
			word = htole32(odd_size(seed));
			memcpy(out->data + from, &word, sizeof(word));
			word = mig_random(seed) % 2 ? htole32(odd_size(seed)) : 0;
			memcpy(out->data + from + 4, &word, sizeof(word));
			break;
		case 3: /* its flags and tag do */
			add_record(out, ref, &rec[i]);
			word = mig_random(seed);
			word = htole32(mig_random(seed) % 2 ? word % 8 : word);
			memcpy(out->data + from + (mig_random(seed) % 2 ? 8 : 12), &word,
			       sizeof(word));
			break;
		case 4: /* one that nobody knows, to be skipped or not */
			add_header(out, rec[i].size, mig_random(seed) % 4, mig_random(seed));
			mig_buf_add(out, ref->data + rec[i].start, rec[i].size);
			break;
		case 5: /* it ends too early, and the stream goes on or not */
			mig_buf_add(out, ref->data + rec[i].start,
				    mig_random(seed) % (MIG_RECORD_HEADER + rec[i].size));
			if (mig_random(seed) % 2)
				return;
			break;
		default: /* it is longer */
			add_record(out, ref, &rec[i]);
			mig_buf_add(out, ref->data, mig_random(seed) % 64);
		}
	}
}

TEST_F_TIMEOUT(records, r2_r4_r5_r13_mauled, 900)
{
	size_t rounds = mig_rounds(self->ref.len > 1 << 17 ? 150 : 1500), taken = 0, i;
	uint64_t seed = mig_seed(0x4a61), at;
	long took, before = memory_available();

	for (i = 0; i < rounds; i++) {
		struct mig_buf buf = {};

		at = seed;
		maul(&buf, &self->ref, self->rec, self->count, &seed);
		if (!mig_buf_equal(&buf, &self->ref) && !refused(&self->dev, &buf) &&
		    taken++ < LOGGED)
			TH_LOG("[R2] [R5] the stream from seed %#llx", (unsigned long long)at);
		mig_buf_free(&buf);
	}
	took = before - memory_available();
	EXPECT_EQ(0, taken) TH_LOG("[R2] [R4] [R5] %zu of %zu taken", taken, rounds);
	EXPECT_GT(BOUND_KIB, took) TH_LOG("[R13] %ld KiB went away", took);
	EXPECT_TRUE(mig_round_trip(&self->dev, &self->ref)) TH_LOG("[R6]");
}

/* Whether these are a header of data, with nothing else about it. */
static bool is_data(const struct mig_buf *header)
{
	static const char flags_and_tag[8];

	return header->len == MIG_RECORD_HEADER &&
	       !memcmp(header->data + 8, flags_and_tag, sizeof(flags_and_tag));
}

/*
 * Write a header, behind a good first record or at the start, and what it announces as long
 * as it is taken. Returns the KiB of memory that went away beyond what was written of data.
 */
static long feed(struct mig_device *dev, const struct mig_buf *first, const struct mig_buf *then)
{
	static char zero[1 << 20];
	long before = memory_available(), after;
	int fd = mig_set(dev, RE), none, mib = 0;

	if (mig_write(fd, first->data, first->len, (struct mig_cut){ 1, 9, 13 }))
		mig_die("a good first record was refused");
	if (write(fd, then->data, then->len) == (ssize_t)then->len)
		for (mib = 0; mib < 48; mib++)
			if (write(fd, zero, sizeof(zero)) < 0)
				break;
	after = memory_available();
	if (is_data(then))
		after += mib << 10;
	if (!__mig_set(dev, ST, &none))
		mig_die("[R2] [R13] a stream of zeros was taken");
	recover(dev, false);
	close(fd);
	return before - after;
}

TEST_F_TIMEOUT(records, r13_e8_hostile_sizes, 600)
{
	static const uint64_t size[] = {
		0, 1, 1ULL << 24, 1ULL << 31, (1ULL << 32) - 1, 1ULL << 32, 1ULL << 40,
		1ULL << 63, ~0ULL, ~0ULL - 15,
	};
	static const uint32_t unknown[] = { 0, 1, 2, 3, 4, 0xdeadbeef };
	size_t tags = ARRAY_SIZE(unknown) + (self->count < 10 ? self->count : 10);
	struct mig_buf none = {}, first = self->ref, header = {};
	size_t i;

	first.len = MIG_RECORD_HEADER + self->rec[0].size;
	for (i = 0; i < ARRAY_SIZE(size) * tags * 4; i++) {
		uint64_t len = size[i / 4 / tags];
		size_t t = i / 4 % tags;
		uint32_t tag = t < ARRAY_SIZE(unknown) ?
			unknown[t] : self->rec[t - ARRAY_SIZE(unknown)].tag;
		long kib;

		/* Both values of the flag that lets a reader skip the record. */
		header.len = 0;
		add_header(&header, len, i & 1 ? OPTIONAL : 0, tag);
		kib = feed(&self->dev, i & 2 ? &first : &none, &header);
		EXPECT_GT(BOUND_KIB, kib)
			TH_LOG("[R13] size %#llx tag %#x took %ld KiB", (unsigned long long)len,
			       tag, kib);
	}
	EXPECT_TRUE(mig_round_trip(&self->dev, &self->ref)) TH_LOG("[R6]");
	mig_buf_free(&header);
}

/* The record that announces how long the rest will be is a hint, of 8 bytes. */
TEST_F(records, r13_e1_e7_hints_of_the_size)
{
	static const uint64_t hint[] = { 0, 1, 1ULL << 32, 1ULL << 40, 1ULL << 63, ~0ULL };
	struct mig_buf none = {}, first = self->ref, record = {};
	size_t i, len, flags;
	uint64_t value;
	long kib;

	first.len = MIG_RECORD_HEADER + self->rec[0].size;
	for (flags = 0; flags <= OPTIONAL; flags++) {
		for (i = 0; i < 2 * ARRAY_SIZE(hint); i++) {
			value = htole64(hint[i / 2]);
			record.len = 0;
			add_header(&record, sizeof(value), flags, TAG_STOP_COPY_SIZE);
			mig_buf_add(&record, &value, sizeof(value));
			/* Then data, so that it is acted upon. */
			add_header(&record, 4096, 0, TAG_DATA);
			kib = feed(&self->dev, i % 2 ? &first : &none, &record);
			EXPECT_GT(BOUND_KIB, kib)
				TH_LOG("[R13] the hint %#llx took %ld KiB",
				       (unsigned long long)hint[i / 2], kib);
		}
		/* Too short, and too long. */
		for (len = 0; len < 20; len++) {
			value = ~0ULL;
			record.len = 0;
			add_header(&record, len, flags, TAG_STOP_COPY_SIZE);
			for (i = 0; i < len; i++)
				mig_buf_add(&record, &value, 1);
			add_header(&record, 4096, 0, TAG_DATA);
			kib = feed(&self->dev, &first, &record);
			EXPECT_GT(BOUND_KIB, kib) TH_LOG("[R13] a hint of %zu bytes", len);
		}
	}
	EXPECT_TRUE(mig_round_trip(&self->dev, &self->ref)) TH_LOG("[R6]");
	mig_buf_free(&record);
}

static bool has_records(const struct mig_device *dev)
{
	static struct mig_record rec[4096];
	struct mig_device copy = *dev;
	struct mig_buf buf = {};
	size_t n;

	if (mig_reset(&copy))
		mig_die("[X1] reset failed");
	mig_set(&copy, ST);
	mig_save(&copy, &buf);
	mig_set(&copy, R);
	n = mig_records(&buf, rec, ARRAY_SIZE(rec));
	mig_buf_free(&buf);
	return n;
}

static const struct mig_need needs[] = {
	{ "records", has_records },
};

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, needs, ARRAY_SIZE(needs));
	return test_harness_run(argc, argv);
}
