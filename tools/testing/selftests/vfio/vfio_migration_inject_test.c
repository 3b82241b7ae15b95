// SPDX-License-Identifier: GPL-2.0
/*
 * Each call of the backend fails, at each arc of each transition, in both ways that it can:
 * with the state of the device kept, and with the device lost. What the device then says of
 * its state is true, and user space can go back, elsewhere, or reset.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "lib/fixture.h"
#include "lib/matrix.h"
#include "lib/mlx5_vfio.h"
#include "lib/monitor.h"
#include "lib/system.h"

FIXTURE(inject) {
	struct mig_device dev;
	struct mig_buf ref;
	int files;
};

FIXTURE_SETUP(inject)
{
	mig_open_sampled(&self->dev, &self->ref, R);
	mon_clear(&self->dev);
	self->files = sys_open_files();
}

FIXTURE_TEARDOWN(inject)
{
	mon_clear(&self->dev);
	EXPECT_EQ(0, mig_reset(&self->dev));
	EXPECT_EQ(R, mig_get(&self->dev));
	EXPECT_EQ(self->files, sys_open_files()) TH_LOG("[A11] a file was left open");
	mig_close(&self->dev);
	mig_buf_free(&self->ref);
}

/* Leaving RESUMING only checks. */
static bool can_lose(const struct mig_arc *arc)
{
	return arc->leaves != RE;
}

/* One SET whose arc fails. Returns the file of the state that it began in, or -1. */
static int fail_arc(struct mig_device *dev, const struct mig_buf *ref, const struct mig_arc *arc,
		    const char *rule)
{
	const char *name = mon_arc(arc->leaves, arc->enters);
	int expect = strstr(rule, "lost") ? ERR : arc->leaves;
	int fd, new_fd, ret;

	fd = mig_enter(dev, ref, arc->from);
	mon_rule(dev, name, rule);
	ret = __mig_set(dev, arc->to, &new_fd);
	if (ret != -EIO || new_fd != -1)
		mig_die("[A11] [S8] %s -> %s with %s: %d, fd %d", mig_state_name(arc->from),
			mig_state_name(arc->to), name, ret, new_fd);
	if (mig_get(dev) != expect)
		mig_die("[A8] [S17] %s -> %s with %s: %s instead of %s",
			mig_state_name(arc->from), mig_state_name(arc->to), name,
			mig_state_name(mig_get(dev)), mig_state_name(expect));
	if (mon_hits(dev, name) != 1)
		mig_die("%s failed %llu times", name, (unsigned long long)mon_hits(dev, name));
	return fd;
}

static void restart(struct mig_device *dev, int fd)
{
	if (mig_reset(dev) || mig_get(dev) != R)
		mig_die("[S18] [S20] [X1] a reset does not help");
	if (fd >= 0)
		close(fd);
}

struct sweep {
	struct mig_device *dev;
	const struct mig_buf *ref;
	const char *rule;
	unsigned int faults, moves;
};

/* After an arc that failed: to every state that there is a way to, or reset at once. */
static void keep_arc(void *arg, const struct mig_arc *arc)
{
	struct sweep *sweep = arg;
	int then, fd, new_fd, ret;

	if (!mig_can_keep(arc))
		return;
	for (then = 0; then <= MIG_STATES; then++) {
		if (then < MIG_STATES && mig_way(sweep->dev->flags, arc->leaves, then).refused)
			continue;
		fd = fail_arc(sweep->dev, sweep->ref, arc, "errno=5 kind=kept times=1");
		sweep->faults++;
		if (then == MIG_STATES) {
			restart(sweep->dev, fd);
			continue;
		}
		ret = __mig_set(sweep->dev, then, &new_fd);
		if (arc->leaves == RE && then != RE) {
			/* [R6] What failed at the end of a load stays failed. */
			if (ret != -EIO || mig_get(sweep->dev) != RE)
				mig_die("[R6] %s -> %s after a failure: %d", mig_state_name(RE),
					mig_state_name(then), ret);
		} else if (ret || mig_get(sweep->dev) != then) {
			mig_die("[A12] [S18] %s -> %s failed in %s; then %s: %d, in %s",
				mig_state_name(arc->from), mig_state_name(arc->to),
				mig_state_name(arc->leaves), mig_state_name(then), ret,
				mig_state_name(mig_get(sweep->dev)));
		}
		sweep->moves++;
		if (new_fd >= 0)
			close(new_fd);
		restart(sweep->dev, fd);
	}
}

