// SPDX-License-Identifier: GPL-2.0
/*
 * This project's <linux/vfio.h> says the same as the kernel's, whatever header it is laid
 * over. Needs no device.
 */
#include "kselftest_harness.h"
#include "abi/abi.h"

FIXTURE(abi) {
};

FIXTURE_VARIANT(abi) {
	const struct abi_table *table;
};

FIXTURE_VARIANT_ADD(abi, over_kernel) { .table = &abi_over_kernel };
FIXTURE_VARIANT_ADD(abi, over_system) { .table = &abi_over_system };
FIXTURE_VARIANT_ADD(abi, over_6_12) { .table = &abi_over_6_12 };
FIXTURE_VARIANT_ADD(abi, over_6_1) { .table = &abi_over_6_1 };
FIXTURE_VARIANT_ADD(abi, over_5_18) { .table = &abi_over_5_18 };

FIXTURE_SETUP(abi)
{
}

FIXTURE_TEARDOWN(abi)
{
}

TEST_F(abi, equals_the_kernels)
{
	const struct abi_table *ours = variant->table;
	unsigned int i;

	ASSERT_LT(50, abi_kernel.count);
	ASSERT_EQ(abi_kernel.count, ours->count);
	for (i = 0; i < abi_kernel.count; i++) {
		EXPECT_STREQ(abi_kernel.value[i].name, ours->value[i].name);
		EXPECT_EQ(abi_kernel.value[i].value, ours->value[i].value)
			TH_LOG("%s: %s", ours->header, ours->value[i].name);
	}
}

TEST_HARNESS_MAIN
