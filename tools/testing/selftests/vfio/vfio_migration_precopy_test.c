// SPDX-License-Identifier: GPL-2.0
/*
 * PRE_COPY: the ioctl on the data file, the temporary end of the stream, and the way of the
 * session into STOP_COPY. The device is idle; what its changes do is its own test's matter.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <time.h>

#include "lib/fixture.h"

/* The length up to dirty_bytes is what the kernel asks for at least. */
#define INFO_SIZE	sizeof(struct vfio_precopy_info)

/* A device in PRE_COPY, and the stream it gives without. */
FIXTURE(precopy) {
	struct mig_device dev;
	struct mig_buf ref;
	int fd;
};

FIXTURE_SETUP(precopy)
{
	mig_open_sampled(&self->dev, &self->ref, R);
	self->fd = mig_set(&self->dev, PC);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(precopy)
{
	EXPECT_EQ(0, mig_reset(&self->dev));
	close(self->fd);
	mig_close(&self->dev);
	mig_buf_free(&self->ref);
}

/* Read to the temporary end. What ends it is checked by the tests of just that. */
static void drain(int fd, struct mig_buf *buf)
{
	int ret = mig_read(fd, buf, MIG_WHOLE);

	if (ret && ret != -ENOMSG)
		mig_die("read in PRE_COPY: %s", strerror(-ret));
}

/* The rest of the session in STOP_COPY; then a device with this stream is as the source. */
static bool completes(struct mig_device *dev, int fd, struct mig_buf *buf,
		      const struct mig_buf *ref)
{
	struct mig_buf again = {};
	bool same;

	if (mig_set(dev, SC) != -1)
		mig_die("[D2] a new file for the old session");
	if (mig_read(fd, buf, MIG_WHOLE))
		mig_die("[T6] [T8] read in STOP_COPY failed");
	mig_set(dev, ST);
	if (__mig_load(dev, buf, (struct mig_cut){ 1, 70000, 10 }))
		return false;
	mig_save(dev, &again);
	same = mig_buf_equal(&again, ref);
	mig_buf_free(&again);
	return same;
}

TEST_F(precopy, p1_other_ioctls)
{
	static const unsigned long cmd[] = {
		0, VFIO_DEVICE_FEATURE, VFIO_DEVICE_RESET, VFIO_MIG_GET_PRECOPY_INFO + 1,
		_IO('x', 1), ~0U,
	};
	struct vfio_precopy_info info = { .argsz = INFO_SIZE };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cmd); i++)
		EXPECT_EQ(-ENOTTY, mig_ioctl(self->fd, cmd[i], &info))
			TH_LOG("[P1] %#lx", cmd[i]);
}

TEST_F(precopy, p2_argument)
{
	long page = sysconf(_SC_PAGESIZE);
	char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	struct {
		struct vfio_precopy_info info;
		unsigned char behind[40];
	} large;
	struct vfio_precopy_info info;
	__u32 argsz;
	size_t i;

	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, mprotect(map + page, page, PROT_NONE));
	EXPECT_EQ(-EFAULT, mig_ioctl(self->fd, VFIO_MIG_GET_PRECOPY_INFO, NULL)) TH_LOG("[P2]");
	EXPECT_EQ(-EFAULT, mig_ioctl(self->fd, VFIO_MIG_GET_PRECOPY_INFO, map + page))
		TH_LOG("[P2]");
	EXPECT_EQ(-EFAULT, mig_ioctl(self->fd, VFIO_MIG_GET_PRECOPY_INFO, map + page - 23))
		TH_LOG("[P2] cut short");
	info = (struct vfio_precopy_info){ .argsz = INFO_SIZE };
	memcpy(map, &info, sizeof(info));
	ASSERT_EQ(0, mprotect(map, page, PROT_READ));
	EXPECT_EQ(-EFAULT, mig_ioctl(self->fd, VFIO_MIG_GET_PRECOPY_INFO, map))
		TH_LOG("[P2] not writable");
	for (argsz = 0; argsz < INFO_SIZE; argsz++) {
		info = (struct vfio_precopy_info){ .argsz = argsz };
		EXPECT_EQ(-EINVAL, mig_ioctl(self->fd, VFIO_MIG_GET_PRECOPY_INFO, &info))
			TH_LOG("[P2] argsz %u", argsz);
	}
	memset(&large, 0xa5, sizeof(large));
	large.info.argsz = sizeof(large);
	large.info.flags = 0;
	EXPECT_EQ(0, mig_ioctl(self->fd, VFIO_MIG_GET_PRECOPY_INFO, &large)) TH_LOG("[P2] larger");
	for (i = 0; i < sizeof(large.behind); i++)
		EXPECT_EQ(0xa5, large.behind[i]) TH_LOG("[P2] byte %zu behind", i);
}

