// SPDX-License-Identifier: GPL-2.0
/*
 * DMA of an emulated device to memory of its user, by vfio_migration_test_dma; its engine.rs has
 * the registers. VFIO_MIGRATION_DEVICE is one of its devices.
 */
#include <errno.h>
#include <linux/iommufd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "lib/system.h"
#include "lib/vfio_migration.h"

#define PAGE	4096UL
#define BUFFER	(4 * PAGE)
#define PAGES	16
#define IOVA	0x10000000UL

enum { ADDRESS = 0x00, LENGTH = 0x08, COMMAND = 0x10, RESULT = 0x18 };
enum { READ = 1, WRITE, PINNED_READ, PINNED_WRITE, HOLD, REPEAT_WRITE, REPEAT_PINNED_WRITE };
#define BACKGROUND	0x100
enum { DONE, BUSY, HELD };
#define HOLD_MS	300

static const char zeros[16];

FIXTURE(dma) {
	struct mig_device dev;
	unsigned char *memory;
};

FIXTURE_VARIANT(dma) {
	enum mig_mode mode;
};

FIXTURE_VARIANT_ADD(dma, cdev) { .mode = MIG_CDEV };
FIXTURE_VARIANT_ADD(dma, group) { .mode = MIG_GROUP };

/* An address space that the test knows the number of. */
static void attach_new_ioas(struct _test_data_dma *self)
{
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };

	if (ioctl(self->dev.container, IOMMU_IOAS_ALLOC, &alloc))
		mig_die("IOMMU_IOAS_ALLOC: %s", strerror(errno));
	self->dev.ioas = alloc.out_ioas_id;
	attach.pt_id = self->dev.ioas;
	if (ioctl(self->dev.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach))
		mig_die("VFIO_DEVICE_ATTACH_IOMMUFD_PT: %s", strerror(errno));
}

FIXTURE_SETUP(dma)
{
	ASSERT_EQ(0, __mig_open(&self->dev, mig_path(), variant->mode));
	if (variant->mode == MIG_CDEV)
		attach_new_ioas(self);
	self->memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->memory);
}

FIXTURE_TEARDOWN(dma)
{
	mig_close(&self->dev);
	munmap(self->memory, PAGES * PAGE);
}

/* Maps pages of the memory for the device: from page FIRST on, COUNT. */
static int map(struct _test_data_dma *self, int first, int count, bool writable)
{
	return mig_map(&self->dev, self->memory + first * PAGE, IOVA + first * PAGE, count * PAGE,
		       writable);
}

static int unmap(struct _test_data_dma *self, int first, int count)
{
	return mig_unmap(&self->dev, IOVA + first * PAGE, count * PAGE);
}

static void access_region(struct _test_data_dma *self, int region, size_t at, void *data,
			  size_t len, bool write)
{
	struct vfio_region_info info;
	ssize_t done;

	if (mig_region(&self->dev, region, &info))
		mig_die("no region %d", region);
	done = write ? pwrite(self->dev.fd, data, len, info.offset + at) :
		       pread(self->dev.fd, data, len, info.offset + at);
	if (done != len)
		mig_die("region %d at %#zx: %s", region, at, strerror(errno));
}

static void set(struct _test_data_dma *self, int reg, __u64 value)
{
	access_region(self, VFIO_PCI_BAR0_REGION_INDEX, reg, &value, sizeof(value), true);
}

static __s64 result(struct _test_data_dma *self)
{
	__s64 value;

	access_region(self, VFIO_PCI_BAR0_REGION_INDEX, RESULT, &value, sizeof(value), false);
	return value;
}

static void begin(struct _test_data_dma *self, int command, __u64 iova, __u64 length)
{
	set(self, ADDRESS, iova);
	set(self, LENGTH, length);
	set(self, COMMAND, command);
}

/* Returns the result when it is no longer LESS. */
static __s64 wait_past(struct _test_data_dma *self, __s64 less)
{
	__s64 value;
	int i;

	for (i = 0; i < 5000; i++) {
		value = result(self);
		if (value <= 0 || value > less)
			return value;
		usleep(1000);
	}
	mig_die("the transfer does not end");
}

static __s64 transfer(struct _test_data_dma *self, int command, __u64 iova, __u64 length)
{
	begin(self, command, iova, length);
	return wait_past(self, HELD);
}

static void fill(unsigned char *data, size_t len, uint64_t seed)
{
	while (len--)
		*data++ = mig_random(&seed);
}

static double seconds(void)
{
	return sys_now_ns() / 1e9;
}

static void fill_buffer(struct _test_data_dma *self, int byte)
{
	unsigned char data[BUFFER];

	memset(data, byte, sizeof(data));
	access_region(self, VFIO_PCI_BAR2_REGION_INDEX, 0, data, sizeof(data), true);
}

/* Whether this way to access memory can be used in the mode. */
static bool usable(struct _test_data_dma *self, int command)
{
	return command <= WRITE || self->dev.mode == MIG_CDEV;
}

