// SPDX-License-Identifier: GPL-2.0
/*
 * Opening, resetting and closing a VFIO device of any kind, found by its path in sysfs.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/iommufd.h>

#include "vfio_migration.h"

const char *mig_path(void)
{
	const char *path = getenv("VFIO_MIGRATION_DEVICE");

	if (!path || !*path)
		mig_die("VFIO_MIGRATION_DEVICE must be the device's path in sysfs");
	return path;
}

/* A second device of the same type. */
const char *mig_peer_path(void)
{
	return getenv("VFIO_MIGRATION_PEER");
}

/* A device whose streams the device under test must refuse. */
const char *mig_foreign_path(void)
{
	return getenv("VFIO_MIGRATION_FOREIGN");
}

enum mig_mode mig_mode(void)
{
	const char *mode = getenv("VFIO_MIGRATION_MODE");

	if (!mode || !*mode || !strcmp(mode, "cdev"))
		return MIG_CDEV;
	if (!strcmp(mode, "group"))
		return MIG_GROUP;
	mig_die("VFIO_MIGRATION_MODE is neither cdev nor group: %s", mode);
}

static int open_cdev(struct mig_device *dev)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	struct iommu_ioas_alloc ioas = { .size = sizeof(ioas) };
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/vfio-dev", dev->path);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((entry = readdir(dir)))
		if (!strncmp(entry->d_name, "vfio", 4))
			break;
	if (!entry) {
		closedir(dir);
		return -ENODEV;
	}
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", entry->d_name);
	closedir(dir);

	dev->container = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (dev->container < 0)
		return -errno;
	dev->fd = open(path, O_RDWR | O_CLOEXEC);
	if (dev->fd < 0)
		return -errno;
	bind.iommufd = dev->container;
	if (ioctl(dev->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind) ||
	    ioctl(dev->container, IOMMU_IOAS_ALLOC, &ioas))
		return -errno;
	dev->ioas = ioas.out_ioas_id;
	attach.pt_id = dev->ioas;
	return ioctl(dev->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) ? -errno : 0;
}

static int open_group(struct mig_device *dev)
{
	char link[PATH_MAX], target[PATH_MAX];
	ssize_t len;

	snprintf(link, sizeof(link), "%s/iommu_group", dev->path);
	len = readlink(link, target, sizeof(target) - 1);
	if (len < 0)
		return -errno;
	target[len] = '\0';
	snprintf(link, sizeof(link), "/dev/vfio%s", strrchr(target, '/'));

	dev->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (dev->container < 0)
		return -errno;
	dev->group = open(link, O_RDWR | O_CLOEXEC);
	if (dev->group < 0)
		return -errno;
	if (ioctl(dev->group, VFIO_GROUP_SET_CONTAINER, &dev->container) ||
	    ioctl(dev->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return -errno;
	dev->fd = mig_device_fd(dev);
	return dev->fd < 0 ? dev->fd : 0;
}

/* One more file of a device opened by its group: all of them share one open device. */
int mig_device_fd(struct mig_device *dev)
{
	int fd = ioctl(dev->group, VFIO_GROUP_GET_DEVICE_FD, dev->name);

	return fd < 0 ? -errno : fd;
}

int __mig_open(struct mig_device *dev, const char *path, enum mig_mode mode)
{
	struct vfio_device_feature_migration mig = {};
	int ret;

	*dev = (struct mig_device){
		.path = path, .mode = mode, .container = -1, .group = -1, .fd = -1,
	};
	dev->name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	ret = mode == MIG_CDEV ? open_cdev(dev) : open_group(dev);
	if (!ret)
		ret = mig_feature(dev->fd, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION,
				  &mig, sizeof(mig));
	if (ret)
		mig_close(dev);
	dev->flags = mig.flags;
	return ret;
}

void mig_open(struct mig_device *dev)
{
	int ret = __mig_open(dev, mig_path(), mig_mode());

	if (ret)
		mig_die("cannot open %s: %s", mig_path(), strerror(-ret));
}

static void put_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void mig_close(struct mig_device *dev)
{
	put_fd(&dev->fd);
	put_fd(&dev->group);
	put_fd(&dev->container);
}

int mig_reset(struct mig_device *dev)
{
	return mig_ioctl(dev->fd, VFIO_DEVICE_RESET, NULL);
}

int mig_region(struct mig_device *dev, unsigned int index, struct vfio_region_info *info)
{
	*info = (struct vfio_region_info){ .argsz = sizeof(*info), .index = index };
	return mig_ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, info);
}

/* Does its configuration space begin with that device and vendor? */
bool mig_has_pci_id(const struct mig_device *dev, __u32 wanted)
{
	struct mig_device copy = *dev;
	struct vfio_region_info info;
	__u32 id;

	return !mig_region(&copy, VFIO_PCI_CONFIG_REGION_INDEX, &info) &&
	       pread(copy.fd, &id, sizeof(id), info.offset) == sizeof(id) &&
	       id == wanted;
}

/* The first region that can be mapped, or NULL. */
void *mig_mmap(struct mig_device *dev, size_t *size)
{
	struct vfio_region_info info;
	unsigned int i;
	void *map;

	for (i = 0; i < VFIO_PCI_CONFIG_REGION_INDEX; i++) {
		if (mig_region(dev, i, &info) || !info.size ||
		    !(info.flags & VFIO_REGION_INFO_FLAG_MMAP))
			continue;
		map = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, dev->fd,
			   info.offset);
		if (map == MAP_FAILED)
			continue;
		*size = info.size;
		return map;
	}
	return NULL;
}

/* Connect the first vectors to new eventfds, or with no fd disconnect all. */
int mig_eventfds(struct mig_device *dev, int *fd, unsigned int count)
{
	struct {
		struct vfio_irq_set set;
		int fd[MIG_VECTORS];
	} req = {
		.set = {
			.argsz = sizeof(req.set) + count * sizeof(int),
			.flags = VFIO_IRQ_SET_ACTION_TRIGGER |
				 (count ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE),
			.index = VFIO_PCI_MSIX_IRQ_INDEX,
			.count = count,
		},
	};
	unsigned int i;

	for (i = 0; i < count; i++) {
		fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (fd[i] < 0)
			return -errno;
		req.fd[i] = fd[i];
	}
	return mig_ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, &req);
}
