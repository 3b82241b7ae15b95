// SPDX-License-Identifier: GPL-2.0
/*
 * Data files as files: cut into pieces, not waited for, without memory, dead, misused.
 * Whatever is done to them, the bytes of the stream are the same.
 */
#include <fcntl.h>
#include <sys/uio.h>

#include "lib/fixture.h"

MIG_STREAM_FIXTURE(stream, ST);

static const struct mig_cut cuts[] = {
	{ 1, 1, 1 }, { 1, 16, 2 }, { 15, 17, 3 }, { 1, 5000, 4 }, { 4096, 4096, 5 },
	{ 1, 1 << 17, 6 }, { 1 << 22, 1 << 22, 7 },
};

/* A system call for each byte or so only where that is soon done. */
static size_t first_cut(const struct mig_buf *buf)
{
	return buf->len > 1 << 17 ? 3 : 0;
}

TEST_F(stream, t1_reads_of_any_size)
{
	struct mig_buf got = {};
	size_t i;
	int fd;

	for (i = first_cut(&self->ref); i < ARRAY_SIZE(cuts); i++) {
		fd = mig_set(&self->dev, SC);
		got.len = 0;
		EXPECT_EQ(0, mig_read(fd, &got, cuts[i]))
			TH_LOG("[T1] [T9] reads of %zu to %zu", cuts[i].min, cuts[i].max);
		EXPECT_TRUE(mig_buf_equal(&self->ref, &got))
			TH_LOG("[T1] another stream by reads of %zu to %zu", cuts[i].min,
			       cuts[i].max);
		mig_set(&self->dev, ST);
		close(fd);
	}
	mig_buf_free(&got);
}

TEST_F(stream, t1_r11_r12_writes_of_any_size)
{
	struct mig_buf got = {};
	size_t i;

	for (i = first_cut(&self->ref); i < ARRAY_SIZE(cuts); i++) {
		EXPECT_EQ(0, __mig_load(&self->dev, &self->ref, cuts[i]))
			TH_LOG("[T1] [T2] writes of %zu to %zu", cuts[i].min, cuts[i].max);
		got.len = 0;
		mig_save(&self->dev, &got);
		EXPECT_TRUE(mig_buf_equal(&self->ref, &got))
			TH_LOG("[T1] [R11] another state by writes of %zu to %zu", cuts[i].min,
			       cuts[i].max);
	}
	mig_buf_free(&got);
}

TEST_F(stream, t1_readv_and_writev)
{
	struct mig_buf got = {};
	char part[5][777];
	struct iovec iov[5];
	size_t i, done = 0;
	ssize_t n;
	int fd;

	for (i = 0; i < ARRAY_SIZE(iov); i++)
		iov[i] = (struct iovec){ part[i], 1 + i * 194 };
	fd = mig_set(&self->dev, SC);
	while ((n = readv(fd, iov, ARRAY_SIZE(iov))) > 0)
		for (i = 0; n; i++) {
			size_t len = (size_t)n < iov[i].iov_len ? (size_t)n : iov[i].iov_len;

			mig_buf_add(&got, part[i], len);
			n -= len;
		}
	EXPECT_EQ(0, n) TH_LOG("[T1] readv: %s", strerror(errno));
	EXPECT_TRUE(mig_buf_equal(&self->ref, &got)) TH_LOG("[T1] readv");
	mig_set(&self->dev, ST);
	close(fd);

	fd = mig_set(&self->dev, RE);
	while (done < self->ref.len) {
		size_t left = self->ref.len - done;

		iov[0] = (struct iovec){ self->ref.data + done, left / 3 };
		iov[1] = (struct iovec){ self->ref.data + done + left / 3, left - left / 3 };
		n = writev(fd, iov, 2);
		ASSERT_LT(0, n) TH_LOG("[T1] writev: %s", strerror(errno));
		done += n;
	}
	mig_set(&self->dev, ST);
	close(fd);
	mig_buf_free(&got);
}

