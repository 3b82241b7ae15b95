// SPDX-License-Identifier: GPL-2.0
/* The PC that the guest runs on: console, clock, interrupts, PCI, memory. */
#include <stdarg.h>
#include <stdbool.h>

#include "pc.h"

#define COM1			0x3f8
#define COM_DATA		(COM1 + 0)
#define COM_INTERRUPTS		(COM1 + 1)
#define COM_FIFO		(COM1 + 2)
#define COM_STATUS		(COM1 + 5)
#define COM_RECEIVED		0x01
#define COM_MAY_SEND		0x20

#define PCI_ADDRESS		0xcf8
#define PCI_DATA		0xcfc
#define LPC_SLOT		31
#define LPC_PMBASE		0x40
#define PM_TIMER		8
#define PM_TIMER_HZ		3579545
#define PM_TIMER_MASK		0xffffff

#define PIC_MASK_1		0x21
#define PIC_MASK_2		0xa1
#define CMOS_INDEX		0x70
#define CMOS_DATA		0x71
#define CMOS_MEMORY		0x34	/* above 16 MiB, in 64 KiB: low byte, high byte */

#define APIC			0xfee00000UL
#define APIC_EOI		0x0b0
#define APIC_SPURIOUS		0x0f0
#define APIC_ENABLE		0x100
#define APIC_TIMER		0x320
#define APIC_TIMER_PERIODIC	0x20000
#define APIC_TIMER_COUNT	0x380
#define APIC_TIMER_DIVIDE	0x3e0
#define APIC_DIVIDE_BY_1	0x0b
#define APIC_TICKS_PER_MS	1000000	/* of QEMU's APIC, that is; only the pace depends on it */

#define VECTOR_TIMER		0x40
#define VECTOR_MSI		0x50
#define VECTOR_SPURIOUS		0xff
#define EXCEPTIONS		32

#define PAGE			4096UL

struct idt_entry {
	__u16 low;
	__u16 segment;
	__u16 flags;
	__u16 middle;
	__u32 high;
	__u32 zero;
};

/* QEMU's direct boot gives it to the entry point. */
struct start_info {
	__u32 magic;
	__u32 version;
	__u32 flags;
	__u32 modules;
	__u64 module_list;
	__u64 command_line;
};

static struct idt_entry idt[256];
static __u32 timer_interrupts, msi_interrupts[MSI_VECTORS];
static unsigned int pm_timer_port;
static char *memory_next, *memory_end;

static void out8(unsigned int port, __u8 value)
{
	asm volatile("outb %0, %w1" : : "a"(value), "d"(port));
}

static __u8 in8(unsigned int port)
{
	__u8 value;

	asm volatile("inb %w1, %0" : "=a"(value) : "d"(port));
	return value;
}

static void out32(unsigned int port, __u32 value)
{
	asm volatile("outl %0, %w1" : : "a"(value), "d"(port));
}

static __u32 in32(unsigned int port)
{
	__u32 value;

	asm volatile("inl %w1, %0" : "=a"(value) : "d"(port));
	return value;
}

/* The console */

static void say_char(char c)
{
	while (!(in8(COM_STATUS) & COM_MAY_SEND))
		;
	out8(COM_DATA, c);
}

static void say_number(__u64 value, unsigned int base, unsigned int width)
{
	char digits[24];
	unsigned int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (n < width && n < sizeof(digits))
		digits[n++] = '0';
	while (n)
		say_char(digits[--n]);
}

static void say_list(const char *format, va_list ap)
{
	for (; *format; format++) {
		unsigned int width = 0;
		bool wide = false, prefix;
		__u64 value;

		if (*format != '%') {
			say_char(*format);
			continue;
		}
		prefix = format[1] == '#';
		format += prefix;
		while (*++format >= '0' && *format <= '9')
			width = width * 10 + *format - '0';
		for (; *format == 'l' || *format == 'z'; format++)
			wide = true;
		if (*format == 's') {
			const char *text = va_arg(ap, const char *);

			while (*text)
				say_char(*text++);
			continue;
		}
		value = wide ? va_arg(ap, __u64) : va_arg(ap, __u32);
		if (prefix) {
			say_char('0');
			say_char('x');
		}
		say_number(value, *format == 'x' ? 16 : 10, width);
	}
}

void say(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say_list(format, ap);
	va_end(ap);
}

[[noreturn]] void fail_list(const char *format, va_list ap)
{
	say("guest: FAIL t=%llu ", uptime_ms());
	say_list(format, ap);
	say("\n");
	for (;;)
		asm volatile("cli; hlt");
}

[[noreturn]] void fail(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fail_list(format, ap);
}

