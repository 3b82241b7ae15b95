/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The DMA engine of the emulated device.
 */
#ifndef SELFTESTS_VFIO_ENGINE_H
#define SELFTESTS_VFIO_ENGINE_H

#include "emulated.h"

#define ENGINE_QUEUES	4
#define ENGINE_COPY	65536	/* most bytes of a descriptor */

/* BAR0: the generator */
enum {
	GEN_CTRL = 0x40,	/* bit 0: on, bit 1: raises vector 1, bit 2: waits */
	GEN_PERIOD_US = 0x44,
	GEN_ADDRESS_LO = 0x48,
	GEN_ADDRESS_HI = 0x4c,
	GEN_PAGES = 0x50,
	GEN_ERRORS = 0x54,
	GEN_SEQ_LO = 0x58,
	GEN_SEQ_HI = 0x5c,
	GEN_CONSUMED = 0x60,
};

#define GEN_VECTOR	1

/* BAR0: a queue */
#define QUEUE(n, reg)	(0x100 + 0x40 * (n) + (reg))
enum {
	RING_LO = 0x00,
	RING_HI = 0x04,
	RING_SIZE = 0x08,
	QUEUE_CTRL = 0x0c,	/* bit 0: on, bit 1: raises vector 2 + n */
	PRODUCER = 0x10,
	CONSUMER = 0x14,
	QUEUE_ERRORS = 0x18,
};

#define QUEUE_VECTOR	2

#define CTRL_ON		1
#define CTRL_IRQ	2
#define CTRL_WAIT	4

enum { TO_DEVICE = 1, TO_MEMORY = 2 };
enum { COPY_PENDING, COPY_DONE, COPY_INVALID, COPY_FAILED };

struct descriptor {
	__u64 address;		/* of the memory */
	__u64 offset;		/* in BAR2 */
	__u32 length;
	__u32 command;
	__u32 status;		/* the device writes it */
	__u32 tag;
};

void queue_on(struct emulated *emu, int n, __u64 ring, __u32 size, __u32 ctrl);
bool queue_reaches(struct emulated *emu, int n, __u32 consumer);
void generator_on(struct emulated *emu, __u64 ring, __u32 pages, __u32 period_us, __u32 ctrl);
__u64 generator_sequence(struct emulated *emu);
bool generator_passes(struct emulated *emu, __u64 number);
__u64 stamp_of(const void *page);
int engine_write(struct mig_device *dev, __u64 iova, __u64 length);

#endif
