// SPDX-License-Identifier: GPL-2.0
/*
 * DMA logging: what user space asks for reaches a driver as the uAPI says, or not at all.
 * vfio_migration_test_pci shows its log in debugfs, and takes writes of the device there.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "lib/vfio_migration.h"

#define START	(VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START)
#define STOP	(VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP)
#define REPORT	(VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT)

#define K	1024ULL
#define M	(1024 * K)
#define G	(1024 * M)

#define range	vfio_device_feature_dma_logging_range

/* What fits into a page: the VFIO core takes no more ranges. */
#define MAX_RANGES	(4096 / sizeof(struct range))

FIXTURE(log) {
	struct mig_device dev;
	char file[PATH_MAX];
	char text[1 << 15];
};

FIXTURE_SETUP(log)
{
	mig_open(&self->dev);
	snprintf(self->file, sizeof(self->file),
		 "/sys/kernel/debug/vfio_migration_test_pci-%s/log", self->dev.name);
}

FIXTURE_TEARDOWN(log)
{
	EXPECT_EQ(0, mig_feature(self->dev.fd, STOP, NULL, 0));
	mig_close(&self->dev);
}

/* The log as the driver has it. */
static const char *shown(struct _test_data_log *self)
{
	int fd = open(self->file, O_RDONLY);
	size_t len = 0;
	ssize_t n = 0;

	while (fd >= 0 && len < sizeof(self->text) - 1) {
		n = read(fd, self->text + len, sizeof(self->text) - 1 - len);
		if (n <= 0)
			break;
		len += n;
	}
	if (fd < 0 || n < 0)
		mig_die("%s: %s", self->file, strerror(errno));
	close(fd);
	self->text[len] = '\0';
	return self->text;
}

