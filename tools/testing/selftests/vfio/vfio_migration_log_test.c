// SPDX-License-Identifier: GPL-2.0
/*
 * DMA logging: what is refused, and that no page that the device wrote is missing from the
 * reports, in any page size, over any change of state.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "kselftest_harness.h"
#include "lib/log.h"

/* Memory that the device can write to. */
#define BASE	(256 * MIB)
#define SIZE	(4 * MIB)
#define PAGE	(4 * KIB)
#define BITS	(SIZE / PAGE)

FIXTURE(log) {
	struct mig_device dev;
	unsigned char *memory;
};

static void set_up(struct mig_device *dev, unsigned char **memory)
{
	int ret;

	mig_open(dev);
	if (mig_reset(dev))
		mig_die("[X1] reset failed");
	*memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (*memory == MAP_FAILED)
		mig_die("no memory: %s", strerror(errno));
	ret = mig_map(dev, *memory, BASE, SIZE, true);
	if (ret)
		mig_die("memory cannot be mapped for the device: %s", strerror(-ret));
}

FIXTURE_SETUP(log)
{
	set_up(&self->dev, &self->memory);
}

FIXTURE_TEARDOWN(log)
{
	log_stop(&self->dev);
	EXPECT_EQ(0, mig_reset(&self->dev));
	mig_close(&self->dev);
	munmap(self->memory, SIZE);
}

/* Nothing that was refused has begun: then this would be the second START. */
static bool idle(struct mig_device *dev)
{
	return !log_start(dev, BASE, PAGE, PAGE) && !log_stop(dev);
}

TEST_F(log, l1_number_of_ranges)
{
	static struct log_range ranges[LOG_MAX_RANGES + 1];
	struct vfio_device_feature_dma_logging_control control = {
		.page_size = PAGE, .num_ranges = 1, .ranges = (uintptr_t)ranges,
	};
	__u64 page_size = PAGE;
	size_t i;

	for (i = 0; i <= LOG_MAX_RANGES; i++)
		ranges[i] = (struct log_range){ .iova = BASE + i * 2 * PAGE, .length = PAGE };
	EXPECT_EQ(-EINVAL, log_start_n(&self->dev, ranges, 0, &page_size)) TH_LOG("[L1]");
	EXPECT_EQ(-E2BIG, log_start_n(&self->dev, ranges, LOG_MAX_RANGES + 1, &page_size))
		TH_LOG("[L1]");
	EXPECT_EQ(-E2BIG, log_start_n(&self->dev, ranges, ~0U, &page_size)) TH_LOG("[L1]");
	EXPECT_EQ(-EFAULT, log_start_n(&self->dev, NULL, 1, &page_size)) TH_LOG("[L1]");
	EXPECT_EQ(-EINVAL, mig_feature(self->dev.fd, VFIO_DEVICE_FEATURE_GET |
				       VFIO_DEVICE_FEATURE_DMA_LOGGING_START, &control,
				       sizeof(control))) TH_LOG("[L1] START is SET only");
	EXPECT_TRUE(idle(&self->dev)) TH_LOG("[L1]");
}

TEST_F(log, l1_l16_as_many_ranges_as_there_may_be)
{
	static struct log_range ranges[LOG_MAX_RANGES];
	__u64 page_size = PAGE;
	size_t i;

	/* In no order, some of them side by side. */
	for (i = 0; i < LOG_MAX_RANGES; i++)
		ranges[i * 37 % LOG_MAX_RANGES] = (struct log_range){
			.iova = BASE + (2 * i + (i & 1)) * PAGE, .length = PAGE,
		};
	ASSERT_EQ(0, log_start_n(&self->dev, ranges, LOG_MAX_RANGES, &page_size))
		TH_LOG("[L1] [L16]");
	EXPECT_EQ(0, log_stop(&self->dev));
}

TEST_F(log, l2_ranges_that_cannot_be)
{
	const struct log_range overlap[] = {
		{ BASE, 2 * PAGE }, { BASE + PAGE, 2 * PAGE },
	};
	__u64 page_size = PAGE;

	EXPECT_EQ(-EINVAL, log_start(&self->dev, BASE + 1, PAGE, PAGE)) TH_LOG("[L2] iova");
	EXPECT_EQ(-EINVAL, log_start(&self->dev, BASE, PAGE + 1, PAGE)) TH_LOG("[L2] length");
	EXPECT_EQ(-EOVERFLOW, log_start(&self->dev, -PAGE, 2 * PAGE, PAGE)) TH_LOG("[L2]");
	EXPECT_EQ(-EINVAL, log_start_n(&self->dev, overlap, 2, &page_size))
		TH_LOG("[L2] overlap");
	EXPECT_TRUE(idle(&self->dev)) TH_LOG("[L2]");
}