TEST_F(precopy, p3_only_in_precopy)
{
	struct vfio_precopy_info info;
	int fd;

	mig_set(&self->dev, SC);
	EXPECT_EQ(-EINVAL, mig_precopy_info(self->fd, &info)) TH_LOG("[P3] in STOP_COPY");
	mig_set(&self->dev, ST);
	EXPECT_NE(0, mig_precopy_info(self->fd, &info)) TH_LOG("[P3] dead session");
	fd = mig_set(&self->dev, SC);
	EXPECT_EQ(-EINVAL, mig_precopy_info(fd, &info)) TH_LOG("[P3] STOP_COPY from STOP");
	mig_set(&self->dev, ST);
	close(fd);
	fd = mig_set(&self->dev, RE);
	EXPECT_EQ(-ENOTTY, mig_precopy_info(fd, &info)) TH_LOG("[P3] the file of RESUMING");
	ASSERT_EQ(0, mig_reset(&self->dev));
	close(fd);

	/* Of an old session while a new one is in PRE_COPY. */
	fd = mig_set(&self->dev, PC);
	EXPECT_NE(0, mig_precopy_info(self->fd, &info)) TH_LOG("[P3] dead session");
	EXPECT_EQ(0, mig_precopy_info(fd, &info)) TH_LOG("[P12]");
	close(fd);
}

TEST_F(precopy, p4_p5_p12_first_answer)
{
	struct vfio_precopy_info info;

	EXPECT_EQ(0, mig_precopy_info(self->fd, &info)) TH_LOG("[P12]");
	EXPECT_LT(0, info.initial_bytes) TH_LOG("[P4]");
	EXPECT_EQ(0, info.dirty_bytes) TH_LOG("[P5]");
	EXPECT_EQ(INFO_SIZE, info.argsz);
}

TEST_F(precopy, p4_initial_bytes_shrink_to_zero)
{
	struct vfio_precopy_info before, after;
	uint64_t seed = 4;
	char part[9000];
	ssize_t n = 0;

	ASSERT_EQ(0, mig_precopy_info(self->fd, &before));
	while (before.initial_bytes) {
		n = read(self->fd, part, 1 + mig_random(&seed) % sizeof(part));
		ASSERT_LT(0, n) TH_LOG("[P4] %llu bytes left: %s", before.initial_bytes,
				       strerror(errno));
		ASSERT_EQ(0, mig_precopy_info(self->fd, &after));
		EXPECT_LE(after.initial_bytes, before.initial_bytes) TH_LOG("[P4] it grew");
		ASSERT_LT(after.initial_bytes + after.dirty_bytes,
			  before.initial_bytes + before.dirty_bytes)
			TH_LOG("[P4] reading %zd bytes changed nothing", n);
		before = after;
	}
}

TEST_F(precopy, p6_t3_t4_temporary_end)
{
	struct vfio_precopy_info info;
	char part[4096];
	ssize_t n;
	int i;

	for (;;) {
		ASSERT_EQ(0, mig_precopy_info(self->fd, &info));
		n = read(self->fd, part, sizeof(part));
		if (!info.initial_bytes && !info.dirty_bytes)
			break;
		ASSERT_LT(0, n) TH_LOG("[P6] %llu + %llu bytes to come: %s",
				       info.initial_bytes, info.dirty_bytes, strerror(errno));
	}
	ASSERT_EQ(-1, n) TH_LOG("[T3] [T4] [P6] read at the temporary end");
	ASSERT_EQ(ENOMSG, errno) TH_LOG("[T3] [P6]");
	for (i = 0; i < 5; i++) {
		EXPECT_EQ(-1, read(self->fd, part, sizeof(part))) TH_LOG("[T4]");
		EXPECT_EQ(ENOMSG, errno) TH_LOG("[T3]");
	}
	EXPECT_EQ(0, mig_precopy_info(self->fd, &info));
	EXPECT_EQ(0, info.initial_bytes + info.dirty_bytes) TH_LOG("[P6]");
}