TEST_F(stream, t6_t7_t8_end_of_stream)
{
	struct mig_buf got = {};
	struct pollfd poll_fd = { .events = POLLIN };
	char byte;
	int i;

	poll_fd.fd = mig_set(&self->dev, SC);
	EXPECT_EQ(1, poll(&poll_fd, 1, 5000)) TH_LOG("[T7] nothing to read yet");
	EXPECT_TRUE(poll_fd.revents & POLLIN) TH_LOG("[T7]");
	EXPECT_EQ(0, mig_read(poll_fd.fd, &got, MIG_WHOLE)) TH_LOG("[T6] [T8]");
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(0, read(poll_fd.fd, &byte, 1)) TH_LOG("[T6] [T8] read %d", i);
		EXPECT_EQ(1, poll(&poll_fd, 1, 0)) TH_LOG("[T7] at the end");
		EXPECT_TRUE(poll_fd.revents & POLLIN) TH_LOG("[T7] at the end");
	}
	close(poll_fd.fd);
	mig_buf_free(&got);
}

TEST_F(stream, t12_nonblocking_read)
{
	struct pollfd poll_fd = { .events = POLLIN };
	struct mig_buf got = {};
	char part[10000];
	ssize_t n;

	poll_fd.fd = mig_set(&self->dev, SC);
	ASSERT_EQ(0, fcntl(poll_fd.fd, F_SETFL, O_RDONLY | O_NONBLOCK));
	for (;;) {
		n = read(poll_fd.fd, part, sizeof(part));
		if (!n)
			break;
		if (n > 0) {
			mig_buf_add(&got, part, n);
			continue;
		}
		ASSERT_EQ(EAGAIN, errno) TH_LOG("[T12] %s", strerror(errno));
		ASSERT_EQ(1, poll(&poll_fd, 1, 5000)) TH_LOG("[T12] EAGAIN without an end");
	}
	EXPECT_TRUE(mig_buf_equal(&self->ref, &got)) TH_LOG("[T12]");
	close(poll_fd.fd);
	mig_buf_free(&got);
}

TEST_F(stream, t12_nonblocking_write)
{
	struct pollfd poll_fd = { .events = POLLOUT };
	size_t done = 0;
	ssize_t n;

	poll_fd.fd = mig_set(&self->dev, RE);
	ASSERT_EQ(0, fcntl(poll_fd.fd, F_SETFL, O_WRONLY | O_NONBLOCK));
	while (done < self->ref.len) {
		n = write(poll_fd.fd, self->ref.data + done, self->ref.len - done);
		if (n > 0) {
			done += n;
			continue;
		}
		ASSERT_EQ(EAGAIN, errno) TH_LOG("[T12] %s", strerror(errno));
		ASSERT_EQ(1, poll(&poll_fd, 1, 5000)) TH_LOG("[T12] EAGAIN without an end");
	}
	mig_set(&self->dev, ST);
	close(poll_fd.fd);
}

TEST_F(stream, t9_t13_dead_save_session)
{
	struct vfio_precopy_info info;
	struct pollfd poll_fd = { .events = POLLIN };
	char byte;
	int ret;

	/* One byte is read, so more is due: an end here would be a lie. */
	poll_fd.fd = mig_set(&self->dev, SC);
	ASSERT_EQ(1, read(poll_fd.fd, &byte, 1));
	mig_set(&self->dev, ST);
	EXPECT_EQ(-1, read(poll_fd.fd, &byte, 1)) TH_LOG("[T9] [T13]");
	EXPECT_EQ(1, poll(&poll_fd, 1, 0)) TH_LOG("[T13] poll waits for a dead session");
	ret = mig_precopy_info(poll_fd.fd, &info);
	EXPECT_TRUE(ret == -EINVAL || ret == -ENODEV ||
		    (ret == -ENOTTY && !mig_supports(self->dev.flags, PC)))
		TH_LOG("[T13] [P3] %d", ret);
	/* The next session has its own file. */
	ret = mig_set(&self->dev, SC);
	EXPECT_EQ(-1, read(poll_fd.fd, &byte, 1)) TH_LOG("[T13] back to life");
	close(ret);
	close(poll_fd.fd);
}