/* The VFIO core takes any page size to which the ranges seem aligned. */
TEST_F(log, l3_page_size)
{
	EXPECT_EQ(-EINVAL, log_start(&self->dev, 0, 0, 0)) TH_LOG("[L3] 0");
	EXPECT_EQ(-EINVAL, log_start(&self->dev, PAGE, PAGE, 3 * PAGE)) TH_LOG("[L3] 12 KiB");
	EXPECT_EQ(-EINVAL, log_start(&self->dev, PAGE, PAGE, 3)) TH_LOG("[L3] 3");
	EXPECT_EQ(-EINVAL, log_start(&self->dev, 0, PAGE, ~0ULL)) TH_LOG("[L3] all bits");
	EXPECT_TRUE(idle(&self->dev)) TH_LOG("[L3]");
}

TEST_F(log, l4_empty_ranges)
{
	const struct log_range among[] = {
		{ BASE, PAGE }, { BASE + 4 * PAGE, 0 }, { BASE + 8 * PAGE, PAGE },
	};
	const struct log_range inside[] = { { BASE, 8 * PAGE }, { BASE + 4 * PAGE, 0 } };
	__u64 page_size = PAGE;

	EXPECT_EQ(-EINVAL, log_start(&self->dev, 0, 0, PAGE)) TH_LOG("[L4] at 0");
	EXPECT_EQ(-EINVAL, log_start(&self->dev, BASE, 0, PAGE)) TH_LOG("[L4]");
	EXPECT_EQ(-EINVAL, log_start(&self->dev, -PAGE, 0, PAGE)) TH_LOG("[L4] at the end");
	EXPECT_EQ(-EINVAL, log_start_n(&self->dev, among, 3, &page_size))
		TH_LOG("[L4] among others");
	EXPECT_EQ(-EINVAL, log_start_n(&self->dev, inside, 2, &page_size))
		TH_LOG("[L4] inside another");
	EXPECT_TRUE(idle(&self->dev)) TH_LOG("[L4]");
}

TEST_F(log, l5_the_driver_chooses_the_page_size)
{
	static const __u64 wanted[] = { 1, 512, PAGE, 64 * KIB, 2 * MIB };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(wanted); i++) {
		struct log_range range = { .iova = BASE, .length = SIZE };
		__u64 size = wanted[i];

		ASSERT_EQ(0, log_start_n(&self->dev, &range, 1, &size))
			TH_LOG("[L5] %llu", wanted[i]);
		EXPECT_TRUE(size && !(size & (size - 1))) TH_LOG("[L5] %llu", size);
		EXPECT_EQ(0, log_stop(&self->dev));
	}
}

TEST_F(log, l6_second_start)
{
	ASSERT_EQ(0, log_start(&self->dev, BASE, PAGE, PAGE));
	EXPECT_NE(0, log_start(&self->dev, BASE + 2 * PAGE, PAGE, PAGE)) TH_LOG("[L6]");
	EXPECT_NE(0, log_start(&self->dev, BASE, PAGE, PAGE)) TH_LOG("[L6] the same");
	EXPECT_EQ(0, log_stop(&self->dev));
	EXPECT_TRUE(idle(&self->dev)) TH_LOG("[L6]");
}

/* [L14] Whatever went wrong, a STOP and a START begin anew. */
TEST_F(log, l8_l14_stop_at_any_time)
{
	__u64 bitmap[1] = {};
	int i;

	for (i = 0; i < 3; i++)
		log_stop(&self->dev);
	EXPECT_TRUE(idle(&self->dev)) TH_LOG("[L8] STOP without START");
	ASSERT_EQ(0, log_start(&self->dev, BASE, 64 * PAGE, PAGE));
	EXPECT_NE(0, log_report(&self->dev, BASE, 64 * PAGE, 3 * PAGE, bitmap)) TH_LOG("[L9]");
	/* An error, or a bitmap that stays as it is: nothing was written. */
	log_report(&self->dev, BASE, 64 * PAGE, PAGE, NULL);
	EXPECT_EQ(0, log_stop(&self->dev)) TH_LOG("[L8] [L14]");
	ASSERT_EQ(0, log_start(&self->dev, BASE, 64 * PAGE, PAGE)) TH_LOG("[L14]");
	EXPECT_EQ(0, log_report(&self->dev, BASE, 64 * PAGE, PAGE, bitmap)) TH_LOG("[L14]");
	EXPECT_EQ(-EINVAL, mig_feature(self->dev.fd, VFIO_DEVICE_FEATURE_GET |
				       VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, NULL, 0))
		TH_LOG("[L8] STOP is SET only");
}