TEST_F(precopy, t3_nonblocking)
{
	struct pollfd poll_fd = { .fd = self->fd, .events = POLLIN };
	char part[4096];
	ssize_t n;

	ASSERT_EQ(0, fcntl(self->fd, F_SETFL, O_RDONLY | O_NONBLOCK));
	do {
		n = read(self->fd, part, sizeof(part));
		if (n < 0 && errno == EAGAIN)
			ASSERT_EQ(1, poll(&poll_fd, 1, 5000)) TH_LOG("[T12]");
	} while (n > 0 || (n < 0 && errno == EAGAIN));
	EXPECT_EQ(-1, n) TH_LOG("[T4]");
	EXPECT_EQ(ENOMSG, errno) TH_LOG("[T3]");
}

TEST_F(precopy, t5_not_readable_at_the_temporary_end)
{
	struct pollfd poll_fd = { .fd = self->fd, .events = POLLIN };
	struct mig_buf buf = {};

	EXPECT_EQ(1, poll(&poll_fd, 1, 5000)) TH_LOG("[T5] nothing to read at the start");
	drain(self->fd, &buf);
	EXPECT_EQ(0, poll(&poll_fd, 1, 0)) TH_LOG("[T5] readable at the temporary end");
	EXPECT_EQ(0, poll(&poll_fd, 1, 50)) TH_LOG("[T5] readable at the temporary end");
	mig_buf_free(&buf);
}

/* One thread waits for data that does not come, the other ends the waiting. */
struct waiter {
	int fd;
	int ret;
	short revents;
};

static void *wait_for_data(void *arg)
{
	struct waiter *waiter = arg;
	struct pollfd poll_fd = { .fd = waiter->fd, .events = POLLIN };

	waiter->ret = poll(&poll_fd, 1, 10000);
	waiter->revents = poll_fd.revents;
	return NULL;
}

#define WAKE(_do) \
do { \
	struct waiter waiter = { .fd = self->fd }; \
	struct mig_buf buf = {}; \
	pthread_t thread; \
	drain(self->fd, &buf); \
	ASSERT_EQ(0, pthread_create(&thread, NULL, wait_for_data, &waiter)); \
	usleep(20000); \
	_do; \
	ASSERT_EQ(0, pthread_join(thread, NULL)); \
	EXPECT_EQ(1, waiter.ret) TH_LOG("[T11] still waiting"); \
	EXPECT_TRUE(waiter.revents & (POLLIN | POLLERR | POLLHUP)) \
		TH_LOG("[T7] [T13] events %#x", waiter.revents); \
	mig_buf_free(&buf); \
} while (0)

TEST_F(precopy, t7_t11_woken_by_stop_copy)
{
	WAKE(mig_set(&self->dev, SC));
}

TEST_F(precopy, t11_woken_by_leaving)
{
	WAKE(mig_set(&self->dev, R));
	EXPECT_TRUE(mig_reads_nothing(self->fd)) TH_LOG("[D3]");
}

TEST_F(precopy, t11_woken_by_reset)
{
	WAKE(mig_reset(&self->dev));
	EXPECT_TRUE(mig_reads_nothing(self->fd)) TH_LOG("[X2]");
}

TEST_F(precopy, t11_s22_woken_by_close)
{
	WAKE(mig_close(&self->dev));
	EXPECT_TRUE(mig_reads_nothing(self->fd)) TH_LOG("[S22]");
	mig_open(&self->dev);
}

/* A session that is given up has ended: neither its file nor the next one has its data. */
TEST_F(precopy, d3_leaving_ends_the_session)
{
	struct mig_buf buf = {};
	int fd;

	EXPECT_EQ(-1, mig_set(&self->dev, R)) TH_LOG("[D3]");
	EXPECT_TRUE(mig_reads_nothing(self->fd)) TH_LOG("[D3]");
	fd = mig_set(&self->dev, PC);
	EXPECT_LE(0, fd) TH_LOG("[D1]");
	EXPECT_TRUE(mig_reads_nothing(self->fd)) TH_LOG("[D3] back to life");
	EXPECT_TRUE(completes(&self->dev, fd, &buf, &self->ref)) TH_LOG("[D3]");
	close(fd);
	mig_buf_free(&buf);
}

/* What was announced binds nobody: the stream is the same whether anybody asked, and when. */
TEST_F(precopy, p7_asking_changes_nothing)
{
	struct vfio_precopy_info info;
	char part[5000];
	int often;

	for (often = 0; often < 3; often++) {
		struct mig_buf buf = {};
		__u64 most = 0;
		ssize_t n;
		int fd;

		ASSERT_EQ(0, mig_reset(&self->dev));
		fd = mig_set(&self->dev, PC);
		while (buf.len < 100000) {
			n = often < 2 ? 1 : 3;
			while (often && n--) {
				ASSERT_EQ(0, mig_precopy_info(fd, &info)) TH_LOG("[P7]");
				most = most > info.dirty_bytes ? most : info.dirty_bytes;
			}
			n = read(fd, part, sizeof(part));
			if (n <= 0)
				break;
			mig_buf_add(&buf, part, n);
		}
		EXPECT_GT(1ULL << 48, most) TH_LOG("[P5] [P7] below zero");
		EXPECT_TRUE(completes(&self->dev, fd, &buf, &self->ref))
			TH_LOG("[P7] asked %d times a read", often);
		close(fd);
		mig_buf_free(&buf);
	}
}

