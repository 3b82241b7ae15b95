// SPDX-License-Identifier: GPL-2.0
/*
 * Changes of state that fail on the way: the kernel has no file for the data of the last arc.
 * The state is then the true one, every way out of it is open, and nothing is left behind.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "lib/fixture.h"
#include "lib/matrix.h"
#include "lib/process.h"
#include "lib/system.h"

MIG_STREAM_FIXTURE(refusal, R);

/* Does the last arc of this way make a file? */
static bool opens(const struct mig_path *way, int from)
{
	int before = way->steps > 1 ? way->state[way->steps - 2] : from;
	int to = way->steps ? way->state[way->steps - 1] : from;

	return !way->refused && way->steps && (to == RE || (mig_saving(to) && !mig_saving(before)));
}

/* What user space may do next. */
enum { AGAIN, BACK, ELSEWHERE, RESET, CHOICES };

static void go_on(struct __test_metadata *_metadata, struct mig_device *dev, int from, int to,
		  int choice)
{
	int state = choice == AGAIN ? to : choice == BACK ? from : ST, fd = -1, ret;

	if (choice == RESET)
		return;
	ret = __mig_set(dev, state, &fd);
	EXPECT_EQ(0, ret)
		TH_LOG("[S18] [A12] %s -> %s failed, then -> %s: %s", mig_state_name(from),
		       mig_state_name(to), mig_state_name(state), strerror(-ret));
	EXPECT_EQ(state, mig_get(dev)) TH_LOG("[S18]");
	EXPECT_TRUE(choice != AGAIN || fd >= 0) TH_LOG("[S6] no file for the second attempt");
	if (fd >= 0)
		close(fd);
}

TEST_F_TIMEOUT(refusal, s17_s18_a11_a12_e14_no_file_for_a_session, 600)
{
	int from, to, choice, fd, none, state, ret, files, count = 0;
	__u64 flags = self->dev.flags;

	/* It keeps a file open. */
	no_more_files(false);
	files = sys_open_files();
	for (from = 0; from < MIG_STATES; from++)
		for (to = 0; to < MIG_STATES; to++)
			for (choice = 0; choice < CHOICES; choice++) {
				struct mig_path way;

				if (!mig_supports(flags, from) || !mig_supports(flags, to))
					continue;
				way = mig_way(flags, from, to);
				if (!opens(&way, from))
					continue;
				fd = mig_enter(&self->dev, &self->ref, from);
				no_more_files(true);
				ret = __mig_set(&self->dev, to, &none);
				no_more_files(false);
				count++;
				state = mig_get(&self->dev);
				EXPECT_EQ(-ENFILE, ret)
					TH_LOG("%s -> %s", mig_state_name(from),
					       mig_state_name(to));
				EXPECT_EQ(-1, none) TH_LOG("[S8]");
				/* All arcs but the last one were made. */
				EXPECT_EQ(way.steps > 1 ? way.state[way.steps - 2] : from, state)
					TH_LOG("[A11] [S17] %s -> %s failed, in %s",
					       mig_state_name(from), mig_state_name(to),
					       mig_state_name(state));
				go_on(_metadata, &self->dev, from, to, choice);
				if (fd >= 0)
					close(fd);
				ASSERT_EQ(0, mig_reset(&self->dev)) TH_LOG("[X1] [S18]");
				ASSERT_EQ(R, mig_get(&self->dev)) TH_LOG("[X1] [S18]");
			}
	EXPECT_LT(CHOICES, count);
	EXPECT_EQ(files, sys_open_files()) TH_LOG("[A11] a file was left open");
	EXPECT_TRUE(mig_round_trip(&self->dev, &self->ref)) TH_LOG("[S18]");
}

/* Every way a session can fail to begin or to end, and none of them holds the module. */
TEST_F(refusal, s24_e13_no_reference_is_left)
{
	static const int state[] = { SC, RE, PC, PP };
	struct rlimit old, small;
	long idle, after = -1;
	int fd, none, wait;
	size_t i, round;

	mig_close(&self->dev);
	idle = module_references();
	mig_open(&self->dev);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	small = old;
	small.rlim_cur = 0;
	for (round = 0; round < 10; round++)
		for (i = 0; i < ARRAY_SIZE(state); i++) {
			if (!mig_supports(self->dev.flags, state[i]))
				continue;
			/* No file; no number for it; a session, and no other one in ERROR. */
			no_more_files(true);
			__mig_set(&self->dev, state[i], &none);
			no_more_files(false);
			mig_set(&self->dev, R);
			ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &small));
			__mig_set(&self->dev, state[i], &none);
			ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
			ASSERT_EQ(0, mig_reset(&self->dev));
			fd = mig_set(&self->dev, state[i]);
			__mig_set(&self->dev, ERR, &none);
			__mig_set(&self->dev, ST, &none);
			ASSERT_EQ(0, mig_reset(&self->dev));
			close(fd);
		}
	mig_close(&self->dev);
	/* The last put of a file may be left to a worker. */
	for (wait = 0; wait < 100 && after != idle; wait++) {
		after = module_references();
		usleep(10000);
	}
	EXPECT_EQ(idle, after) TH_LOG("[S24] references that nobody holds");
	mig_open(&self->dev);
}

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, NULL, 0);
	return test_harness_run(argc, argv);
}
