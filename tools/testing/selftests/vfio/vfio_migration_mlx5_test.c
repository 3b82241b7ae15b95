// SPDX-License-Identifier: GPL-2.0
/*
 * What mlx5_vfio_pci of Linux 7.3 does wrong, one test for each. Most of them would hurt a kernel
 * with that driver; connectx/defects runs them there, in a VM that does not live on.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/fixture.h"
#include "lib/mlx5_vfio.h"

/* Of the records of its streams: {le64 size, le32 flags, le32 tag}. */
enum { TAG_IMAGE = 0, TAG_SIZE = 1, FLAG_OPTIONAL = 1 };

struct header {
	__le64 size;
	__le32 flags;
	__le32 tag;
};

MIG_FIXTURE(mlx5);

/* The image lacks its end: what was loaded is of no use, and leaving RESUMING must say so. */
TEST_F(mig_mlx5, a_truncated_stream_is_refused)
{
	struct mig_buf stream = {};
	int fd, none;

	mig_set(&self->dev, ST);
	mig_save(&self->dev, &stream);
	fd = mig_set(&self->dev, RE);
	ASSERT_EQ(0, mig_write(fd, stream.data, stream.len - 1, MIG_WHOLE));
	EXPECT_GT(0, __mig_set(&self->dev, ST, &none)) TH_LOG("[R2] the stream was cut");
	close(fd);
	mig_buf_free(&stream);
}

/* 40 bytes that promise an image of 4 GiB, and begin one of a page. */
TEST_F(mig_mlx5, a_promise_needs_no_memory)
{
	struct {
		struct header size;
		__le64 hint;
		struct header image;
	} promise = {
		.size = { .size = 8, .flags = FLAG_OPTIONAL, .tag = TAG_SIZE },
		.hint = 1ULL << 32,
		.image = { .size = 4096, .tag = TAG_IMAGE },
	};
	int fd;

	ASSERT_EQ(40, sizeof(promise));
	mig_set(&self->dev, ST);
	fd = mig_set(&self->dev, RE);
	/* It may be refused or not. */
	EXPECT_NE(-ENOMEM, mig_write(fd, &promise, sizeof(promise), MIG_WHOLE)) TH_LOG("[R13]");
	close(fd);
}

/* The device is closed, its data file of PRE_COPY is not. */
TEST_F(mig_mlx5, a_closed_device_has_no_precopy_info)
{
	struct vfio_precopy_info info;
	int fd = mig_set(&self->dev, PC);

	mig_close(&self->dev);
	EXPECT_GT(0, mig_precopy_info(fd, &info)) TH_LOG("[S23]");
	close(fd);
	mig_open(&self->dev);
}

struct reader {
	struct mig_device *dev;
	atomic_int fd;
	atomic_bool stop;
	atomic_ulong reads;
	char *bar;
	size_t size;
};

static void *read_into_bar(void *arg)
{
	struct reader *reader = arg;

	while (!reader->stop)
		if (reader->fd >= 0 && read(reader->fd, reader->bar, reader->size) > 0)
			reader->reads++;
	return NULL;
}

/* A reset takes the mapping away that read() copies to, and waits for nothing that read() holds. */
TEST_F(mig_mlx5, a_read_into_the_bar_and_a_reset_end)
{
	struct reader reader = { .dev = &self->dev, .fd = -1 };
	pthread_t thread;
	int i, fd;

	reader.bar = mig_mmap(&self->dev, &reader.size);
	ASSERT_NE(NULL, reader.bar);
	ASSERT_EQ(0, pthread_create(&thread, NULL, read_into_bar, &reader));
	for (i = 0; i < 40; i++) {
		fd = mig_set(&self->dev, SC);
		reader.fd = fd;
		usleep(1000 * (i % 20));
		EXPECT_EQ(0, mig_reset(&self->dev)) TH_LOG("[X4]");
		reader.fd = -1;
		close(fd);
	}
	reader.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_LT(0, reader.reads);
	EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[X4]");
	munmap(reader.bar, reader.size);
}

struct writer {
	int fd;
	char *data;
	size_t length;
	ssize_t done;
};

static void *write_it(void *arg)
{
	struct writer *writer = arg;

	writer->done = write(writer->fd, writer->data, writer->length);
	return NULL;
}

/*
 * One writer waits for a page in the middle of a header, another for the first one. Then the
 * first one needs another buffer than the one that there was when the second began.
 */
TEST_F(mig_mlx5, two_writers_do_not_share_a_dead_buffer)
{
	struct header header = { .size = 1 << 16, .tag = TAG_IMAGE };
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_zeropage zero = {};
	struct writer writer[2];
	pthread_t thread[2];
	struct uffd_msg msg;
	char *pages;
	int uffd, fd;

	pages = mmap(NULL, 2 * MLX5_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0);
	ASSERT_NE(MAP_FAILED, pages);
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	ASSERT_LE(0, uffd);
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_API, &api));
	/* The second half of the header is all zero, as a new page is. */
	memcpy(pages + MLX5_PAGE - 8, &header, 8);
	reg.range = (struct uffdio_range){ (uintptr_t)pages + MLX5_PAGE, MLX5_PAGE };
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_REGISTER, &reg));
	mig_set(&self->dev, ST);
	fd = mig_set(&self->dev, RE);
	writer[0] = (struct writer){
		.fd = fd, .data = pages + MLX5_PAGE - 8, .length = MLX5_PAGE + 8,
	};
	writer[1] = (struct writer){ .fd = fd, .data = pages, .length = MLX5_PAGE - 8 };
	ASSERT_EQ(0, pthread_create(&thread[0], NULL, write_it, &writer[0]));
	ASSERT_EQ(sizeof(msg), read(uffd, &msg, sizeof(msg)));
	ASSERT_EQ(0, pthread_create(&thread[1], NULL, write_it, &writer[1]));
	/* Until it waits, which it does not tell. */
	sleep(1);
	zero.range = reg.range;
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_ZEROPAGE, &zero));
	ASSERT_EQ(0, pthread_join(thread[0], NULL));
	ASSERT_EQ(0, pthread_join(thread[1], NULL));
	EXPECT_TRUE(writer[0].done == writer[0].length || writer[0].done < 0);
	close(fd);
	close(uffd);
	munmap(pages, 2 * MLX5_PAGE);
}

static const struct mig_need needs[] = {
	{ "mig_mlx5", mlx5_is },
};

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, needs, ARRAY_SIZE(needs));
	return test_harness_run(argc, argv);
}
