// SPDX-License-Identifier: GPL-2.0
/*
 * The command interface of a ConnectX.
 */
#include <string.h>

#include "mlx5.h"

/* BAR 0 */
enum {
	SEG_CMDQ_ADDR_H = 0x10,
	SEG_CMDQ_ADDR_L = 0x14,
	SEG_CMD_DBELL = 0x18,
	SEG_INITIALIZING = 0x1fc,
};

/* An entry of the command queue, and a block of a mailbox. */
enum {
	CMD_TYPE = 0x00,
	CMD_INLEN = 0x04,
	CMD_IN_PTR = 0x08,
	CMD_IN = 0x10,
	CMD_OUT = 0x20,
	CMD_OUT_PTR = 0x30,
	CMD_OUTLEN = 0x38,
	CMD_TOKEN = 0x3c,
	CMD_STATUS_OWN = 0x3f,
	CMD_SIZE = 0x40,
	CMD_INLINE = 16,
	CMD_PCI = 7,

	BLOCK_DATA = 0x200,
	BLOCK_NEXT = 0x230,
	BLOCK_NUMBER = 0x238,
	BLOCK_TOKEN = 0x23d,
	BLOCK_SIZE = 0x400,
};

#define PATIENCE_MS	60000

/* op_mod of QUERY_PAGES and MANAGE_PAGES */
enum { PAGES_BOOT = 1, PAGES_INIT = 2, PAGES_GIVE = 1, PAGES_TAKE = 2 };

void mlx5_bits_set(void *data, size_t bit, size_t width, __u64 value)
{
	unsigned char *bytes = data;
	size_t i;

	for (i = 0; i < width; i++) {
		size_t at = bit + i;
		unsigned char mask = 0x80 >> at % 8;

		if (value >> (width - 1 - i) & 1)
			bytes[at / 8] |= mask;
		else
			bytes[at / 8] &= ~mask;
	}
}

__u64 mlx5_bits_get(const void *data, size_t bit, size_t width)
{
	const unsigned char *bytes = data;
	__u64 value = 0;
	size_t i;

	for (i = bit; i < bit + width; i++)
		value = value << 1 | (bytes[i / 8] >> (7 - i % 8) & 1);
	return value;
}

void mlx5_put32(void *place, __u32 value)
{
	unsigned char *bytes = place;

	bytes[0] = value >> 24;
	bytes[1] = value >> 16;
	bytes[2] = value >> 8;
	bytes[3] = value;
}

__u32 mlx5_get32(const void *place)
{
	const unsigned char *bytes = place;

	return (__u32)bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3];
}

void mlx5_put64(void *place, __u64 value)
{
	mlx5_put32(place, value >> 32);
	mlx5_put32((char *)place + 4, value);
}

__u32 mlx5_read(struct mlx5 *vf, size_t offset)
{
	__u32 value = __atomic_load_n((__u32 *)(vf->bar + offset), __ATOMIC_ACQUIRE);

	return mlx5_get32(&value);
}

/* What was written to memory before is there when the function reads it. */
void mlx5_write(struct mlx5 *vf, size_t offset, __u32 value)
{
	__u32 wire;

	mlx5_put32(&wire, value);
	__atomic_store_n((__u32 *)(vf->bar + offset), wire, __ATOMIC_RELEASE);
}

/* Two registers in one access. */
void mlx5_write64(struct mlx5 *vf, size_t offset, __u32 first, __u32 second)
{
	__u64 wire;

	mlx5_put64(&wire, (__u64)first << 32 | second);
	__atomic_store_n((__u64 *)(vf->bar + offset), wire, __ATOMIC_RELEASE);
}

