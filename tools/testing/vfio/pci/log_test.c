// SPDX-License-Identifier: GPL-2.0
/*
 * What of DMA logging reaches a driver, where vfio_migration_log_test sees only what user space
 * does: vfio_migration_test_pci shows its log in debugfs.
 */
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "lib/log.h"
#include "lib/monitor.h"
#include "lib/system.h"

FIXTURE(log) {
	struct mig_device dev;
	char file[PATH_MAX];
	char *text;
};

FIXTURE_SETUP(log)
{
	mig_open(&self->dev);
	mon_path(&self->dev, "log", self->file, sizeof(self->file));
}

FIXTURE_TEARDOWN(log)
{
	EXPECT_EQ(0, log_stop(&self->dev));
	mig_close(&self->dev);
	free(self->text);
}

/* The log as the driver has it. */
static const char *shown(struct _test_data_log *self)
{
	free(self->text);
	self->text = sys_read(self->file);
	return self->text;
}

TEST_F(log, probing_begins_nothing)
{
	__u32 probe = VFIO_DEVICE_FEATURE_PROBE;

	EXPECT_EQ(0, mig_feature(self->dev.fd, probe | LOG_START, NULL, 0));
	EXPECT_EQ(0, mig_feature(self->dev.fd, probe | LOG_STOP, NULL, 0));
	EXPECT_EQ(0, mig_feature(self->dev.fd, probe | LOG_REPORT, NULL, 0));
	EXPECT_STREQ("inactive\n", shown(self));
}

/* The driver gets all ranges as they are, in ascending order. */
TEST_F(log, l1_l16_all_ranges_arrive)
{
	static struct log_range ranges[LOG_MAX_RANGES];
	static char want[1 << 15];
	__u64 page_size = 4 * KIB;
	size_t len;
	int i;

	len = sprintf(want, "page_size 4096\n");
	for (i = 0; i < LOG_MAX_RANGES; i++) {
		/* The second of each pair touches the first, but is not part of it. */
		__u64 iova = i * 1 * MIB + (i & 1 ? 0 : 1 * MIB - 4 * KIB);

		ranges[(i * 37) % LOG_MAX_RANGES] = (struct log_range){
			.iova = iova, .length = 4 * KIB,
		};
		len += sprintf(want + len, "range 0x%llx 0x%llx\n", iova, iova + 4 * KIB - 1);
	}
	ASSERT_EQ(0, log_start_n(&self->dev, ranges, LOG_MAX_RANGES, &page_size)) TH_LOG("[L1]");
	EXPECT_STREQ(want, shown(self)) TH_LOG("[L16]");
}

/* What is refused does not get to the driver. */
TEST_F(log, l1_l2_l3_l4_nothing_begins)
{
	const struct log_range overlap[] = { { 0, 8 * KIB }, { 4 * KIB, 8 * KIB } };
	const struct log_range among[] = {
		{ 0, 4 * KIB }, { 16 * KIB, 0 }, { 32 * KIB, 4 * KIB },
	};
	__u64 page_size = 4 * KIB;

	EXPECT_EQ(-EINVAL, log_start_n(&self->dev, overlap, 0, &page_size));
	EXPECT_EQ(-EINVAL, log_start_n(&self->dev, overlap, 2, &page_size));
	EXPECT_EQ(-EINVAL, log_start_n(&self->dev, among, 3, &page_size));
	EXPECT_EQ(-EINVAL, log_start(&self->dev, 4 * KIB, 4 * KIB, 12 * KIB));
	EXPECT_EQ(-EINVAL, log_start(&self->dev, 0, 0, 0));
	EXPECT_STREQ("inactive\n", shown(self));
}

TEST_F(log, l5_the_driver_chooses_the_page_size)
{
	const struct { __u64 wanted, chosen; } sizes[] = {
		{ 1, 4 * KIB }, { 512, 4 * KIB }, { 4 * KIB, 4 * KIB }, { 64 * KIB, 64 * KIB },
		{ 2 * MIB, 2 * MIB }, { 1 * GIB, 2 * MIB }, { 1ULL << 63, 2 * MIB },
	};
	char want[64];
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		__u64 page_size = sizes[i].wanted, end = page_size < GIB ? GIB : page_size;
		struct log_range range = { .iova = 0, .length = end };

		ASSERT_EQ(0, log_start_n(&self->dev, &range, 1, &page_size)) TH_LOG("[L5]");
		EXPECT_EQ(sizes[i].chosen, page_size) TH_LOG("[L5]");
		snprintf(want, sizeof(want), "page_size %llu\nrange 0x0 0x%llx\n",
			 sizes[i].chosen, end - 1);
		EXPECT_STREQ(want, shown(self)) TH_LOG("[L5]");
		ASSERT_EQ(0, log_stop(&self->dev));
	}
}