/* Logging has begun when it turns out that user space cannot be told. */
TEST_F(log, l7_unwritable_answer)
{
	struct log_range range = { .iova = BASE, .length = PAGE };
	struct {
		struct vfio_device_feature feature;
		struct vfio_device_feature_dma_logging_control control;
	} *req = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, req);
	req->feature.argsz = sizeof(*req);
	req->feature.flags = LOG_START;
	req->control.page_size = PAGE;
	req->control.num_ranges = 1;
	req->control.ranges = (uintptr_t)&range;
	ASSERT_EQ(0, mprotect(req, PAGE, PROT_READ));
	EXPECT_EQ(-EFAULT, mig_ioctl(self->dev.fd, VFIO_DEVICE_FEATURE, req)) TH_LOG("[L7]");
	EXPECT_TRUE(idle(&self->dev)) TH_LOG("[L7] it goes on");
	munmap(req, PAGE);
}

TEST_F(log, l9_reports_that_cannot_be)
{
	__u64 bitmap[8] = {};

	ASSERT_EQ(0, log_start(&self->dev, BASE, SIZE, PAGE));
	EXPECT_EQ(-EINVAL, log_report(&self->dev, BASE, PAGE, 0, bitmap)) TH_LOG("[L9]");
	EXPECT_EQ(-EINVAL, log_report(&self->dev, BASE, PAGE, 2 * KIB, bitmap)) TH_LOG("[L9]");
	EXPECT_EQ(-EINVAL, log_report(&self->dev, BASE, PAGE, 3 * PAGE, bitmap)) TH_LOG("[L9]");
	EXPECT_EQ(-EOVERFLOW, log_report(&self->dev, -PAGE, 2 * PAGE, PAGE, bitmap))
		TH_LOG("[L9]");
	EXPECT_EQ(-EINVAL, mig_feature(self->dev.fd, VFIO_DEVICE_FEATURE_SET |
				       VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, bitmap, 32))
		TH_LOG("[L9] REPORT is GET only");
}

TEST_F(log, l12_report_without_start)
{
	__u64 bitmap[1] = {};

	EXPECT_NE(0, log_report(&self->dev, BASE, PAGE, PAGE, bitmap)) TH_LOG("[L12]");
	ASSERT_EQ(0, log_start(&self->dev, BASE, PAGE, PAGE));
	/* Outside of what is logged: the driver decides. */
	log_report(&self->dev, BASE + 2 * MIB, 64 * PAGE, PAGE, bitmap);
	EXPECT_EQ(0, bitmap[0]) TH_LOG("[L12] nothing was written");
	EXPECT_EQ(0, log_stop(&self->dev));
	EXPECT_NE(0, log_report(&self->dev, BASE, PAGE, PAGE, bitmap)) TH_LOG("[L12] stopped");
}

/* The VFIO core counts with the length less one. */
TEST_F(log, l13_empty_report)
{
	__u64 bitmap[1] = {};

	ASSERT_EQ(0, log_start(&self->dev, BASE, SIZE, PAGE));
	log_report(&self->dev, BASE, 0, PAGE, bitmap);
	log_report(&self->dev, BASE + 2 * PAGE, 0, PAGE, bitmap);
	log_report(&self->dev, 0, 0, PAGE, bitmap);
	log_report(&self->dev, -PAGE, 0, PAGE, NULL);
	EXPECT_EQ(0, bitmap[0]) TH_LOG("[L13]");
	EXPECT_EQ(0, log_stop(&self->dev)) TH_LOG("[L13]");
}

TEST_F(log, l17_close_stops)
{
	ASSERT_EQ(0, log_start(&self->dev, BASE, PAGE, PAGE));
	mig_close(&self->dev);
	mig_open(&self->dev);
	EXPECT_TRUE(idle(&self->dev)) TH_LOG("[L17] it went on over the last close");
}

