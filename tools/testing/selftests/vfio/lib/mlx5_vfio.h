/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A virtual function of a ConnectX that this process drives, by VFIO.
 */
#ifndef SELFTESTS_VFIO_MLX5_VFIO_H
#define SELFTESTS_VFIO_MLX5_VFIO_H

#include "mlx5.h"
#include "vfio_migration.h"

/* The function's memory is here for it. */
#define MLX5_IOVA		0x40000000ULL

struct mlx5_vfio {
	struct mlx5 vf;
	struct mig_device dev;
	size_t bar_size;
	size_t mem_size;
	int irq;		/* eventfd of vector 0 */
};

bool mlx5_is(const struct mig_device *dev);
void mlx5_open(struct mlx5_vfio *own, const char *path, size_t mem_size);
void mlx5_close(struct mlx5_vfio *own);
/* What a reset takes away and a migration does not carry: bus mastering and interrupts. */
void mlx5_prepare(struct mlx5_vfio *own);

#endif