TEST_F_TIMEOUT(inject, a11_a12_e14_s17_s18_every_arc_of_every_transition, 900)
{
	struct sweep sweep = { .dev = &self->dev, .ref = &self->ref };
	unsigned int arcs = mig_every_arc(self->dev.flags, keep_arc, &sweep);

	fprintf(stderr, "# %u arcs, %u faults, %u ways on\n", arcs, sweep.faults, sweep.moves);
	EXPECT_LT(arcs, sweep.faults);
	EXPECT_LT(0, sweep.moves);
}

/* ERROR is left by a reset alone, and what is left of a session gives nothing. */
static void lost(struct mig_device *dev, int fd, int from)
{
	struct vfio_device_feature_migration mig = {};
	struct vfio_precopy_info info;
	int to, new_fd, ret;
	char byte = 0;
	__u64 size;

	for (to = 0; to < MIG_STATES + 2; to++) {
		ret = __mig_set(dev, to, &new_fd);
		if (!ret || new_fd != -1)
			mig_die("[S13] [S15] ERROR -> %s: %d", mig_state_name(to), ret);
		if (mig_get(dev) != ERR)
			mig_die("[S15] ERROR -> %s leads to %s", mig_state_name(to),
				mig_state_name(mig_get(dev)));
	}
	ret = mig_feature(dev->fd, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION,
			  &mig, sizeof(mig));
	if (ret || mig.flags != dev->flags)
		mig_die("[G3] in ERROR: %d, flags %#llx", ret, mig.flags);
	ret = mig_data_size(dev, &size);
	if (ret || !size)
		mig_die("[Z2] in ERROR: %d, %llu bytes", ret, size);
	if (fd < 0)
		return;
	if ((from == RE ? write(fd, &byte, 1) : read(fd, &byte, 1)) >= 0)
		mig_die("[B8] the file of %s lives in ERROR", mig_state_name(from));
	if (!mig_precopy_info(fd, &info))
		mig_die("[B8] [P3] the file of %s announces data in ERROR", mig_state_name(from));
}

static void lose_arc(void *arg, const struct mig_arc *arc)
{
	struct sweep *sweep = arg;
	struct mig_buf again = {};
	int fd;

	if (!can_lose(arc))
		return;
	fd = fail_arc(sweep->dev, sweep->ref, arc, sweep->rule);
	sweep->faults++;
	lost(sweep->dev, fd, arc->from);
	restart(sweep->dev, fd);
	/* As new. */
	mig_set(sweep->dev, ST);
	mig_save(sweep->dev, &again);
	if (!mig_buf_equal(sweep->ref, &again))
		mig_die("[S20] after ERROR and reset the device has another state");
	mig_set(sweep->dev, R);
	mig_buf_free(&again);
}

static unsigned int lose_arcs(struct mig_device *dev, const struct mig_buf *ref, const char *rule)
{
	struct sweep sweep = { .dev = dev, .ref = ref, .rule = rule };
	unsigned int arcs = mig_every_arc(dev->flags, lose_arc, &sweep);

	fprintf(stderr, "# %u arcs, %u devices lost\n", arcs, sweep.faults);
	return sweep.faults > arcs / 2 ? sweep.faults : 0;
}

TEST_F_TIMEOUT(inject, b8_e15_s13_s15_s17_s20_every_arc_loses_the_device, 900)
{
	EXPECT_LT(0, lose_arcs(&self->dev, &self->ref, "errno=5 kind=lost times=1"));
}

/* The same where the backend has done its part of the arc, and nobody ends what it began. */
TEST_F_TIMEOUT(inject, b8_e15_s13_s15_s17_s20_every_arc_is_lost_halfway, 900)
{
	EXPECT_LT(0, lose_arcs(&self->dev, &self->ref, "errno=5 kind=lost done=1 times=1"));
}

TEST_F(inject, s21_close_in_error)
{
	const struct mig_arc arc = {
		.from = R, .to = ST, .enters = mig_has_p2p(&self->dev) ? RP : ST, .leaves = R,
	};

	fail_arc(&self->dev, &self->ref, &arc, "errno=5 kind=lost times=1");
	mig_close(&self->dev);
	mig_open(&self->dev);
	EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[S21] opened after ERROR");
}

