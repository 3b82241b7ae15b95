// SPDX-License-Identifier: GPL-2.0
/*
 * A virtual function of a ConnectX as the guest drives and checks it: RDMA between two of its queue
 * pairs, as the selftests have it from user space. The guest goes on posting while it is migrated.
 * It does not write to the pages that the function writes, so only the log of the function's writes
 * can have them migrated; each is looked at when it comes and before it is written again.
 */
#include "connectx.h"
#include "lib/rdma.h"
#include "pc.h"
#include "pci.h"

#define VENDOR		0x15b3
#define DEVICE		0x101e

#define STEPS_PER_QUERY	64
#define PATIENCE_MS	20000

static unsigned int slot, vector;
static struct mlx5 function;
static struct rdma work;
static __u64 events;

void mlx5_die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fail_list(format, ap);
}

__u64 mlx5_now_ms(void)
{
	return uptime_ms();
}

void mlx5_pause(void)
{
	pause_ms();
}

bool connectx_find(void)
{
	slot = pci_find(VENDOR, DEVICE, 0);
	return slot < PCI_SLOTS;
}

void connectx_start(unsigned int msi)
{
	pci_start(slot);
	vector = msi;
	pci_start_msix(slot, vector, 1);
	function.bar = pci_bar(slot, 0);
	function.mem = take_memory(RDMA_SIZE);
	function.iova = (__u64)function.mem;
	rdma_setup(&work, &function);
}

/* A completion that does not come is noticed by the time. */
static void check_progress(void)
{
	static __u64 last, when;

	if (work.done != last || !when) {
		last = work.done;
		when = uptime_ms();
	} else if (uptime_ms() - when > PATIENCE_MS) {
		fail("no completion for %u ms: work %llu of %llu", PATIENCE_MS, work.done,
		     work.posted);
	}
}

void connectx_step(void)
{
	static unsigned int steps;

	events += rdma_events(&work);
	rdma_poll(&work);
	check_progress();
	rdma_post(&work);
	rdma_arm(&work);
	if (++steps % STEPS_PER_QUERY == 0)
		rdma_check_objects(&work);
}

void connectx_report(void)
{
	/* All pages that there were at the begin of a turn have been looked at one turn later. */
	say(" turns=%llu work=%llu events=%llu interrupts=%u", work.done / (2 * RDMA_WRITES),
	    work.done, events, msi_count(vector));
	/* Where the host finds a page, the completions, and which of them is the next. */
	say(" page=%llx cq=%llx ci=%llx", function.iova + RDMA_WRITTEN, function.iova + RDMA_CQ,
	    function.iova + RDMA_DOORBELLS);
}
