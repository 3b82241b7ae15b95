/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The VFIO migration user API over the system's <linux/vfio.h>.
 *
 * Put this directory in front of the system's and include <linux/vfio.h> as usual.
 * What the system's header has is used as it is; what came later is added here, so a
 * program builds on a distribution whose header is older than the kernel it runs on.
 * The oldest header this works over is that of Linux 5.18, where version 2 of the
 * migration API began.
 *
 * Types cannot be tested by the preprocessor. Each block below is therefore guarded by
 * a macro that entered the kernel in the same commit as the block's types.
 */
#ifndef _VFIO_MIGRATION_UAPI_LINUX_VFIO_H
#define _VFIO_MIGRATION_UAPI_LINUX_VFIO_H

#include <linux/types.h>
#include_next <linux/vfio.h>

#ifndef VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE
#error "the system's <linux/vfio.h> is older than version 2 of the migration API (Linux 5.18)"
#endif

/* Linux 6.0: DMA logging. */
#ifndef VFIO_DEVICE_FEATURE_DMA_LOGGING_START
struct vfio_device_feature_dma_logging_range {
	__aligned_u64 iova;	/* first address, a multiple of page_size */
	__aligned_u64 length;	/* bytes, a multiple of page_size */
};

/* SET: log the device's writes to these ranges from now on. */
struct vfio_device_feature_dma_logging_control {
	__aligned_u64 page_size;	/* in: wished granularity, out: the device's */
	__u32 num_ranges;
	__u32 __reserved;
	__aligned_u64 ranges;	/* address of an array of num_ranges ranges */
};

#define VFIO_DEVICE_FEATURE_DMA_LOGGING_START	6

/* SET, no payload: end the logging. */
#define VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP	7

/* GET: set the bits of the pages written since the last report, and forget them. */
struct vfio_device_feature_dma_logging_report {
	__aligned_u64 iova;
	__aligned_u64 length;
	__aligned_u64 page_size;	/* bytes per bit, any power of two */
	__aligned_u64 bitmap;	/* address of an array of __u64 */
};

#define VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT	8
#endif

/*
 * Linux 6.2: PRE_COPY. The enumerators came with the flag. They are macros here, not a
 * second enum, so that they have the type of the first one in C++ too.
 */
#ifndef VFIO_MIGRATION_PRE_COPY
#define VFIO_MIGRATION_PRE_COPY	(1 << 2)
#define VFIO_DEVICE_STATE_PRE_COPY	((enum vfio_device_mig_state)6)
#define VFIO_DEVICE_STATE_PRE_COPY_P2P	((enum vfio_device_mig_state)7)
#endif

/* On the data file, in PRE_COPY and PRE_COPY_P2P: estimates of what is left to read. */
#ifndef VFIO_MIG_GET_PRECOPY_INFO
struct vfio_precopy_info {
	__u32 argsz;
	__u32 flags;
	__aligned_u64 initial_bytes;	/* of the first pass; move to STOP_COPY when 0 */
	__aligned_u64 dirty_bytes;	/* changed since it was read */
};

#define VFIO_MIG_GET_PRECOPY_INFO	_IO(VFIO_TYPE, VFIO_BASE + 21)
#endif

/* Linux 6.2: GET, in any state: an estimate of the bytes STOP_COPY has to move. */
#ifndef VFIO_DEVICE_FEATURE_MIG_DATA_SIZE
struct vfio_device_feature_mig_data_size {
	__aligned_u64 stop_copy_length;
};

#define VFIO_DEVICE_FEATURE_MIG_DATA_SIZE	9
#endif

/*
 * SET, no payload, lasts until the last close: the flags of struct vfio_precopy_info are
 * an output. Without it they are reserved and come back as they were given.
 */
#ifndef VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2
#define VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2	12
#endif

/* The device was set up anew: initial_bytes starts again, dirty_bytes counts from there. */
#ifndef VFIO_PRECOPY_INFO_REINIT
#define VFIO_PRECOPY_INFO_REINIT	(1 << 0)
#endif

#endif /* _VFIO_MIGRATION_UAPI_LINUX_VFIO_H */
