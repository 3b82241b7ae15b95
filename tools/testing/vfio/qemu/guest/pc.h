/* SPDX-License-Identifier: GPL-2.0 */
/* The PC that the guest runs on: console, clock, interrupts, PCI, memory. */
#ifndef PC_H
#define PC_H

#include <stdarg.h>
#include <stddef.h>
#include <linux/types.h>

/* Memory that others change or watch: one access each, in this order. */
#define load(where)		__atomic_load_n(where, __ATOMIC_ACQUIRE)
#define put(where, value)	__atomic_store_n(where, value, __ATOMIC_RELEASE)

#define MSI_VECTORS	33

/* What start.S and the linker define and call. */
extern char interrupt_entries[];
extern char image_end[];
void interrupt(__u64 vector, __u64 detail);
[[noreturn]] void guest_main(const void *start_info);

/* Set up the PC; the command line that QEMU was given. */
const char *pc_start(const void *start_info);

/* To the host, on the serial console. Knows %s, %u, %x, %zu, %llu, %llx, # and 0-padding. */
[[gnu::format(printf, 1, 2)]] void say(const char *format, ...);

/* Say why the guest no longer believes its device, and stop for good. */
[[gnu::format(printf, 1, 2), noreturn]] void fail(const char *format, ...);
[[gnu::format(printf, 1, 0), noreturn]] void fail_list(const char *format, va_list ap);

/* A character from the host, or -1. */
int hear(void);

__u64 uptime_ms(void);

/* Sleep for about a millisecond. */
void pause_ms(void);

/* Zeroed memory, of whole pages, for ever. */
void *take_memory(size_t size);

__u32 pci_read(unsigned int slot, unsigned int where);
void pci_write(unsigned int slot, unsigned int where, __u32 value);

/* What a device must write where for message-signalled interrupt number i, and how often it did. */
__u64 msi_address(void);
__u32 msi_data(unsigned int i);
__u32 msi_count(unsigned int i);

#endif
