// SPDX-License-Identifier: GPL-2.0
/*
 * What the emulated device is, carried from one to another: the whole of it, also what
 * changes while it is being carried.
 */
#include <endian.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <time.h>

#include "kselftest_harness.h"
#include "lib/emulated.h"

FIXTURE(carry) {
	struct emulated from, to;
};

FIXTURE_SETUP(carry)
{
	ASSERT_EQ(0, emu_open(&self->from, mig_path()));
	ASSERT_EQ(0, emu_open(&self->to, mig_peer_path()));
}

FIXTURE_TEARDOWN(carry)
{
	EXPECT_EQ(0, mig_reset(&self->from.dev));
	EXPECT_EQ(0, mig_reset(&self->to.dev));
	emu_close(&self->from);
	emu_close(&self->to);
}

/* Both stopped: is all that a guest can see the same? */
static void expect_same(struct __test_metadata *_metadata, struct emulated *a,
			struct emulated *b)
{
	static const __u64 reg[] = {
		EMU_STATUS, EMU_SCRATCH, EMU_TICK_CTRL, EMU_TICK_PERIOD_US, EMU_TICK_SEQ_LO,
		EMU_TICK_SEQ_HI, EMU_IRQ_COUNT,
	};
	unsigned char config[2][256];
	size_t i, at;

	for (i = 0; i < ARRAY_SIZE(reg); i++)
		EXPECT_EQ(emu_read(a, reg[i]), emu_read(b, reg[i]))
			TH_LOG("register %#llx", reg[i]);
	emu_config(a, config[0]);
	emu_config(b, config[1]);
	EXPECT_EQ(0, memcmp(config[0], config[1], 256)) TH_LOG("configuration space");
	for (at = 0; at < a->size; at += EMU_PAGE)
		if (memcmp(a->mem + at, b->mem + at, EMU_PAGE))
			break;
	EXPECT_EQ(a->size, at) TH_LOG("page %zu of the memory differs", at / EMU_PAGE);
}

/* The rest of a session, then the other device gets it all and is left in STOP. */
static void finish(struct emulated *from, struct emulated *to, int fd, struct mig_buf *buf)
{
	int ret;

	ret = mig_read(fd, buf, (struct mig_cut){ 1, 100000, 3 });
	if (ret)
		mig_die("read in STOP_COPY: %s", strerror(-ret));
	mig_set(&from->dev, ST);
	close(fd);
	ret = __mig_load(&to->dev, buf, (struct mig_cut){ 1, 100000, 4 });
	if (ret)
		mig_die("load: %s", strerror(-ret));
	mig_buf_free(buf);
}

/* Something in everything that is state. */
static void live(struct emulated *emu)
{
	__u16 command = 0x0006, msix = 0x8000;
	int fd[EMU_VECTORS], cap;
	unsigned char config[256];

	emu_fill(emu, 99);
	emu_write(emu, EMU_SCRATCH, 0x12345678);
	emu_config(emu, config);
	for (cap = config[0x34]; cap && config[cap] != 0x11; cap = config[cap + 1])
		;
	if (!cap || pwrite(emu->dev.fd, &command, 2, emu->config.offset + 4) != 2 ||
	    pwrite(emu->dev.fd, &msix, 2, emu->config.offset + cap + 2) != 2 ||
	    mig_eventfds(&emu->dev, fd, EMU_VECTORS))
		mig_die("cannot set the device up: %s", strerror(errno));
	emu_write(emu, EMU_IRQ_RAISE, 2);
	emu_write(emu, EMU_TICK_PERIOD_US, 700);
	emu_write(emu, EMU_TICK_CTRL, 3);
	while (emu_ticks(emu) < 3)
		usleep(1000);
}

TEST_F(carry, t9_whole_state_in_stop_copy)
{
	struct mig_buf buf = {};
	unsigned char config[256];
	__u64 ticks;
	int fd, cap;

	live(&self->from);
	fd = mig_set(&self->from.dev, SC);
	finish(&self->from, &self->to, fd, &buf);
	expect_same(_metadata, &self->from, &self->to);
	EXPECT_EQ(0x12345678, emu_read(&self->to, EMU_SCRATCH));
	emu_config(&self->to, config);
	EXPECT_EQ(6, config[4]);
	cap = config[0x34];
	EXPECT_EQ(0x80, config[cap + 3] & 0x80) TH_LOG("MSI-X is not enabled");

	/* And there it lives on. */
	ticks = emu_ticks(&self->to);
	EXPECT_LE(3, ticks);
	mig_set(&self->to.dev, R);
	while (emu_ticks(&self->to) < ticks + 3)
		usleep(1000);
}

