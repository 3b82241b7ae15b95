// SPDX-License-Identifier: GPL-2.0
/*
 * The reader of mlx5_vfio_pci, cut from the kernel's source, with no device.
 *
 * Usage: stock_reader PIECE <STREAM >IMAGES
 * It is given the stream in pieces of PIECE bytes, and prints each image that
 * it would load into the device: its size as le64, and its bytes.
 */
#include "stock.h"

static int copy_from_user(void *to, const void *from, size_t size)
{
	memcpy(to, from, size);
	return 0;
}

static void mlx5vf_free_data_buffer(struct mlx5_vhca_data_buffer *buf)
{
	free(buf->pages);
	free(buf);
}

static int mlx5vf_cmd_load_vhca_state(struct mlx5vf_pci_core_device *mvdev,
				      struct mlx5_vf_migration_file *migf,
				      struct mlx5_vhca_data_buffer *buf)
{
	__le64 size = cpu_to_le64(buf->length);

	(void)mvdev;
	(void)migf;
	write_whole(&size, sizeof(size));
	write_whole(buf->pages, buf->length);
	return 0;
}

static void mlx5vf_state_mutex_unlock(struct mlx5vf_pci_core_device *mvdev)
{
	mutex_unlock(&mvdev->state_mutex);
}

#include "kernel_reader.h"

int main(int argc, char **argv)
{
	struct mlx5vf_pci_core_device mvdev = {};
	struct mlx5_vf_migration_file migf = {
		.mvdev = &mvdev,
		.load_state = MLX5_VF_LOAD_STATE_READ_HEADER,
	};
	struct file file = { .private_data = &migf };
	size_t piece = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
	char *bytes = malloc(piece);
	size_t size;

	if (!piece || !bytes)
		die("usage: stock_reader PIECE <STREAM >IMAGES");
	migf.buf[0] = mlx5vf_alloc_data_buffer(&migf, 0, DMA_TO_DEVICE);
	migf.buf_header[0] = mlx5vf_alloc_data_buffer(&migf, 1, DMA_NONE);

	while ((size = fread(bytes, 1, piece, stdin))) {
		ssize_t done = mlx5vf_resume_write(&file, bytes, size, NULL);

		if (done < 0 || (size_t)done != size) {
			fprintf(stderr, "%zd at %lld\n", done,
				(long long)file.f_pos);
			return EXIT_FAILURE;
		}
	}
	/* It would not notice. */
	if (migf.load_state != MLX5_VF_LOAD_STATE_READ_HEADER ||
	    migf.buf_header[0]->length)
		die("the stream ends inside a record");
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
