// SPDX-License-Identifier: GPL-2.0
/*
 * One table of numbers, sizes and offsets. ABI_TABLE and the include path choose which.
 */
#include <stddef.h>

#include <linux/vfio.h>

#include "kselftest.h"

#include "abi.h"

#define NAME_(x)	#x
#define NAME(x)		NAME_(x)

static const struct abi_value value[] = {
#include "names.inc"
};

const struct abi_table ABI_TABLE = {
	.header = NAME(ABI_TABLE),
	.value = value,
	.count = ARRAY_SIZE(value),
};