/* A chain of blocks for len bytes: its address for the function, 0 if none is needed. */
static __u64 chain(struct mlx5 *vf, size_t start, size_t limit, size_t len, const void *data)
{
	size_t blocks = (len + BLOCK_DATA - 1) / BLOCK_DATA, i;

	if (start + blocks * BLOCK_SIZE > limit)
		mlx5_die("a mailbox of %zu bytes", len);
	for (i = 0; i < blocks; i++) {
		unsigned char *block = vf->mem + start + i * BLOCK_SIZE;
		size_t part = len - i * BLOCK_DATA;

		memset(block, 0, BLOCK_SIZE);
		if (data)
			memcpy(block, (const char *)data + i * BLOCK_DATA,
			       part < BLOCK_DATA ? part : BLOCK_DATA);
		if (i + 1 < blocks)
			mlx5_put64(block + BLOCK_NEXT,
				   vf->iova + start + (i + 1) * BLOCK_SIZE);
		mlx5_put32(block + BLOCK_NUMBER, i);
		block[BLOCK_TOKEN] = vf->token;
	}
	return blocks ? vf->iova + start : 0;
}

static size_t beyond(size_t len)
{
	return len > CMD_INLINE ? len - CMD_INLINE : 0;
}

void mlx5_exec(struct mlx5 *vf, void *in, size_t inlen, void *out, size_t outlen)
{
	unsigned char *entry = vf->mem + MLX5_MEM_QUEUE;
	size_t rest = beyond(outlen), at;
	__u64 start = mlx5_now_ms();
	unsigned int own, status;

	vf->token = vf->token % 255 + 1;
	memset(entry, 0, CMD_SIZE);
	entry[CMD_TYPE] = CMD_PCI;
	mlx5_put32(entry + CMD_INLEN, inlen);
	mlx5_put32(entry + CMD_OUTLEN, outlen);
	mlx5_put64(entry + CMD_IN_PTR, chain(vf, MLX5_MEM_IN, MLX5_MEM_OUT, beyond(inlen),
					     (char *)in + CMD_INLINE));
	mlx5_put64(entry + CMD_OUT_PTR,
		   chain(vf, MLX5_MEM_OUT, MLX5_MEM_FIRMWARE, rest, NULL));
	memcpy(entry + CMD_IN, in, inlen < CMD_INLINE ? inlen : CMD_INLINE);
	entry[CMD_TOKEN] = vf->token;
	entry[CMD_STATUS_OWN] = 1;
	mlx5_write(vf, SEG_CMD_DBELL, 1);
	while ((own = __atomic_load_n(entry + CMD_STATUS_OWN, __ATOMIC_ACQUIRE)) & 1) {
		if (mlx5_now_ms() - start > PATIENCE_MS)
			mlx5_die("command %#x does not end", mlx5_get32(in) >> 16);
		mlx5_pause();
	}
	memcpy(out, entry + CMD_OUT, outlen < CMD_INLINE ? outlen : CMD_INLINE);
	for (at = 0; at < rest; at += BLOCK_DATA)
		memcpy((char *)out + CMD_INLINE + at,
		       vf->mem + MLX5_MEM_OUT + at / BLOCK_DATA * BLOCK_SIZE,
		       rest - at < BLOCK_DATA ? rest - at : BLOCK_DATA);
	status = own ? 0x100 | own : mlx5_get32(out) >> 24;
	if (status)
		mlx5_die("command %#x: status %#x, syndrome %#x", mlx5_get32(in) >> 16, status,
			 mlx5_get32((char *)out + 4));
}

__u32 mlx5_simple(struct mlx5 *vf, __u16 opcode, __u16 op_mod, __u32 argument)
{
	unsigned char in[16] = {}, out[16] = {};

	mlx5_put32(in, (__u32)opcode << 16);
	mlx5_put32(in + 4, op_mod);
	mlx5_put32(in + 8, argument);
	mlx5_exec(vf, in, sizeof(in), out, sizeof(out));
	return mlx5_get32(out + 8);
}