/* The device writes to the memory from first to last. */
static int device_writes(struct _test_data_log *self, __u64 first, __u64 last)
{
	char text[64];
	int fd = open(self->file, O_WRONLY), ret;

	if (fd < 0)
		mig_die("%s: %s", self->file, strerror(errno));
	snprintf(text, sizeof(text), "%llu %llu\n", first, last);
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static int start_n(struct _test_data_log *self, const struct range *ranges, __u32 count,
		   __u64 *page_size)
{
	struct vfio_device_feature_dma_logging_control control = {
		.page_size = *page_size,
		.num_ranges = count,
		.ranges = (uintptr_t)ranges,
	};
	int ret = mig_feature(self->dev.fd, START, &control, sizeof(control));

	*page_size = control.page_size;
	return ret;
}

static int start(struct _test_data_log *self, __u64 iova, __u64 length, __u64 page_size)
{
	return start_n(self, &(struct range){ .iova = iova, .length = length }, 1, &page_size);
}

static int stop(struct _test_data_log *self)
{
	return mig_feature(self->dev.fd, STOP, NULL, 0);
}

static int report(struct _test_data_log *self, __u64 iova, __u64 length, __u64 page_size,
		  void *bitmap)
{
	struct vfio_device_feature_dma_logging_report report = {
		.iova = iova,
		.length = length,
		.page_size = page_size,
		.bitmap = (uintptr_t)bitmap,
	};

	return mig_feature(self->dev.fd, REPORT, &report, sizeof(report));
}

TEST_F(log, f15_all_three_features)
{
	__u32 probe = VFIO_DEVICE_FEATURE_PROBE;

	EXPECT_EQ(0, mig_feature(self->dev.fd, probe | START, NULL, 0));
	EXPECT_EQ(0, mig_feature(self->dev.fd, probe | STOP, NULL, 0));
	EXPECT_EQ(0, mig_feature(self->dev.fd, probe | REPORT, NULL, 0));
	EXPECT_STREQ("inactive\n", shown(self)) TH_LOG("[F14]");
}

TEST_F(log, l1_number_of_ranges)
{
	static struct range ranges[MAX_RANGES + 1];
	__u64 page_size = 4 * K;
	struct vfio_device_feature_dma_logging_control control = {
		.page_size = 4 * K, .num_ranges = 1, .ranges = (uintptr_t)ranges,
	};
	int i;

	for (i = 0; i <= MAX_RANGES; i++)
		ranges[i] = (struct range){ .iova = i * 8 * K, .length = 4 * K };
	EXPECT_EQ(-EINVAL, start_n(self, ranges, 0, &page_size)) TH_LOG("[L1]");
	EXPECT_EQ(-E2BIG, start_n(self, ranges, MAX_RANGES + 1, &page_size)) TH_LOG("[L1]");
	EXPECT_EQ(-EINVAL, mig_feature(self->dev.fd, VFIO_DEVICE_FEATURE_GET |
				       VFIO_DEVICE_FEATURE_DMA_LOGGING_START, &control,
				       sizeof(control))) TH_LOG("[L1] START is SET only");
	EXPECT_STREQ("inactive\n", shown(self)) TH_LOG("[L1]");
}

/* The driver gets all ranges as they are, in ascending order. */
TEST_F(log, l1_l16_all_ranges_arrive)
{
	static struct range ranges[MAX_RANGES];
	static char want[sizeof(self->text)];
	__u64 page_size = 4 * K;
	size_t len;
	int i;

	len = sprintf(want, "page_size 4096\n");
	for (i = 0; i < MAX_RANGES; i++) {
		/* The second of each pair touches the first, but is not part of it. */
		__u64 iova = i * 1 * M + (i & 1 ? 0 : 1 * M - 4 * K);

		ranges[(i * 37) % MAX_RANGES] = (struct range){ .iova = iova, .length = 4 * K };
		len += sprintf(want + len, "range 0x%llx 0x%llx\n", iova, iova + 4 * K - 1);
	}
	ASSERT_EQ(0, start_n(self, ranges, MAX_RANGES, &page_size)) TH_LOG("[L1]");
	EXPECT_STREQ(want, shown(self)) TH_LOG("[L16]");
}

TEST_F(log, l2_ranges_that_cannot_be)
{
	const struct range overlap[] = { { 0, 8 * K }, { 4 * K, 8 * K } };
	__u64 page_size = 4 * K;

	EXPECT_EQ(-EINVAL, start(self, 4 * K + 1, 4 * K, 4 * K)) TH_LOG("[L2] iova");
	EXPECT_EQ(-EINVAL, start(self, 4 * K, 4 * K + 1, 4 * K)) TH_LOG("[L2] length");
	EXPECT_EQ(-EOVERFLOW, start(self, -4 * K, 8 * K, 4 * K)) TH_LOG("[L2]");
	EXPECT_EQ(-EINVAL, start_n(self, overlap, 2, &page_size)) TH_LOG("[L2] overlap");
	EXPECT_STREQ("inactive\n", shown(self)) TH_LOG("[L2]");
}

/* The VFIO core takes any page size to which the ranges seem aligned. */
TEST_F(log, l3_page_size)
{
	EXPECT_EQ(-EINVAL, start(self, 0, 0, 0)) TH_LOG("[L3] 0");
	EXPECT_EQ(-EINVAL, start(self, 4 * K, 4 * K, 12 * K)) TH_LOG("[L3] 12 KiB");
	EXPECT_EQ(-EINVAL, start(self, 4 * K, 4 * K, 3)) TH_LOG("[L3] 3");
	EXPECT_EQ(-EINVAL, start(self, 0, 4 * K, ~0ULL)) TH_LOG("[L3] all bits");
	EXPECT_STREQ("inactive\n", shown(self)) TH_LOG("[L3]");
}

TEST_F(log, l4_empty_ranges)
{
	const struct range among[] = { { 0, 4 * K }, { 16 * K, 0 }, { 32 * K, 4 * K } };
	const struct range inside[] = { { 0, 32 * K }, { 16 * K, 0 } };
	__u64 page_size = 4 * K;

	EXPECT_EQ(-EINVAL, start(self, 0, 0, 4 * K)) TH_LOG("[L4] at 0");
	EXPECT_EQ(-EINVAL, start(self, 4 * K, 0, 4 * K)) TH_LOG("[L4]");
	EXPECT_EQ(-EINVAL, start(self, -4 * K, 0, 4 * K)) TH_LOG("[L4] at the end");
	EXPECT_EQ(-EINVAL, start_n(self, among, 3, &page_size)) TH_LOG("[L4] among others");
	EXPECT_EQ(-EINVAL, start_n(self, inside, 2, &page_size)) TH_LOG("[L4] inside another");
	EXPECT_STREQ("inactive\n", shown(self)) TH_LOG("[L4]");
}

TEST_F(log, l5_the_driver_chooses_the_page_size)
{
	const struct { __u64 wanted, chosen; } sizes[] = {
		{ 1, 4 * K }, { 512, 4 * K }, { 4 * K, 4 * K }, { 64 * K, 64 * K },
		{ 2 * M, 2 * M }, { 1 * G, 2 * M }, { 1ULL << 63, 2 * M },
	};
	char want[64];
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		__u64 page_size = sizes[i].wanted, end = page_size < G ? G : page_size;
		struct range range = { .iova = 0, .length = end };

		ASSERT_EQ(0, start_n(self, &range, 1, &page_size)) TH_LOG("[L5]");
		EXPECT_EQ(sizes[i].chosen, page_size) TH_LOG("[L5]");
		snprintf(want, sizeof(want), "page_size %llu\nrange 0x0 0x%llx\n",
			 sizes[i].chosen, end - 1);
		EXPECT_STREQ(want, shown(self)) TH_LOG("[L5]");
		ASSERT_EQ(0, stop(self));
	}
}