TEST_F(stream, t13_r10_e3_dead_resume_session)
{
	struct pollfd poll_fd = { .events = POLLOUT };
	int again;

	poll_fd.fd = mig_set(&self->dev, RE);
	ASSERT_EQ(0, mig_write(poll_fd.fd, self->ref.data, self->ref.len, MIG_WHOLE));
	mig_set(&self->dev, ST);
	EXPECT_EQ(-1, write(poll_fd.fd, "x", 1)) TH_LOG("[R10] [T13]");
	EXPECT_EQ(-1, write(poll_fd.fd, self->ref.data, self->ref.len)) TH_LOG("[R10] [T13]");
	EXPECT_EQ(1, poll(&poll_fd, 1, 0)) TH_LOG("[T13] poll waits for a dead session");
	again = mig_set(&self->dev, RE);
	EXPECT_EQ(-1, write(poll_fd.fd, "x", 1)) TH_LOG("[R10] [T13] back to life");
	EXPECT_EQ(0, mig_write(again, self->ref.data, self->ref.len, MIG_WHOLE));
	mig_set(&self->dev, ST);
	close(again);
	close(poll_fd.fd);
}

/* Two pages, the second of which faults. The end of the first. */
static char *edge(void)
{
	long page = sysconf(_SC_PAGESIZE);
	char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);

	if (map == MAP_FAILED || mprotect(map + page, page, PROT_NONE))
		mig_die("cannot set up a faulting page: %s", strerror(errno));
	return map + page;
}

TEST_F(stream, t14_e9_fault_while_reading)
{
	struct mig_buf got = {};
	uint64_t seed = 14;
	char *end = edge(), part[512];
	bool over = false;
	ssize_t n;
	int fd;

	fd = mig_set(&self->dev, SC);
	EXPECT_EQ(-1, read(fd, end, 100)) TH_LOG("[T14]");
	EXPECT_EQ(EFAULT, errno) TH_LOG("[T14]");
	while (!over) {
		size_t good = 1 + mig_random(&seed) % 500;

		n = read(fd, end - good, good + 1 + mig_random(&seed) % 300);
		if (n < 0) {
			ASSERT_EQ(EFAULT, errno) TH_LOG("[T14] %s", strerror(errno));
		} else {
			ASSERT_GE(good, n) TH_LOG("[T14] more than was copied");
			mig_buf_add(&got, end - good, n);
		}
		n = read(fd, part, 1 + mig_random(&seed) % sizeof(part));
		ASSERT_LE(0, n) TH_LOG("[T14] no read after a fault: %s", strerror(errno));
		mig_buf_add(&got, part, n);
		over = !n;
	}
	EXPECT_EQ(self->ref.len, got.len) TH_LOG("[T14] bytes were lost or repeated");
	EXPECT_TRUE(mig_buf_equal(&self->ref, &got)) TH_LOG("[T14]");
	close(fd);
	mig_buf_free(&got);
}

TEST_F(stream, t14_fault_while_writing)
{
	struct mig_buf got = {};
	uint64_t seed = 14;
	char *end = edge();
	size_t done = 0;
	ssize_t n;
	int fd;

	fd = mig_set(&self->dev, RE);
	EXPECT_EQ(-1, write(fd, end, 20)) TH_LOG("[T14]");
	EXPECT_EQ(EFAULT, errno) TH_LOG("[T14]");
	while (done < self->ref.len) {
		size_t good = 1 + mig_random(&seed) % 2000;
		size_t bad = 1 + mig_random(&seed) % 300;

		/* Near the end a longer write would be too long, not only faulting. */
		if (self->ref.len - done > good + bad) {
			memcpy(end - good, self->ref.data + done, good);
			n = write(fd, end - good, good + bad);
			if (n < 0) {
				ASSERT_EQ(EFAULT, errno) TH_LOG("[T14] %s", strerror(errno));
			} else {
				ASSERT_GE(good, n) TH_LOG("[T14] more than was readable");
				done += n;
			}
		}
		if (good > self->ref.len - done)
			good = self->ref.len - done;
		n = write(fd, self->ref.data + done, good);
		ASSERT_LT(0, n) TH_LOG("[T14] no write after a fault: %s", strerror(errno));
		done += n;
	}
	mig_set(&self->dev, ST);
	close(fd);
	mig_save(&self->dev, &got);
	EXPECT_TRUE(mig_buf_equal(&self->ref, &got)) TH_LOG("[T14] another state");
	mig_buf_free(&got);
}

