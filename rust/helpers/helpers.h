/* SPDX-License-Identifier: GPL-2.0 */
/* What Rust cannot call: inline functions and macros. */
#ifndef _VFIO_RUST_HELPERS_H
#define _VFIO_RUST_HELPERS_H

#include <linux/vfio.h>
#include <linux/workqueue.h>

struct lock_class_key;

void rust_helper_vfio_put_device(struct vfio_device *device);
bool rust_helper_vfio_device_cdev_opened(struct vfio_device *device);
void rust_helper_vfio_set_pfnmap(struct vm_area_struct *vma);
vm_fault_t rust_helper_vfio_map_writable(struct vm_area_struct *vma, unsigned long address,
					 struct page *page);
unsigned long rust_helper_vfio_page_to_pfn(struct page *page);
void rust_helper_vfio_init_delayed_work(struct delayed_work *work, work_func_t func,
					const char *name, struct lock_class_key *key);
struct workqueue_struct *rust_helper_vfio_alloc_workqueue(const char *name);
bool rust_helper_vfio_kiocb_nowait(struct kiocb *kiocb);
int rust_helper_vfio_wait_idle_killable(atomic_t *busy);
void rust_helper_vfio_set_idle(atomic_t *busy);
struct mem_cgroup *rust_helper_vfio_get_current_memcg(void);
void rust_helper_vfio_put_memcg(struct mem_cgroup *memcg);
struct mem_cgroup *rust_helper_vfio_set_active_memcg(struct mem_cgroup *memcg);

void rust_helper_vfio_trace_arc(const char *device, u32 from, u32 to, int ret, u64 ns);
void rust_helper_vfio_trace_chunk(const char *device, u64 session, const char *phase,
				  u64 len, bool initial, u64 ns);
void rust_helper_vfio_trace_round(const char *device, u64 session, u64 round, u64 bytes);
void rust_helper_vfio_trace_record(const char *device, u64 session, u32 tag, u32 flags,
				   u64 size, bool load);
void rust_helper_vfio_trace_reset(const char *device, u32 from, u64 ns);
void rust_helper_vfio_trace_command(const char *device, const char *command, int status, u64 ns);
void rust_helper_vfio_trace_error(const char *device, const char *where, int error);

#endif