TEST_F(dma, both_ways)
{
	static const struct { size_t at, len; } ranges[] = {
		{ 0, 1 }, { 0, PAGE }, { 1, PAGE }, { PAGE - 1, 2 },
		{ 3 * PAGE + 7, 2 * PAGE + 13 }, { 0, BUFFER }, { 8 * PAGE, BUFFER },
		{ 7 * PAGE + 1, BUFFER - PAGE },
	};
	static const int ways[] = { READ, PINNED_READ };
	unsigned char buffer[BUFFER], before[PAGES * PAGE];
	int i, j, background;

	/* Two mappings, so that a transfer may go from one to the other. */
	ASSERT_EQ(0, map(self, 0, 8, true));
	ASSERT_EQ(0, map(self, 8, 8, true));
	for (i = 0; i < ARRAY_SIZE(ranges) * ARRAY_SIZE(ways) * 2; i++) {
		size_t at = ranges[i / 4].at, len = ranges[i / 4].len;
		int read = ways[i % 2], write = read + 1;

		if (!usable(self, read))
			continue;
		background = i & 2 ? BACKGROUND : 0;
		fill(self->memory, PAGES * PAGE, i);
		ASSERT_EQ(DONE, transfer(self, read | background, IOVA + at, len));
		access_region(self, VFIO_PCI_BAR2_REGION_INDEX, 0, buffer, BUFFER, false);
		EXPECT_EQ(0, memcmp(buffer, self->memory + at, len)) TH_LOG("read %d", i);

		fill(buffer, BUFFER, ~i);
		access_region(self, VFIO_PCI_BAR2_REGION_INDEX, 0, buffer, BUFFER, true);
		memcpy(before, self->memory, sizeof(before));
		ASSERT_EQ(DONE, transfer(self, write | background, IOVA + at, len));
		EXPECT_EQ(0, memcmp(self->memory + at, buffer, len)) TH_LOG("write %d", i);
		for (j = 0; j < sizeof(before); j++)
			if ((j < at || j >= at + len) && before[j] != self->memory[j])
				break;
		EXPECT_EQ(sizeof(before), j) TH_LOG("write %d changed what is around it", i);
	}
}

TEST_F(dma, memory_that_is_not_there)
{
	int way;

	ASSERT_EQ(0, map(self, 0, 2, true));
	ASSERT_EQ(0, map(self, 4, 2, false));
	fill(self->memory, PAGES * PAGE, 1);
	for (way = READ; way <= PINNED_WRITE; way++) {
		bool write = way == WRITE || way == PINNED_WRITE;

		if (!usable(self, way)) {
			EXPECT_EQ(-EOPNOTSUPP, transfer(self, way, IOVA, 1));
			continue;
		}
		EXPECT_EQ(DONE, transfer(self, way, IOVA, 2 * PAGE)) TH_LOG("%d", way);
		EXPECT_GT(DONE, transfer(self, way, IOVA + 2 * PAGE, 1)) TH_LOG("%d", way);
		EXPECT_GT(DONE, transfer(self, way, IOVA + 2 * PAGE - 1, 2)) TH_LOG("%d", way);
		EXPECT_GT(DONE, transfer(self, way, IOVA - 1, 2)) TH_LOG("%d", way);
		EXPECT_GT(DONE, transfer(self, way, 0, BUFFER)) TH_LOG("%d", way);
		EXPECT_GT(DONE, transfer(self, way, -PAGE, 2 * PAGE)) TH_LOG("%d wraps", way);
		EXPECT_GT(DONE, transfer(self, way, -1, 1)) TH_LOG("%d", way);
		EXPECT_EQ(write ? -EPERM : DONE, transfer(self, way, IOVA + 4 * PAGE, 1));
		ASSERT_EQ(0, unmap(self, 0, 2));
		EXPECT_GT(DONE, transfer(self, way, IOVA, 1)) TH_LOG("%d after unmap", way);
		ASSERT_EQ(0, map(self, 0, 2, true));
		EXPECT_EQ(DONE, transfer(self, way, IOVA, 1)) TH_LOG("%d after map", way);
	}
	EXPECT_EQ(DONE, transfer(self, READ, IOVA, 0));
}

/* The memory of the user is gone, but not its mapping. */
TEST_F(dma, memory_that_was_taken_away)
{
	ASSERT_EQ(0, map(self, 0, 2, true));
	ASSERT_EQ(0, munmap(self->memory, 2 * PAGE));
	EXPECT_EQ(-EFAULT, transfer(self, READ, IOVA, 1));
	EXPECT_EQ(-EFAULT, transfer(self, WRITE | BACKGROUND, IOVA, 1));
	if (usable(self, PINNED_WRITE))
		EXPECT_EQ(-EFAULT, transfer(self, PINNED_WRITE, IOVA, 1));
}