TEST_F(log, l6_l8_start_and_stop_twice)
{
	EXPECT_EQ(0, stop(self)) TH_LOG("[L8] not started");
	ASSERT_EQ(0, start(self, 0, 4 * K, 4 * K));
	EXPECT_EQ(-EBUSY, start(self, 8 * K, 4 * K, 4 * K)) TH_LOG("[L6]");
	EXPECT_STREQ("page_size 4096\nrange 0x0 0xfff\n", shown(self)) TH_LOG("[L6] goes on");
	EXPECT_EQ(0, stop(self)) TH_LOG("[L8]");
	EXPECT_STREQ("inactive\n", shown(self)) TH_LOG("[L8]");
	EXPECT_EQ(0, stop(self)) TH_LOG("[L8] again");
	EXPECT_EQ(-EINVAL, mig_feature(self->dev.fd, VFIO_DEVICE_FEATURE_GET |
				       VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, NULL, 0))
		TH_LOG("[L8] STOP is SET only");
	ASSERT_EQ(0, start(self, 0, 4 * K, 4 * K)) TH_LOG("[L14] once more");
}

/* Logging has begun when it turns out that user space cannot be told. */
TEST_F(log, l7_unwritable_answer)
{
	struct range range = { .iova = 0, .length = 4 * K };
	struct {
		struct vfio_device_feature feature;
		struct vfio_device_feature_dma_logging_control control;
	} *req = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, req);
	req->feature.argsz = sizeof(*req);
	req->feature.flags = START;
	req->control.page_size = 4 * K;
	req->control.num_ranges = 1;
	req->control.ranges = (uintptr_t)&range;
	ASSERT_EQ(0, mprotect(req, 4096, PROT_READ));
	EXPECT_EQ(-EFAULT, mig_ioctl(self->dev.fd, VFIO_DEVICE_FEATURE, req)) TH_LOG("[L7]");
	EXPECT_STREQ("inactive\n", shown(self)) TH_LOG("[L7]");
	munmap(req, 4096);
}

TEST_F(log, l9_reports_that_cannot_be)
{
	__u64 bitmap[8] = {};

	ASSERT_EQ(0, start(self, 0, 1 * M, 4 * K));
	EXPECT_EQ(-EINVAL, report(self, 0, 4 * K, 0, bitmap)) TH_LOG("[L9]");
	EXPECT_EQ(-EINVAL, report(self, 0, 4 * K, 2 * K, bitmap)) TH_LOG("[L9]");
	EXPECT_EQ(-EINVAL, report(self, 0, 4 * K, 12 * K, bitmap)) TH_LOG("[L9]");
	EXPECT_EQ(-EOVERFLOW, report(self, -4 * K, 8 * K, 4 * K, bitmap)) TH_LOG("[L9]");
}

TEST_F(log, l10_any_page_size)
{
	__u64 bitmap[8] = {};

	ASSERT_EQ(0, start(self, 0, 4 * M, 64 * K));
	/* One page of the device is 16 bits. */
	ASSERT_EQ(0, device_writes(self, 64 * K + 5, 64 * K + 5));
	ASSERT_EQ(0, report(self, 0, 1 * M, 4 * K, bitmap));
	EXPECT_EQ(0xffffULL << 16, bitmap[0]) TH_LOG("[L10] replicated");
	EXPECT_EQ(0, bitmap[1]);
	memset(bitmap, 0, sizeof(bitmap));
	/* Two pages of the device are one bit. */
	ASSERT_EQ(0, device_writes(self, 1 * M - 1, 1 * M));
	ASSERT_EQ(0, device_writes(self, 1 * M + 128 * K, 1 * M + 128 * K));
	ASSERT_EQ(0, report(self, 0, 4 * M, 1 * M, bitmap));
	EXPECT_EQ(0x3, bitmap[0]) TH_LOG("[L10] coarsened");
	EXPECT_EQ(0, report(self, 0, 4 * M, 1ULL << 62, bitmap)) TH_LOG("[L10] huge");
}

