// SPDX-License-Identifier: GPL-2.0
/*
 * A virtual function of a ConnectX that this process drives, by VFIO.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "mlx5_vfio.h"
#include "system.h"

#define VENDOR_DEVICE		0x101e15b3

void mlx5_die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("# ", stderr);
	vfprintf(stderr, format, ap);
	fputs("\n", stderr);
	va_end(ap);
	abort();
}

__u64 mlx5_now_ms(void)
{
	return sys_now_ns() / 1000000;
}

void mlx5_pause(void)
{
	usleep(50);
}

bool mlx5_is(const struct mig_device *dev)
{
	return mig_has_pci_id(dev, VENDOR_DEVICE);
}

static void bus_master(struct mlx5_vfio *own)
{
	struct vfio_region_info config;
	__u16 command;
	off_t at;

	if (mig_region(&own->dev, VFIO_PCI_CONFIG_REGION_INDEX, &config))
		mig_die("no configuration space");
	at = config.offset + PCI_COMMAND;
	if (pread(own->dev.fd, &command, sizeof(command), at) != sizeof(command))
		mig_die("PCI_COMMAND cannot be read");
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	if (pwrite(own->dev.fd, &command, sizeof(command), at) != sizeof(command))
		mig_die("PCI_COMMAND cannot be written");
}

void mlx5_prepare(struct mlx5_vfio *own)
{
	int ret;

	bus_master(own);
	if (own->irq >= 0)
		close(own->irq);
	ret = mig_eventfds(&own->dev, &own->irq, 1);
	if (ret)
		mig_die("no interrupt: %s", strerror(-ret));
}

/* A function after a reset, with memory. */
void mlx5_open(struct mlx5_vfio *own, const char *path, size_t mem_size)
{
	int ret;

	*own = (struct mlx5_vfio){ .vf.iova = MLX5_IOVA, .irq = -1, .mem_size = mem_size };
	ret = __mig_open(&own->dev, path, mig_mode());
	if (!ret)
		ret = mig_reset(&own->dev);
	if (ret)
		mig_die("cannot open %s: %s", path, strerror(-ret));
	own->vf.bar = mig_mmap(&own->dev, &own->bar_size);
	own->vf.mem = mmap(NULL, mem_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			   0);
	if (!own->vf.bar || own->vf.mem == MAP_FAILED)
		mig_die("no memory of the function, or for it");
	ret = mig_map(&own->dev, own->vf.mem, MLX5_IOVA, mem_size, true);
	if (ret)
		mig_die("memory for the function: %s", strerror(-ret));
	mlx5_prepare(own);
}

void mlx5_close(struct mlx5_vfio *own)
{
	munmap(own->vf.bar, own->bar_size);
	close(own->irq);
	mig_close(&own->dev);
	munmap(own->vf.mem, own->mem_size);
}