/* A stream that fails gives all that was before, then the error, and does not end. */
TEST_F(inject, t9_save_fails_at_a_position)
{
	size_t step = self->ref.len / 3 + 1, n, at;
	struct mig_buf got = {};
	char rule[64];
	int fd;

	/* Then again, with chunks that the backend has made and that are lost. */
	for (n = 0; n < 6; n++) {
		struct pollfd poll_fd = { .events = POLLIN };

		at = n % 3 * step;
		snprintf(rule, sizeof(rule), "errno=61 at=%zu done=%zu times=1", at, n / 3);
		mon_rule(&self->dev, "save", rule);
		fd = mig_set(&self->dev, SC);
		got.len = 0;
		if (mig_read(fd, &got, (struct mig_cut){ 1, 70000, 3 }) != -ENODATA) {
			/* No call begins behind the last chunk. */
			EXPECT_EQ(0, mon_hits(&self->dev, "save"));
			EXPECT_TRUE(mig_buf_equal(&self->ref, &got)) TH_LOG("[T9]");
			goto next;
		}
		EXPECT_EQ(1, mon_hits(&self->dev, "save"));
		EXPECT_LE(at, got.len) TH_LOG("failed before byte %zu", at);
		EXPECT_EQ(0, memcmp(got.data, self->ref.data, got.len)) TH_LOG("[T9]");
		EXPECT_EQ(-ENODATA, mig_read(fd, &got, MIG_WHOLE)) TH_LOG("[R7] the error stays");
		poll_fd.fd = fd;
		EXPECT_EQ(1, poll(&poll_fd, 1, 0));
		EXPECT_TRUE(poll_fd.revents & POLLERR);
		EXPECT_EQ(SC, mig_get(&self->dev)) TH_LOG("[S5]");
next:
		mig_set(&self->dev, R);
		close(fd);
	}
	/* Once more, whole. */
	got.len = 0;
	mon_clear(&self->dev);
	mig_set(&self->dev, ST);
	mig_save(&self->dev, &got);
	EXPECT_TRUE(mig_buf_equal(&self->ref, &got)) TH_LOG("[T9]");
	mig_set(&self->dev, R);
	mig_buf_free(&got);
}

TEST_F(inject, r6_r7_load_fails_at_a_position)
{
	size_t step = self->ref.len / 3 + 1, n, at;
	char rule[64];
	int fd, none;

	/* Then again, with data that the backend has taken. */
	for (n = 0; n < 6; n++) {
		at = n % 3 * step;
		snprintf(rule, sizeof(rule), "errno=28 at=%zu done=%zu times=1", at, n / 3);
		mon_rule(&self->dev, "load", rule);
		fd = mig_set(&self->dev, RE);
		EXPECT_EQ(-ENOSPC, mig_write(fd, self->ref.data, self->ref.len,
					     (struct mig_cut){ 1, 5000, at + 1 }))
			TH_LOG("at byte %zu of %zu", at, self->ref.len);
		EXPECT_EQ(1, mon_hits(&self->dev, "load"));
		EXPECT_GT(0, write(fd, self->ref.data, 1));
		EXPECT_EQ(ENOSPC, errno) TH_LOG("[R7] the error stays");
		EXPECT_EQ(-ENOSPC, __mig_set(&self->dev, ST, &none)) TH_LOG("[R7]");
		EXPECT_EQ(RE, mig_get(&self->dev)) TH_LOG("[R8]");
		EXPECT_EQ(0, mig_reset(&self->dev)) TH_LOG("[R6]");
		close(fd);
	}
	mig_set(&self->dev, ST);
	EXPECT_TRUE(mig_round_trip(&self->dev, &self->ref)) TH_LOG("[R6] after the faults");
	mig_set(&self->dev, R);
}

/* The backend has put the state to use, and says that it could not. */
TEST_F(inject, r6_r7_r8_the_end_of_a_load_fails_halfway)
{
	int fd = mig_set(&self->dev, RE), none;

	ASSERT_EQ(0, mig_write(fd, self->ref.data, self->ref.len, MIG_WHOLE));
	mon_rule(&self->dev, mon_arc(RE, ST), "errno=5 done=1 times=1");
	EXPECT_EQ(-EIO, __mig_set(&self->dev, ST, &none)) TH_LOG("[R8]");
	EXPECT_EQ(RE, mig_get(&self->dev)) TH_LOG("[R8]");
	EXPECT_NE(0, __mig_set(&self->dev, ST, &none)) TH_LOG("[R7] the error stays");
	EXPECT_EQ(0, mig_reset(&self->dev)) TH_LOG("[R6]");
	close(fd);
	mig_set(&self->dev, ST);
	EXPECT_TRUE(mig_round_trip(&self->dev, &self->ref)) TH_LOG("[R6]");
	mig_set(&self->dev, R);
}

