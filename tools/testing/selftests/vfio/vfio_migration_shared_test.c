// SPDX-License-Identifier: GPL-2.0
/*
 * Data files that are interrupted by signals and shared by threads and processes. Not a
 * byte of the stream may be lost or come twice.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "lib/fixture.h"
#include "lib/process.h"

MIG_STREAM_FIXTURE(shared, ST);

static atomic_int alarms;

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
}

/* One signal some time soon, and system calls that are not restarted. */
static void alarm_soon(uint64_t *seed)
{
	struct sigaction act = { .sa_handler = on_alarm };
	struct itimerval timer = {};

	if (seed)
		timer.it_value.tv_usec = 1 + mig_random(seed) % 200;
	if (sigaction(SIGALRM, &act, NULL) || setitimer(ITIMER_REAL, &timer, NULL))
		mig_die("no timer: %s", strerror(errno));
}

TEST_F(shared, t16_signals)
{
	char *part = malloc(1 << 20);
	struct mig_buf got = {};
	uint64_t seed = 16;
	int fd, round;
	size_t done;
	ssize_t n;

	for (round = 0; round < 2000 && alarms < 100; round++) {
		fd = mig_set(&self->dev, SC);
		got.len = 0;
		do {
			alarm_soon(&seed);
			n = read(fd, part, 1 << 20);
			if (n > 0)
				mig_buf_add(&got, part, n);
		} while (n > 0 || (n < 0 && errno == EINTR));
		alarm_soon(NULL);
		ASSERT_EQ(0, n) TH_LOG("[T16] read: %s", strerror(errno));
		EXPECT_TRUE(mig_buf_equal(&self->ref, &got)) TH_LOG("[T16] read");
		mig_set(&self->dev, ST);
		close(fd);

		fd = mig_set(&self->dev, RE);
		for (done = 0; done < self->ref.len; ) {
			alarm_soon(&seed);
			n = write(fd, self->ref.data + done, self->ref.len - done);
			if (n > 0)
				done += n;
			else
				ASSERT_EQ(EINTR, errno) TH_LOG("[T16] write");
		}
		alarm_soon(NULL);
		mig_set(&self->dev, ST);
		close(fd);
	}
	EXPECT_LT(0, alarms) TH_LOG("[T16] no signal came");
	got.len = 0;
	mig_save(&self->dev, &got);
	EXPECT_TRUE(mig_buf_equal(&self->ref, &got)) TH_LOG("[T16] write");
	free(part);
	mig_buf_free(&got);
}

/* What a thread got, as a sum that does not depend on who got which bytes. */
struct share {
	int fd;
	uint64_t seed;
	const struct mig_buf *from;
	size_t len;
	size_t count[256];
	int error;
};

static void add(struct share *share, const unsigned char *data, size_t len)
{
	share->len += len;
	while (len--)
		share->count[*data++]++;
}

static void *reader(void *arg)
{
	struct share *share = arg;
	unsigned char part[8192];
	ssize_t n;

	for (;;) {
		n = read(share->fd, part, 1 + mig_random(&share->seed) % sizeof(part));
		if (n <= 0)
			break;
		add(share, part, n);
	}
	share->error = n ? errno : 0;
	return NULL;
}

static void *writer(void *arg)
{
	struct share *share = arg;
	int i;

	for (i = 0; i < 300; i++) {
		size_t at = mig_random(&share->seed) % share->from->len;
		size_t len = 1 + mig_random(&share->seed) % (share->from->len - at);

		/* The order is lost, so the stream is bad sooner or later. */
		if (write(share->fd, share->from->data + at, len) < 0)
			share->error = errno;
	}
	return NULL;
}

TEST_F(shared, t17_concurrent_readers)
{
	struct share share[4], whole = {}, sum = {};
	pthread_t thread[ARRAY_SIZE(share)];
	size_t i, k;
	int fd, round;

	add(&whole, self->ref.data, self->ref.len);
	for (round = 0; round < 20; round++) {
		memset(&sum, 0, sizeof(sum));
		fd = mig_set(&self->dev, SC);
		for (i = 0; i < ARRAY_SIZE(share); i++) {
			share[i] = (struct share){ .fd = fd, .seed = 1 + i + round * 10 };
			ASSERT_EQ(0, pthread_create(&thread[i], NULL, reader, &share[i]));
		}
		for (i = 0; i < ARRAY_SIZE(share); i++) {
			ASSERT_EQ(0, pthread_join(thread[i], NULL));
			EXPECT_EQ(0, share[i].error) TH_LOG("[T17] read");
			sum.len += share[i].len;
			for (k = 0; k < 256; k++)
				sum.count[k] += share[i].count[k];
		}
		EXPECT_EQ(whole.len, sum.len) TH_LOG("[T17] bytes lost or given twice");
		EXPECT_EQ(0, memcmp(whole.count, sum.count, sizeof(sum.count))) TH_LOG("[T17]");
		mig_set(&self->dev, ST);
		close(fd);
	}
}