TEST_F(log, l6_l17_one_at_a_time)
{
	ASSERT_EQ(0, log_start(&self->dev, 0, 4 * KIB, 4 * KIB));
	EXPECT_EQ(-EBUSY, log_start(&self->dev, 8 * KIB, 4 * KIB, 4 * KIB));
	EXPECT_STREQ("page_size 4096\nrange 0x0 0xfff\n", shown(self)) TH_LOG("goes on");
	EXPECT_EQ(0, log_stop(&self->dev));
	EXPECT_STREQ("inactive\n", shown(self));
	EXPECT_EQ(0, log_stop(&self->dev));
	ASSERT_EQ(0, log_start(&self->dev, 0, 4 * KIB, 4 * KIB));
	mig_close(&self->dev);
	EXPECT_STREQ("inactive\n", shown(self)) TH_LOG("the last close");
	mig_open(&self->dev);
}

TEST_F(log, l10_huge_pages)
{
	__u64 bitmap[1] = {};

	ASSERT_EQ(0, log_start(&self->dev, 0, 4 * MIB, 64 * KIB));
	ASSERT_EQ(0, dma_write(&self->dev, 64 * KIB, 1));
	EXPECT_EQ(0, log_report(&self->dev, 0, 4 * MIB, 1ULL << 62, bitmap));
	EXPECT_EQ(1, bitmap[0]);
}

/* Not aligned to the pages of the bitmap: its bits count from the report's start. */
TEST_F(log, l11_report_from_the_middle_of_a_page)
{
	__u64 bitmap[1] = {};

	ASSERT_EQ(0, log_start(&self->dev, 0, 1 * MIB, 4 * KIB));
	ASSERT_EQ(0, dma_write(&self->dev, 16 * KIB, 1));
	ASSERT_EQ(0, log_report(&self->dev, 14 * KIB, 16 * KIB, 4 * KIB, bitmap));
	EXPECT_EQ(0x3, bitmap[0]) TH_LOG("16 to 20 KiB, from 14 KiB on");
}

TEST_F(log, l12_l13_what_the_driver_does_not_get)
{
	__u64 bitmap[1] = {};

	EXPECT_EQ(-EINVAL, log_report(&self->dev, 0, 4 * KIB, 4 * KIB, bitmap));
	EXPECT_EQ(-EINVAL, dma_write(&self->dev, 0, 1));
	ASSERT_EQ(0, log_start(&self->dev, 0, 64 * KIB, 4 * KIB));
	ASSERT_EQ(0, dma_write(&self->dev, 0, 64 * KIB));
	ASSERT_EQ(0, dma_write(&self->dev, 128 * KIB, 1));
	EXPECT_EQ(-EINVAL, log_report(&self->dev, 0, 0, 4 * KIB, bitmap)) TH_LOG("[L13]");
	EXPECT_EQ(-EINVAL, log_report(&self->dev, 8 * KIB, 0, 4 * KIB, bitmap)) TH_LOG("[L13]");
	EXPECT_EQ(-EINVAL, log_report(&self->dev, -4 * KIB, 0, 4 * KIB, NULL)) TH_LOG("[L13]");
	EXPECT_EQ(0, bitmap[0]) TH_LOG("[L13]");
	EXPECT_EQ(0, log_report(&self->dev, 128 * KIB, 64 * KIB, 4 * KIB, bitmap));
	EXPECT_EQ(0, bitmap[0]) TH_LOG("[L12] outside of what is logged");
}

/* A bitmap that ends in memory that is not there. */
TEST_F_TIMEOUT(log, bitmap_of_which_a_page_is_missing, 20)
{
	const __u64 bits = 4096 * 8, page_size = 64 * KIB;
	unsigned char *map = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, munmap(map + 4096, 4096));
	ASSERT_EQ(0, log_start(&self->dev, 0, 8 * GIB, 4 * KIB));
	/* From the middle of the last bit of the first page on: the next ones are missing. */
	ASSERT_EQ(0, dma_write(&self->dev, (bits - 1) * page_size + 32 * KIB, 2 * page_size));
	ASSERT_EQ(0, dma_write(&self->dev, 0, 1));
	log_report(&self->dev, 0, 2 * bits * page_size, page_size, map);
	EXPECT_EQ(0x01, map[0]);
	EXPECT_EQ(0x80, map[4095]);
	/* Nothing of it is there. */
	ASSERT_EQ(0, dma_write(&self->dev, 0, 8 * GIB));
	log_report(&self->dev, 0, 8 * GIB, 4 * KIB, map + 4096);
	log_report(&self->dev, 0, 8 * GIB, 4 * KIB, NULL);
	log_report(&self->dev, 0, 8 * GIB, 4 * KIB, (void *)-4096UL);
	munmap(map, 3 * 4096);
}

TEST_HARNESS_MAIN
