// SPDX-License-Identifier: GPL-2.0
/*
 * Helpers that Rust calls for inline functions and macros of C headers.
 * Exported because generic Rust code is instantiated in the backend modules.
 */

#include <linux/export.h>
#include <linux/fs.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/wait_bit.h>
#include "helpers.h"

void rust_helper_vfio_put_device(struct vfio_device *device)
{
	vfio_put_device(device);
}
EXPORT_SYMBOL_GPL(rust_helper_vfio_put_device);

bool rust_helper_vfio_device_cdev_opened(struct vfio_device *device)
{
	return vfio_device_cdev_opened(device);
}
EXPORT_SYMBOL_GPL(rust_helper_vfio_device_cdev_opened);

/* The flags of a mapping of device memory by page frame number. */
void rust_helper_vfio_set_pfnmap(struct vm_area_struct *vma)
{
	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
}
EXPORT_SYMBOL_GPL(rust_helper_vfio_set_pfnmap);

/* For a store to a page that is mapped for reading. */
vm_fault_t rust_helper_vfio_map_writable(struct vm_area_struct *vma, unsigned long address,
					 struct page *page)
{
	zap_special_vma_range(vma, address, PAGE_SIZE);
	return vmf_insert_pfn_prot(vma, address, page_to_pfn(page),
				   vm_get_page_prot(vma->vm_flags));
}
EXPORT_SYMBOL_GPL(rust_helper_vfio_map_writable);

unsigned long rust_helper_vfio_page_to_pfn(struct page *page)
{
	return page_to_pfn(page);
}
EXPORT_SYMBOL_GPL(rust_helper_vfio_page_to_pfn);

void rust_helper_vfio_init_delayed_work(struct delayed_work *work, work_func_t func,
					const char *name, struct lock_class_key *key)
{
	INIT_DELAYED_WORK(work, func);
	/* One lock class for each user instead of one for this function. */
	lockdep_init_map(&work->work.lockdep_map, name, key, 0);
}
EXPORT_SYMBOL_GPL(rust_helper_vfio_init_delayed_work);

struct workqueue_struct *rust_helper_vfio_alloc_workqueue(const char *name)
{
	return alloc_workqueue("%s", WQ_UNBOUND, 0, name);
}
EXPORT_SYMBOL_GPL(rust_helper_vfio_alloc_workqueue);

bool rust_helper_vfio_kiocb_nowait(struct kiocb *kiocb)
{
	return kiocb->ki_flags & IOCB_NOWAIT || kiocb->ki_filp->f_flags & O_NONBLOCK;
}
EXPORT_SYMBOL_GPL(rust_helper_vfio_kiocb_nowait);

/* Whether something is under way is a number whose address is also the wait queue's. */
int rust_helper_vfio_wait_idle_killable(atomic_t *busy)
{
	return wait_var_event_killable(busy, !atomic_read_acquire(busy));
}
EXPORT_SYMBOL_GPL(rust_helper_vfio_wait_idle_killable);

void rust_helper_vfio_set_idle(atomic_t *busy)
{
	atomic_set_release(busy, 0);
	/* As wake_up_var() asks for. */
	smp_mb();
	wake_up_var(busy);
}
EXPORT_SYMBOL_GPL(rust_helper_vfio_set_idle);

struct mem_cgroup *rust_helper_vfio_get_current_memcg(void)
{
	return get_mem_cgroup_from_mm(current->mm);
}
EXPORT_SYMBOL_GPL(rust_helper_vfio_get_current_memcg);

void rust_helper_vfio_put_memcg(struct mem_cgroup *memcg)
{
	mem_cgroup_put(memcg);
}
EXPORT_SYMBOL_GPL(rust_helper_vfio_put_memcg);

struct mem_cgroup *rust_helper_vfio_set_active_memcg(struct mem_cgroup *memcg)
{
	return set_active_memcg(memcg);
}
EXPORT_SYMBOL_GPL(rust_helper_vfio_set_active_memcg);