TEST_F(dma, unmap_waits_for_pinned_memory)
{
	double start;

	/* With the legacy container there is nothing to wait for. */
	if (!usable(self, HOLD)) {
		EXPECT_EQ(-EOPNOTSUPP, transfer(self, HOLD, IOVA, 16));
		return;
	}
	ASSERT_EQ(0, map(self, 0, 2, true));
	memset(self->memory, 0xaa, PAGE);
	fill_buffer(self, 0);
	begin(self, HOLD | BACKGROUND, IOVA, 16);
	ASSERT_EQ(HELD, wait_past(self, BUSY));
	start = seconds();
	ASSERT_EQ(0, unmap(self, 0, 2));
	/* The data comes before the end of the unmap, and not at once. */
	EXPECT_EQ(0, memcmp(self->memory, zeros, 16));
	EXPECT_EQ(0xaa, self->memory[16]);
	EXPECT_LT(HOLD_MS / 1e3 / 3, seconds() - start);
	EXPECT_EQ(DONE, wait_past(self, HELD));
	EXPECT_GT(DONE, transfer(self, HOLD, IOVA, 16));
}

TEST_F(dma, detach_waits_for_pinned_memory)
{
	__u32 old = self->dev.ioas;
	struct iommu_destroy destroy = { .size = sizeof(destroy), .id = old };

	/* With the legacy container there is nothing to wait for. */
	if (!usable(self, HOLD)) {
		EXPECT_EQ(-EOPNOTSUPP, transfer(self, HOLD, IOVA, 16));
		return;
	}
	ASSERT_EQ(0, map(self, 0, 2, true));
	memset(self->memory, 0xaa, PAGE);
	fill_buffer(self, 0);
	begin(self, HOLD | BACKGROUND, IOVA, 16);
	ASSERT_EQ(HELD, wait_past(self, BUSY));
	attach_new_ioas(self);
	EXPECT_EQ(0, memcmp(self->memory, zeros, 16));
	EXPECT_EQ(DONE, wait_past(self, HELD));
	EXPECT_EQ(0, mig_ioctl(self->dev.container, IOMMU_DESTROY, &destroy));
	EXPECT_GT(DONE, transfer(self, READ, IOVA, 16)) TH_LOG("nothing is mapped there");
}

/* The last close ends DMA that goes on by itself, and the next open does not begin it again. */
TEST_F(dma, close_ends_it)
{
	static const int ways[] = { WRITE, HOLD, REPEAT_WRITE, REPEAT_PINNED_WRITE };
	unsigned char *memory = self->memory;
	int i;

	fill_buffer(self, 0);
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		if (!usable(self, ways[i]) && ways[i] != REPEAT_WRITE)
			continue;
		if (ways[i] == REPEAT_PINNED_WRITE && !usable(self, HOLD))
			continue;
		ASSERT_EQ(0, map(self, 0, 4, true));
		begin(self, ways[i] | BACKGROUND, IOVA, BUFFER);
		if (ways[i] == HOLD)
			ASSERT_EQ(HELD, wait_past(self, BUSY));
		mig_close(&self->dev);
		/* It has ended: nothing of it is seen. */
		memset(memory, 0xaa, BUFFER);
		usleep(20000);
		EXPECT_EQ(0xaa, memory[0]) TH_LOG("%d", ways[i]);
		EXPECT_EQ(0, memcmp(memory, memory + 1, BUFFER - 1)) TH_LOG("%d", ways[i]);
		ASSERT_EQ(0, __mig_open(&self->dev, mig_path(), variant->mode));
		if (variant->mode == MIG_CDEV)
			attach_new_ioas(self);
		EXPECT_GE(DONE, result(self)) TH_LOG("%d goes on", ways[i]);
		EXPECT_EQ(0xaa, memory[0]) TH_LOG("%d", ways[i]);
	}
}

/* Memory comes and goes while the device writes to it all the time. */
TEST_F_TIMEOUT(dma, unmap_races_writes, 60)
{
	static const int ways[] = { REPEAT_WRITE, REPEAT_PINNED_WRITE };
	unsigned long n, i;
	double end;

	fill_buffer(self, 0);
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		if (ways[i] == REPEAT_PINNED_WRITE && !usable(self, HOLD))
			continue;
		end = seconds() + 2;
		for (n = 0; seconds() < end; n++) {
			ASSERT_EQ(0, map(self, 0, 4, true)) TH_LOG("%lu", n);
			/* This one ends at an error, so it is begun anew. */
			begin(self, ways[i] | BACKGROUND, IOVA + 5, BUFFER - 9);
			if (n % 4)
				usleep(n % 4 * 200);
			ASSERT_EQ(0, unmap(self, 0, 4)) TH_LOG("%lu", n);
			memset(self->memory, 0xaa, BUFFER);
			usleep(100);
			ASSERT_EQ(0, memcmp(self->memory, self->memory + 1, BUFFER - 1))
				TH_LOG("%lu: written after the unmap", n);
		}
		EXPECT_LT(10, n);
		begin(self, READ, IOVA, 0);
	}
}

TEST_HARNESS_MAIN
