// SPDX-License-Identifier: GPL-2.0
/*
 * Reset, close, unbind: from every state, with sessions open, and in a race with everything
 * that may run at the same time.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>

#include "lib/fixture.h"
#include "lib/monitor.h"
#include "lib/process.h"
#include "lib/system.h"

MIG_FIXTURE(reset);

/*
 * Nothing that is done with the file of a dead session may wait, give data or take any.
 * Says what is wrong.
 */
static const char *session(int fd, int state)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN | POLLOUT };
	struct vfio_precopy_info info;

	if (state == RE && write(fd, "x", 1) >= 0)
		return "takes data";
	if (state != RE && !mig_reads_nothing(fd))
		return "gives data";
	if (poll(&poll_fd, 1, 0) != 1)
		return "makes poll wait";
	if (!mig_precopy_info(fd, &info))
		return "announces data";
	return "dead";
}

TEST_F(mig_reset, x1_x2_from_every_state)
{
	int state, fd, again;

	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(self->dev.flags, state))
			continue;
		fd = mig_set(&self->dev, state);
		EXPECT_EQ(0, mig_reset(&self->dev)) TH_LOG("[X1] %s", mig_state_name(state));
		EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[X1] %s", mig_state_name(state));
		if (fd < 0)
			continue;
		EXPECT_STREQ("dead", session(fd, state)) TH_LOG("[T13] [X2] [S23]");
		again = mig_set(&self->dev, state);
		EXPECT_LE(0, again) TH_LOG("[X2] no new session");
		EXPECT_STREQ("dead", session(fd, state)) TH_LOG("[T13] [X2] [S23]");
		EXPECT_EQ(0, mig_reset(&self->dev));
		close(fd);
		close(again);
	}
}

TEST_F(mig_reset, x1_twice_and_again)
{
	int i;

	for (i = 0; i < 200; i++) {
		EXPECT_EQ(0, mig_reset(&self->dev)) TH_LOG("[X1]");
		EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[X1]");
	}
}

/* The parties of the race. */
struct race {
	struct mig_device *dev;
	atomic_bool stop;
	atomic_int data_fd;
	char *buffer;
	size_t size;
	atomic_ulong resets, sets, moves;
	/* Microseconds, at the most, between two resets, and that a session is left alone. */
	atomic_uint pause;
};

#define SHORTEST_PAUSE	12000
#define LONGEST_PAUSE	1500000

static void *race_reset(void *arg)
{
	struct race *race = arg;
	unsigned long moves = 0;
	uint64_t seed = 10;

	while (!race->stop) {
		if (mig_reset(race->dev))
			mig_die("[X1] [X4] reset failed: %s", strerror(errno));
		race->resets++;
		/* On a slow machine nothing would move before the next reset. */
		if (race->moves != moves)
			race->pause = SHORTEST_PAUSE;
		else if (race->pause < LONGEST_PAUSE)
			race->pause += race->pause / 4;
		moves = race->moves;
		usleep(mig_random(&seed) % race->pause);
	}
	return NULL;
}

/* Into and out of every state with a session; the reset may come in between. */
static void *race_set(void *arg)
{
	struct race *race = arg;
	uint64_t seed = 11;
	int fd, old = -1;

	while (!race->stop) {
		int state = mig_random(&seed) % MIG_STATES;

		/* RESUMING is left by the reset alone, so it must not come too often. */
		if (!mig_supports(race->dev->flags, state) ||
		    (state == RE && mig_random(&seed) % 8))
			continue;
		if (!__mig_set(race->dev, state, &fd))
			race->sets++;
		/* Some of the sessions live until the reset. */
		usleep(mig_random(&seed) % 300);
		if (fd < 0)
			continue;
		race->data_fd = fd;
		if (old >= 0)
			close(old);
		old = fd;
		usleep(mig_random(&seed) % race->pause);
	}
	race->data_fd = -1;
	if (old >= 0)
		close(old);
	return NULL;
}

