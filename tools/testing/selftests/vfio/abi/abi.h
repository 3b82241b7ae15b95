/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a <linux/vfio.h> says, as a table. values.c is compiled once for each header, all
 * tables are of the same names in the same order.
 */
#ifndef SELFTESTS_VFIO_ABI_H
#define SELFTESTS_VFIO_ABI_H

struct abi_value {
	const char *name;
	unsigned long long value;
};

struct abi_table {
	const char *header;
	const struct abi_value *value;
	unsigned int count;
};

/* The header of the kernel source, and this project's over headers of several ages. */
extern const struct abi_table abi_kernel, abi_over_kernel, abi_over_system, abi_over_6_12,
	abi_over_6_1, abi_over_5_18;

#endif
