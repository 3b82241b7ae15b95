// SPDX-License-Identifier: GPL-2.0
//
// The header in C++, where an enumerator of another enum would not convert.
#include <linux/vfio.h>

enum vfio_device_mig_state all_states[] = {
	VFIO_DEVICE_STATE_ERROR, VFIO_DEVICE_STATE_STOP, VFIO_DEVICE_STATE_RUNNING,
	VFIO_DEVICE_STATE_STOP_COPY, VFIO_DEVICE_STATE_RESUMING, VFIO_DEVICE_STATE_RUNNING_P2P,
	VFIO_DEVICE_STATE_PRE_COPY, VFIO_DEVICE_STATE_PRE_COPY_P2P,
};

struct vfio_precopy_info info = { sizeof(info), VFIO_PRECOPY_INFO_REINIT, 0, 0 };
struct vfio_device_feature_mig_data_size size = { 0 };
struct vfio_device_feature_dma_logging_control control = { 4096, 0, 0, 0 };
