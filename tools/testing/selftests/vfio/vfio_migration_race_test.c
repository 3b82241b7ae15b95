// SPDX-License-Identifier: GPL-2.0
/*
 * Who may do what at the same time: many threads that change the state, and close, removal,
 * rmmod, signals and death while a data file is in use. VFIO_MIGRATION_ROUNDS says how often.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "lib/fixture.h"
#include "lib/matrix.h"
#include "lib/process.h"
#include "lib/system.h"

MIG_STREAM_FIXTURE(race, R);

struct crowd {
	struct mig_device *dev;
	const struct mig_buf *ref;
	uint64_t seed;
	size_t rounds;
	size_t done, failed;
};

static void *set_any_state(void *arg)
{
	struct crowd *me = arg;
	char part[2000];
	size_t i;
	int fd, ret;

	for (i = 0; i < me->rounds; i++) {
		int state = mig_random(&me->seed) % (MIG_STATES + 2);

		/* A load ends whole or by a reset, so it is seldom begun. */
		if (state == RE && mig_random(&me->seed) % 4)
			continue;
		if (mig_random(&me->seed) % 32 == 0 && mig_reset(me->dev))
			mig_die("[X1] [X4] reset failed");
		ret = __mig_set(me->dev, state, &fd);
		me->failed += !!ret;
		me->done += !ret;
		if (ret && fd != -1)
			mig_die("[S8] [S26] %s: %d, but fd %d", mig_state_name(state), ret, fd);
		if (!ret && !mig_supports(me->dev->flags, state))
			mig_die("[S11] [S12] [S13] %d was set", state);
		if (fd < 0)
			continue;
		if (state == RE) {
			/* Another thread may have ended it long ago. */
			mig_write(fd, me->ref->data, me->ref->len, MIG_WHOLE);
		} else if (read(fd, part, sizeof(part)) > (ssize_t)sizeof(part)) {
			mig_die("[T17] more than was asked for");
		}
		close(fd);
	}
	return NULL;
}

TEST_F_TIMEOUT(race, s17_s26_k3_states_by_many, 900)
{
	struct crowd crowd[6];
	pthread_t thread[ARRAY_SIZE(crowd)];
	int before = sys_open_files(), state;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(crowd); i++) {
		crowd[i] = (struct crowd){
			.dev = &self->dev, .ref = &self->ref, .seed = mig_seed(i + 1),
			.rounds = mig_rounds(self->ref.len > 1 << 17 ? 150 : 1000),
		};
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, set_any_state, &crowd[i]));
	}
	for (i = 0; i < ARRAY_SIZE(crowd); i++) {
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
		EXPECT_LT(0, crowd[i].done) TH_LOG("[S26] thread %zu", i);
	}
	state = mig_get(&self->dev);
	EXPECT_TRUE(mig_supports(self->dev.flags, state) || state == ERR)
		TH_LOG("[S17] [S26] in %d", state);
	EXPECT_EQ(before, sys_open_files()) TH_LOG("[S26] a file was left open");
	EXPECT_EQ(0, mig_reset(&self->dev));
	EXPECT_TRUE(mig_round_trip(&self->dev, &self->ref)) TH_LOG("[X4]");
}

/* Somebody who reads or writes a data file until it is dead. */
struct user {
	int fd;
	const struct mig_buf *ref;
	atomic_bool over;	/* from now on the file is to be dead */
	atomic_ulong calls;
	pthread_t thread;
};

static void *use(void *arg)
{
	struct user *user = arg;
	char part[10000];
	ssize_t n;

	for (;;) {
		bool over = user->over;

		if (user->ref)
			n = write(user->fd, user->ref->data, user->ref->len);
		else
			n = read(user->fd, part, sizeof(part));
		user->calls++;
		/* What was asked before the end of it may have been answered. */
		if (over && n > 0)
			mig_die("[S22] [S23] data from a dead session");
		if (over)
			return NULL;
	}
}

static void begin_use(struct user *user, struct mig_device *dev, const struct mig_buf *ref,
		      int state)
{
	*user = (struct user){ .fd = mig_set(dev, state), .ref = state == RE ? ref : NULL };
	if (pthread_create(&user->thread, NULL, use, user))
		mig_die("no thread");
}

static void end_use(struct user *user)
{
	user->over = true;
	if (pthread_join(user->thread, NULL))
		mig_die("a thread cannot be joined");
	close(user->fd);
}

