// SPDX-License-Identifier: GPL-2.0
/*
 * VFIO_DEVICE_FEATURE_DMA_LOGGING_*.
 */
#include "log.h"

bool log_is_there(const struct mig_device *dev)
{
	return !mig_feature(dev->fd, VFIO_DEVICE_FEATURE_PROBE | LOG_START, NULL, 0);
}

/* The page size that the driver chose instead is in page_size afterwards. */
int log_start_n(struct mig_device *dev, const struct log_range *ranges, __u32 count,
		__u64 *page_size)
{
	struct vfio_device_feature_dma_logging_control control = {
		.page_size = *page_size,
		.num_ranges = count,
		.ranges = (uintptr_t)ranges,
	};
	int ret = mig_feature(dev->fd, LOG_START, &control, sizeof(control));

	*page_size = control.page_size;
	return ret;
}

int log_start(struct mig_device *dev, __u64 iova, __u64 length, __u64 page_size)
{
	struct log_range range = { .iova = iova, .length = length };

	return log_start_n(dev, &range, 1, &page_size);
}

int log_stop(struct mig_device *dev)
{
	return mig_feature(dev->fd, LOG_STOP, NULL, 0);
}

int log_report(struct mig_device *dev, __u64 iova, __u64 length, __u64 page_size,
	       void *bitmap)
{
	struct vfio_device_feature_dma_logging_report report = {
		.iova = iova,
		.length = length,
		.page_size = page_size,
		.bitmap = (uintptr_t)bitmap,
	};

	return mig_feature(dev->fd, LOG_REPORT, &report, sizeof(report));
}
