/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A virtual function of a ConnectX: its BAR, memory for its DMA, and its command interface. What
 * commands look like is taken from the kernel's mlx5_ifc.h.
 *
 * This and rdma.c need no operating system: processes drive functions with it by VFIO
 * (mlx5_vfio.c), and so does the guest that QEMU migrates, whose functions they are.
 */
#ifndef SELFTESTS_VFIO_MLX5_H
#define SELFTESTS_VFIO_MLX5_H

#include <stddef.h>

#include <linux/types.h>

/* What that header needs of the kernel. */
#define u8			__u8
#define BIT(n)			(1UL << (n))
#define BIT_ULL(n)		(1ULL << (n))
#define DECLARE_FLEX_ARRAY	__DECLARE_FLEX_ARRAY
#include "mlx5_ifc.h"

#define MLX5_PAGE		4096UL

/* What is where in that memory; the rest is for who uses the function. */
enum {
	MLX5_MEM_QUEUE = 0x0,		/* of commands */
	MLX5_MEM_IN = 0x1000,		/* mailboxes */
	MLX5_MEM_OUT = 0x8000,
	MLX5_MEM_FIRMWARE = 0xd000,	/* pages that the firmware asks for */
	MLX5_MEM_FREE = 0x10000,
};

struct mlx5 {
	unsigned char *bar;
	unsigned char *mem;
	__u64 iova;		/* where mem is for the function */
	__u8 token;		/* of the last command */
	unsigned int pages;	/* that the firmware has */
};

/* What it is linked with: an end to it all, a clock, a short sleep. */
[[gnu::format(printf, 1, 2), gnu::noreturn]] void mlx5_die(const char *format, ...);
__u64 mlx5_now_ms(void);
void mlx5_pause(void);

/* Field f of struct mlx5_ifc_s_bits, which is at p. */
#define ifc_bit(s, f)		offsetof(struct mlx5_ifc_ ## s ## _bits, f)
#define ifc_bits(s, f)		sizeof(((struct mlx5_ifc_ ## s ## _bits *)0)->f)
#define ifc_set(s, p, f, v)	mlx5_bits_set(p, ifc_bit(s, f), ifc_bits(s, f), v)
#define ifc_get(s, p, f)	mlx5_bits_get(p, ifc_bit(s, f), ifc_bits(s, f))
#define ifc_size(s)		(sizeof(struct mlx5_ifc_ ## s ## _bits) / 8)
/* What begins there. */
#define ifc_at(s, p, f)		((unsigned char *)(p) + ifc_bit(s, f) / 8)

void mlx5_bits_set(void *data, size_t bit, size_t width, __u64 value);
__u64 mlx5_bits_get(const void *data, size_t bit, size_t width);

/* Big-endian numbers in memory. */
void mlx5_put32(void *place, __u32 value);
__u32 mlx5_get32(const void *place);
void mlx5_put64(void *place, __u64 value);

__u32 mlx5_read(struct mlx5 *vf, size_t offset);
void mlx5_write(struct mlx5 *vf, size_t offset, __u32 value);
void mlx5_write64(struct mlx5 *vf, size_t offset, __u32 first, __u32 second);

/* The output of a command is in out; the input begins with opcode and op_mod. */
void mlx5_exec(struct mlx5 *vf, void *in, size_t inlen, void *out, size_t outlen);
/* One with a number at byte 8, as its input and output. */
__u32 mlx5_simple(struct mlx5 *vf, __u16 opcode, __u16 op_mod, __u32 argument);
/* From reset to INIT_HCA, and back. */
void mlx5_start(struct mlx5 *vf);
void mlx5_finish(struct mlx5 *vf);

#endif