TEST_F(carry, r1_what_was_there_is_gone)
{
	struct mig_buf buf = {};
	int fd;

	/* The target has what the source has not. */
	emu_fill(&self->to, 1234);
	emu_write(&self->to, EMU_SCRATCH, 1);
	self->from.mem[self->from.size - 1] = 7;
	fd = mig_set(&self->from.dev, SC);
	finish(&self->from, &self->to, fd, &buf);
	expect_same(_metadata, &self->from, &self->to);
	EXPECT_EQ(7, self->to.mem[self->to.size - 1]) TH_LOG("[R1]");
}

TEST_F(carry, splice_of_both_files)
{
	int pipes[2], save, load;
	ssize_t n, put;

	emu_fill(&self->from, 55);
	ASSERT_EQ(0, pipe(pipes));
	save = mig_set(&self->from.dev, SC);
	load = mig_set(&self->to.dev, RE);
	while ((n = splice(save, NULL, pipes[1], NULL, 1 << 16, 0)) > 0)
		for (; n; n -= put) {
			put = splice(pipes[0], NULL, load, NULL, n, 0);
			ASSERT_LT(0, put) TH_LOG("splice into the file: %s", strerror(errno));
		}
	EXPECT_EQ(0, n) TH_LOG("splice out of the file: %s", strerror(errno));
	mig_set(&self->from.dev, ST);
	mig_set(&self->to.dev, ST);
	expect_same(_metadata, &self->from, &self->to);
	close(save);
	close(load);
}

/* There and back, again and again, with a change in between. */
TEST_F(carry, t9_ping_pong)
{
	struct emulated *from = &self->from, *to = &self->to, *swap;
	struct mig_buf buf = {};
	uint64_t seed = 8;
	int i, k, fd;

	live(from);
	for (i = 0; i < 10; i++) {
		for (k = 0; k < 20; k++)
			from->mem[mig_random(&seed) % from->size] = i + k;
		fd = mig_set(&from->dev, mig_has_precopy(&from->dev) && i % 2 ? PC : SC);
		for (k = 0; k < 20; k++)
			from->mem[mig_random(&seed) % from->size] = 200 + k;
		mig_set(&from->dev, SC);
		finish(from, to, fd, &buf);
		expect_same(_metadata, from, to);
		ASSERT_EQ(0, mig_reset(&from->dev));
		mig_set(&to->dev, R);
		swap = from;
		from = to;
		to = swap;
	}
}

FIXTURE(precopy) {
	struct emulated from, to;
	struct mig_buf buf;
	int fd;
};

/* A source in PRE_COPY, all of whose first pass was read. */
FIXTURE_SETUP(precopy)
{
	self->buf = (struct mig_buf){};
	ASSERT_EQ(0, emu_open(&self->from, mig_path()));
	ASSERT_EQ(0, emu_open(&self->to, mig_peer_path()));
	emu_fill(&self->from, 99);
	self->fd = mig_set(&self->from.dev, PC);
	ASSERT_EQ(-ENOMSG, mig_read(self->fd, &self->buf, MIG_WHOLE));
}

FIXTURE_TEARDOWN(precopy)
{
	EXPECT_EQ(0, mig_reset(&self->from.dev));
	EXPECT_EQ(0, mig_reset(&self->to.dev));
	emu_close(&self->from);
	emu_close(&self->to);
	mig_buf_free(&self->buf);
}