TEST_F(stream, t15_nothing_read_or_written)
{
	struct mig_buf got = {};
	size_t half = self->ref.len / 2;
	char byte;
	int fd, i;

	fd = mig_set(&self->dev, SC);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, read(fd, &byte, 0)) TH_LOG("[T15]");
	EXPECT_EQ(0, mig_read(fd, &got, MIG_WHOLE));
	EXPECT_EQ(0, read(fd, &byte, 0)) TH_LOG("[T15] at the end");
	EXPECT_TRUE(mig_buf_equal(&self->ref, &got)) TH_LOG("[T15] it had an effect");
	mig_set(&self->dev, ST);
	close(fd);

	fd = mig_set(&self->dev, RE);
	EXPECT_EQ(0, write(fd, "x", 0)) TH_LOG("[T15]");
	ASSERT_EQ(0, mig_write(fd, self->ref.data, half, MIG_WHOLE));
	EXPECT_EQ(0, write(fd, "x", 0)) TH_LOG("[T15]");
	ASSERT_EQ(0, mig_write(fd, self->ref.data + half, self->ref.len - half, MIG_WHOLE));
	EXPECT_EQ(0, write(fd, "x", 0)) TH_LOG("[T15] at the end");
	mig_set(&self->dev, ST);
	close(fd);
	mig_buf_free(&got);
}

TEST_F(stream, d6_d7_wrong_calls)
{
	struct mig_buf got = {};
	char byte = 0;
	int fd;

	fd = mig_set(&self->dev, SC);
	EXPECT_EQ(-1, write(fd, &byte, 1)) TH_LOG("[D6]");
	EXPECT_EQ(EBADF, errno) TH_LOG("[D6]");
	EXPECT_EQ(-1, lseek(fd, 0, SEEK_SET)) TH_LOG("[D7]");
	EXPECT_EQ(ESPIPE, errno) TH_LOG("[D7]");
	EXPECT_EQ(-1, lseek(fd, 0, SEEK_CUR)) TH_LOG("[D7]");
	EXPECT_EQ(ESPIPE, errno) TH_LOG("[D7]");
	EXPECT_EQ(-1, pread(fd, &byte, 1, 0)) TH_LOG("[D7]");
	EXPECT_EQ(ESPIPE, errno) TH_LOG("[D7]");
	EXPECT_EQ(0, mig_read(fd, &got, MIG_WHOLE));
	EXPECT_TRUE(mig_buf_equal(&self->ref, &got)) TH_LOG("[D6] [D7] it had an effect");
	mig_set(&self->dev, ST);
	close(fd);

	fd = mig_set(&self->dev, RE);
	EXPECT_EQ(-1, read(fd, &byte, 1)) TH_LOG("[D6]");
	EXPECT_EQ(EBADF, errno) TH_LOG("[D6]");
	EXPECT_EQ(-1, lseek(fd, 0, SEEK_SET)) TH_LOG("[D7]");
	EXPECT_EQ(ESPIPE, errno) TH_LOG("[D7]");
	EXPECT_EQ(-1, pwrite(fd, &byte, 1, 0)) TH_LOG("[D7]");
	EXPECT_EQ(ESPIPE, errno) TH_LOG("[D7]");
	EXPECT_EQ(0, mig_write(fd, self->ref.data, self->ref.len, MIG_WHOLE));
	mig_set(&self->dev, ST);
	close(fd);
	mig_buf_free(&got);
}

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, NULL, 0);
	return test_harness_run(argc, argv);
}
