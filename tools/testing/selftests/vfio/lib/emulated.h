/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The device of the vfio_migration_emulated driver: its registers and memory.
 */
#ifndef SELFTESTS_VFIO_EMULATED_H
#define SELFTESTS_VFIO_EMULATED_H

#include "vfio_migration.h"

#define EMU_VENDOR_DEVICE	0x10f41af4
#define EMU_PAGE		4096
#define EMU_VECTORS		MIG_VECTORS

/* BAR0, 32-bit registers */
enum {
	EMU_ID = 0x00,
	EMU_VERSION = 0x04,
	EMU_STATUS = 0x08,		/* bit 0: it may change by itself */
	EMU_STATE_SIZE_LO = 0x0c,
	EMU_STATE_SIZE_HI = 0x10,
	EMU_SCRATCH = 0x14,
	EMU_TICK_CTRL = 0x18,		/* bit 0: on, bit 1: each raises vector 0 */
	EMU_TICK_PERIOD_US = 0x1c,
	EMU_TICK_SEQ_LO = 0x20,
	EMU_TICK_SEQ_HI = 0x24,
	EMU_IRQ_RAISE = 0x28,
	EMU_IRQ_COUNT = 0x2c,
	EMU_REINIT = 0x30,
};

#define EMU_ID_VALUE		0x47494d56	/* "VMIG" */

struct emulated {
	struct mig_device dev;
	struct vfio_region_info config, bar0, bar2;
	unsigned char *mem;		/* BAR2, mapped */
	size_t size;
};

int emu_open(struct emulated *emu, const char *path);
void emu_close(struct emulated *emu);
__u32 emu_read(struct emulated *emu, __u64 offset);
void emu_write(struct emulated *emu, __u64 offset, __u32 value);
__u64 emu_count(struct emulated *emu, __u64 offset);
__u64 emu_ticks(struct emulated *emu);
void emu_config(struct emulated *emu, unsigned char *config);
void emu_fill(struct emulated *emu, uint64_t seed);
uint64_t emu_events(int fd);
bool emu_is(const struct mig_device *dev);
bool emu_has_precopy(const struct mig_device *dev);
bool emu_has_p2p(const struct mig_device *dev);
bool emu_has_peer(const struct mig_device *dev);
bool emu_has_precopy_peer(const struct mig_device *dev);

#endif