/* A change is announced, wakes who waits, comes with the next reads, and is then done. */
static void expect_change(struct __test_metadata *_metadata, int fd, struct mig_buf *buf,
			  const char *how)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	struct vfio_precopy_info info;
	size_t before = buf->len;

	EXPECT_EQ(1, poll(&poll_fd, 1, 5000)) TH_LOG("[T5] poll after a change by %s", how);
	ASSERT_EQ(0, mig_precopy_info(fd, &info));
	EXPECT_EQ(0, info.initial_bytes) TH_LOG("[P4] after a change by %s", how);
	EXPECT_LT(0, info.dirty_bytes) TH_LOG("[P5] after a change by %s", how);
	EXPECT_EQ(-ENOMSG, mig_read(fd, buf, MIG_WHOLE)) TH_LOG("[T3] by %s", how);
	EXPECT_LT(before, buf->len) TH_LOG("[P6] nothing came of a change by %s", how);
	ASSERT_EQ(0, mig_precopy_info(fd, &info));
	EXPECT_EQ(0, info.initial_bytes + info.dirty_bytes) TH_LOG("[P5] [P6] by %s", how);
	EXPECT_EQ(0, poll(&poll_fd, 1, 0)) TH_LOG("[T5] by %s", how);
}

TEST_F(precopy, p5_t5_store_through_a_mapping)
{
	int i;

	/* The same page too, and one that was not mapped for writing before. */
	for (i = 0; i < 5; i++) {
		self->from.mem[1000] = i;
		expect_change(_metadata, self->fd, &self->buf, "store");
		self->from.mem[self->from.size - 1 - i * EMU_PAGE % self->from.size] = i;
		expect_change(_metadata, self->fd, &self->buf, "another store");
	}
	mig_set(&self->from.dev, SC);
	finish(&self->from, &self->to, self->fd, &self->buf);
	expect_same(_metadata, &self->from, &self->to);
	EXPECT_EQ(4, self->to.mem[1000]);
}

TEST_F(precopy, p5_t5_write_to_the_region)
{
	/* Over the edge of a page, if there is one. */
	size_t at = self->from.size > EMU_PAGE ? EMU_PAGE - 4 : 4;
	char text[] = "written";
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(8, pwrite(self->from.dev.fd, text, 8, self->from.bar2.offset + at));
		expect_change(_metadata, self->fd, &self->buf, "write");
	}
	mig_set(&self->from.dev, SC);
	finish(&self->from, &self->to, self->fd, &self->buf);
	expect_same(_metadata, &self->from, &self->to);
	EXPECT_STREQ(text, (char *)self->to.mem + at);
}

TEST_F(precopy, p5_t5_ticks_of_the_device)
{
	__u64 ticks;

	emu_write(&self->from, EMU_TICK_PERIOD_US, 1000);
	emu_write(&self->from, EMU_TICK_CTRL, 1);
	while (emu_ticks(&self->from) < 3)
		usleep(1000);
	emu_write(&self->from, EMU_TICK_CTRL, 0);
	ticks = emu_ticks(&self->from);
	expect_change(_metadata, self->fd, &self->buf, "ticks");
	mig_set(&self->from.dev, SC);
	finish(&self->from, &self->to, self->fd, &self->buf);
	expect_same(_metadata, &self->from, &self->to);
	EXPECT_EQ(ticks, emu_ticks(&self->to));
}

/* Changes while the stream is being read, up to the last moment, and some never read. */
TEST_F(precopy, t10_changes_all_the_time)
{
	uint64_t seed = 77;
	char part[3000];
	ssize_t n;
	int i;

	emu_write(&self->from, EMU_TICK_PERIOD_US, 500);
	emu_write(&self->from, EMU_TICK_CTRL, 1);
	for (i = 0; i < 2000; i++) {
		self->from.mem[mig_random(&seed) % self->from.size] = i;
		n = read(self->fd, part, 1 + mig_random(&seed) % sizeof(part));
		if (n < 0)
			ASSERT_EQ(ENOMSG, errno) TH_LOG("[T3]");
		ASSERT_NE(0, n) TH_LOG("[T4]");
		if (n > 0)
			mig_buf_add(&self->buf, part, n);
	}
	for (i = 0; i < 100; i++)
		self->from.mem[mig_random(&seed) % self->from.size] = i;
	mig_set(&self->from.dev, SC);
	finish(&self->from, &self->to, self->fd, &self->buf);
	expect_same(_metadata, &self->from, &self->to);
}

