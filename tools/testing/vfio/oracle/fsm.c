// SPDX-License-Identifier: GPL-2.0
/*
 * Print every path of the kernel's migration state machine.
 *
 * The state machine itself, "kernel_fsm.h", is cut from the kernel's source
 * when the test is run. fsm.rs prints the same of this project's; the outputs
 * must be equal.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <linux/types.h>
#include <linux/vfio.h>

typedef __u8 u8;

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define WARN_ON(condition) (condition)

/* All that the state machine reads of a device. */
struct vfio_device {
	__u32 migration_flags;
};

#include "kernel_fsm.h"

static const char *const names[] = {
	[VFIO_DEVICE_STATE_ERROR] = "ERROR",
	[VFIO_DEVICE_STATE_STOP] = "STOP",
	[VFIO_DEVICE_STATE_RUNNING] = "RUNNING",
	[VFIO_DEVICE_STATE_STOP_COPY] = "STOP_COPY",
	[VFIO_DEVICE_STATE_RESUMING] = "RESUMING",
	[VFIO_DEVICE_STATE_RUNNING_P2P] = "RUNNING_P2P",
	[VFIO_DEVICE_STATE_PRE_COPY] = "PRE_COPY",
	[VFIO_DEVICE_STATE_PRE_COPY_P2P] = "PRE_COPY_P2P",
};

static const __u32 feature_sets[] = {
	VFIO_MIGRATION_STOP_COPY,
	VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P,
	VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY,
	VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY,
};

static void print_path(struct vfio_device *device,
		       enum vfio_device_mig_state from,
		       enum vfio_device_mig_state to)
{
	enum vfio_device_mig_state state = from;
	unsigned int steps = 0;

	printf("%u %u %s to %u %s:", device->migration_flags, from, names[from],
	       to, names[to]);
	do {
		enum vfio_device_mig_state next;

		if (vfio_mig_get_next_state(device, state, to, &next)) {
			printf(" refused");
			break;
		}
		if (next == state) {
			printf(" same");
			break;
		}
		printf(" %s", names[next]);
		state = next;
		if (++steps > ARRAY_SIZE(names)) {
			fprintf(stderr, "endless path\n");
			exit(EXIT_FAILURE);
		}
	} while (state != to);
	printf("\n");
}

int main(void)
{
	for (size_t set = 0; set < ARRAY_SIZE(feature_sets); set++) {
		struct vfio_device device = {
			.migration_flags = feature_sets[set],
		};

		for (size_t from = 0; from < ARRAY_SIZE(names); from++)
			for (size_t to = 0; to < ARRAY_SIZE(names); to++)
				print_path(&device, from, to);
	}
	return EXIT_SUCCESS;
}
