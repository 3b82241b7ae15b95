// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of the kernel that a migration takes: it is bounded, charged to the control group of
 * who saves and loads, and it comes back.
 */
#include <endian.h>
#include <sys/wait.h>

#include "lib/fixture.h"
#include "lib/emulated.h"
#include "lib/memory.h"
#include "lib/system.h"

/* What a session may take, however large the state is and whatever comes. */
#define SESSION_KIB	(8 << 10)

MIG_STREAM_FIXTURE(charged, R);

/*
 * What went away in the machine was charged to this process, but for the noise. The group also
 * has the pages of the process itself, so it may have more.
 */
static void expect_charged(struct __test_metadata *_metadata, long available, long charged,
			   const char *what)
{
	long took = available - memory_available();
	long paid = cgroup_charged() - charged;

	EXPECT_GT(paid + MEMORY_NOISE, took)
		TH_LOG("[R13] %s: %ld KiB, of which %ld were charged", what, took, paid);
}

TEST_F(charged, r13_save_is_bounded)
{
	struct mig_buf got = {};
	long available, charged, peak;
	int fd;

	cgroup_enter();
	/* The pages of the test itself are there before. */
	mig_buf_add(&got, self->ref.data, self->ref.len);
	mig_buf_add(&got, self->ref.data, self->ref.len);
	memset(got.data, 0, got.cap);
	got.len = 0;
	available = memory_available();
	charged = cgroup_charged();
	fd = mig_set(&self->dev, SC);
	ASSERT_EQ(0, mig_read(fd, &got, (struct mig_cut){ 1, 1 << 16, 1 }));
	expect_charged(_metadata, available, charged, "saving");
	peak = cgroup_peak() - charged;
	EXPECT_GT(SESSION_KIB, peak) TH_LOG("[R13] %ld KiB at the most", peak);
	mig_set(&self->dev, R);
	close(fd);
	expect_charged(_metadata, available, charged, "saved");
	cgroup_leave();
	mig_buf_free(&got);
}

TEST_F(charged, r13_load_is_charged)
{
	long available, charged;
	int fd;

	ASSERT_EQ(0, mig_reset(&self->dev));
	cgroup_enter();
	available = memory_available();
	charged = cgroup_charged();
	fd = mig_set(&self->dev, RE);
	ASSERT_EQ(0, mig_write(fd, self->ref.data, self->ref.len,
			       (struct mig_cut){ 1, 1 << 16, 1 }));
	expect_charged(_metadata, available, charged, "loading");
	mig_set(&self->dev, ST);
	close(fd);
	expect_charged(_metadata, available, charged, "loaded");
	cgroup_leave();
}

/*
 * A process that may have SESSION_KIB more than it has now writes what is announced as more than
 * any machine has. The group's limit is never what ends it.
 */
TEST_F(charged, r13_e1_e8_hostile_streams_need_little)
{
	static char zero[1 << 20];
	static const uint32_t size[] = { 0x1000, 0x7fffffff, 0xffffffff };
	/* As a record of data, as one to be skipped, and as a hint of how much will come. */
	static const uint32_t kind[][2] = { { 0, 0 }, { 1, 0xdeadbeef }, { 1, 1 }, { 0, 1 } };
	struct mig_record rec[4096];
	size_t i, first = 0, mib;
	long available, charged;
	int fd, none;

	/* Behind a good first record, if these are records. */
	if (mig_records(&self->ref, rec, ARRAY_SIZE(rec)))
		first = MIG_RECORD_HEADER + rec[0].size;
	memset(zero, 0, sizeof(zero));
	cgroup_enter();
	charged = cgroup_charged();
	cgroup_limit(charged + SESSION_KIB);
	available = memory_available();
	for (i = 0; i < ARRAY_SIZE(size) * ARRAY_SIZE(kind) * 4; i++) {
		uint32_t header[4] = {
			htole32(size[i / 4 / ARRAY_SIZE(kind)]), htole32(i & 2 ? 1 : 0),
			htole32(kind[i / 4 % ARRAY_SIZE(kind)][0]),
			htole32(kind[i / 4 % ARRAY_SIZE(kind)][1]),
		};

		fd = mig_set(&self->dev, RE);
		if (i & 1)
			ASSERT_EQ(0, mig_write(fd, self->ref.data, first, MIG_WHOLE));
		if (write(fd, header, sizeof(header)) == sizeof(header))
			for (mib = 0; mib < 48; mib++)
				if (write(fd, zero, sizeof(zero)) < 0)
					break;
		expect_charged(_metadata, available, charged, "hostile");
		EXPECT_NE(0, __mig_set(&self->dev, ST, &none)) TH_LOG("[R2]");
		ASSERT_EQ(0, mig_reset(&self->dev));
		close(fd);
	}
	EXPECT_EQ(0, cgroup_event("oom_kill")) TH_LOG("[R13]");
	EXPECT_EQ(0, cgroup_event("oom")) TH_LOG("[R13]");
	cgroup_leave();
	EXPECT_TRUE(mig_round_trip(&self->dev, &self->ref)) TH_LOG("[R6]");
}

