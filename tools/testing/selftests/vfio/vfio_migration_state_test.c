// SPDX-License-Identifier: GPL-2.0
/*
 * VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE as an ioctl: what it answers, when it succeeds, when
 * it fails, and what it leaves behind.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "lib/fixture.h"
#include "lib/system.h"

#define SET_STATE	(VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE)

MIG_FIXTURE(state);
MIG_FIXTURE(precopy);

TEST_F(mig_state, s1_s2_get_returns_state_and_no_fd)
{
	struct vfio_device_feature_mig_state mig = { .device_state = 99, .data_fd = 1234 };

	EXPECT_EQ(0, mig_feature(self->dev.fd, VFIO_DEVICE_FEATURE_GET |
				 VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &mig, sizeof(mig)))
		TH_LOG("[S1]");
	EXPECT_EQ(R, mig.device_state) TH_LOG("[S2]");
	EXPECT_EQ(-1, mig.data_fd) TH_LOG("[S2]");
}

TEST_F(mig_state, s4_s5_set_is_done_when_it_returns)
{
	int state, fd;

	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(self->dev.flags, state))
			continue;
		fd = mig_set(&self->dev, state);
		EXPECT_EQ(state, mig_get(&self->dev)) TH_LOG("[S4] %s", mig_state_name(state));
		usleep(20000);
		EXPECT_EQ(state, mig_get(&self->dev))
			TH_LOG("[S5] %s left by itself", mig_state_name(state));
		EXPECT_EQ(0, mig_reset(&self->dev));
		if (fd >= 0)
			close(fd);
	}
}

TEST_F(mig_state, s6_new_session_gives_a_cloexec_fd)
{
	int state, fd;

	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(self->dev.flags, state))
			continue;
		if (!mig_saving(state) && state != RE)
			continue;
		fd = mig_set(&self->dev, state);
		ASSERT_LE(0, fd) TH_LOG("[S6] %s", mig_state_name(state));
		EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD)) TH_LOG("[S6]");
		EXPECT_EQ(state == RE ? O_WRONLY : O_RDONLY, fcntl(fd, F_GETFL) & O_ACCMODE)
			TH_LOG("[D6] %s", mig_state_name(state));
		EXPECT_EQ(0, mig_reset(&self->dev));
		close(fd);
	}
}

TEST_F(mig_state, s7_no_new_session_gives_no_fd)
{
	EXPECT_EQ(-1, mig_set(&self->dev, ST)) TH_LOG("[S7]");
	EXPECT_EQ(-1, mig_set(&self->dev, R)) TH_LOG("[S7]");
}

TEST_F(mig_state, s8_failed_set_answers_with_no_fd)
{
	struct vfio_device_feature_mig_state mig = { .device_state = 8, .data_fd = 1234 };

	EXPECT_EQ(-EINVAL, mig_feature(self->dev.fd, SET_STATE, &mig, sizeof(mig)))
		TH_LOG("[S8]");
	EXPECT_EQ(8, mig.device_state) TH_LOG("[S8]");
	EXPECT_EQ(-1, mig.data_fd) TH_LOG("[S8]");
	EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[S8] [S17]");
}

/* A request in a page of its own, for the kernel to read but not to answer. */
static struct vfio_device_feature *read_only_request(__u32 state)
{
	struct vfio_device_feature_mig_state mig = { .device_state = state, .data_fd = 1234 };
	long page = sysconf(_SC_PAGESIZE);
	struct vfio_device_feature *req;

	req = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (req == MAP_FAILED)
		mig_die("mmap: %s", strerror(errno));
	req->argsz = sizeof(*req) + sizeof(mig);
	req->flags = SET_STATE;
	memcpy(req->data, &mig, sizeof(mig));
	if (mprotect(req, page, PROT_READ))
		mig_die("mprotect: %s", strerror(errno));
	return req;
}

TEST_F(mig_state, s9_unwritable_answer)
{
	static const int state[] = { SC, RE, PC, ST };
	int before = sys_open_files(), fd;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(state); i++) {
		if (!mig_supports(self->dev.flags, state[i]))
			continue;
		EXPECT_EQ(-EFAULT, mig_ioctl(self->dev.fd, VFIO_DEVICE_FEATURE,
					     read_only_request(state[i])))
			TH_LOG("[S9] %s", mig_state_name(state[i]));
		EXPECT_EQ(state[i], mig_get(&self->dev))
			TH_LOG("[S9] %s not reached", mig_state_name(state[i]));
		EXPECT_EQ(before, sys_open_files()) TH_LOG("[S9] a file was left open");
		if (state[i] != RE)
			mig_set(&self->dev, R);
		EXPECT_EQ(0, mig_reset(&self->dev)) TH_LOG("[S9] [R6]");
		EXPECT_EQ(R, mig_get(&self->dev));
	}
	/* The session whose file is gone is no obstacle to the next. */
	fd = mig_set(&self->dev, SC);
	EXPECT_LE(0, fd) TH_LOG("[S9] no new session");
	close(fd);
}

