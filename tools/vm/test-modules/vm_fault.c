// SPDX-License-Identifier: GPL-2.0
/*
 * Makes the kernel report one defect of each kind, so that it can be tested that
 * tools/vm/run tells of it.
 */
#include <linux/bug.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

static char *fault = "none";
module_param(fault, charp, 0);
MODULE_PARM_DESC(fault, "the defect: none, warn, bug, oops, atomic_sleep, lockdep, kasan, ubsan, leak, hang");

static DEFINE_SPINLOCK(lock);
static DEFINE_MUTEX(first);
static DEFINE_MUTEX(second);
static struct task_struct *hanging;

static void sleep_in_atomic_context(void)
{
	spin_lock(&lock);
	msleep(20);
	spin_unlock(&lock);
}

/* Two orders of two locks: nothing hangs, but it could. */
static void take_in_both_orders(void)
{
	mutex_lock(&first);
	mutex_lock(&second);
	mutex_unlock(&second);
	mutex_unlock(&first);

	mutex_lock(&second);
	mutex_lock(&first);
	mutex_unlock(&first);
	mutex_unlock(&second);
}

static int use_after_free(void)
{
	u8 *byte = kzalloc(64, GFP_KERNEL);

	if (!byte)
		return -ENOMEM;
	OPTIMIZER_HIDE_VAR(byte);
	kfree(byte);
	WRITE_ONCE(byte[1], 1);
	return 0;
}

static void shift_too_far(void)
{
	int shift = 40;

	OPTIMIZER_HIDE_VAR(shift);
	pr_info("%d\n", 1 << shift);
}

/* Many, because the allocator keeps pointers to some of what it gave last. */
static int leak_memory(void)
{
	void *memory;
	int i;

	for (i = 0; i < 100; i++) {
		memory = kmalloc(123, GFP_KERNEL);
		if (!memory)
			return -ENOMEM;
		OPTIMIZER_HIDE_VAR(memory);
		memset(memory, 0xa5, 123);
	}
	return 0;
}

static int hang(void *unused)
{
	while (!kthread_should_stop()) {
		set_current_state(TASK_UNINTERRUPTIBLE);
		schedule();
	}
	return 0;
}

static int __init vm_fault_init(void)
{
	int ret = 0;

	if (!strcmp(fault, "warn")) {
		WARN(1, "vm_fault: a warning\n");
	} else if (!strcmp(fault, "bug")) {
		BUG();
	} else if (!strcmp(fault, "oops")) {
		WRITE_ONCE(*(int *)8, 1);
	} else if (!strcmp(fault, "atomic_sleep")) {
		sleep_in_atomic_context();
	} else if (!strcmp(fault, "lockdep")) {
		take_in_both_orders();
	} else if (!strcmp(fault, "kasan")) {
		ret = use_after_free();
	} else if (!strcmp(fault, "ubsan")) {
		shift_too_far();
	} else if (!strcmp(fault, "leak")) {
		ret = leak_memory();
	} else if (!strcmp(fault, "hang")) {
		hanging = kthread_run(hang, NULL, "vm_fault");
		ret = PTR_ERR_OR_ZERO(hanging);
	} else if (strcmp(fault, "none")) {
		ret = -EINVAL;
	}
	return ret;
}

static void __exit vm_fault_exit(void)
{
	if (hanging)
		kthread_stop(hanging);
}

module_init(vm_fault_init);
module_exit(vm_fault_exit);

MODULE_DESCRIPTION("Reports of defects, for the test of tools/vm/run");
MODULE_LICENSE("GPL");
