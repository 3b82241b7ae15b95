/* SPDX-License-Identifier: GPL-2.0 */
/*
 * As much of a kernel as the reader and the writer of mlx5_vfio_pci need to
 * run in user space: one thread, no device, memory that never runs out.
 *
 * Their code and types, "kernel_mlx5.h" and what the two programs include, are
 * cut from the kernel's source when the test is run.
 */
#ifndef STOCK_H
#define STOCK_H

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <linux/types.h>

typedef __u8 u8;
typedef __u32 u32;
typedef __u64 u64;

#define PAGE_SIZE 4096ul
#define BIT_ULL(bit) (1ull << (bit))
#define check_add_overflow(a, b, sum) __builtin_add_overflow(a, b, sum)
#define cpu_to_le32(number) htole32(number)
#define cpu_to_le64(number) htole64(number)
#define le32_to_cpup(number) le32toh(*(number))
#define le64_to_cpup(number) le64toh(*(number))

#define min_t(type, a, b)				\
	({						\
		type first = (a), second = (b);		\
							\
		first < second ? first : second;	\
	})

static inline u64 max(u64 first, u64 second)
{
	return first > second ? first : second;
}

static inline u64 DIV_ROUND_UP(u64 number, u64 divisor)
{
	return (number + divisor - 1) / divisor;
}

#define ERR_PTR(error) ((void *)(intptr_t)(error))
#define PTR_ERR(pointer) ((int)(intptr_t)(pointer))
#define IS_ERR(pointer) ((uintptr_t)(pointer) >= (uintptr_t)-4095)

/* Nobody else is there to be kept out. */
struct mutex {
	char unused;
};

#define mutex_lock(lock) ((void)(lock))
#define mutex_unlock(lock) ((void)(lock))
#define spin_lock_irqsave(lock, flags) ((void)(lock), (flags) = 0)
#define spin_unlock_irqrestore(lock, flags) ((void)(lock), (void)(flags))

struct list_head {
	struct list_head *next;
	struct list_head *prev;
};

static inline void list_add_tail(struct list_head *new, struct list_head *head)
{
	new->prev = head->prev;
	new->next = head;
	head->prev->next = new;
	head->prev = new;
}

struct page {
	u8 bytes[PAGE_SIZE];
};

#define kmap_local_page(page) ((void *)(page))
#define kunmap_local(address) ((void)(address))

enum dma_data_direction { DMA_TO_DEVICE, DMA_NONE };

struct file {
	void *private_data;
	loff_t f_pos;
};

#include "kernel_mlx5.h"

struct mlx5_vf_migration_file;

struct mlx5_vhca_data_buffer {
	struct page *pages;
	loff_t start_pos;
	u64 length;
	u32 npages;
	struct list_head buf_elm;
	struct mlx5_vf_migration_file *migf;
};

struct mlx5_vf_migration_file {
	struct mutex lock;	/* of nothing */
	enum mlx5_vf_migf_state state;
	enum mlx5_vf_load_state load_state;
	loff_t max_pos;
	u64 record_size;
	u32 record_tag;
	u64 stop_copy_prep_size;
	u64 pre_copy_initial_bytes;
	struct mlx5_vhca_data_buffer *buf[1];
	struct mlx5_vhca_data_buffer *buf_header[1];
	struct mutex list_lock;	/* of nothing */
	struct list_head buf_list;
	struct mlx5vf_pci_core_device *mvdev;
};

struct mlx5vf_pci_core_device {
	struct mutex state_mutex;	/* of nothing */
};

static inline void die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(EXIT_FAILURE);
}

static inline struct mlx5_vhca_data_buffer *
mlx5vf_alloc_data_buffer(struct mlx5_vf_migration_file *migf, u32 npages,
			 enum dma_data_direction dma_dir)
{
	struct mlx5_vhca_data_buffer *buf = calloc(1, sizeof(*buf));

	(void)dma_dir;
	if (buf)
		buf->pages = calloc(npages ? npages : 1, sizeof(*buf->pages));
	if (!buf || !buf->pages)
		die("out of memory");
	buf->npages = npages;
	buf->migf = migf;
	return buf;
}

static inline struct page *
mlx5vf_get_migration_page(struct mlx5_vhca_data_buffer *buf,
			  unsigned long offset)
{
	if (offset / PAGE_SIZE >= buf->npages)
		return NULL;
	return &buf->pages[offset / PAGE_SIZE];
}

/* Read exactly as much as is asked for; false at the end of the input. */
static inline bool read_whole(void *bytes, size_t size)
{
	size_t done = fread(bytes, 1, size, stdin);

	if (done != size && (done || ferror(stdin)))
		die("the input is cut");
	return done == size;
}

static inline void write_whole(const void *bytes, size_t size)
{
	if (fwrite(bytes, 1, size, stdout) != size)
		die("cannot write");
}

#endif