TEST_F(inject, r7_identity_is_refused)
{
	int fd = mig_set(&self->dev, RE), none;

	mon_rule(&self->dev, "accept", "errno=95 times=1");
	EXPECT_EQ(-EOPNOTSUPP, mig_write(fd, self->ref.data, self->ref.len, MIG_WHOLE));
	EXPECT_EQ(-EOPNOTSUPP, __mig_set(&self->dev, ST, &none)) TH_LOG("[R7]");
	close(fd);
}

TEST_F(inject, s21_open_fails)
{
	struct mig_device dev;

	mig_close(&self->dev);
	mon_rule(&self->dev, "open", "errno=16 times=2");
	EXPECT_EQ(-EBUSY, __mig_open(&dev, mig_path(), mig_mode()));
	EXPECT_EQ(-EBUSY, __mig_open(&dev, mig_path(), mig_mode()));
	mig_open(&self->dev);
	EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[S21] after opens that failed");
	EXPECT_EQ(2, mon_hits(&self->dev, "open"));
}

TEST_F(inject, s4_an_arc_takes_longer)
{
	const char *name = mon_arc(ST, SC);
	uint64_t start;
	int fd;

	mig_set(&self->dev, ST);
	mon_rule(&self->dev, name, "delay_us=300000 after=1 times=1");
	start = sys_now_us();
	close(mig_set(&self->dev, SC));
	mig_set(&self->dev, ST);
	EXPECT_EQ(0, mon_hits(&self->dev, name));
	start = sys_now_us();
	fd = mig_set(&self->dev, SC);
	EXPECT_LE(300000, sys_now_us() - start) TH_LOG("[S4]");
	EXPECT_EQ(SC, mig_get(&self->dev));
	EXPECT_EQ(1, mon_hits(&self->dev, name));
	close(fd);
	mig_set(&self->dev, R);

	mon_rule(&self->dev, "reset", "delay_us=200000 times=1");
	start = sys_now_us();
	EXPECT_EQ(0, mig_reset(&self->dev));
	EXPECT_LE(200000, sys_now_us() - start);
}

/* A device that is slow from some byte on: only the bytes after it take longer. */
TEST_F(inject, t1_chunks_take_longer_from_a_position)
{
	size_t half = self->ref.len / 2;
	struct mig_buf got = {};
	uint64_t start, hits;
	char rule[64];
	int fd;

	snprintf(rule, sizeof(rule), "delay_us=150000 at=%zu", half);
	mon_rule(&self->dev, "save", rule);
	fd = mig_set(&self->dev, SC);
	start = sys_now_us();
	EXPECT_EQ(0, mig_read(fd, &got, MIG_WHOLE));
	hits = mon_hits(&self->dev, "save");
	EXPECT_LT(0, hits);
	EXPECT_LE(150000 * hits, sys_now_us() - start);
	EXPECT_TRUE(mig_buf_equal(&self->ref, &got)) TH_LOG("[T9] slow, but the same");
	mig_set(&self->dev, R);
	close(fd);

	/* A reset while a chunk is in the making waits for that and no more. */
	mon_rule(&self->dev, "save", "delay_us=400000");
	fd = mig_set(&self->dev, SC);
	EXPECT_EQ(0, fcntl(fd, F_SETFL, O_NONBLOCK));
	got.len = 0;
	EXPECT_EQ(-EAGAIN, mig_read(fd, &got, (struct mig_cut){ 1 << 12, 1 << 12, 1 }));
	usleep(100000);
	start = sys_now_us();
	EXPECT_EQ(0, mig_reset(&self->dev));
	EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[X1]");
	EXPECT_TRUE(mig_reads_nothing(fd)) TH_LOG("[X2]");
	EXPECT_GE(2, mon_hits(&self->dev, "save"));
	close(fd);
	mig_buf_free(&got);
}

