/* SPDX-License-Identifier: GPL-2.0 */
/* What Rust cannot call of mlx5_core and of the DMA API: inline functions and fields. */
#ifndef _VFIO_RUST_MLX5_HELPERS_H
#define _VFIO_RUST_MLX5_HELPERS_H

#include <linux/mlx5/driver.h>

struct device *rust_helper_mlx5_dma_device(struct mlx5_core_dev *mdev);

#endif