/* Gives the firmware the pages that it asks for. */
static void give_pages(struct mlx5 *vf, __u16 when)
{
	unsigned char in[16 + 8 * 8] = {}, out[16] = {};
	__u32 count, i;

	mlx5_put32(in, MLX5_CMD_OP_QUERY_PAGES << 16);
	mlx5_put32(in + 4, when);
	mlx5_exec(vf, in, 16, out, sizeof(out));
	count = mlx5_get32(out + 12);
	if (!count)
		return;
	if (MLX5_MEM_FIRMWARE + (vf->pages + count) * MLX5_PAGE > MLX5_MEM_FREE || count > 8)
		mlx5_die("the firmware wants %u pages", count);
	mlx5_put32(in, MLX5_CMD_OP_MANAGE_PAGES << 16);
	mlx5_put32(in + 4, PAGES_GIVE);
	mlx5_put32(in + 12, count);
	for (i = 0; i < count; i++)
		mlx5_put64(in + 16 + 8 * i,
			   vf->iova + MLX5_MEM_FIRMWARE + (vf->pages + i) * MLX5_PAGE);
	mlx5_exec(vf, in, 16 + 8 * count, out, sizeof(out));
	vf->pages += count;
}

void mlx5_start(struct mlx5 *vf)
{
	unsigned char in[16] = {}, issi[ifc_size(query_issi_out)] = {}, out[16];
	static unsigned char caps[0x1010];
	__u64 start = mlx5_now_ms();

	while (mlx5_read(vf, SEG_INITIALIZING) >> 31)
		if (mlx5_now_ms() - start > PATIENCE_MS)
			mlx5_die("the firmware does not come up");
	mlx5_write(vf, SEG_CMDQ_ADDR_H, (vf->iova + MLX5_MEM_QUEUE) >> 32);
	mlx5_write(vf, SEG_CMDQ_ADDR_L, vf->iova + MLX5_MEM_QUEUE);
	mlx5_simple(vf, MLX5_CMD_OP_ENABLE_HCA, 0, 0);
	mlx5_put32(in, MLX5_CMD_OP_QUERY_ISSI << 16);
	mlx5_exec(vf, in, sizeof(in), issi, sizeof(issi));
	if (!(ifc_get(query_issi_out, issi, supported_issi_dw0) & BIT(1)))
		mlx5_die("the firmware does not know ISSI 1");
	mlx5_simple(vf, MLX5_CMD_OP_SET_ISSI, 0, 1);
	give_pages(vf, PAGES_BOOT);
	/* The capabilities as they are now: a driver sets what it wants of them. */
	mlx5_put32(in, MLX5_CMD_OP_QUERY_HCA_CAP << 16);
	mlx5_put32(in + 4, 1);
	mlx5_exec(vf, in, sizeof(in), caps, sizeof(caps));
	if (!ifc_get(cmd_hca_cap, caps + 16, rc))
		mlx5_die("the function has no reliable connections");
	memset(caps, 0, 16);
	mlx5_put32(caps, MLX5_CMD_OP_SET_HCA_CAP << 16);
	mlx5_exec(vf, caps, sizeof(caps), out, sizeof(out));
	give_pages(vf, PAGES_INIT);
	mlx5_simple(vf, MLX5_CMD_OP_INIT_HCA, 0, 0);
}

void mlx5_finish(struct mlx5 *vf)
{
	unsigned char in[16] = {}, out[16 + 8 * 16] = {};

	mlx5_simple(vf, MLX5_CMD_OP_TEARDOWN_HCA, 0, 0);
	while (vf->pages) {
		mlx5_put32(in, MLX5_CMD_OP_MANAGE_PAGES << 16);
		mlx5_put32(in + 4, PAGES_TAKE);
		mlx5_put32(in + 12, vf->pages);
		mlx5_exec(vf, in, sizeof(in), out, sizeof(out));
		if (!mlx5_get32(out + 8) || mlx5_get32(out + 8) > vf->pages)
			mlx5_die("%u of %u pages came back", mlx5_get32(out + 8), vf->pages);
		vf->pages -= mlx5_get32(out + 8);
	}
	mlx5_simple(vf, MLX5_CMD_OP_DISABLE_HCA, 0, 0);
}
