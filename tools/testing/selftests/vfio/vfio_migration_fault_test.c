// SPDX-License-Identifier: GPL-2.0
/*
 * Every allocation and every user copy of every call fails once. Whatever the call then
 * answers, the device is in a state of the way, and the next call works.
 */
#include <fcntl.h>
#include <sys/ioctl.h>

#include "kselftest_harness.h"
#include "lib/emulated.h"
#include "lib/inject.h"
#include "lib/log.h"
#include "lib/matrix.h"
#include "lib/system.h"
#include "lib/vfio_migration.h"

/* No call has so many places; a test that comes here does not end. */
#define MANY	5000

FIXTURE(fault) {
	struct mig_device dev;
	struct mig_buf ref;
	int files;
};

FIXTURE_SETUP(fault)
{
	inject_setup();
	mig_open_sampled(&self->dev, &self->ref, R);
	self->files = sys_open_files();
}

FIXTURE_TEARDOWN(fault)
{
	EXPECT_EQ(0, mig_reset(&self->dev));
	EXPECT_EQ(R, mig_get(&self->dev));
	EXPECT_EQ(self->files, sys_open_files()) TH_LOG("[A11] a file was left open");
	mig_close(&self->dev);
	mig_buf_free(&self->ref);
}

/* A state that the failed SET may show: where it began, or on the way, or ERROR. */
static bool on_the_way(__u64 flags, int from, int to, int state)
{
	struct mig_path way = mig_way(flags, from, to);
	int i;

	for (i = 0; i < way.steps; i++)
		if (way.state[i] == state)
			return true;
	return state == from || state == ERR;
}

/* One SET with the n-th place failing. Returns false when there are fewer places. */
static bool set_with_fault(struct __test_metadata *_metadata, struct mig_device *dev,
			   const struct mig_buf *ref, int from, int to, unsigned int n)
{
	int fd, new_fd, ret, state;
	bool hit;

	fd = mig_enter(dev, ref, from);
	inject_nth(n);
	ret = __mig_set(dev, to, &new_fd);
	hit = inject_end();
	state = mig_get(dev);
	if (!ret) {
		EXPECT_EQ(to, state) TH_LOG("[S4] [A6] after success");
	} else if (ret == -EFAULT) {
		/* [S9] The copy of the answer failed, or that of the request. */
		EXPECT_TRUE(state == from || state == to)
			TH_LOG("[S9] %s -> %s: in %s", mig_state_name(from), mig_state_name(to),
			       mig_state_name(state));
	} else {
		EXPECT_EQ(-1, new_fd) TH_LOG("[S8] %d", ret);
		EXPECT_TRUE(on_the_way(dev->flags, from, to, state))
			TH_LOG("[A8] [A11] [S17] %s -> %s: %s, in %s", mig_state_name(from),
			       mig_state_name(to), strerror(-ret), mig_state_name(state));
		EXPECT_TRUE(hit) TH_LOG("%s -> %s: %s, for no reason", mig_state_name(from),
					mig_state_name(to), strerror(-ret));
		/* [S18] Without a fault it gets there from here. */
		if (state != ERR && (from != RE || state != RE)) {
			EXPECT_EQ(0, __mig_set(dev, to, &new_fd))
				TH_LOG("[S18] [A12] %s -> %s, from %s", mig_state_name(from),
				       mig_state_name(to), mig_state_name(state));
			EXPECT_EQ(to, mig_get(dev)) TH_LOG("[S18]");
		}
	}
	if (new_fd >= 0)
		close(new_fd);
	if (fd >= 0)
		close(fd);
	EXPECT_EQ(0, mig_reset(dev)) TH_LOG("[X1]");
	EXPECT_EQ(R, mig_get(dev)) TH_LOG("[X1]");
	return hit;
}

