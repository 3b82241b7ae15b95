/* SPDX-License-Identifier: GPL-2.0 */
/* What Rust cannot call of mlx5_core and of the DMA API: inline functions and fields. */
#ifndef _VFIO_RUST_MLX5_HELPERS_H
#define _VFIO_RUST_MLX5_HELPERS_H

#include <linux/mlx5/cq.h>
#include <linux/mlx5/driver.h>

struct device *rust_helper_mlx5_dma_device(struct mlx5_core_dev *mdev);
void *rust_helper_mlx5_alloc_block(unsigned int order);
int rust_helper_mlx5_dma_map(struct device *dev, void *block, size_t size, bool from_device,
			     u64 *address);
void rust_helper_mlx5_dma_unmap(struct device *dev, u64 address, size_t size, bool from_device);
void rust_helper_mlx5_dma_sync(struct device *dev, u64 address, size_t size, bool from_device,
			       bool for_cpu);

void rust_helper_mlx5_arm_cq(struct mlx5_core_cq *cq, void __iomem *uar, u32 next);
u32 rust_helper_mlx5_default_timestamps(struct mlx5_core_dev *mdev);
s64 rust_helper_mlx5_eqe_qpn(const struct mlx5_eqe *eqe);
u16 rust_helper_mlx5_eqe_obj_type(const struct mlx5_eqe *eqe);

#endif
