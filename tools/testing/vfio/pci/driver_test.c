// SPDX-License-Identifier: GPL-2.0
/*
 * What user space and the PCI core may do to a variant driver at any time: reset, unbind, unload.
 * The device is bound to vfio_migration_test_pci.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "kselftest_harness.h"
#include "lib/process.h"
#include "lib/system.h"
#include "lib/vfio_migration.h"

#define DRIVER	"vfio_migration_test_pci"

FIXTURE(driver) {
	struct mig_device dev;
};

FIXTURE_SETUP(driver)
{
	mig_open(&self->dev);
}

FIXTURE_TEARDOWN(driver)
{
	mig_close(&self->dev);
}

static int driver(const char *file, const char *device)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/" DRIVER "/%s", file);
	return __sys_write(path, device);
}

static bool is_bound(const char *device)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/driver", device);
	return !access(path, F_OK);
}

/* Can the device migrate? Then everything is in place. */
static bool works(struct mig_device *dev)
{
	struct mig_buf buf = {};
	bool equal;

	if (mig_get(dev) != R)
		return false;
	mig_save(dev, &buf);
	equal = buf.len && mig_round_trip(dev, &buf);
	mig_buf_free(&buf);
	return equal && !mig_reset(dev);
}

TEST_F(driver, saves_and_loads)
{
	EXPECT_TRUE(works(&self->dev));
}

static void *unbind(void *arg)
{
	struct mig_device *dev = arg;

	return (void *)(intptr_t)driver("unbind", dev->name);
}

/* Unbinding asks for the device, by an eventfd, and waits until it is given up. */
TEST_F(driver, s23_unbind_while_open)
{
	struct {
		struct vfio_irq_set set;
		int fd;
	} irq = {
		.set = {
			.argsz = sizeof(irq),
			.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			.index = VFIO_PCI_REQ_IRQ_INDEX,
			.count = 1,
		},
		.fd = eventfd(0, 0),
	};
	struct pollfd request = { .fd = irq.fd, .events = POLLIN };
	pthread_t thread;
	void *ret;
	char byte;
	int fd;

	ASSERT_EQ(0, mig_ioctl(self->dev.fd, VFIO_DEVICE_SET_IRQS, &irq));
	fd = mig_set(&self->dev, SC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, pthread_create(&thread, NULL, unbind, &self->dev));
	ASSERT_EQ(1, poll(&request, 1, 20000)) TH_LOG("nobody asked for the device");
	EXPECT_EQ(SC, mig_get(&self->dev)) TH_LOG("it is still ours");
	EXPECT_EQ(1, read(fd, &byte, 1));
	mig_close(&self->dev);
	ASSERT_EQ(0, pthread_join(thread, &ret));
	EXPECT_EQ(0, (intptr_t)ret);
	EXPECT_FALSE(is_bound(mig_path()));
	EXPECT_TRUE(mig_reads_nothing(fd)) TH_LOG("[S23]");
	close(fd);
	close(irq.fd);
	ASSERT_EQ(0, driver("bind", self->dev.name));
	mig_open(&self->dev);
	EXPECT_TRUE(works(&self->dev));
}

TEST_F(driver, s24_no_unload_while_a_stream_is_open)
{
	int fd = mig_set(&self->dev, PC), i;

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EAGAIN, module_unload(DRIVER)) TH_LOG("the device is open");
	mig_close(&self->dev);
	ASSERT_EQ(0, driver("unbind", self->dev.name));
	EXPECT_EQ(-EAGAIN, module_unload(DRIVER)) TH_LOG("[S24] only the stream is open");
	EXPECT_TRUE(mig_reads_nothing(fd)) TH_LOG("[S23]");
	close(fd);
	/* The last put of a file may be left to a worker. */
	for (i = 0; i < 100 && module_unload(DRIVER) == -EAGAIN; i++)
		usleep(50000);
	EXPECT_EQ(-ENOENT, module_unload(DRIVER)) TH_LOG("[S24] the module is still there");
	ASSERT_EQ(0, system("modprobe " DRIVER));
	/* The driver_override is still there, so that the device is bound again. */
	ASSERT_TRUE(is_bound(mig_path()) || !driver("bind", self->dev.name));
	mig_open(&self->dev);
	EXPECT_TRUE(works(&self->dev));
}

TEST_HARNESS_MAIN