TEST_F_TIMEOUT(fault, a11_a12_s17_s18_e6_every_transition, 900)
{
	unsigned int n, faults = 0;
	int from, to;

	for (from = 0; from < MIG_STATES; from++)
		for (to = 0; to < MIG_STATES; to++) {
			if (!mig_supports(self->dev.flags, from) ||
			    mig_way(self->dev.flags, from, to).refused)
				continue;
			for (n = 1; n < MANY; n++)
				if (!set_with_fault(_metadata, &self->dev, &self->ref, from, to, n))
					break;
			ASSERT_GT(MANY, n);
			faults += n - 1;
		}
	fprintf(stderr, "# %u faults injected\n", faults);
	/* Each SET copies its argument in and out. */
	EXPECT_LT(50, faults);
}

TEST_F(fault, x1_reset_never_fails)
{
	unsigned int n;
	int state, fd;
	bool hit;

	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(self->dev.flags, state))
			continue;
		for (n = 1, hit = true; hit && n < MANY; n++) {
			fd = mig_enter(&self->dev, &self->ref, state);
			inject_nth(n);
			EXPECT_EQ(0, mig_reset(&self->dev))
				TH_LOG("[X1] %s: %s", mig_state_name(state), strerror(errno));
			hit = inject_end();
			EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[X1]");
			if (fd >= 0)
				close(fd);
		}
	}
}

TEST_F_TIMEOUT(fault, t14_reads, 600)
{
	struct mig_buf got = {};
	char part[3001];
	unsigned int n;
	int fd;

	/* The n-th place of the first reads, then of later ones, up to the end. */
	for (n = 1; n < 60; n++) {
		ssize_t len = 1;

		fd = mig_set(&self->dev, SC);
		got.len = 0;
		while (len) {
			inject_nth(n);
			len = read(fd, part, sizeof(part));
			inject_end();
			if (len < 0) {
				EXPECT_TRUE(errno == EFAULT || errno == ENOMEM ||
					    errno == EINTR || errno == EAGAIN)
					TH_LOG("[T14] %s", strerror(errno));
				len = read(fd, part, sizeof(part));
				ASSERT_LE(0, len) TH_LOG("[T14] %s", strerror(errno));
			}
			mig_buf_add(&got, part, len);
		}
		EXPECT_TRUE(mig_buf_equal(&self->ref, &got)) TH_LOG("[T9] [T14] fault %u", n);
		mig_set(&self->dev, R);
		close(fd);
		if (n > 8)
			n += 7;
	}
	mig_buf_free(&got);
}

/* A write that fails may end the load, but not make it another one. */
TEST_F_TIMEOUT(fault, r7_t14_writes, 600)
{
	unsigned int n, loads = 0;
	int fd, none;

	for (n = 1; n < 60; n++) {
		size_t done = 0;
		bool dead = false;

		fd = mig_set(&self->dev, RE);
		while (done < self->ref.len && !dead) {
			size_t left = self->ref.len - done;
			ssize_t len;

			inject_nth(n);
			len = write(fd, self->ref.data + done, left < 3001 ? left : 3001);
			inject_end();
			if (len < 0) {
				len = write(fd, self->ref.data + done, left < 3001 ? left : 3001);
				dead = len < 0;
			}
			if (len > 0)
				done += len;
		}
		if (dead) {
			EXPECT_NE(0, __mig_set(&self->dev, ST, &none)) TH_LOG("[R7]");
			EXPECT_EQ(0, mig_reset(&self->dev));
		} else {
			struct mig_buf got = {};

			loads++;
			EXPECT_EQ(0, __mig_set(&self->dev, ST, &none)) TH_LOG("[T14]");
			mig_save(&self->dev, &got);
			EXPECT_TRUE(mig_buf_equal(&self->ref, &got)) TH_LOG("[T14] fault %u", n);
			mig_set(&self->dev, R);
			mig_buf_free(&got);
		}
		close(fd);
		if (n > 8)
			n += 7;
	}
	EXPECT_LT(0, loads) TH_LOG("[T14] no load survived a fault in its writes");
}

