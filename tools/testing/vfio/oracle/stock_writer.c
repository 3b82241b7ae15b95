// SPDX-License-Identifier: GPL-2.0
/*
 * The writer of mlx5_vfio_pci, cut from the kernel's source, with no device.
 *
 * Usage: stock_writer <IMAGES >STREAM
 * It is given images, each as its size as le64 and its bytes, and prints the
 * stream that it would make of them.
 */
#include "stock.h"

static struct mlx5_vhca_data_buffer *
mlx5vf_get_data_buffer(struct mlx5_vf_migration_file *migf, u32 npages,
		       enum dma_data_direction dma_dir)
{
	return mlx5vf_alloc_data_buffer(migf, npages, dma_dir);
}

static void mlx5vf_put_data_buffer(struct mlx5_vhca_data_buffer *buf)
{
	(void)buf;
}

#include "kernel_writer.h"

/* Print what has been queued for user space. */
static void drain(struct mlx5_vf_migration_file *migf)
{
	struct list_head *head = &migf->buf_list;

	for (struct list_head *item = head->next; item != head;
	     item = item->next) {
		struct mlx5_vhca_data_buffer *buf =
			(void *)((char *)item -
				 offsetof(struct mlx5_vhca_data_buffer,
					  buf_elm));

		write_whole(buf->pages, buf->length);
	}
	head->next = head;
	head->prev = head;
}

int main(void)
{
	struct mlx5_vf_migration_file migf = {
		.buf_list = { &migf.buf_list, &migf.buf_list },
	};
	bool first = true;
	__le64 size;

	while (read_whole(&size, sizeof(size))) {
		u64 length = le64toh(size);
		u32 npages = DIV_ROUND_UP(length, PAGE_SIZE);
		struct mlx5_vhca_data_buffer *image, *header;

		image = mlx5vf_alloc_data_buffer(&migf, npages, DMA_TO_DEVICE);
		if (!read_whole(image->pages, length))
			die("the input is cut");
		migf.buf[0] = image;
		if (first && mlx5vf_add_stop_copy_header(&migf, true))
			die("cannot add the header for stop copy");
		header = mlx5vf_alloc_data_buffer(&migf, 1, DMA_NONE);
		if (add_buf_header(header, length, first))
			die("cannot add the header of an image");
		drain(&migf);
		write_whole(image->pages, length);
		first = false;
	}
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