TEST_F(inject, rules_are_checked)
{
	static const char bad[][24] = {
		"on", "errno", "errno=", "errno=0", "errno=512", "errno=EIO", "errno=5 errno=6",
		"kind=lost", "after=1", "errno=5 at", "delay_us=10000001", "errno=5 x=1",
		"errno=5 times=-1", "done=1", "errno=5 done=2",
	};
	const char *end = mon_arc(SC, ST), *leave = mon_arc(RE, ST);
	char path[PATH_MAX], long_rule[300];
	char *text;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_EQ(-EINVAL, __mon_rule(&self->dev, "save", bad[i])) TH_LOG("%s", bad[i]);
	memset(long_rule, ' ', sizeof(long_rule) - 1);
	long_rule[sizeof(long_rule) - 1] = '\0';
	EXPECT_EQ(-EINVAL, __mon_rule(&self->dev, "save", long_rule));
	/* What the call cannot do. */
	EXPECT_EQ(-EINVAL, __mon_rule(&self->dev, end, "errno=5 kind=kept"));
	EXPECT_EQ(-EINVAL, __mon_rule(&self->dev, leave, "errno=5 kind=lost"));
	EXPECT_EQ(-EINVAL, __mon_rule(&self->dev, leave, "errno=5 at=5"));
	EXPECT_EQ(-EINVAL, __mon_rule(&self->dev, "reset", "errno=5"));
	EXPECT_EQ(-EINVAL, __mon_rule(&self->dev, "close", "errno=5"));
	EXPECT_EQ(-EINVAL, __mon_rule(&self->dev, "pending", "errno=5 kind=lost"));
	EXPECT_EQ(-EINVAL, __mon_rule(&self->dev, "data_size", "errno=5 kind=lost"));
	EXPECT_EQ(-EINVAL, __mon_rule(&self->dev, "load", "errno=5 kind=lost"));
	EXPECT_EQ(-EINVAL, __mon_rule(&self->dev, "open", "errno=5 done=1"));
	/* The device would be elsewhere than is said. */
	EXPECT_EQ(-EINVAL, __mon_rule(&self->dev, mon_arc(ST, SC), "errno=5 done=1"));

	text = mon_read(&self->dev, "fail/save");
	EXPECT_STREQ("off\n", text) TH_LOG("a bad rule has become one");
	free(text);
	mon_rule(&self->dev, "save", " delay_us=7\terrno=5 at=9 times=3 after=2\n");
	text = mon_read(&self->dev, "fail/save");
	EXPECT_STREQ("errno=5 kind=kept done=0 delay_us=7 after=2 at=9 times=3 calls=0 hits=0\n",
		     text);
	free(text);
	EXPECT_EQ(-EINVAL, __mon_rule(&self->dev, "save", "bad"));
	text = mon_read(&self->dev, "fail/save");
	EXPECT_NE(NULL, strstr(text, "errno=5")) TH_LOG("a bad rule has removed a good one");
	free(text);

	/* Only the arcs that this device has. */
	mon_path(&self->dev, "fail/RUNNING-STOP", path, sizeof(path));
	EXPECT_EQ(mig_has_p2p(&self->dev), !!access(path, F_OK));
	mon_path(&self->dev, "fail/RUNNING-PRE_COPY", path, sizeof(path));
	EXPECT_EQ(mig_has_precopy(&self->dev), !access(path, F_OK));
}

/* A file of a device that is gone says so, for ever, and touches nothing. */
TEST_F(inject, k1_files_of_a_device_that_is_gone)
{
	static const char * const file[] = { "stats", "arcs", "errors", "fail/save" };
	int fd[ARRAY_SIZE(file)], i;
	struct sys_driver driver;
	char path[PATH_MAX];
	char text[64];

	for (i = 0; i < ARRAY_SIZE(file); i++) {
		mon_path(&self->dev, file[i], path, sizeof(path));
		fd[i] = open(path, i == 3 ? O_RDWR : O_RDONLY);
		ASSERT_LE(0, fd[i]) TH_LOG("%s", path);
		EXPECT_LE(0, read(fd[i], text, 1)) TH_LOG("[K1] %s", path);
	}
	mig_close(&self->dev);
	EXPECT_LE(0, read(fd[0], text, 10)) TH_LOG("[K1] closed");
	sys_unbind(mig_path(), &driver);
	for (i = 0; i < ARRAY_SIZE(file); i++) {
		EXPECT_GT(0, read(fd[i], text, sizeof(text))) TH_LOG("[K1] %s", file[i]);
		EXPECT_GT(0, pread(fd[i], text, sizeof(text), 0)) TH_LOG("[K1] %s", file[i]);
	}
	EXPECT_GT(0, write(fd[3], "off", 3)) TH_LOG("[K1] gone");
	sys_bind(mig_path(), &driver);
	for (i = 0; i < ARRAY_SIZE(file); i++) {
		EXPECT_GT(0, read(fd[i], text, sizeof(text))) TH_LOG("[K1] made again");
		close(fd[i]);
	}
	mig_open(&self->dev);
	EXPECT_EQ(1, mon_stat(&self->dev, "closes") + 1) TH_LOG("[K1] not a new device");
}