TEST_F(precopy, t10_p15_nothing_read_before_stop_copy)
{
	struct mig_buf buf = {};

	EXPECT_TRUE(completes(&self->dev, self->fd, &buf, &self->ref)) TH_LOG("[T10] [P15]");
	mig_buf_free(&buf);
}

TEST_F(precopy, t10_some_read_before_stop_copy)
{
	static const size_t part[] = { 1, 15, 16, 17, 100, 5000, 100000 };
	char byte[5000];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(part); i++) {
		struct mig_buf buf = {};
		int fd;

		ASSERT_EQ(0, mig_reset(&self->dev));
		fd = mig_set(&self->dev, PC);
		while (buf.len < part[i]) {
			size_t want = part[i] - buf.len;
			ssize_t n = read(fd, byte, want < sizeof(byte) ? want : sizeof(byte));

			if (n <= 0)
				break;
			mig_buf_add(&buf, byte, n);
		}
		EXPECT_TRUE(completes(&self->dev, fd, &buf, &self->ref))
			TH_LOG("[T10] after %zu bytes", part[i]);
		close(fd);
		mig_buf_free(&buf);
	}
}

TEST_F(precopy, t10_all_read_before_stop_copy)
{
	struct mig_buf buf = {};

	drain(self->fd, &buf);
	EXPECT_TRUE(completes(&self->dev, self->fd, &buf, &self->ref)) TH_LOG("[T10]");
	mig_buf_free(&buf);
}

TEST_F(precopy, p8_flags_without_v2)
{
	static const __u32 flags[] = { 0, 1, 0xdeadbeef, ~0U };
	struct vfio_precopy_info info;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		info = (struct vfio_precopy_info){ .argsz = INFO_SIZE, .flags = flags[i] };
		EXPECT_EQ(0, mig_ioctl(self->fd, VFIO_MIG_GET_PRECOPY_INFO, &info))
			TH_LOG("[P8] flags %#x", flags[i]);
		EXPECT_EQ(flags[i], info.flags) TH_LOG("[P8]");
	}
}

TEST_F(precopy, p9_v6_flags_with_v2)
{
	static const __u32 flags[] = { 0, 1, 0xdeadbeef, ~0U };
	struct vfio_precopy_info info;
	size_t i;

	/* Also in the middle of a session. */
	ASSERT_EQ(0, mig_precopy_v2(&self->dev));
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		info = (struct vfio_precopy_info){ .argsz = INFO_SIZE, .flags = flags[i] };
		EXPECT_EQ(0, mig_ioctl(self->fd, VFIO_MIG_GET_PRECOPY_INFO, &info))
			TH_LOG("[P9] flags %#x", flags[i]);
		EXPECT_EQ(0, info.flags) TH_LOG("[P9] [V6] input %#x", flags[i]);
	}
}

#ifdef __x86_64__
/* The 32-bit system call, with an argument it can point to. */
static int ioctl32(int fd, __u32 cmd, void *low)
{
	int ret;

	asm volatile("int $0x80"
		     : "=a" (ret)
		     : "a" (54), "b" (fd), "c" (cmd), "d" (low)
		     : "memory", "r8", "r9", "r10", "r11");
	return ret;
}

TEST_F(precopy, p13_from_32_bit_user_space)
{
	struct vfio_precopy_info want, *info;

	info = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT,
		    -1, 0);
	ASSERT_NE(MAP_FAILED, info);
	ASSERT_EQ(0, mig_precopy_info(self->fd, &want));
	info->argsz = INFO_SIZE;
	EXPECT_EQ(0, ioctl32(self->fd, VFIO_MIG_GET_PRECOPY_INFO, info)) TH_LOG("[P13]");
	EXPECT_EQ(want.initial_bytes, info->initial_bytes) TH_LOG("[P13]");
	EXPECT_EQ(want.dirty_bytes, info->dirty_bytes) TH_LOG("[P13]");
	info->argsz = INFO_SIZE - 1;
	EXPECT_EQ(-EINVAL, ioctl32(self->fd, VFIO_MIG_GET_PRECOPY_INFO, info)) TH_LOG("[P13]");
	EXPECT_EQ(-ENOTTY, ioctl32(self->fd, VFIO_DEVICE_RESET, info)) TH_LOG("[P1] [P13]");
	EXPECT_EQ(-EFAULT, ioctl32(self->fd, VFIO_MIG_GET_PRECOPY_INFO, NULL)) TH_LOG("[P13]");
}
#endif