TEST_F(mig_state, s10_out_of_fd_numbers)
{
	static const int state[] = { SC, RE, PC };
	struct rlimit old, none;
	int fd, answer, ret;
	size_t i;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	none = old;
	none.rlim_cur = 0;
	for (i = 0; i < ARRAY_SIZE(state); i++) {
		if (!mig_supports(self->dev.flags, state[i]))
			continue;
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
		ret = __mig_set(&self->dev, state[i], &answer);
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
		EXPECT_EQ(-EMFILE, ret) TH_LOG("[S10] %s", mig_state_name(state[i]));
		EXPECT_EQ(state[i], mig_get(&self->dev))
			TH_LOG("[S10] %s not reached", mig_state_name(state[i]));
		EXPECT_EQ(0, mig_reset(&self->dev));
	}
	fd = mig_set(&self->dev, SC);
	EXPECT_LE(0, fd) TH_LOG("[S10] no new session");
	close(fd);
}

TEST_F(mig_state, s11_state_out_of_range)
{
	static const __u32 value[] = { 8, 9, 99, 0x100, 0x10002, 0x7fffffff, 0xffffffff };
	int state, fd, none;
	size_t i;

	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(self->dev.flags, state))
			continue;
		fd = mig_set(&self->dev, state);
		for (i = 0; i < ARRAY_SIZE(value); i++) {
			EXPECT_EQ(-EINVAL, __mig_set(&self->dev, value[i], &none))
				TH_LOG("[S11] %#x in %s", value[i], mig_state_name(state));
			EXPECT_EQ(state, mig_get(&self->dev)) TH_LOG("[S11]");
		}
		EXPECT_EQ(0, mig_reset(&self->dev));
		if (fd >= 0)
			close(fd);
	}
}

TEST_F(mig_state, s12_s13_s19_e15_unsupported_state)
{
	int from, to, fd, none;

	for (from = 0; from < MIG_STATES; from++) {
		if (!mig_supports(self->dev.flags, from))
			continue;
		fd = mig_set(&self->dev, from);
		for (to = 0; to < MIG_STATES; to++) {
			if (mig_supports(self->dev.flags, to))
				continue;
			EXPECT_EQ(-EINVAL, __mig_set(&self->dev, to, &none))
				TH_LOG("[S12] [S13] %s -> %s", mig_state_name(from),
				       mig_state_name(to));
			EXPECT_EQ(from, mig_get(&self->dev))
				TH_LOG("[S12] [S13] [S19] the state changed");
		}
		EXPECT_EQ(0, mig_reset(&self->dev));
		if (fd >= 0)
			close(fd);
	}
}

TEST_F(mig_state, s14_set_of_the_same_state)
{
	struct mig_buf ref = {}, got = {};
	int state, fd;

	mig_set(&self->dev, ST);
	mig_save(&self->dev, &ref);
	mig_set(&self->dev, R);
	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(self->dev.flags, state))
			continue;
		fd = mig_set(&self->dev, state);
		EXPECT_EQ(-1, mig_set(&self->dev, state))
			TH_LOG("[S14] %s", mig_state_name(state));
		EXPECT_EQ(state, mig_get(&self->dev)) TH_LOG("[S14]");
		if (state == SC) {
			EXPECT_EQ(0, mig_read(fd, &got, MIG_WHOLE))
				TH_LOG("[S14] the session was touched");
			EXPECT_EQ(ref.len, got.len) TH_LOG("[S14]");
		}
		if (state == RE)
			EXPECT_EQ(0, mig_write(fd, ref.data, ref.len, MIG_WHOLE))
				TH_LOG("[S14] the session was touched");
		EXPECT_EQ(0, mig_reset(&self->dev));
		if (fd >= 0)
			close(fd);
	}
	mig_buf_free(&ref);
	mig_buf_free(&got);
}

TEST_F(mig_precopy, s17_s18_after_a_refused_transition)
{
	int fd = mig_set(&self->dev, SC), none;

	EXPECT_EQ(-EINVAL, __mig_set(&self->dev, PC, &none)) TH_LOG("[A7]");
	EXPECT_EQ(SC, mig_get(&self->dev)) TH_LOG("[S17]");
	EXPECT_EQ(0, __mig_set(&self->dev, SC, &none)) TH_LOG("[S18] stay");
	EXPECT_EQ(0, __mig_set(&self->dev, R, &none)) TH_LOG("[S18] another state");
	close(fd);
	fd = mig_set(&self->dev, SC);
	EXPECT_EQ(-EINVAL, __mig_set(&self->dev, PC, &none)) TH_LOG("[A7]");
	EXPECT_EQ(0, mig_reset(&self->dev)) TH_LOG("[S18] reset");
	EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[S18]");
	close(fd);
}

