// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that the device under test may access.
 */
#include <sys/ioctl.h>

#include <linux/iommufd.h>

#include "vfio_migration.h"

/* Everything is in whole pages. 0 or -errno. */
int mig_map(struct mig_device *dev, void *memory, __u64 iova, __u64 length, bool writable)
{
	struct iommu_ioas_map ioas = {
		.size = sizeof(ioas),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 (writable ? IOMMU_IOAS_MAP_WRITEABLE : 0),
		.ioas_id = dev->ioas,
		.user_va = (uintptr_t)memory,
		.length = length,
		.iova = iova,
	};
	struct vfio_iommu_type1_dma_map type1 = {
		.argsz = sizeof(type1),
		.flags = VFIO_DMA_MAP_FLAG_READ | (writable ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = length,
	};

	return dev->mode == MIG_CDEV ? mig_ioctl(dev->container, IOMMU_IOAS_MAP, &ioas) :
				       mig_ioctl(dev->container, VFIO_IOMMU_MAP_DMA, &type1);
}

int mig_unmap(struct mig_device *dev, __u64 iova, __u64 length)
{
	struct iommu_ioas_unmap ioas = {
		.size = sizeof(ioas),
		.ioas_id = dev->ioas,
		.iova = iova,
		.length = length,
	};
	struct vfio_iommu_type1_dma_unmap type1 = {
		.argsz = sizeof(type1),
		.iova = iova,
		.size = length,
	};

	return dev->mode == MIG_CDEV ? mig_ioctl(dev->container, IOMMU_IOAS_UNMAP, &ioas) :
				       mig_ioctl(dev->container, VFIO_IOMMU_UNMAP_DMA, &type1);
}