TEST_F(log, l11_only_sets_bits_and_clears_the_log)
{
	__u64 bitmap[2] = { 0x8001, 0x1 };

	ASSERT_EQ(0, start(self, 0, 1 * M, 4 * K));
	ASSERT_EQ(0, device_writes(self, 8 * K, 16 * K - 1));
	ASSERT_EQ(0, report(self, 0, 256 * K, 4 * K, bitmap));
	EXPECT_EQ(0x800d, bitmap[0]) TH_LOG("[L11]");
	EXPECT_EQ(0x1, bitmap[1]) TH_LOG("[L11] behind what was asked for");
	bitmap[0] = 0;
	ASSERT_EQ(0, report(self, 0, 256 * K, 4 * K, bitmap));
	EXPECT_EQ(0, bitmap[0]) TH_LOG("[L11] twice");
}

/* What was written outside of the report's range is for another one. */
TEST_F(log, l11_part_of_a_range)
{
	__u64 bitmap[2] = {};

	ASSERT_EQ(0, start(self, 0, 1 * M, 4 * K));
	ASSERT_EQ(0, device_writes(self, 0, 256 * K - 1));
	ASSERT_EQ(0, report(self, 64 * K, 32 * K, 4 * K, bitmap));
	EXPECT_EQ(0xff, bitmap[0]);
	EXPECT_EQ(0, bitmap[1]);
	ASSERT_EQ(0, report(self, 0, 256 * K, 4 * K, bitmap));
	EXPECT_EQ(~0xff0000ULL, bitmap[0]) TH_LOG("the rest, and not what was taken");
	/* Not aligned to the pages of the bitmap: its bits count from the report's start. */
	bitmap[0] = 0;
	ASSERT_EQ(0, device_writes(self, 16 * K, 16 * K));
	ASSERT_EQ(0, report(self, 14 * K, 16 * K, 4 * K, bitmap));
	EXPECT_EQ(0x3, bitmap[0]) TH_LOG("16 to 20 KiB, from 14 KiB on");
}

TEST_F(log, l12_nothing_to_report)
{
	__u64 bitmap[1] = {};

	EXPECT_EQ(-EINVAL, report(self, 0, 4 * K, 4 * K, bitmap)) TH_LOG("[L12] inactive");
	EXPECT_EQ(-EINVAL, device_writes(self, 0, 0));
	ASSERT_EQ(0, start(self, 0, 64 * K, 4 * K));
	ASSERT_EQ(0, device_writes(self, 128 * K, 128 * K));
	EXPECT_EQ(0, report(self, 0, 256 * K, 4 * K, bitmap)) TH_LOG("[L12] outside");
	EXPECT_EQ(0, bitmap[0]) TH_LOG("[L12]");
	ASSERT_EQ(0, stop(self));
	EXPECT_EQ(-EINVAL, report(self, 0, 4 * K, 4 * K, bitmap)) TH_LOG("[L12] stopped");
}

TEST_F(log, l13_empty_report)
{
	__u64 bitmap[1] = {};

	ASSERT_EQ(0, start(self, 0, 64 * K, 4 * K));
	ASSERT_EQ(0, device_writes(self, 0, 64 * K - 1));
	EXPECT_EQ(-EINVAL, report(self, 0, 0, 4 * K, bitmap)) TH_LOG("[L13]");
	EXPECT_EQ(-EINVAL, report(self, 8 * K, 0, 4 * K, bitmap)) TH_LOG("[L13]");
	EXPECT_EQ(-EINVAL, report(self, -4 * K, 0, 4 * K, NULL)) TH_LOG("[L13]");
	EXPECT_EQ(0, bitmap[0]) TH_LOG("[L13]");
}