/* A store while the first pass is under way is in it or comes after it. */
TEST_F(precopy, t10_changes_during_the_first_pass)
{
	uint64_t seed = 78;
	int round, i, fd;

	for (round = 0; round < 5; round++) {
		struct mig_buf buf = {};
		char part[3000];
		ssize_t n;

		ASSERT_EQ(0, mig_reset(&self->from.dev));
		emu_fill(&self->from, round + 1);
		fd = mig_set(&self->from.dev, PC);
		for (i = 0; i < 200; i++) {
			n = read(fd, part, 1 + mig_random(&seed) % sizeof(part));
			if (n > 0)
				mig_buf_add(&buf, part, n);
			self->from.mem[mig_random(&seed) % self->from.size] = round + i;
		}
		mig_set(&self->from.dev, SC);
		finish(&self->from, &self->to, fd, &buf);
		expect_same(_metadata, &self->from, &self->to);
	}
}

/* Stores and loads of the same pages by several threads at any moment of a pre-copy. */
struct storm {
	struct emulated *emu;
	pthread_t store, load;
	bool stop;
};

/* One of the first pages. */
static uint32_t *storm_word(struct emulated *emu, uint64_t draw)
{
	size_t pages = emu->size / EMU_PAGE;

	return (uint32_t *)(emu->mem + EMU_PAGE * (draw % (pages < 4 ? pages : 4)));
}

static void *storm_store(void *arg)
{
	struct storm *storm = arg;
	uint64_t seed = 5;
	uint32_t i;

	for (i = 1; !__atomic_load_n(&storm->stop, __ATOMIC_RELAXED); i++)
		__atomic_store_n(storm_word(storm->emu, mig_random(&seed)), i, __ATOMIC_RELAXED);
	return NULL;
}

static void *storm_load(void *arg)
{
	struct storm *storm = arg;
	uint32_t sum = 0, i;

	for (i = 0; !__atomic_load_n(&storm->stop, __ATOMIC_RELAXED); i++)
		sum += __atomic_load_n(storm_word(storm->emu, i), __ATOMIC_RELAXED);
	return (void *)(uintptr_t)sum;
}

static void read_parts(int fd, struct mig_buf *buf, int count)
{
	static char part[70000];
	ssize_t n;

	while (count--) {
		n = read(fd, part, sizeof(part));
		if (n > 0)
			mig_buf_add(buf, part, n);
	}
}

/* So many times, but on a slow machine not for ever. */
TEST_F_TIMEOUT(precopy, t10_stores_and_loads_race_with_saving, 300)
{
	size_t rounds = mig_rounds(60), round;
	time_t end = time(NULL) + 30;
	int fd;

	for (round = 0; round < rounds && (round < 5 || time(NULL) < end); round++) {
		struct storm storm = { .emu = &self->from };
		struct mig_buf buf = {};

		ASSERT_EQ(0, mig_reset(&self->from.dev));
		fd = mig_set(&self->from.dev, PC);
		ASSERT_EQ(-ENOMSG, mig_read(fd, &buf, MIG_WHOLE));
		ASSERT_EQ(0, pthread_create(&storm.store, NULL, storm_store, &storm));
		ASSERT_EQ(0, pthread_create(&storm.load, NULL, storm_load, &storm));
		read_parts(fd, &buf, 40);
		__atomic_store_n(&storm.stop, true, __ATOMIC_RELAXED);
		/* Those that are on their way. */
		read_parts(fd, &buf, 10);
		ASSERT_EQ(0, pthread_join(storm.store, NULL));
		ASSERT_EQ(0, pthread_join(storm.load, NULL));
		mig_set(&self->from.dev, SC);
		finish(&self->from, &self->to, fd, &buf);
		expect_same(_metadata, &self->from, &self->to);
		ASSERT_EQ(0, mig_reset(&self->to.dev));
	}
}

/* A session that is given up and begun again must not miss what changed between. */
TEST_F(precopy, d3_second_session_is_whole)
{
	struct mig_buf buf = {};
	int fd;

	mig_set(&self->from.dev, R);
	self->from.mem[3 * EMU_PAGE % self->from.size] = 33;
	fd = mig_set(&self->from.dev, PC);
	EXPECT_EQ(-ENOMSG, mig_read(fd, &buf, MIG_WHOLE));
	mig_set(&self->from.dev, SC);
	finish(&self->from, &self->to, fd, &buf);
	expect_same(_metadata, &self->from, &self->to);
}

