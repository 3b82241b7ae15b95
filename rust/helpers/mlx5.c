// SPDX-License-Identifier: GPL-2.0
/* As helpers.c, for the crate `mlx5`. Only its own module uses them. */

#include "mlx5.h"

/* The device whose DMA the firmware does on behalf of a command of @mdev. */
struct device *rust_helper_mlx5_dma_device(struct mlx5_core_dev *mdev)
{
	return mdev->device;
}
