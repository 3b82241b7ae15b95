/* SPDX-License-Identifier: GPL-2.0 */
/*
 * As ../bindings_helper.h, for the crate `mlx5`: what mlx5_core exports, and the
 * layouts of its commands.
 */

#include <linux/hrtimer_types.h>

#include <linux/mlx5/device.h>
#include <linux/mlx5/driver.h>
#include <linux/mlx5/mlx5_ifc.h>
#include "../../helpers/mlx5.h"

/* `bindgen` gets confused at certain things. */
const unsigned long RUST_CONST_HELPER_MLX5_PF_NOTIFY_DISABLE_VF = MLX5_PF_NOTIFY_DISABLE_VF;
const unsigned long RUST_CONST_HELPER_MLX5_PF_NOTIFY_ENABLE_VF = MLX5_PF_NOTIFY_ENABLE_VF;