static void *race_move(void *arg)
{
	struct race *race = arg;
	struct vfio_precopy_info info;
	struct pollfd poll_fd = { .events = POLLIN | POLLOUT };
	uint64_t seed = 12;

	while (!race->stop) {
		size_t n = 1 + mig_random(&seed) % race->size;

		poll_fd.fd = race->data_fd;
		if (poll_fd.fd < 0)
			continue;
		if (read(poll_fd.fd, race->buffer, n) > 0)
			race->moves++;
		if (write(poll_fd.fd, race->buffer, n) > 0)
			race->moves++;
		mig_precopy_info(poll_fd.fd, &info);
		poll(&poll_fd, 1, 0);
	}
	return NULL;
}

/* Until each party did its part, on a machine of any speed, but not for ever. */
static void run_race(struct race *race)
{
	const size_t rounds = mig_rounds(100);
	void *(*const part[])(void *) = { race_reset, race_set, race_move, race_move };
	pthread_t thread[ARRAY_SIZE(part)];
	int wait;
	size_t i;

	race->data_fd = -1;
	race->pause = SHORTEST_PAUSE;
	for (i = 0; i < ARRAY_SIZE(part); i++)
		if (pthread_create(&thread[i], NULL, part[i], race))
			mig_die("no thread");
	for (wait = 0; wait < 1000; wait++) {
		usleep(20000);
		if (race->resets > rounds && race->sets > rounds / 2 && race->moves > rounds / 4)
			break;
	}
	race->stop = true;
	for (i = 0; i < ARRAY_SIZE(part); i++)
		pthread_join(thread[i], NULL);
	fprintf(stderr, "# %lu resets, %lu sets, %lu reads and writes\n", race->resets,
		race->sets, race->moves);
}

TEST_F(mig_reset, x4_races_everything)
{
	struct race race = { .dev = &self->dev, .size = 1 << 16 };
	int fd;

	race.buffer = malloc(race.size);
	memset(race.buffer, 0x5a, race.size);
	run_race(&race);
	EXPECT_LT(0, race.resets);
	EXPECT_LT(0, race.sets);
	EXPECT_LT(0, race.moves);
	EXPECT_EQ(0, mig_reset(&self->dev)) TH_LOG("[X4]");
	EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[X4]");
	fd = mig_set(&self->dev, SC);
	EXPECT_LE(0, fd) TH_LOG("[X4]");
	close(fd);
	free(race.buffer);
}

FIXTURE(mapped) {
	struct mig_device dev;
	char *map;
	size_t size;
};

FIXTURE_SETUP(mapped)
{
	mig_open(&self->dev);
	ASSERT_EQ(0, mig_reset(&self->dev));
	self->map = mig_mmap(&self->dev, &self->size);
	ASSERT_NE(NULL, self->map);
}

FIXTURE_TEARDOWN(mapped)
{
	munmap(self->map, self->size);
	EXPECT_EQ(0, mig_reset(&self->dev));
	mig_close(&self->dev);
}

/* Data files copy from and to the device's own memory, whose faults may wait for a reset. */
TEST_F(mapped, x4_k3_e16_buffer_in_the_devices_own_memory)
{
	struct race race = { .dev = &self->dev, .buffer = self->map, .size = self->size };

	run_race(&race);
	EXPECT_LT(0, race.resets);
	EXPECT_LT(0, race.moves);
	EXPECT_EQ(0, mig_reset(&self->dev)) TH_LOG("[X4]");
	EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[X4]");
}

/* Writers of the address space wait for those who read it, and those for the reset. */
static void *race_protect(void *arg)
{
	struct race *race = arg;
	uint64_t seed = 13;

	while (!race->stop) {
		mprotect(race->buffer, race->size, PROT_NONE);
		usleep(mig_random(&seed) % 100);
		mprotect(race->buffer, race->size, PROT_READ | PROT_WRITE);
		usleep(mig_random(&seed) % 3000);
	}
	return NULL;
}

TEST_F(mapped, x4_t14_e16_while_the_mapping_changes)
{
	struct race race = { .dev = &self->dev, .buffer = self->map, .size = self->size };
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, race_protect, &race));
	run_race(&race);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_LT(0, race.resets);
	EXPECT_LT(0, race.moves);
	EXPECT_EQ(0, mig_reset(&self->dev)) TH_LOG("[X4]");
	EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[X4]");
}

