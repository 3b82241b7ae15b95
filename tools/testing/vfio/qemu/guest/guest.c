// SPDX-License-Identifier: GPL-2.0
/*
 * The guest that is migrated: a program of its own, without an operating system,
 * so that it runs a second after its QEMU was started even where that QEMU is
 * itself emulated. It keeps an emulated migration device busy and holds it, without
 * pause, against what its own memory says the device must contain.
 *
 * It does not know when it is migrated, so every rule below holds across a
 * migration or the guest says FAIL on its serial console:
 *  - registers written once (tick control, period) and all the time (scratch)
 *    read back as written;
 *  - the tick counter never goes back, and every page of BAR2 holds the last
 *    tick that the counter says went there;
 *  - the rest of BAR2 equals the copy in memory, and that copy its checksum;
 *  - every interrupt asked for arrives, and the device counted every one.
 */
#include <stdbool.h>

#include "device.h"
#include "pc.h"

#define REPORT_MS	250
#define STEPS_PER_IRQ	32

static struct device dev;
static __u64 id, last_step_ms, longest_gap_ms;

static void report(const char *what)
{
	say("guest: %s id=%016llx t=%llu gap=%llu sweeps=%llu ", what, id, uptime_ms(),
	    longest_gap_ms, dev.sweeps);
	say("stores=%llu ticks=%llu irqs=%llu lost=%u\n", dev.stores, dev.ticks, dev.irqs_seen,
	    dev.irqs_lost);
	longest_gap_ms = 0;
}

/* Does text begin with word? Then the rest of it. */
static const char *after(const char *text, const char *word)
{
	while (*word)
		if (*text++ != *word++)
			return NULL;
	return text;
}

static __u64 number(const char *digits, unsigned int base)
{
	__u64 value = 0;

	for (; *digits; digits++)
		value = value * base + (*digits <= '9' ? *digits - '0' : *digits - 'a' + 10);
	return value;
}

/* One line from the host. What is not understood is a failure. */
static void obey(const char *line)
{
	const char *rest = after(line, "stores ");

	if (rest) {
		dev.stores_per_step = number(rest, 10);
	} else {
		rest = after(line, "reinit");
		if (!rest || *rest)
			fail("what is '%s'?", line);
		device_reinit(&dev);
	}
	say("guest: done %s\n", line);
}

static void listen(void)
{
	static char line[64];
	static size_t length;
	int c;

	while ((c = hear()) >= 0) {
		if (c != '\n') {
			if (length == sizeof(line) - 1)
				fail("the line is too long");
			line[length++] = c;
			continue;
		}
		line[length] = 0;
		length = 0;
		obey(line);
	}
}

static void step(void)
{
	static __u64 last_report;
	static unsigned int steps;
	__u64 now = uptime_ms();

	if (now - last_step_ms > longest_gap_ms)
		longest_gap_ms = now - last_step_ms;
	last_step_ms = now;

	device_store(&dev);
	device_check_pages(&dev);
	device_check_registers(&dev);
	if (++steps % STEPS_PER_IRQ == 0)
		device_check_interrupt(&dev, steps / STEPS_PER_IRQ);
	listen();
	if (now - last_report >= REPORT_MS) {
		report("ok");
		last_report = now;
	}
}

[[noreturn]] void guest_main(const void *start_info)
{
	const char *digits = after(pc_start(start_info), "id=");

	if (!digits)
		fail("the command line is not id=NUMBER");
	id = number(digits, 16);
	device_find(&dev);
	device_start(&dev, id);
	report("ready");
	for (;;) {
		step();
		pause_ms();
	}
}