TEST_F(precopy, p14_answers_soon)
{
	struct vfio_precopy_info info;
	struct timespec t0, t1;
	int i;

	for (i = 0; i < 20; i++) {
		clock_gettime(CLOCK_MONOTONIC, &t0);
		EXPECT_EQ(0, mig_precopy_info(self->fd, &info));
		clock_gettime(CLOCK_MONOTONIC, &t1);
		EXPECT_GT(2, t1.tv_sec - t0.tv_sec) TH_LOG("[P14] it blocks");
	}
}

/* The same through PRE_COPY_P2P. */
MIG_STREAM_FIXTURE(precopy_p2p, R);

TEST_F(precopy_p2p, p3_p14_query_in_p2p)
{
	struct vfio_precopy_info info;
	int fd = mig_set(&self->dev, PP);

	EXPECT_EQ(0, mig_precopy_info(fd, &info)) TH_LOG("[P3] [P14]");
	EXPECT_LT(0, info.initial_bytes) TH_LOG("[P4]");
	EXPECT_EQ(0, info.dirty_bytes) TH_LOG("[P5]");
	close(fd);
}

/* A piece of the stream in each of the states that share the session, back and forth. */
TEST_F(precopy_p2p, d2_t10_one_session_over_all_states)
{
	static const int way[] = { PP, PC, PP, PC, PC, PP };
	struct mig_buf buf = {};
	char part[1000];
	size_t i;
	ssize_t n;
	int fd = mig_set(&self->dev, PC);

	for (i = 0; i < ARRAY_SIZE(way); i++) {
		n = read(fd, part, 13 + 100 * i);
		if (n > 0)
			mig_buf_add(&buf, part, n);
		EXPECT_EQ(-1, mig_set(&self->dev, way[i])) TH_LOG("[D2]");
	}
	EXPECT_TRUE(completes(&self->dev, fd, &buf, &self->ref)) TH_LOG("[D2] [T10] [P15]");
	close(fd);
	mig_buf_free(&buf);
}

TEST_F(precopy_p2p, t3_t4_temporary_end_in_p2p)
{
	struct mig_buf buf = {};
	char byte;
	int fd = mig_set(&self->dev, PP);

	drain(fd, &buf);
	EXPECT_EQ(-1, read(fd, &byte, 1)) TH_LOG("[T4]");
	EXPECT_EQ(ENOMSG, errno) TH_LOG("[T3]");
	EXPECT_TRUE(completes(&self->dev, fd, &buf, &self->ref)) TH_LOG("[T10]");
	close(fd);
	mig_buf_free(&buf);
}

MIG_FIXTURE(no_precopy);

TEST_F(mig_no_precopy, s12_precopy_is_refused)
{
	int state, fd, none;

	for (state = 0; state < MIG_STATES; state++) {
		if (!mig_supports(self->dev.flags, state))
			continue;
		fd = mig_set(&self->dev, state);
		EXPECT_EQ(-EINVAL, __mig_set(&self->dev, PC, &none)) TH_LOG("[S12]");
		EXPECT_EQ(-EINVAL, __mig_set(&self->dev, PP, &none)) TH_LOG("[S12]");
		EXPECT_EQ(state, mig_get(&self->dev)) TH_LOG("[S12]");
		EXPECT_EQ(0, mig_reset(&self->dev));
		if (fd >= 0)
			close(fd);
	}
}

TEST_F(mig_no_precopy, p3_no_precopy_info)
{
	struct vfio_precopy_info info;
	int fd = mig_set(&self->dev, SC), ret = mig_precopy_info(fd, &info);

	EXPECT_TRUE(ret == -ENOTTY || ret == -EINVAL) TH_LOG("[P3] [P12] %d", ret);
	close(fd);
}

static const struct mig_need needs[] = {
	{ "precopy", mig_has_precopy },
	{ "precopy_p2p", mig_has_precopy_p2p },
	{ "mig_no_precopy", mig_no_precopy },
};

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, needs, ARRAY_SIZE(needs));
	return test_harness_run(argc, argv);
}
