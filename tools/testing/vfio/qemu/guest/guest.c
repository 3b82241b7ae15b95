// SPDX-License-Identifier: GPL-2.0
/*
 * The guest that is migrated: a program of its own, without an operating system,
 * so that it runs a second after its QEMU was started even where that QEMU is
 * itself emulated. It keeps its emulated migration devices busy and holds them,
 * without pause, against what its own memory says they must contain.
 *
 * It does not know when it is migrated, so every rule below holds across a
 * migration or the guest says FAIL on its serial console:
 *  - registers written once (tick control, period) and all the time (scratch)
 *    read back as written;
 *  - the tick counter never goes back, and every page of BAR2 holds the last
 *    tick that the counter says went there;
 *  - the rest of BAR2 equals the copy in memory, and that copy its checksum;
 *  - every interrupt asked for arrives, and the device counted every one;
 *  - every page that the device writes by itself is there, whole, once and in order;
 *  - what is copied by DMA, in either direction, is what was to be copied;
 *  - a virtual function of a ConnectX, if there is one, does its work: see connectx.c.
 */
#include <stdbool.h>

#include "connectx.h"
#include "device.h"
#include "pc.h"

#define REPORT_MS	250
#define STEPS_PER_IRQ	16
#define STEPS_PER_COPY	8

#define DEVICES		(MSI_VECTORS / DEVICE_VECTORS)
#define CONNECTX_MSI	(DEVICES * DEVICE_VECTORS)

static struct device devices[DEVICES];
static unsigned int n_devices;
static __u64 id, last_step_ms, longest_gap_ms;
static bool peer_to_peer, has_connectx;

/* Sums over all devices, but for the checks: those that each has been through. */
static void report(const char *what)
{
	__u64 sweeps = devices[0].sweeps, stores = 0, ticks = 0, irqs = 0, pages = 0, copies = 0;
	unsigned int lost = 0, i;

	for (i = 0; i < n_devices; i++) {
		if (devices[i].sweeps < sweeps)
			sweeps = devices[i].sweeps;
		stores += devices[i].stores;
		ticks += devices[i].ticks;
		irqs += devices[i].irqs_seen;
		lost += devices[i].irqs_lost;
		pages += devices[i].dma.consumed;
		copies += devices[i].dma.copies;
	}
	say("guest: %s id=%016llx t=%llu gap=%llu devices=%u ", what, id, uptime_ms(),
	    longest_gap_ms, n_devices);
	say("sweeps=%llu stores=%llu ticks=%llu irqs=%llu lost=%u pages=%llu copies=%llu",
	    sweeps, stores, ticks, irqs, lost, pages, copies);
	if (has_connectx)
		connectx_report();
	say("\n");
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
	const char *stores = after(line, "stores "), *reinit = after(line, "reinit");
	const char *peers = after(line, "peers ");
	unsigned int i;

	if (!stores && !(reinit && !*reinit) && !peers)
		fail("what is '%s'?", line);
	if (peers)
		peer_to_peer = number(peers, 10);
	for (i = 0; i < n_devices; i++) {
		if (stores)
			devices[i].stores_per_step = number(stores, 10);
		else if (reinit)
			device_reinit(&devices[i]);
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
	unsigned int i;

	if (now - last_step_ms > longest_gap_ms)
		longest_gap_ms = now - last_step_ms;
	last_step_ms = now;

	steps++;
	for (i = 0; i < n_devices; i++) {
		device_store(&devices[i]);
		device_check_pages(&devices[i]);
		device_check_registers(&devices[i]);
		dma_check_pages(&devices[i]);
		if (steps % STEPS_PER_COPY == 0)
			dma_copy(&devices[i], steps % devices[i].pages,
				 steps / STEPS_PER_COPY % 2);
		if (peer_to_peer)
			dma_copy_to_peer(&devices[i], &devices[(i + 1) % n_devices],
					 steps % devices[i].pages);
		if (steps % STEPS_PER_IRQ == 0)
			device_check_interrupt(&devices[i], steps / STEPS_PER_IRQ);
	}
	if (has_connectx)
		connectx_step();
	listen();
	if (now - last_report >= REPORT_MS) {
		report("ok");
		last_report = now;
	}
}

[[noreturn]] void guest_main(const void *start_info)
{
	const char *digits = after(pc_start(start_info), "id=");
	unsigned int slot = 0, i;

	if (!digits)
		fail("the command line is not id=NUMBER");
	id = number(digits, 16);
	while (n_devices < DEVICES && device_find(&devices[n_devices], slot))
		slot = devices[n_devices++].slot + 1;
	if (!n_devices)
		fail("no device");
	for (i = 0; i < n_devices; i++)
		device_start(&devices[i], id + i * 2, i * DEVICE_VECTORS);
	has_connectx = connectx_find && connectx_find();
	if (has_connectx)
		connectx_start(CONNECTX_MSI);
	report("ready");
	for (;;) {
		step();
		pause_ms();
	}
}