/* START, STOP and REPORT by several threads: no lock of the VFIO core is in between. */
struct race {
	struct mig_device *dev;
	atomic_bool end;
	atomic_ulong done[3];
};

static void *race_start(void *arg)
{
	struct race *race = arg;

	while (!race->end)
		if (!log_start(race->dev, BASE, SIZE, PAGE))
			race->done[0]++;
	return NULL;
}

static void *race_stop(void *arg)
{
	struct race *race = arg;

	while (!race->end) {
		log_stop(race->dev);
		race->done[1]++;
		usleep(100);
	}
	return NULL;
}

static void *race_report(void *arg)
{
	struct race *race = arg;
	__u64 bitmap[BITS / 64] = {};

	while (!race->end)
		if (!log_report(race->dev, BASE, SIZE, PAGE, bitmap))
			race->done[2]++;
	return NULL;
}

TEST_F(log, k3_l8_all_at_once)
{
	void *(*const part[])(void *) = { race_start, race_stop, race_report, race_report };
	pthread_t thread[ARRAY_SIZE(part)];
	struct race race = { .dev = &self->dev };
	size_t i;
	int wait;

	for (i = 0; i < ARRAY_SIZE(part); i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, part[i], &race));
	for (wait = 0; wait < 200; wait++) {
		usleep(50000);
		if (race.done[0] > 50 && race.done[1] > 50 && race.done[2] > 50)
			break;
	}
	race.end = true;
	for (i = 0; i < ARRAY_SIZE(part); i++)
		pthread_join(thread[i], NULL);
	for (i = 0; i < ARRAY_SIZE(race.done); i++)
		EXPECT_LT(0, race.done[i]) TH_LOG("%zu", i);
	log_stop(&self->dev);
	EXPECT_TRUE(idle(&self->dev)) TH_LOG("[L14]");
}

/* Devices that write when they are asked to. */
FIXTURE(dma) {
	struct mig_device dev;
	unsigned char *memory;
	__u64 page;		/* that the log tells apart */
	__u64 bitmap[BITS / 64 + 1];
};

FIXTURE_SETUP(dma)
{
	struct log_range range = { .iova = BASE, .length = SIZE };

	set_up(&self->dev, &self->memory);
	memset(self->bitmap, 0, sizeof(self->bitmap));
	self->page = PAGE;
	ASSERT_EQ(0, log_start_n(&self->dev, &range, 1, &self->page));
}

FIXTURE_TEARDOWN(dma)
{
	EXPECT_EQ(0, log_stop(&self->dev));
	EXPECT_EQ(0, mig_reset(&self->dev));
	mig_close(&self->dev);
	munmap(self->memory, SIZE);
}

/* A report of all of the memory. */
static int whole_report(struct _test_data_dma *self, __u64 page_size)
{
	memset(self->bitmap, 0, sizeof(self->bitmap));
	return log_report(&self->dev, BASE, SIZE, page_size, self->bitmap);
}

static bool bit(const __u64 *bitmap, size_t n)
{
	return bitmap[n / 64] >> n % 64 & 1;
}

/*
 * Are the bits those of what was written, from FIRST to LAST, and no others? A bit is due for
 * each page of the log that was written to. Returns the first wrong one, or -1.
 */
static long wrong_bit(struct _test_data_dma *self, __u64 page_size, __u64 first, __u64 last)
{
	__u64 unit = self->page > page_size ? self->page : page_size;
	size_t n;

	first -= first % unit;
	last |= unit - 1;
	for (n = 0; n < SIZE / page_size; n++) {
		__u64 at = n * page_size;

		if (bit(self->bitmap, n) != (at <= last && at + page_size - 1 >= first))
			return n;
	}
	return -1;
}