/* Opened by the test, and never reset by it before the rule is checked. */
FIXTURE(open) {
	struct mig_device dev;
};

FIXTURE_VARIANT(open) {
	enum mig_mode mode;
};

FIXTURE_VARIANT_ADD(open, cdev) { .mode = MIG_CDEV };
FIXTURE_VARIANT_ADD(open, group) { .mode = MIG_GROUP };

FIXTURE_SETUP(open)
{
	ASSERT_EQ(0, __mig_open(&self->dev, mig_path(), variant->mode)) TH_LOG("[K2]");
}

FIXTURE_TEARDOWN(open)
{
	EXPECT_EQ(0, mig_reset(&self->dev));
	mig_close(&self->dev);
}

TEST_F(open, k2_it_works)
{
	struct mig_buf buf = {};

	EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[K2] [S21]");
	mig_save(&self->dev, &buf);
	EXPECT_TRUE(buf.len && mig_round_trip(&self->dev, &buf)) TH_LOG("[K2]");
	mig_set(&self->dev, R);
	mig_buf_free(&buf);
}

TEST_F(open, s21_s22_e19_close_in_every_state)
{
	int state, fd, i;

	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(self->dev.flags, state))
			continue;
		ASSERT_EQ(R, mig_get(&self->dev)) TH_LOG("[S21] not RUNNING after open");
		fd = mig_set(&self->dev, state);
		mig_close(&self->dev);
		if (fd >= 0)
			for (i = 0; i < 2; i++)
				EXPECT_STREQ("dead", session(fd, state)) TH_LOG("[S22] [S23]");
		ASSERT_EQ(0, __mig_open(&self->dev, mig_path(), variant->mode));
		EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[S21] %s", mig_state_name(state));
		if (fd >= 0) {
			/* [S23] After the next open it is still the old session's. */
			EXPECT_STREQ("dead", session(fd, state)) TH_LOG("[T13] [X2] [S23]");
			close(fd);
		}
	}
}

TEST_F(open, s22_close_with_the_data_fd_closed)
{
	int state, fd;

	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(self->dev.flags, state))
			continue;
		fd = mig_set(&self->dev, state);
		if (fd >= 0)
			close(fd);
		mig_close(&self->dev);
		ASSERT_EQ(0, __mig_open(&self->dev, mig_path(), variant->mode));
		ASSERT_EQ(R, mig_get(&self->dev)) TH_LOG("[S21] %s", mig_state_name(state));
	}
}

TEST_F(mig_reset, s24_data_fd_pins_the_module)
{
	int state, fd;
	long idle, held;

	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(self->dev.flags, state))
			continue;
		fd = mig_set(&self->dev, state);
		if (fd < 0)
			continue;
		EXPECT_EQ(0, mig_reset(&self->dev));
		mig_close(&self->dev);
		held = module_references();
		close(fd);
		/* The last put of a file may be left to a worker. */
		usleep(50000);
		idle = module_references();
		EXPECT_GT(held, idle) TH_LOG("[S24] %s: %ld with the file, %ld without",
					     mig_state_name(state), held, idle);
		mig_open(&self->dev);
		ASSERT_EQ(0, mig_reset(&self->dev));
	}
}

TEST_F(mig_reset, s23_unbind_with_data_fd_open)
{
	struct sys_driver driver;
	int state, fd;

	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(self->dev.flags, state))
			continue;
		fd = mig_set(&self->dev, state);
		mig_close(&self->dev);
		sys_unbind(mig_path(), &driver);
		if (fd >= 0) {
			EXPECT_STREQ("dead", session(fd, state)) TH_LOG("[T13] [X2] [S23]");
			close(fd);
		}
		sys_bind(mig_path(), &driver);
		mig_open(&self->dev);
		EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[S21] after bind");
	}
}

/* A reset by who owns the host, without asking VFIO: the bus resets the function. */
MIG_FIXTURE(host_reset);

/* EAGAIN: the device's lock is taken. */
static int __reset_by_host(const char *device)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/reset", device);
	return __sys_write(path, "1");
}

