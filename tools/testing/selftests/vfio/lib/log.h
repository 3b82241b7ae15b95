/* SPDX-License-Identifier: GPL-2.0 */
/*
 * DMA logging of the device under test, and its DMA.
 */
#ifndef SELFTESTS_VFIO_LOG_H
#define SELFTESTS_VFIO_LOG_H

#include "vfio_migration.h"

#define LOG_START	(VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START)
#define LOG_STOP	(VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP)
#define LOG_REPORT	(VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT)

#define KIB	1024ULL
#define MIB	(1024 * KIB)
#define GIB	(1024 * MIB)

#define log_range	vfio_device_feature_dma_logging_range

/* What fits into a page: the VFIO core takes no more ranges. */
#define LOG_MAX_RANGES	(4096 / sizeof(struct log_range))

/* log.c: 0 or -errno */
bool log_is_there(const struct mig_device *dev);
int log_start_n(struct mig_device *dev, const struct log_range *ranges, __u32 count,
		__u64 *page_size);
int log_start(struct mig_device *dev, __u64 iova, __u64 length, __u64 page_size);
int log_stop(struct mig_device *dev);
int log_report(struct mig_device *dev, __u64 iova, __u64 length, __u64 page_size,
	       void *bitmap);

/* dma.c: DMA that the test asks for, of devices that can be asked */
bool dma_is_possible(const struct mig_device *dev);
int dma_write(struct mig_device *dev, __u64 iova, __u64 length);

#endif