TEST_F(dma, l10_any_page_size)
{
	static const struct { __u64 at, len; } writes[] = {
		{ 0, 1 }, { PAGE - 1, 2 }, { 64 * KIB, 64 * KIB }, { 1 * MIB - 5, 10 },
		{ SIZE - 1, 1 }, { 0, SIZE }, { 12345, 100000 },
	};
	__u64 size;
	size_t i;

	for (size = PAGE; size <= SIZE; size *= 4)
		for (i = 0; i < ARRAY_SIZE(writes); i++) {
			ASSERT_EQ(0, dma_write(&self->dev, BASE + writes[i].at, writes[i].len));
			ASSERT_EQ(0, whole_report(self, size)) TH_LOG("[L10] %llu", size);
			EXPECT_EQ(-1, wrong_bit(self, size, writes[i].at,
						writes[i].at + writes[i].len - 1))
				TH_LOG("[L10] %llu bytes at %llu, by %llu", writes[i].len,
				       writes[i].at, size);
		}
	EXPECT_EQ(0, log_report(&self->dev, BASE, SIZE, 1ULL << 62, self->bitmap))
		TH_LOG("[L10] huge");
}

TEST_F(dma, l11_only_sets_bits_and_clears_the_log)
{
	ASSERT_EQ(0, dma_write(&self->dev, BASE + 2 * self->page, 2 * self->page));
	memset(self->bitmap, 0, sizeof(self->bitmap));
	self->bitmap[0] = 0x8001;
	self->bitmap[1] = 0x1;
	ASSERT_EQ(0, log_report(&self->dev, BASE, 64 * self->page, self->page, self->bitmap));
	EXPECT_EQ(0x800d, self->bitmap[0]) TH_LOG("[L11]");
	EXPECT_EQ(0x1, self->bitmap[1]) TH_LOG("[L11] behind what was asked for");
	ASSERT_EQ(0, whole_report(self, PAGE));
	EXPECT_EQ(-1, wrong_bit(self, PAGE, SIZE, SIZE)) TH_LOG("[L11] reported twice");
}

/* What was written outside of the report's range is for another one. */
TEST_F(dma, l11_part_of_a_range)
{
	__u64 page = self->page;

	ASSERT_EQ(0, dma_write(&self->dev, BASE, 64 * page));
	memset(self->bitmap, 0, sizeof(self->bitmap));
	ASSERT_EQ(0, log_report(&self->dev, BASE + 16 * page, 8 * page, page, self->bitmap));
	EXPECT_EQ(0xff, self->bitmap[0]) TH_LOG("[L11]");
	EXPECT_EQ(0, self->bitmap[1]) TH_LOG("[L11]");
	self->bitmap[0] = 0;
	ASSERT_EQ(0, log_report(&self->dev, BASE, 64 * page, page, self->bitmap));
	EXPECT_EQ(~0xff0000ULL, self->bitmap[0])
		TH_LOG("[L11] the rest, and not what was taken");
}

TEST_F(dma, l12_outside_of_what_is_logged)
{
	struct log_range range = { .iova = BASE, .length = 1 * MIB };

	ASSERT_EQ(0, log_stop(&self->dev));
	ASSERT_EQ(0, log_start_n(&self->dev, &range, 1, &self->page));
	ASSERT_EQ(0, dma_write(&self->dev, BASE + 2 * MIB, PAGE));
	ASSERT_EQ(0, dma_write(&self->dev, BASE, PAGE));
	memset(self->bitmap, 0, sizeof(self->bitmap));
	ASSERT_EQ(0, log_report(&self->dev, BASE, 1 * MIB, PAGE, self->bitmap));
	EXPECT_TRUE(bit(self->bitmap, 0)) TH_LOG("[L12]");
}

TEST_F(dma, l16_many_ranges)
{
	static struct log_range ranges[LOG_MAX_RANGES];
	size_t i, n;

	ASSERT_EQ(0, log_stop(&self->dev));
	self->page = PAGE;
	for (i = 0; i < LOG_MAX_RANGES; i++)
		ranges[i * 37 % LOG_MAX_RANGES] = (struct log_range){
			.iova = BASE + 4 * i * PAGE, .length = 2 * PAGE,
		};
	ASSERT_EQ(0, log_start_n(&self->dev, ranges, LOG_MAX_RANGES, &self->page));
	for (i = 0; i < LOG_MAX_RANGES; i += 51)
		ASSERT_EQ(0, dma_write(&self->dev, BASE + 4 * i * PAGE, 1));
	ASSERT_EQ(0, whole_report(self, PAGE));
	for (n = 0; n < 4 * LOG_MAX_RANGES; n++) {
		bool due = n % 4 == 0 && n / 4 % 51 == 0;

		/* Of a log of larger pages more is due. */
		if (due || self->page == PAGE)
			EXPECT_EQ(due, bit(self->bitmap, n)) TH_LOG("[L16] page %zu", n);
	}
}