TEST_F(precopy, p10_p11_reinit)
{
	struct pollfd poll_fd = { .fd = self->fd, .events = POLLIN };
	struct vfio_precopy_info info;
	int round;

	ASSERT_EQ(0, mig_precopy_v2(&self->from.dev));
	ASSERT_EQ(0, mig_precopy_info(self->fd, &info));
	EXPECT_EQ(0, info.flags) TH_LOG("[P9] [P10] nobody asked");
	for (round = 0; round < 3; round++) {
		self->from.mem[round] = 1 + round;
		emu_write(&self->from, EMU_REINIT, 1);
		EXPECT_EQ(1, poll(&poll_fd, 1, 5000)) TH_LOG("[T5] new initial data");
		ASSERT_EQ(0, mig_precopy_info(self->fd, &info));
		EXPECT_EQ(VFIO_PRECOPY_INFO_REINIT, info.flags) TH_LOG("[P10]");
		EXPECT_LT(0, info.initial_bytes) TH_LOG("[P10]");
		EXPECT_EQ(0, info.dirty_bytes) TH_LOG("[P10]");
		ASSERT_EQ(0, mig_precopy_info(self->fd, &info));
		EXPECT_EQ(0, info.flags) TH_LOG("[P11] reported twice");
		EXPECT_LT(0, info.initial_bytes) TH_LOG("[P10]");
		EXPECT_EQ(-ENOMSG, mig_read(self->fd, &self->buf, MIG_WHOLE));
		ASSERT_EQ(0, mig_precopy_info(self->fd, &info));
		EXPECT_EQ(0, info.initial_bytes + info.dirty_bytes) TH_LOG("[P10]");
		EXPECT_EQ(0, info.flags) TH_LOG("[P11]");
	}
	mig_set(&self->from.dev, SC);
	finish(&self->from, &self->to, self->fd, &self->buf);
	expect_same(_metadata, &self->from, &self->to);
}

TEST_F(precopy, p8_reinit_without_v2)
{
	struct vfio_precopy_info info;

	emu_write(&self->from, EMU_REINIT, 1);
	ASSERT_EQ(0, mig_precopy_info(self->fd, &info));
	EXPECT_EQ(0, info.flags) TH_LOG("[P8]");
	EXPECT_EQ(-ENOMSG, mig_read(self->fd, &self->buf, MIG_WHOLE));
	mig_set(&self->from.dev, SC);
	finish(&self->from, &self->to, self->fd, &self->buf);
	expect_same(_metadata, &self->from, &self->to);
}

/* In the middle of a pass, in PRE_COPY_P2P if there is, and at the very end. */
TEST_F(precopy, p10_p15_reinit_at_any_time)
{
	char part[100];
	ssize_t n;

	ASSERT_EQ(0, mig_precopy_v2(&self->from.dev));
	emu_write(&self->from, EMU_REINIT, 1);
	n = read(self->fd, part, sizeof(part));
	ASSERT_LT(0, n);
	mig_buf_add(&self->buf, part, n);
	emu_write(&self->from, EMU_REINIT, 1);
	if (mig_has_p2p(&self->from.dev)) {
		mig_set(&self->from.dev, PP);
		emu_write(&self->from, EMU_REINIT, 1);
		n = read(self->fd, part, sizeof(part));
		ASSERT_LT(0, n);
		mig_buf_add(&self->buf, part, n);
		emu_write(&self->from, EMU_REINIT, 1);
	}
	mig_set(&self->from.dev, SC);
	finish(&self->from, &self->to, self->fd, &self->buf);
	expect_same(_metadata, &self->from, &self->to);
}

/* What was asked for before a session began is no news in it. */
TEST_F(precopy, p11_reinit_before_the_session)
{
	struct vfio_precopy_info info;
	int fd;

	ASSERT_EQ(0, mig_precopy_v2(&self->from.dev));
	mig_set(&self->from.dev, R);
	emu_write(&self->from, EMU_REINIT, 1);
	fd = mig_set(&self->from.dev, PC);
	ASSERT_EQ(0, mig_precopy_info(fd, &info));
	EXPECT_EQ(0, info.flags) TH_LOG("[P11]");
	close(fd);
}

static const struct mig_need needs[] = {
	{ "carry", emu_has_peer },
	{ "precopy", emu_has_precopy_peer },
};

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, needs, ARRAY_SIZE(needs));
	return test_harness_run(argc, argv);
}
