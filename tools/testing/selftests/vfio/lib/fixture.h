/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fixtures that most tests share. Each begins and ends with a device that is RUNNING after a
 * reset: a test that was killed leaves its state to the next one only if the driver does so,
 * and the tests for that open the device themselves.
 */
#ifndef SELFTESTS_VFIO_FIXTURE_H
#define SELFTESTS_VFIO_FIXTURE_H

#include "kselftest_harness.h"
#include "vfio_migration.h"

/* The fixture mig_NAME with one open device. */
#define MIG_FIXTURE(_name) \
	FIXTURE(mig_ ## _name) { \
		struct mig_device dev; \
	}; \
	FIXTURE_SETUP(mig_ ## _name) \
	{ \
		mig_open(&self->dev); \
		ASSERT_EQ(0, mig_reset(&self->dev)); \
		ASSERT_EQ(R, mig_get(&self->dev)); \
	} \
	FIXTURE_TEARDOWN(mig_ ## _name) \
	{ \
		EXPECT_EQ(0, mig_reset(&self->dev)); \
		EXPECT_EQ(R, mig_get(&self->dev)); \
		mig_close(&self->dev); \
	} \
	struct _mig_end_ ## _name

/* The fixture NAME with one open device in STATE, and in ref the stream that it gives. */
#define MIG_STREAM_FIXTURE(_name, _state) \
	FIXTURE(_name) { \
		struct mig_device dev; \
		struct mig_buf ref; \
	}; \
	FIXTURE_SETUP(_name) \
	{ \
		mig_open_sampled(&self->dev, &self->ref, _state); \
	} \
	FIXTURE_TEARDOWN(_name) \
	{ \
		EXPECT_EQ(0, mig_reset(&self->dev)); \
		EXPECT_EQ(R, mig_get(&self->dev)); \
		mig_close(&self->dev); \
		mig_buf_free(&self->ref); \
	} \
	struct _mig_end_ ## _name

#endif