TEST_F(log, l15_x6_lasts_over_states_and_reset)
{
	__u64 bitmap[1] = {};
	int state, fd;

	ASSERT_EQ(0, start(self, 0, 64 * K, 4 * K));
	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(self->dev.flags, state))
			continue;
		ASSERT_EQ(0, device_writes(self, state * 4 * K, state * 4 * K));
		fd = mig_set(&self->dev, state);
		bitmap[0] = 0;
		EXPECT_EQ(0, report(self, 0, 64 * K, 4 * K, bitmap)) TH_LOG("[L15]");
		EXPECT_EQ(1ULL << state, bitmap[0]) TH_LOG("[L15] %s", mig_state_name(state));
		if (fd >= 0)
			close(fd);
		ASSERT_EQ(0, device_writes(self, 60 * K, 60 * K));
		ASSERT_EQ(0, mig_reset(&self->dev));
		bitmap[0] = 0;
		EXPECT_EQ(0, report(self, 0, 64 * K, 4 * K, bitmap)) TH_LOG("[X6]");
		EXPECT_EQ(1ULL << 15, bitmap[0]) TH_LOG("[X6] no write is lost");
	}
	EXPECT_EQ(0, stop(self)) TH_LOG("[X6]");
}

TEST_F(log, l17_close_stops)
{
	ASSERT_EQ(0, start(self, 0, 64 * K, 4 * K));
	mig_close(&self->dev);
	EXPECT_STREQ("inactive\n", shown(self)) TH_LOG("[L17]");
	mig_open(&self->dev);
	EXPECT_EQ(0, start(self, 0, 64 * K, 4 * K)) TH_LOG("[L17]");
}

/* A bitmap that ends in memory that is not there. */
TEST_F_TIMEOUT(log, bitmap_of_which_a_page_is_missing, 20)
{
	const __u64 bits = 4096 * 8, page_size = 64 * K;
	unsigned char *map = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, munmap(map + 4096, 4096));
	ASSERT_EQ(0, start(self, 0, 8 * G, 4 * K));
	/* From the middle of the last bit of the first page on: the next ones are missing. */
	ASSERT_EQ(0, device_writes(self, (bits - 1) * page_size + 32 * K,
				   (bits + 1) * page_size + 32 * K - 1));
	ASSERT_EQ(0, device_writes(self, 0, 0));
	report(self, 0, 2 * bits * page_size, page_size, map);
	EXPECT_EQ(0x01, map[0]);
	EXPECT_EQ(0x80, map[4095]);
	/* Nothing of it is there. */
	ASSERT_EQ(0, device_writes(self, 0, 8 * G - 1));
	report(self, 0, 8 * G, 4 * K, map + 4096);
	report(self, 0, 8 * G, 4 * K, NULL);
	report(self, 0, 8 * G, 4 * K, (void *)-4096UL);
	munmap(map, 3 * 4096);
}

struct race {
	struct _test_data_log *log;
	atomic_bool end;
	atomic_ulong done[3];
};

static void *race_start(void *arg)
{
	struct race *race = arg;

	while (!race->end) {
		if (!start(race->log, 0, 1 * M, 4 * K))
			race->done[0]++;
		device_writes(race->log, 0, 1 * M - 1);
	}
	return NULL;
}

static void *race_stop(void *arg)
{
	struct race *race = arg;

	while (!race->end) {
		if (stop(race->log))
			mig_die("[L8] STOP failed");
		race->done[1]++;
		usleep(100);
	}
	return NULL;
}

static void *race_report(void *arg)
{
	struct race *race = arg;
	__u64 bitmap[4];

	while (!race->end)
		if (!report(race->log, 0, 1 * M, 4 * K, bitmap))
			race->done[2]++;
	return NULL;
}

TEST_F(log, all_at_once)
{
	void *(*const part[])(void *) = { race_start, race_stop, race_report, race_report };
	pthread_t thread[ARRAY_SIZE(part)];
	struct race race = { .log = self };
	int i;

	for (i = 0; i < ARRAY_SIZE(part); i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, part[i], &race));
	sleep(2);
	race.end = true;
	for (i = 0; i < ARRAY_SIZE(part); i++)
		pthread_join(thread[i], NULL);
	for (i = 0; i < ARRAY_SIZE(race.done); i++)
		EXPECT_LT(0, race.done[i]) TH_LOG("%d", i);
}

TEST_HARNESS_MAIN