/* A driver may go to ERROR when a load fails, or stay in RESUMING. Both have one way out. */
TEST_F(mig_state, s15_s16_s17_s20_b8_after_a_failed_load)
{
	int fd = mig_set(&self->dev, RE), none, state, to;

	EXPECT_NE(0, __mig_set(&self->dev, ST, &none)) TH_LOG("[R3]");
	state = mig_get(&self->dev);
	EXPECT_TRUE(state == RE || state == ERR)
		TH_LOG("[S17] in %s", mig_state_name(state));
	if (state == ERR)
		EXPECT_EQ(-1, write(fd, "x", 1)) TH_LOG("[B8]");
	for (to = 0; to < MIG_STATES; to++) {
		if (to == RE && state == RE)
			continue;
		EXPECT_NE(0, __mig_set(&self->dev, to, &none))
			TH_LOG("[S13] [S15] [R8] to %s", mig_state_name(to));
		EXPECT_EQ(-1, none) TH_LOG("[S8]");
		EXPECT_EQ(state, mig_get(&self->dev)) TH_LOG("[S15] left by a SET");
	}
	EXPECT_EQ(0, mig_reset(&self->dev)) TH_LOG("[S20]");
	EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[S20]");
	close(fd);
}

TEST_F(mig_state, s25_data_fd_closed_early)
{
	int state, fd, after;

	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(self->dev.flags, state) || !mig_saving(state))
			continue;
		fd = mig_set(&self->dev, state);
		ASSERT_EQ(0, close(fd));
		EXPECT_EQ(state, mig_get(&self->dev)) TH_LOG("[S25] close changed the state");
		EXPECT_EQ(-1, mig_set(&self->dev, R)) TH_LOG("[S25]");
		after = mig_set(&self->dev, state);
		EXPECT_LE(0, after) TH_LOG("[S25] no second session");
		close(after);
		mig_set(&self->dev, R);
	}
}

TEST_F(mig_state, s25_resume_fd_closed_before_leaving)
{
	struct mig_buf buf = {}, again = {};
	int fd;

	mig_set(&self->dev, ST);
	mig_save(&self->dev, &buf);
	fd = mig_set(&self->dev, RE);
	ASSERT_EQ(0, mig_write(fd, buf.data, buf.len, MIG_WHOLE));
	ASSERT_EQ(0, close(fd));
	EXPECT_EQ(RE, mig_get(&self->dev)) TH_LOG("[S25]");
	EXPECT_EQ(-1, mig_set(&self->dev, ST)) TH_LOG("[S25] the data went with the file");
	mig_save(&self->dev, &again);
	EXPECT_TRUE(mig_buf_equal(&buf, &again)) TH_LOG("[S25] [R11]");
	mig_buf_free(&buf);
	mig_buf_free(&again);
}

struct setter {
	struct mig_device *dev;
	uint64_t seed;
	int bad;
};

/* All states here can be reached from each other, so every SET must succeed. */
static void *set_states(void *arg)
{
	static const int state[] = { R, ST, SC };
	struct setter *setter = arg;
	int i, fd, ret;

	for (i = 0; i < 200; i++) {
		ret = __mig_set(setter->dev, state[mig_random(&setter->seed) % 3], &fd);
		if (ret)
			setter->bad++;
		else if (fd >= 0)
			close(fd);
		else if (fd != -1)
			setter->bad++;
	}
	return NULL;
}

TEST_F(mig_state, s26_concurrent_sets)
{
	struct setter setter[4];
	pthread_t thread[ARRAY_SIZE(setter)];
	size_t i;
	int state;

	for (i = 0; i < ARRAY_SIZE(setter); i++) {
		setter[i] = (struct setter){ .dev = &self->dev, .seed = i + 1 };
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, set_states, &setter[i]));
	}
	for (i = 0; i < ARRAY_SIZE(setter); i++) {
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
		EXPECT_EQ(0, setter[i].bad) TH_LOG("[S26] thread %zu", i);
	}
	state = mig_get(&self->dev);
	EXPECT_TRUE(state == R || state == ST || state == SC) TH_LOG("[S26] in %d", state);
	mig_set(&self->dev, R);
}

TEST_F(mig_state, s27_in_low_power)
{
	__u32 entry = VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY;
	__u32 exit = VFIO_DEVICE_FEATURE_LOW_POWER_EXIT;
	int ret = mig_feature(self->dev.fd, VFIO_DEVICE_FEATURE_SET | entry, NULL, 0);

	if (ret) {
		EXPECT_EQ(-ENOTTY, ret) TH_LOG("[S27] [F12]");
		EXPECT_EQ(-ENOTTY, mig_feature(self->dev.fd, VFIO_DEVICE_FEATURE_SET | exit,
					       NULL, 0))
			TH_LOG("[F12] an exit without an entry");
		return;
	}
	mig_set(&self->dev, ST);
	EXPECT_EQ(ST, mig_get(&self->dev)) TH_LOG("[S27]");
	mig_set(&self->dev, R);
	EXPECT_EQ(0, mig_feature(self->dev.fd, VFIO_DEVICE_FEATURE_SET | exit, NULL, 0));
}

static const struct mig_need needs[] = {
	{ "mig_precopy", mig_has_precopy },
};

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, needs, ARRAY_SIZE(needs));
	return test_harness_run(argc, argv);
}