static const int sessions[] = { SC, RE, PC, PP };

static int session_of(const struct mig_device *dev, size_t i)
{
	int state = sessions[i % ARRAY_SIZE(sessions)];

	return mig_supports(dev->flags, state) ? state : SC;
}

TEST_F_TIMEOUT(race, s21_s22_close_while_in_use, 600)
{
	size_t rounds = mig_rounds(60), i;
	uint64_t seed = mig_seed(22);
	struct user user;

	for (i = 0; i < rounds; i++) {
		begin_use(&user, &self->dev, &self->ref, session_of(&self->dev, i));
		usleep(mig_random(&seed) % 3000);
		mig_close(&self->dev);
		end_use(&user);
		mig_open(&self->dev);
		ASSERT_EQ(R, mig_get(&self->dev)) TH_LOG("[S21] round %zu", i);
	}
}

TEST_F_TIMEOUT(race, x2_x4_t11_reset, 600)
{
	size_t rounds = mig_rounds(200), i;
	uint64_t seed = mig_seed(24);
	struct user user;

	for (i = 0; i < rounds; i++) {
		begin_use(&user, &self->dev, &self->ref, session_of(&self->dev, i));
		usleep(mig_random(&seed) % 3000);
		ASSERT_EQ(0, mig_reset(&self->dev)) TH_LOG("[X1] round %zu", i);
		end_use(&user);
		ASSERT_EQ(R, mig_get(&self->dev)) TH_LOG("[X1] round %zu", i);
	}
}

static void *remove_device(void *arg)
{
	sys_unbind(mig_path(), arg);
	return NULL;
}

/* The driver loses the device while it is open: that waits for the last close. */
TEST_F_TIMEOUT(race, s22_s23_removal_while_in_use, 600)
{
	size_t rounds = mig_rounds(20), i;
	uint64_t seed = mig_seed(23);
	struct sys_driver driver;
	struct user user;
	pthread_t thread;

	for (i = 0; i < rounds; i++) {
		begin_use(&user, &self->dev, &self->ref, session_of(&self->dev, i));
		ASSERT_EQ(0, pthread_create(&thread, NULL, remove_device, &driver));
		usleep(mig_random(&seed) % 3000);
		mig_close(&self->dev);
		ASSERT_EQ(0, pthread_join(thread, NULL));
		/* Without the device it is as dead as with it. */
		end_use(&user);
		sys_bind(mig_path(), &driver);
		mig_open(&self->dev);
		ASSERT_EQ(R, mig_get(&self->dev)) TH_LOG("[S21] round %zu", i);
	}
}

TEST_F_TIMEOUT(race, s24_rmmod, 600)
{
	size_t rounds = mig_rounds(20), i;
	char name[64];
	struct user user;
	long idle;
	int try;

	module_name(name, sizeof(name));
	mig_close(&self->dev);
	idle = module_references();
	for (i = 0; i < rounds; i++) {
		mig_open(&self->dev);
		ASSERT_EQ(0, mig_reset(&self->dev));
		begin_use(&user, &self->dev, &self->ref, session_of(&self->dev, i));
		mig_close(&self->dev);
		/* If this is not so, the module would really go. */
		ASSERT_LT(idle, module_references()) TH_LOG("[S24]");
		for (try = 0; try < 20; try++)
			EXPECT_EQ(-EAGAIN, module_unload(name)) TH_LOG("[S24] round %zu", i);
		end_use(&user);
	}
	mig_open(&self->dev);
}