TEST_F(shared, t17_e2_concurrent_writers)
{
	struct share share[4];
	pthread_t thread[ARRAY_SIZE(share)];
	struct mig_buf got = {};
	int fd, none, round, state;
	bool taken;
	size_t i;

	for (round = 0; round < 10 && _metadata->exit_code != KSFT_FAIL; round++) {
		fd = mig_set(&self->dev, RE);
		for (i = 0; i < ARRAY_SIZE(share); i++) {
			share[i] = (struct share){
				.fd = fd, .seed = 1 + i + round * 10, .from = &self->ref,
			};
			ASSERT_EQ(0, pthread_create(&thread[i], NULL, writer, &share[i]));
		}
		for (i = 0; i < ARRAY_SIZE(share); i++)
			ASSERT_EQ(0, pthread_join(thread[i], NULL));
		/* Whether damage is noticed is the matter of other tests. */
		taken = !__mig_set(&self->dev, ST, &none);
		state = mig_get(&self->dev);
		EXPECT_TRUE(taken ? state == ST : state == RE || state == ERR)
			TH_LOG("[T17] in %s", mig_state_name(state));
		EXPECT_EQ(0, mig_reset(&self->dev));
		close(fd);
	}
	EXPECT_EQ(0, __mig_load(&self->dev, &self->ref, MIG_WHOLE)) TH_LOG("[T17] no recovery");
	mig_save(&self->dev, &got);
	EXPECT_TRUE(mig_buf_equal(&self->ref, &got)) TH_LOG("[T17]");
	mig_buf_free(&got);
}

/* Send a file through a socket and take it out at the other end. */
static int passed(int fd)
{
	int pair[2], got;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		mig_die("socketpair: %s", strerror(errno));
	send_fd(pair[0], fd);
	got = receive_fd(pair[1]);
	close(pair[0]);
	close(pair[1]);
	return got;
}

/* Read n bytes in a child, that has the file by inheritance. */
static void read_in_child(int fd, struct mig_buf *buf, size_t n)
{
	char part[100];
	int pipes[2], status;
	ssize_t got;
	pid_t pid;

	if (pipe(pipes))
		mig_die("pipe: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		got = read(fd, part, n);
		_exit(got <= 0 || write(pipes[1], part, got) != got);
	}
	close(pipes[1]);
	while ((got = read(pipes[0], part, sizeof(part))) > 0)
		mig_buf_add(buf, part, got);
	close(pipes[0]);
	if (waitpid(pid, &status, 0) != pid || status)
		mig_die("[T18] read in a child failed");
}

TEST_F(shared, t18_dup_fork_and_scm_rights)
{
	struct mig_buf got = {};
	int fd = mig_set(&self->dev, SC), other = dup(fd), sent;
	char part[10];

	ASSERT_EQ(10, read(fd, part, 10));
	mig_buf_add(&got, part, 10);
	ASSERT_EQ(10, read(other, part, 10)) TH_LOG("[T18] dup");
	mig_buf_add(&got, part, 10);
	close(fd);
	read_in_child(other, &got, 10);
	sent = passed(other);
	close(other);
	EXPECT_EQ(0, mig_read(sent, &got, MIG_WHOLE)) TH_LOG("[T18] SCM_RIGHTS");
	EXPECT_TRUE(mig_buf_equal(&self->ref, &got)) TH_LOG("[T18]");
	mig_set(&self->dev, ST);
	close(sent);

	fd = passed(mig_set(&self->dev, RE));
	EXPECT_EQ(0, mig_write(fd, self->ref.data, self->ref.len, MIG_WHOLE)) TH_LOG("[T18]");
	mig_set(&self->dev, ST);
	mig_buf_free(&got);
}

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, NULL, 0);
	return test_harness_run(argc, argv);
}