MIG_STREAM_FIXTURE(images, R);

/* What vfio_migration_mlx5 may leave to be loaded by itself. */
#define AHEAD		(8UL << 20)
#define PIECE		65536UL

/* Bytes of the images that are whole before byte end of the stream, but for the first few. */
static size_t unloaded(const struct mig_buf *ref, size_t end, uint64_t loaded)
{
	struct mig_record rec[64];
	size_t count = mig_records(ref, rec, ARRAY_SIZE(rec)), i, sum = 0;

	if (!count)
		mig_die("a stream of other records");
	/* A checksum comes after each. */
	for (i = 0; i + 1 < count; i++)
		if (!rec[i].tag && rec[i + 1].start + MIG_RECORD_HEADER + rec[i + 1].size <= end) {
			if (loaded)
				loaded--;
			else
				sum += rec[i].size;
		}
	return sum;
}

/* What is not loaded when the source has stopped adds to the time that the guest stands still. */
TEST_F(images, a_write_ends_when_little_is_left_to_load)
{
	uint64_t before = mon_stat(&self->dev, "chunks_loaded"), loaded;
	size_t len = self->ref.len, at, left = 0;
	int fd;

	if (unloaded(&self->ref, len, 0) <= AHEAD)
		SKIP(return, "the device has too little state");
	mon_rule(&self->dev, "load", "delay_us=1000000");
	fd = mig_set(&self->dev, RE);
	for (at = 0; at < len; at += PIECE) {
		size_t piece = len - at < PIECE ? len - at : PIECE;

		ASSERT_EQ(piece, write(fd, self->ref.data + at, piece));
		loaded = mon_stat(&self->dev, "chunks_loaded") - before;
		left = unloaded(&self->ref, at + piece, loaded);
		ASSERT_GE(AHEAD, left) TH_LOG("%zu bytes written", at + piece);
	}
	EXPECT_EQ(0, left) TH_LOG("at the end of the stream");
	mon_clear(&self->dev);
	mig_set(&self->dev, R);
	close(fd);
}

TEST_F(images, s4_a_write_that_may_not_wait_for_that)
{
	struct pollfd poll_fd = { .events = POLLOUT };
	size_t len = self->ref.len, at = 0;
	unsigned int waits = 0;
	ssize_t ret;

	if (unloaded(&self->ref, len, 0) <= AHEAD)
		SKIP(return, "the device has too little state");
	/* Longer than an image takes to be written. */
	mon_rule(&self->dev, "load", "delay_us=4000000");
	poll_fd.fd = mig_set(&self->dev, RE);
	ASSERT_EQ(0, fcntl(poll_fd.fd, F_SETFL, O_NONBLOCK));
	while (at < len) {
		ret = write(poll_fd.fd, self->ref.data + at, len - at < PIECE ? len - at : PIECE);
		if (ret < 0) {
			ASSERT_EQ(EAGAIN, errno);
			waits++;
			/* When poll() says so, there is room. */
			ASSERT_EQ(1, poll(&poll_fd, 1, 20000));
			ASSERT_EQ(POLLOUT, poll_fd.revents);
			ret = write(poll_fd.fd, self->ref.data + at, 1);
			ASSERT_EQ(1, ret);
		}
		at += ret;
	}
	EXPECT_LT(0, waits);
	mon_clear(&self->dev);
	mig_set(&self->dev, R);
	close(poll_fd.fd);
}

static bool loads_images(const struct mig_device *dev)
{
	return mon_possible(dev) && mlx5_is(dev);
}

static const struct mig_need needs[] = {
	{ "inject", mon_possible },
	{ "images", loads_images },
};

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, needs, ARRAY_SIZE(needs));
	return test_harness_run(argc, argv);
}