/* A process dies in the middle of it, and somebody else has the file. */
TEST_F_TIMEOUT(race, s21_s23_the_file_outlives_the_process, 600)
{
	size_t rounds = mig_rounds(20), i;
	uint64_t seed = mig_seed(18);

	mig_close(&self->dev);
	for (i = 0; i < rounds; i++) {
		struct mig_device again;
		int pair[2], fd, status, ret = -1, wait;
		struct user user;
		pid_t pid;

		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			mig_open(&again);
			begin_use(&user, &again, &self->ref, session_of(&again, i));
			send_fd(pair[1], user.fd);
			pause();
			_exit(0);
		}
		fd = receive_fd(pair[0]);
		usleep(mig_random(&seed) % 3000);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		/* Its files may be closed a little later. */
		for (wait = 0; wait < 500 && ret; wait++) {
			ret = __mig_open(&again, mig_path(), mig_mode());
			if (ret)
				usleep(10000);
		}
		ASSERT_EQ(0, ret) TH_LOG("[S21] round %zu: %s", i, strerror(-ret));
		/* A driver that has kept the state may not survive what comes next. */
		ASSERT_EQ(R, mig_get(&again)) TH_LOG("[S21] round %zu", i);
		EXPECT_TRUE(mig_reads_nothing(fd)) TH_LOG("[S23] round %zu", i);
		EXPECT_GT(0, write(fd, self->ref.data, self->ref.len)) TH_LOG("[S23]");
		mig_close(&again);
		EXPECT_TRUE(mig_reads_nothing(fd)) TH_LOG("[S23] closed again");
		close(fd);
		close(pair[0]);
		close(pair[1]);
	}
	mig_open(&self->dev);
}

static atomic_ulong signals;

static void on_signal(int number)
{
	(void)number;
	signals++;
}

struct sender {
	pthread_t to;
	atomic_ulong done;	/* calls that came to their end */
	atomic_bool stop;
};

/*
 * As often as the other thread can bear: where none of its calls comes to an end, there is more and
 * more time for one. Else a slow machine would do nothing but handle signals.
 */
static void *send_signals(void *arg)
{
	unsigned long done, last = 0;
	struct sender *sender = arg;
	uint64_t seed = 16;
	useconds_t most = 300;

	while (!sender->stop) {
		pthread_kill(sender->to, SIGUSR1);
		usleep(mig_random(&seed) % most);
		done = sender->done;
		most = done != last ? 300 : most < 100000 ? most + most / 8 : most;
		last = done;
	}
	return NULL;
}

/* Was the state reached that was asked for, with signals all the time? */
static void set_in_spite(struct sender *sender, struct mig_device *dev, int state, int *fd)
{
	struct mig_path way = mig_way(dev->flags, mig_get(dev), state);
	int from = mig_get(dev), ret, now, i;

	do {
		ret = __mig_set(dev, state, fd);
		now = mig_get(dev);
		for (i = 0; ret && i < way.steps && way.state[i] != now; i++)
			;
		if (ret && (ret != -EINTR || (now != from && i == way.steps)))
			mig_die("[S17] [T16] %s -> %s: %s, in %s", mig_state_name(from),
				mig_state_name(state), strerror(-ret), mig_state_name(now));
	} while (ret);
	sender->done++;
}

TEST_F_TIMEOUT(race, t16_s17_signals_all_the_time, 600)
{
	size_t rounds = mig_rounds(40), i, done;
	struct sigaction act = { .sa_handler = on_signal };
	struct sender sender = { .to = pthread_self() };
	struct mig_buf got = {};
	char part[30000];
	pthread_t thread;
	ssize_t n;
	int fd, none;

	ASSERT_EQ(0, sigaction(SIGUSR1, &act, NULL));
	ASSERT_EQ(0, pthread_create(&thread, NULL, send_signals, &sender));
	for (i = 0; i < rounds; i++) {
		set_in_spite(&sender, &self->dev, SC, &fd);
		got.len = 0;
		do {
			n = read(fd, part, sizeof(part));
			if (n > 0) {
				mig_buf_add(&got, part, n);
				sender.done++;
			}
		} while (n > 0 || (n < 0 && errno == EINTR));
		ASSERT_EQ(0, n) TH_LOG("[T16] read: %s", strerror(errno));
		ASSERT_TRUE(mig_buf_equal(&self->ref, &got)) TH_LOG("[T16] another stream");
		close(fd);
		set_in_spite(&sender, &self->dev, RE, &fd);
		for (done = 0; done < got.len; ) {
			n = write(fd, got.data + done, got.len - done);
			if (n > 0) {
				done += n;
				sender.done++;
			} else {
				ASSERT_EQ(EINTR, errno) TH_LOG("[T16] write");
			}
		}
		set_in_spite(&sender, &self->dev, ST, &none);
		close(fd);
		ASSERT_EQ(0, mig_reset(&self->dev)) TH_LOG("[X1] with a signal");
	}
	sender.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_LT(0, signals);
	mig_buf_free(&got);
}

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, NULL, 0);
	return test_harness_run(argc, argv);
}