int hear(void)
{
	return in8(COM_STATUS) & COM_RECEIVED ? in8(COM_DATA) : -1;
}

/* The clock: the ACPI timer, which goes on where it was after a migration. */

__u64 uptime_ms(void)
{
	static __u64 passed;
	static __u32 last;
	static bool started;
	__u32 now;

	if (!pm_timer_port)
		return 0;
	now = in32(pm_timer_port) & PM_TIMER_MASK;
	if (started)
		passed += (now - last) & PM_TIMER_MASK;
	started = true;
	last = now;
	return passed * 1000 / PM_TIMER_HZ;
}

void pause_ms(void)
{
	__u32 before = load(&timer_interrupts);

	while (load(&timer_interrupts) == before)
		asm volatile("hlt");
}

/* Interrupts */

static void apic_write(unsigned int reg, __u32 value)
{
	put((__u32 *)(APIC + reg), value);
}

void interrupt(__u64 vector, __u64 detail)
{
	if (vector == VECTOR_SPURIOUS)
		return;
	if (vector < EXCEPTIONS)
		fail("exception %llu, %llx", vector, detail);
	else if (vector == VECTOR_TIMER)
		put(&timer_interrupts, timer_interrupts + 1);
	else if (vector - VECTOR_MSI < MSI_VECTORS)
		put(&msi_interrupts[vector - VECTOR_MSI], msi_interrupts[vector - VECTOR_MSI] + 1);
	else
		fail("vector %llu, which nothing should raise", vector);
	apic_write(APIC_EOI, 0);
}

static void start_interrupts(void)
{
	__u64 base = (__u64)idt;
	__u16 pointer[] = { sizeof(idt) - 1, base, base >> 16, base >> 32, base >> 48 };
	unsigned int i;

	for (i = 0; i < 256; i++) {
		__u64 entry = (__u64)interrupt_entries + i * 16;

		idt[i] = (struct idt_entry){
			.low = entry,
			.segment = 8,
			.flags = 0x8e00,
			.middle = entry >> 16,
			.high = entry >> 32,
		};
	}
	asm volatile("lidt %0" : : "m"(pointer));
	out8(PIC_MASK_1, 0xff);
	out8(PIC_MASK_2, 0xff);
	apic_write(APIC_SPURIOUS, APIC_ENABLE | VECTOR_SPURIOUS);
	apic_write(APIC_TIMER_DIVIDE, APIC_DIVIDE_BY_1);
	apic_write(APIC_TIMER, APIC_TIMER_PERIODIC | VECTOR_TIMER);
	apic_write(APIC_TIMER_COUNT, APIC_TICKS_PER_MS);
	asm volatile("sti");
}

__u64 msi_address(void)
{
	return APIC;
}

__u32 msi_data(unsigned int i)
{
	return VECTOR_MSI + i;
}

__u32 msi_count(unsigned int i)
{
	return load(&msi_interrupts[i]);
}

/* PCI: the slots of bus 0 */

__u32 pci_read(unsigned int slot, unsigned int where)
{
	out32(PCI_ADDRESS, 0x80000000 | slot << 11 | where);
	return in32(PCI_DATA);
}

void pci_write(unsigned int slot, unsigned int where, __u32 value)
{
	out32(PCI_ADDRESS, 0x80000000 | slot << 11 | where);
	out32(PCI_DATA, value);
}

/* Memory: what follows the program, but for the firmware's last MiB */

static __u8 cmos(unsigned int index)
{
	out8(CMOS_INDEX, index);
	return in8(CMOS_DATA);
}

static void start_memory(void)
{
	unsigned long units = cmos(CMOS_MEMORY) | cmos(CMOS_MEMORY + 1) << 8;

	memory_next = (char *)(((__u64)image_end + PAGE - 1) & ~(PAGE - 1));
	memory_end = (char *)((16UL << 20) + (units << 16) - (1UL << 20));
}

void *take_memory(size_t size)
{
	char *p = memory_next;
	size_t i;

	if (size > (size_t)(memory_end - p))
		fail("no memory for %zu bytes", size);
	for (i = 0; i < size / sizeof(__u64); i++)
		put((__u64 *)p + i, 0);
	memory_next += (size + PAGE - 1) & ~(PAGE - 1);
	return p;
}

const char *pc_start(const void *start_info)
{
	const struct start_info *info = start_info;

	out8(COM_INTERRUPTS, 0);
	out8(COM_FIFO, 1);
	start_memory();
	start_interrupts();
	pm_timer_port = (pci_read(LPC_SLOT, LPC_PMBASE) & 0xff80) + PM_TIMER;
	return (const char *)info->command_line;
}
