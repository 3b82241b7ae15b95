/* SPDX-License-Identifier: GPL-2.0 */
/*
 * As ../bindings_helper.h, for the crate `mlx5`: what mlx5_core exports, and the
 * layouts of its commands.
 */

#include <linux/hrtimer_types.h>

#include <linux/mlx5/cq.h>
#include <linux/mlx5/device.h>
#include <linux/mlx5/driver.h>
#include <linux/mlx5/eq.h>
#include <linux/mlx5/mlx5_ifc.h>
#include "../../helpers/mlx5.h"

/* `bindgen` gets confused at certain things. */
const unsigned long RUST_CONST_HELPER_MLX5_PF_NOTIFY_DISABLE_VF = MLX5_PF_NOTIFY_DISABLE_VF;
const unsigned long RUST_CONST_HELPER_MLX5_PF_NOTIFY_ENABLE_VF = MLX5_PF_NOTIFY_ENABLE_VF;

const u8 RUST_CONST_HELPER_MLX5_EVENT_TYPE_NOTIFY_ANY = MLX5_EVENT_TYPE_NOTIFY_ANY;
const u8 RUST_CONST_HELPER_MLX5_EVENT_TYPE_WQ_CATAS_ERROR = MLX5_EVENT_TYPE_WQ_CATAS_ERROR;
const u8 RUST_CONST_HELPER_MLX5_EVENT_TYPE_WQ_INVAL_REQ_ERROR = MLX5_EVENT_TYPE_WQ_INVAL_REQ_ERROR;
const u8 RUST_CONST_HELPER_MLX5_EVENT_TYPE_WQ_ACCESS_ERROR = MLX5_EVENT_TYPE_WQ_ACCESS_ERROR;
const u8 RUST_CONST_HELPER_MLX5_EVENT_TYPE_OBJECT_CHANGE = MLX5_EVENT_TYPE_OBJECT_CHANGE;

const size_t RUST_CONST_HELPER_OFFSETOF_CQE_IMMEDIATE = offsetof(struct mlx5_cqe64, immediate);
const size_t RUST_CONST_HELPER_OFFSETOF_CQE_BYTE_CNT = offsetof(struct mlx5_cqe64, byte_cnt);
const size_t RUST_CONST_HELPER_OFFSETOF_CQE_WQE_COUNTER = offsetof(struct mlx5_cqe64, wqe_counter);
const size_t RUST_CONST_HELPER_OFFSETOF_CQE_OP_OWN = offsetof(struct mlx5_cqe64, op_own);
