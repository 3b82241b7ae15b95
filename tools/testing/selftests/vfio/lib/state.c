// SPDX-License-Identifier: GPL-2.0
/*
 * VFIO_DEVICE_FEATURE and the migration state behind it.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vfio_migration.h"

int mig_ioctl(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) ? -errno : 0;
}

int mig_feature(int fd, __u32 flags, void *payload, size_t size)
{
	union {
		struct vfio_device_feature feature;
		unsigned char bytes[256];
	} u = {
		.feature = { .argsz = sizeof(struct vfio_device_feature) + size, .flags = flags },
	};
	int ret;

	if (u.feature.argsz > sizeof(u))
		mig_die("a feature payload of %zu bytes", size);
	if (size)
		memcpy(u.feature.data, payload, size);
	ret = mig_ioctl(fd, VFIO_DEVICE_FEATURE, &u.feature);
	/* A failed SET of the state answers as well [S8]. */
	if (size)
		memcpy(payload, u.feature.data, size);
	return ret;
}

int __mig_set(struct mig_device *dev, __u32 state, int *data_fd)
{
	/* No file has this number, so an answer cannot be mistaken for the question. */
	struct vfio_device_feature_mig_state mig = { .device_state = state, .data_fd = -77 };
	int ret;

	ret = mig_feature(dev->fd,
			  VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
			  &mig, sizeof(mig));
	*data_fd = mig.data_fd;
	return ret;
}

int mig_set(struct mig_device *dev, __u32 state)
{
	int from = __mig_get(dev), data_fd, ret;

	ret = __mig_set(dev, state, &data_fd);
	if (ret)
		mig_die("%s -> %s: %s", mig_state_name(from), mig_state_name(state),
			strerror(-ret));
	return data_fd;
}

int __mig_get(struct mig_device *dev)
{
	struct vfio_device_feature_mig_state mig = { .device_state = 99, .data_fd = -77 };
	int ret;

	ret = mig_feature(dev->fd,
			  VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
			  &mig, sizeof(mig));
	if (ret)
		return ret;
	if (mig.data_fd != -1)
		mig_die("[S2] GET of the state returned data_fd %d", mig.data_fd);
	return mig.device_state;
}

int mig_get(struct mig_device *dev)
{
	int state = __mig_get(dev);

	if (state < 0)
		mig_die("GET of the state: %s", strerror(-state));
	return state;
}

const char *mig_state_name(int state)
{
	static const char * const name[] = {
		[ERR] = "ERROR", [ST] = "STOP", [R] = "RUNNING", [SC] = "STOP_COPY",
		[RE] = "RESUMING", [RP] = "RUNNING_P2P", [PC] = "PRE_COPY",
		[PP] = "PRE_COPY_P2P",
	};

	return state >= 0 && state < MIG_STATES ? name[state] : "no state";
}

/* Which states user space may ask for, from the text on VFIO_MIGRATION_* flags. */
bool mig_supports(__u64 flags, int state)
{
	switch (state) {
	case ST:
	case R:
	case SC:
	case RE:
		return flags & VFIO_MIGRATION_STOP_COPY;
	case RP:
		return flags & VFIO_MIGRATION_P2P;
	case PC:
		return flags & VFIO_MIGRATION_PRE_COPY;
	case PP:
		return (flags & VFIO_MIGRATION_P2P) && (flags & VFIO_MIGRATION_PRE_COPY);
	default:
		return false;
	}
}

bool mig_saving(int state)
{
	return state == PC || state == PP || state == SC;
}

int mig_data_size(struct mig_device *dev, __u64 *size)
{
	struct vfio_device_feature_mig_data_size data = { .stop_copy_length = ~0ULL };
	int ret;

	ret = mig_feature(dev->fd, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
			  &data, sizeof(data));
	*size = data.stop_copy_length;
	return ret;
}

int mig_precopy_info(int data_fd, struct vfio_precopy_info *info)
{
	*info = (struct vfio_precopy_info){ .argsz = sizeof(*info) };
	return mig_ioctl(data_fd, VFIO_MIG_GET_PRECOPY_INFO, info);
}

int mig_precopy_v2(struct mig_device *dev)
{
	return mig_feature(dev->fd,
			   VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
			   NULL, 0);
}

/* A data file whose session has ended hands out no byte; an end is fine, so is an error. */
bool mig_reads_nothing(int data_fd)
{
	char byte;

	return read(data_fd, &byte, 1) <= 0;
}