static void reset_by_host(const char *device)
{
	int ret = __reset_by_host(device);

	if (ret)
		mig_die("[X3] reset: %s", strerror(-ret));
}

static bool host_can_reset(const struct mig_device *dev)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/reset", dev->path);
	return !access(path, W_OK);
}

TEST_F(mig_host_reset, x3_from_every_state)
{
	int state, fd;

	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(self->dev.flags, state))
			continue;
		fd = mig_set(&self->dev, state);
		reset_by_host(self->dev.path);
		EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[X1] [X3] %s", mig_state_name(state));
		if (fd < 0)
			continue;
		EXPECT_STREQ("dead", session(fd, state)) TH_LOG("[X2] [X3]");
		close(fd);
	}
}

static void *race_host_reset(void *arg)
{
	struct race *race = arg;

	while (!race->stop)
		if (!__reset_by_host(mig_path()))
			race->resets++;
	return NULL;
}

TEST_F(mig_host_reset, x3_x4_k3_races_saving)
{
	struct race race = { .dev = &self->dev };
	size_t rounds = mig_rounds(300), i;
	struct mig_buf buf = {};
	pthread_t thread;
	int fd;

	ASSERT_EQ(0, pthread_create(&thread, NULL, race_host_reset, &race));
	/* With one CPU, few rounds are over before the other thread has begun. */
	for (i = 0; i < rounds || !race.resets; i++) {
		if (__mig_set(&self->dev, i % 2 && mig_has_precopy(&self->dev) ? PC : SC, &fd) ||
		    fd < 0)
			continue;
		buf.len = 0;
		mig_read(fd, &buf, MIG_WHOLE);
		close(fd);
	}
	race.stop = true;
	pthread_join(thread, NULL);
	EXPECT_LT(0, race.resets);
	mig_buf_free(&buf);
	ASSERT_EQ(0, mig_reset(&self->dev)) TH_LOG("[X4]");
	mig_save(&self->dev, &buf);
	EXPECT_TRUE(mig_round_trip(&self->dev, &buf)) TH_LOG("[X4]");
	mig_buf_free(&buf);
}

/* debugfs shows the state to root at any time, whoever has the device. */
static void shown(const struct mig_device *dev, const char *file, char *text, size_t size)
{
	char *all = mon_read(dev, file);

	snprintf(text, size, "%.*s", (int)strcspn(all, "\n"), all);
	free(all);
}

TEST_F(mig_reset, k1_debugfs_shows_every_state)
{
	char text[256];
	int state, fd;

	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(self->dev.flags, state))
			continue;
		fd = mig_set(&self->dev, state);
		shown(&self->dev, "state", text, sizeof(text));
		EXPECT_STREQ(mig_state_name(state), text) TH_LOG("[K1]");
		EXPECT_EQ(0, mig_reset(&self->dev));
		if (fd >= 0)
			close(fd);
	}
	shown(&self->dev, "features", text, sizeof(text));
	EXPECT_STREQ("stop-copy", text) TH_LOG("[K1]");
	mig_close(&self->dev);
	shown(&self->dev, "state", text, sizeof(text));
	EXPECT_STREQ("RUNNING", text) TH_LOG("[K1] closed");
	mig_open(&self->dev);
}

static void *show(void *arg)
{
	struct race *race = arg;
	char text[256];

	while (!race->stop) {
		shown(race->dev, "state", text, sizeof(text));
		race->moves++;
	}
	return NULL;
}

TEST_F(mig_reset, k1_debugfs_while_opening_and_closing)
{
	struct mig_device names = self->dev;
	struct race race = { .dev = &names };
	pthread_t thread;
	int i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, show, &race));
	for (i = 0; i < 50; i++) {
		mig_set(&self->dev, ST);
		mig_set(&self->dev, R);
		mig_close(&self->dev);
		mig_open(&self->dev);
	}
	race.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_LT(0, race.moves);
}

static const struct mig_need needs[] = {
	{ "mapped", mig_has_mmap },
	{ "mig_host_reset", host_can_reset },
};

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, needs, ARRAY_SIZE(needs));
	return test_harness_run(argc, argv);
}
