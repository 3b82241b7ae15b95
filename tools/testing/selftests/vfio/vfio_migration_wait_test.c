// SPDX-License-Identifier: GPL-2.0
/*
 * A write of the device's DMA engine that its user keeps waiting, by a page fault that nobody
 * serves yet. Who stops the device has to wait for it, as the uAPI says, but must stay killable.
 *
 * The device is opened by its group: there the write is a plain copy to the user's memory.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/userfaultfd.h>

#include "kselftest_harness.h"
#include "lib/engine.h"

#define BASE	0x10000000ULL

FIXTURE(wait) {
	struct emulated emu;
	unsigned char *page;
	int uffd;
};

static int open_by_group(struct emulated *emu)
{
	int ret = __mig_open(&emu->dev, mig_path(), MIG_GROUP);

	if (!ret)
		ret = mig_reset(&emu->dev);
	return ret ? ret : mig_region(&emu->dev, VFIO_PCI_BAR0_REGION_INDEX, &emu->bar0);
}

FIXTURE_SETUP(wait)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg;

	ASSERT_EQ(0, open_by_group(&self->emu));
	self->page = mmap(NULL, EMU_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0);
	ASSERT_NE(MAP_FAILED, self->page);
	ASSERT_EQ(0, mig_map(&self->emu.dev, self->page, BASE, EMU_PAGE, true));
	/* Mapping it brought the page in: away with it. */
	ASSERT_EQ(0, madvise(self->page, EMU_PAGE, MADV_DONTNEED));
	self->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	ASSERT_LE(0, self->uffd);
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_API, &api));
	reg = (struct uffdio_register){
		.range = { .start = (uintptr_t)self->page, .len = EMU_PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_REGISTER, &reg));
	generator_on(&self->emu, BASE, 1, 100, 0);
}

static void serve(int uffd, void *page)
{
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)page, .len = EMU_PAGE },
	};

	ioctl(uffd, UFFDIO_ZEROPAGE, &zero);
}

FIXTURE_TEARDOWN(wait)
{
	serve(self->uffd, self->page);
	EXPECT_EQ(0, mig_reset(&self->emu.dev));
	mig_close(&self->emu.dev);
	close(self->uffd);
	munmap(self->page, EMU_PAGE);
}

/* The engine waits for the page. */
static bool blocked(int uffd)
{
	struct uffd_msg msg;
	int i;

	for (i = 0; i < 5000; i++) {
		if (read(uffd, &msg, sizeof(msg)) == sizeof(msg))
			return msg.event == UFFD_EVENT_PAGEFAULT;
		usleep(1000);
	}
	return false;
}

/* A process that does this to the device, and ends with status 0 if it could. */
static pid_t begin(struct mig_device *dev, int (*act)(struct mig_device *dev))
{
	pid_t pid = fork();

	if (pid < 0)
		mig_die("fork: %s", strerror(errno));
	if (!pid)
		_exit(act(dev) ? 1 : 0);
	return pid;
}

static int stop(struct mig_device *dev)
{
	int fd;

	return __mig_set(dev, ST, &fd);
}

static bool ended(pid_t pid, int *status, int ms)
{
	while (ms--) {
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
		usleep(1000);
	}
	return false;
}

TEST_F(wait, b1_stop_waits_for_what_was_begun)
{
	int status;
	pid_t pid;

	ASSERT_TRUE(blocked(self->uffd));
	pid = begin(&self->emu.dev, stop);
	EXPECT_FALSE(ended(pid, &status, 100)) TH_LOG("[B1] with a write under way");
	serve(self->uffd, self->page);
	ASSERT_TRUE(ended(pid, &status, 10000));
	EXPECT_EQ(0, status);
	EXPECT_EQ(ST, mig_get(&self->emu.dev));
	EXPECT_NE(0, generator_sequence(&self->emu));
	EXPECT_EQ(generator_sequence(&self->emu), stamp_of(self->page)) TH_LOG("[B1]");
}

TEST_F(wait, s17_a_killed_arc_leaves_the_state)
{
	int status;
	pid_t pid;

	ASSERT_TRUE(blocked(self->uffd));
	pid = begin(&self->emu.dev, stop);
	EXPECT_FALSE(ended(pid, &status, 50));
	EXPECT_EQ(0, kill(pid, SIGKILL));
	ASSERT_TRUE(ended(pid, &status, 10000)) TH_LOG("cannot be killed");
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(R, mig_get(&self->emu.dev)) TH_LOG("[S17]");
	serve(self->uffd, self->page);
	EXPECT_TRUE(generator_passes(&self->emu, 2)) TH_LOG("[S17] the engine does not go on");
}

TEST_F(wait, x1_a_killed_reset_resets)
{
	int status;
	pid_t pid;

	ASSERT_TRUE(blocked(self->uffd));
	emu_write(&self->emu, EMU_SCRATCH, 5);
	pid = begin(&self->emu.dev, mig_reset);
	EXPECT_FALSE(ended(pid, &status, 50));
	EXPECT_EQ(0, kill(pid, SIGKILL));
	ASSERT_TRUE(ended(pid, &status, 10000)) TH_LOG("cannot be killed");
	EXPECT_EQ(R, mig_get(&self->emu.dev)) TH_LOG("[X1]");
	EXPECT_EQ(0, emu_read(&self->emu, EMU_SCRATCH)) TH_LOG("[X1]");
	serve(self->uffd, self->page);
	usleep(20000);
	EXPECT_EQ(0, generator_sequence(&self->emu)) TH_LOG("what was begun before counts");
	/* And it is as good as new. */
	generator_on(&self->emu, BASE, 1, 100, 0);
	EXPECT_TRUE(generator_passes(&self->emu, 2));
}

static const struct mig_need needs[] = {
	{ "wait", emu_is },
};

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, needs, ARRAY_SIZE(needs));
	return test_harness_run(argc, argv);
}