/* Memory is the same before and after many sessions. */
TEST_F_TIMEOUT(charged, k4_sessions_leave_nothing, 14400)
{
	size_t rounds = mig_rounds(self->ref.len > 1 << 17 ? 60 : 300), i;
	struct mig_buf got = {};
	long before = 0;
	int fd;

	for (i = 0; i < rounds + rounds / 4; i++) {
		/* The first ones fill caches. */
		if (i == rounds / 4)
			before = memory_settled();
		fd = mig_set(&self->dev, mig_has_precopy(&self->dev) && i % 2 ? PC : SC);
		got.len = 0;
		if (i % 3 == 0)
			mig_read(fd, &got, MIG_WHOLE);
		mig_set(&self->dev, SC);
		ASSERT_EQ(0, mig_read(fd, &got, MIG_WHOLE));
		close(fd);
		ASSERT_EQ(0, __mig_load(&self->dev, &got, MIG_WHOLE)) TH_LOG("[K4] session %zu", i);
		if (i % 5)
			mig_set(&self->dev, R);
		ASSERT_EQ(0, i % 5 ? 0 : mig_reset(&self->dev));
	}
	ASSERT_EQ(0, mig_reset(&self->dev));
	EXPECT_TRUE(memory_is_back(before, rounds)) TH_LOG("[K4]");
	mig_buf_free(&got);
}

/* Where it is known what a session takes, and that it must not be less than that. */
FIXTURE(emulated) {
	struct emulated emu;
	struct mig_buf ref;
};

FIXTURE_SETUP(emulated)
{
	self->ref = (struct mig_buf){};
	ASSERT_EQ(0, emu_open(&self->emu, mig_path()));
	emu_fill(&self->emu, 13);
	mig_set(&self->emu.dev, ST);
	mig_save(&self->emu.dev, &self->ref);
	mig_set(&self->emu.dev, R);
}

FIXTURE_TEARDOWN(emulated)
{
	EXPECT_EQ(0, mig_reset(&self->emu.dev));
	emu_close(&self->emu);
	mig_buf_free(&self->ref);
}

/* A device keeps the memory that it was ever given, so it is made anew. */
static void make_anew(struct emulated *emu)
{
	struct sys_driver driver;
	int ret;

	emu_close(emu);
	sys_unbind(mig_path(), &driver);
	sys_bind(mig_path(), &driver);
	ret = emu_open(emu, mig_path());
	if (ret)
		mig_die("cannot open the new device: %s", strerror(-ret));
}

TEST_F(emulated, r13_loaded_memory_is_charged)
{
	long size = self->emu.size / 1024, charged, paid;

	make_anew(&self->emu);
	cgroup_enter();
	charged = cgroup_charged();
	ASSERT_EQ(0, __mig_load(&self->emu.dev, &self->ref, MIG_WHOLE));
	paid = cgroup_charged() - charged;
	/* Some of it was charged in advance. */
	EXPECT_LE(size / 4, paid) TH_LOG("[R13] %ld of %ld KiB were charged", paid, size);
	EXPECT_GT(2 * size + SESSION_KIB, paid) TH_LOG("[R13] %ld KiB", paid);
	cgroup_leave();
}

TEST_F(emulated, r13_saving_is_charged)
{
	long charged, paid;
	char byte;
	int fd;

	cgroup_enter();
	charged = cgroup_charged();
	fd = mig_set(&self->emu.dev, SC);
	ASSERT_EQ(1, read(fd, &byte, 1));
	paid = cgroup_charged() - charged;
	EXPECT_LE(200, paid) TH_LOG("[R13] %ld KiB were charged for the buffers", paid);
	EXPECT_GT(SESSION_KIB, paid) TH_LOG("[R13] %ld KiB", paid);
	close(fd);
	cgroup_leave();
}

/*
 * Half of the memory that it takes is all that the process may have: it gets an error, or is
 * killed for want of memory, and the limit is kept.
 */
static void expect_no_more(struct __test_metadata *_metadata, struct _test_data_emulated *self,
			   int state, long limit)
{
	int status, fd, ret;
	pid_t pid;

	make_anew(&self->emu);
	if (state == SC)
		emu_fill(&self->emu, 14);
	cgroup_enter();
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct mig_buf got = {};

		/* Memory of its own comes first. */
		mig_buf_add(&got, self->ref.data, self->ref.len);
		got.len = 0;
		fd = mig_set(&self->emu.dev, state);
		limit += cgroup_charged();
		cgroup_limit(limit);
		if (state == RE)
			ret = mig_write(fd, self->ref.data, self->ref.len, MIG_WHOLE);
		else
			ret = mig_read(fd, &got, (struct mig_cut){ 4096, 4096, 1 });
		_exit(ret == -ENOMEM ? 1 : ret ? 2 : 3);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 1)
		TH_LOG("[R13] %s: status %#x", mig_state_name(state), status);
	EXPECT_LT(0, cgroup_event("max")) TH_LOG("[R13] it never met the limit");
	ASSERT_EQ(0, mig_reset(&self->emu.dev)) TH_LOG("[X1]");
	EXPECT_EQ(R, mig_get(&self->emu.dev)) TH_LOG("[X1]");
	cgroup_leave();
	/* With enough memory it goes on. */
	EXPECT_TRUE(mig_round_trip(&self->emu.dev, &self->ref)) TH_LOG("[R6] [X5]");
}

TEST_F(emulated, r13_load_beyond_the_limit)
{
	expect_no_more(_metadata, self, RE, self->emu.size / 1024 / 2);
}

TEST_F(emulated, r13_save_beyond_the_limit)
{
	expect_no_more(_metadata, self, SC, 128);
}

/* Small ones disappear in what is charged in advance. */
static bool is_large(const struct mig_device *dev)
{
	struct mig_device copy = *dev;
	struct vfio_region_info info;

	return emu_is(dev) && cgroup_is_possible(dev) &&
	       !mig_region(&copy, VFIO_PCI_BAR2_REGION_INDEX, &info) && info.size >= 1 << 20;
}

static const struct mig_need needs[] = {
	{ "charged", cgroup_is_possible },
	{ "emulated", is_large },
};

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, needs, ARRAY_SIZE(needs));
	return test_harness_run(argc, argv);
}