TEST_F(fault, k2_open)
{
	struct mig_device dev;
	enum mig_mode mode;
	unsigned int n;
	int ret;
	bool hit;

	mig_close(&self->dev);
	for (mode = MIG_CDEV; mode <= MIG_GROUP; mode++) {
		for (n = 1, hit = true; hit && n < MANY; n++) {
			inject_nth(n);
			ret = __mig_open(&dev, mig_path(), mode);
			hit = inject_end();
			if (ret)
				continue;
			EXPECT_EQ(R, mig_get(&dev)) TH_LOG("[S21]");
			mig_close(&dev);
		}
		EXPECT_GT(MANY, n);
		EXPECT_EQ(0, ret) TH_LOG("[K2] without a fault: %s", strerror(-ret));
	}
	mig_open(&self->dev);
}

FIXTURE(precopy_fault) {
	struct mig_device dev;
};

FIXTURE_SETUP(precopy_fault)
{
	inject_setup();
	mig_open(&self->dev);
	ASSERT_EQ(0, mig_reset(&self->dev));
}

FIXTURE_TEARDOWN(precopy_fault)
{
	EXPECT_EQ(0, mig_reset(&self->dev));
	mig_close(&self->dev);
}

TEST_F(precopy_fault, p14_query)
{
	int fd = mig_set(&self->dev, PC), ret;
	struct vfio_precopy_info info;
	bool hit = true;
	unsigned int n;

	for (n = 1; hit && n < MANY; n++) {
		inject_nth(n);
		ret = mig_precopy_info(fd, &info);
		hit = inject_end();
		EXPECT_TRUE(!ret || ret == -EFAULT || ret == -ENOMEM) TH_LOG("[P14] %d", ret);
		EXPECT_EQ(0, mig_precopy_info(fd, &info)) TH_LOG("[P14] after a fault");
		EXPECT_LT(0, info.initial_bytes) TH_LOG("[P4]");
	}
	EXPECT_LT(2, n);
	close(fd);
}

FIXTURE(log_fault) {
	struct mig_device dev;
};

FIXTURE_SETUP(log_fault)
{
	inject_setup();
	mig_open(&self->dev);
}

FIXTURE_TEARDOWN(log_fault)
{
	EXPECT_EQ(0, log_stop(&self->dev));
	mig_close(&self->dev);
}

/* A start that failed has started nothing, a report that failed can be asked for again. */
TEST_F(log_fault, l7_l12_l14_start_and_report)
{
	static __u64 bitmap[GIB / 4096 / 64];
	unsigned int n;
	bool hit;
	int ret;

	for (n = 1, hit = true; hit && n < MANY; n++) {
		inject_nth(n);
		ret = log_start(&self->dev, GIB, GIB, 4 * KIB);
		hit = inject_end();
		EXPECT_TRUE(!ret || ret == -ENOMEM || ret == -EFAULT) TH_LOG("[L7] %d", ret);
		EXPECT_EQ(ret ? -EINVAL : 0, log_report(&self->dev, GIB, GIB, 4 * KIB, bitmap))
			TH_LOG("[L12] after %d", ret);
		EXPECT_EQ(0, log_stop(&self->dev)) TH_LOG("[L8]");
	}
	EXPECT_LT(3, n);
	ASSERT_EQ(0, log_start(&self->dev, GIB, GIB, 4 * KIB));
	for (n = 1, hit = true; hit && n < MANY; n++) {
		inject_nth(n);
		ret = log_report(&self->dev, GIB, GIB, 4 * KIB, bitmap);
		hit = inject_end();
		EXPECT_TRUE(!ret || ret == -ENOMEM || ret == -EFAULT) TH_LOG("[L14] %d", ret);
		EXPECT_EQ(0, log_report(&self->dev, GIB, GIB, 4 * KIB, bitmap)) TH_LOG("[L14]");
	}
	EXPECT_LT(2, n);
}

static bool log_possible(const struct mig_device *dev)
{
	return inject_possible(dev) && emu_is(dev);
}

static bool precopy_possible(const struct mig_device *dev)
{
	return inject_possible(dev) && mig_has_precopy(dev);
}

static const struct mig_need needs[] = {
	{ "fault", inject_possible },
	{ "precopy_fault", precopy_possible },
	{ "log_fault", log_possible },
};

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, needs, ARRAY_SIZE(needs));
	return test_harness_run(argc, argv);
}
