// SPDX-License-Identifier: GPL-2.0
/* As helpers.c, for the crate `mlx5`. Only its own module uses them. */

#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/mlx5/qp.h>
#include "mlx5.h"

/* The device whose DMA the firmware does on behalf of a command of @mdev. */
struct device *rust_helper_mlx5_dma_device(struct mlx5_core_dev *mdev)
{
	return mdev->device;
}

/* Zeroed. Who asks for more than a page has something smaller to fall back to. */
void *rust_helper_mlx5_alloc_block(unsigned int order)
{
	gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_NOWARN;

	/* A session that needs too much fails; nobody is killed for it. */
	gfp |= order ? __GFP_NORETRY : __GFP_RETRY_MAYFAIL;
	return (void *)__get_free_pages(gfp, order);
}

static enum dma_data_direction direction(bool from_device)
{
	return from_device ? DMA_FROM_DEVICE : DMA_TO_DEVICE;
}

int rust_helper_mlx5_dma_map(struct device *dev, void *block, size_t size, bool from_device,
			     u64 *address)
{
	dma_addr_t dma = dma_map_single(dev, block, size, direction(from_device));

	*address = dma;
	return dma_mapping_error(dev, dma);
}

void rust_helper_mlx5_dma_unmap(struct device *dev, u64 address, size_t size, bool from_device)
{
	dma_unmap_single(dev, address, size, direction(from_device));
}

void rust_helper_mlx5_dma_sync(struct device *dev, u64 address, size_t size, bool from_device,
			       bool for_cpu)
{
	if (for_cpu)
		dma_sync_single_for_cpu(dev, address, size, direction(from_device));
	else
		dma_sync_single_for_device(dev, address, size, direction(from_device));
}

void rust_helper_mlx5_arm_cq(struct mlx5_core_cq *cq, void __iomem *uar, u32 next)
{
	mlx5_cq_arm(cq, MLX5_CQ_DB_REQ_NOT, uar, next);
}

u32 rust_helper_mlx5_default_timestamps(struct mlx5_core_dev *mdev)
{
	return mlx5_get_qp_default_ts(mdev);
}

/* The queue pair that failed; -1 if it is a queue of another kind. */
s64 rust_helper_mlx5_eqe_qpn(const struct mlx5_eqe *eqe)
{
	if (eqe->data.qp_srq.type != MLX5_EVENT_QUEUE_TYPE_QP)
		return -1;
	return be32_to_cpu(eqe->data.qp_srq.qp_srq_n) & 0xffffff;
}

u16 rust_helper_mlx5_eqe_obj_type(const struct mlx5_eqe *eqe)
{
	return be16_to_cpu(eqe->data.obj_change.obj_type);
}