TEST_F(dma, l14_begin_anew)
{
	ASSERT_EQ(0, dma_write(&self->dev, BASE, PAGE));
	ASSERT_EQ(0, log_stop(&self->dev));
	ASSERT_EQ(0, log_start(&self->dev, BASE, SIZE, PAGE)) TH_LOG("[L14]");
	ASSERT_EQ(0, whole_report(self, PAGE));
	EXPECT_EQ(-1, wrong_bit(self, PAGE, SIZE, SIZE)) TH_LOG("[L14] of the log before");
	ASSERT_EQ(0, dma_write(&self->dev, BASE + 5 * self->page, PAGE));
	ASSERT_EQ(0, whole_report(self, PAGE));
	EXPECT_TRUE(bit(self->bitmap, 5 * self->page / PAGE)) TH_LOG("[L14]");
}

TEST_F(dma, l15_independent_of_the_state)
{
	int state, fd;

	for (state = 0; state < MIG_STATES; state++) {
		__u64 at = state * self->page;

		if (!mig_supports(self->dev.flags, state))
			continue;
		ASSERT_EQ(0, dma_write(&self->dev, BASE + at, 1));
		fd = mig_set(&self->dev, state);
		EXPECT_EQ(0, whole_report(self, PAGE)) TH_LOG("[L15] %s", mig_state_name(state));
		EXPECT_EQ(-1, wrong_bit(self, PAGE, at, at))
			TH_LOG("[L15] %s", mig_state_name(state));
		if (state == RE) {
			EXPECT_EQ(0, mig_reset(&self->dev));
		} else {
			mig_set(&self->dev, R);
			ASSERT_EQ(0, dma_write(&self->dev, BASE + at, 1));
			EXPECT_EQ(0, whole_report(self, PAGE)) TH_LOG("[L15] on the way back");
			EXPECT_EQ(-1, wrong_bit(self, PAGE, at, at))
				TH_LOG("[L15] after %s", mig_state_name(state));
		}
		if (fd >= 0)
			close(fd);
	}
}

/* After a reset the log may be gone, but then it says so. */
TEST_F(dma, x6_reset_loses_no_page_silently)
{
	int state, fd;

	for (state = 0; state < MIG_STATES; state++) {
		__u64 at = (60 - state) * self->page;
		int ret;

		if (!mig_supports(self->dev.flags, state))
			continue;
		ASSERT_EQ(0, dma_write(&self->dev, BASE + at, 1));
		fd = mig_set(&self->dev, state);
		ASSERT_EQ(0, mig_reset(&self->dev));
		ret = whole_report(self, PAGE);
		EXPECT_TRUE(ret || bit(self->bitmap, at / PAGE))
			TH_LOG("[X6] lost by a reset from %s", mig_state_name(state));
		EXPECT_EQ(0, log_stop(&self->dev)) TH_LOG("[X6]");
		EXPECT_EQ(0, log_start(&self->dev, BASE, SIZE, PAGE)) TH_LOG("[X6] [L14]");
		if (fd >= 0)
			close(fd);
	}
}

/* Devices without DMA logging say so, and in all three. */
FIXTURE(no_log) {
	struct mig_device dev;
};

FIXTURE_SETUP(no_log)
{
	mig_open(&self->dev);
}

FIXTURE_TEARDOWN(no_log)
{
	mig_close(&self->dev);
}

TEST_F(no_log, f13_there_is_none)
{
	__u64 bitmap[1] = {};

	EXPECT_EQ(-ENOTTY, log_start(&self->dev, BASE, PAGE, PAGE)) TH_LOG("[F13]");
	EXPECT_EQ(-ENOTTY, log_report(&self->dev, BASE, PAGE, PAGE, bitmap)) TH_LOG("[F13]");
	EXPECT_EQ(-ENOTTY, log_stop(&self->dev)) TH_LOG("[F13]");
}

static bool log_is_not_there(const struct mig_device *dev)
{
	return !log_is_there(dev);
}

static bool log_of_dma(const struct mig_device *dev)
{
	return log_is_there(dev) && dma_is_possible(dev);
}

static const struct mig_need needs[] = {
	{ "log", log_is_there },
	{ "dma", log_of_dma },
	{ "no_log", log_is_not_there },
};

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, needs, ARRAY_SIZE(needs));
	return test_harness_run(argc, argv);
}
