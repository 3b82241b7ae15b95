// SPDX-License-Identifier: GPL-2.0
/*
 * RESUMING with good and bad streams. A bad one is refused, in write() or when RESUMING is
 * left, never taken; a reset brings the device back; nothing is kept of it.
 */
#include <sys/ioctl.h>

#include "lib/fixture.h"

/* Up to this size a stream is damaged at every bit, beyond it at those that matter most. */
#define SMALL_STREAM	8192
#define SAMPLE		80

/* Of many failures of one kind the first few say it all. */
#define LOGGED		3

MIG_STREAM_FIXTURE(resume, R);

/* Was the stream refused, and did a reset recover the device? */
static bool refused(struct mig_device *dev, const struct mig_buf *buf)
{
	int ret = __mig_load(dev, buf, MIG_WHOLE), state = mig_get(dev);

	if (mig_reset(dev) || mig_get(dev) != R)
		mig_die("[R6] [X1] no recovery from %s", mig_state_name(state));
	if (!ret)
		return false;
	if (state != RE && state != ERR)
		mig_die("[R8] bad stream, and then in %s", mig_state_name(state));
	return true;
}

TEST_F(resume, r3_nothing_written)
{
	struct mig_buf none = {};

	EXPECT_TRUE(refused(&self->dev, &none)) TH_LOG("[R3]");
	EXPECT_TRUE(mig_round_trip(&self->dev, &self->ref)) TH_LOG("[R6]");
}

TEST_F(resume, r2_r5_e4_e10_truncated_anywhere)
{
	struct mig_buf cut = self->ref;
	size_t *at, n, i, taken = 0;

	n = mig_offsets(&self->ref, SMALL_STREAM, SAMPLE, &at);
	for (i = 0; i < n; i++) {
		cut.len = at[i];
		if (!refused(&self->dev, &cut)) {
			if (taken++ < LOGGED)
				TH_LOG("[R2] [R5] %zu of %zu bytes were taken", cut.len,
				       self->ref.len);
		}
	}
	EXPECT_EQ(0, taken) TH_LOG("[R2] [R5] %zu of %zu truncations taken", taken, n);
	EXPECT_TRUE(mig_round_trip(&self->dev, &self->ref)) TH_LOG("[R6] [X5]");
	free(at);
}

TEST_F_TIMEOUT(resume, r5_e12_e20_single_bit_flips, 600)
{
	bool small = self->ref.len <= SMALL_STREAM;
	size_t *at, n, i, taken = 0, flips = 0;
	uint64_t seed = 5;
	int bit;

	n = mig_offsets(&self->ref, SMALL_STREAM, SAMPLE, &at);
	for (i = 0; i < n; i++) {
		int only = mig_random(&seed) % 8;

		for (bit = 0; bit < 8; bit++) {
			if (!small && bit != only)
				continue;
			self->ref.data[at[i]] ^= 1 << bit;
			flips++;
			if (!refused(&self->dev, &self->ref)) {
				if (taken++ < LOGGED)
					TH_LOG("[R5] byte %zu bit %d was taken", at[i],
					       bit);
			}
			self->ref.data[at[i]] ^= 1 << bit;
		}
		if (!(i % 256))
			EXPECT_TRUE(mig_round_trip(&self->dev, &self->ref)) TH_LOG("[R6] [X5]");
	}
	EXPECT_EQ(0, taken) TH_LOG("[R5] %zu of %zu bit flips taken", taken, flips);
	free(at);
}

/* Several bytes at a time, anywhere, and pieces cut out or put in. */
TEST_F_TIMEOUT(resume, r2_r5_e20_mutated, 600)
{
	size_t rounds = self->ref.len <= SMALL_STREAM ? 3000 : 200, taken = 0, i;
	uint64_t seed = 25;

	for (i = 0; i < rounds; i++) {
		struct mig_buf bad = {};
		size_t at = mig_random(&seed) % self->ref.len;
		size_t len = 1 + mig_random(&seed) % 64, k;

		if (len > self->ref.len - at)
			len = self->ref.len - at;
		mig_buf_add(&bad, self->ref.data, self->ref.len);
		switch (mig_random(&seed) % 3) {
		case 0:
			for (k = 0; k < len; k++)
				bad.data[at + k] = mig_random(&seed);
			break;
		case 1:
			memmove(bad.data + at, bad.data + at + len, bad.len - at - len);
			bad.len -= len;
			break;
		default:
			mig_buf_add(&bad, self->ref.data, len);
			memmove(bad.data + at + len, bad.data + at, self->ref.len - at);
		}
		if (!mig_buf_equal(&bad, &self->ref) && !refused(&self->dev, &bad))
			taken++;
		mig_buf_free(&bad);
	}
	EXPECT_EQ(0, taken) TH_LOG("[R2] [R5] %zu of %zu mutated streams taken", taken, rounds);
	EXPECT_TRUE(mig_round_trip(&self->dev, &self->ref)) TH_LOG("[R6] [X5]");
}

TEST_F(resume, r4_t2_trailing_garbage)
{
	static const size_t extra[] = { 1, 15, 16, 17, 32, 4096 };
	struct mig_buf buf = {};
	unsigned char junk[4096] = {};
	size_t i;
	int fill;

	for (i = 0; i < ARRAY_SIZE(extra); i++) {
		for (fill = 0; fill < 2; fill++) {
			memset(junk, fill ? 0xff : 0, sizeof(junk));
			buf.len = 0;
			mig_buf_add(&buf, self->ref.data, self->ref.len);
			mig_buf_add(&buf, junk, extra[i]);
			EXPECT_TRUE(refused(&self->dev, &buf))
				TH_LOG("[R4] %zu bytes of %#x behind the end", extra[i],
				       junk[0]);
		}
	}
	buf.len = 0;
	mig_buf_add(&buf, self->ref.data, self->ref.len);
	mig_buf_add(&buf, self->ref.data, self->ref.len);
	EXPECT_TRUE(refused(&self->dev, &buf)) TH_LOG("[R4] [T2] two streams in one session");
	mig_buf_free(&buf);
}

/* Garbage written after the end, in a write of its own: the end must be the end. */
TEST_F(resume, r4_r7_write_after_the_end)
{
	int fd = mig_set(&self->dev, RE), none, ret;

	ASSERT_EQ(0, mig_write(fd, self->ref.data, self->ref.len, MIG_WHOLE));
	ret = write(fd, "x", 1);
	if (ret < 0)
		EXPECT_EQ(-1, write(fd, "x", 1)) TH_LOG("[R7] the second write was taken");
	EXPECT_NE(0, __mig_set(&self->dev, ST, &none)) TH_LOG("[R4] [R7]");
	close(fd);
}

TEST_F(resume, r7_e5_errors_are_sticky)
{
	size_t *at, n, i, sticky = 0;
	int fd, none, tries;

	n = mig_offsets(&self->ref, SMALL_STREAM, 0, &at);
	for (i = 0; i < n && sticky < 50 && _metadata->exit_code != KSFT_FAIL; i++) {
		self->ref.data[at[i]] ^= 0x10;
		fd = mig_set(&self->dev, RE);
		if (mig_write(fd, self->ref.data, self->ref.len, MIG_WHOLE)) {
			sticky++;
			for (tries = 0; tries < 3; tries++)
				EXPECT_EQ(-1, write(fd, self->ref.data, self->ref.len))
					TH_LOG("[R7] written after the error at %zu", at[i]);
			self->ref.data[at[i]] ^= 0x10;
			EXPECT_EQ(-1, write(fd, self->ref.data, self->ref.len))
				TH_LOG("[R7] a good stream after the error at %zu", at[i]);
			EXPECT_NE(0, __mig_set(&self->dev, ST, &none))
				TH_LOG("[R7] RESUMING was left after the error at %zu", at[i]);
			self->ref.data[at[i]] ^= 0x10;
		}
		EXPECT_EQ(0, mig_reset(&self->dev));
		close(fd);
		self->ref.data[at[i]] ^= 0x10;
	}
	EXPECT_LT(0, sticky) TH_LOG("[R7] no damage was noticed in write()");
	EXPECT_TRUE(mig_round_trip(&self->dev, &self->ref)) TH_LOG("[X5] sticky over a reset");
	free(at);
}

TEST_F(resume, r6_reset_aborts)
{
	size_t part[] = { 0, 1, self->ref.len / 2, self->ref.len };
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(part); i++) {
		fd = mig_set(&self->dev, RE);
		ASSERT_EQ(0, mig_write(fd, self->ref.data, part[i], MIG_WHOLE));
		EXPECT_EQ(0, mig_reset(&self->dev)) TH_LOG("[R6] after %zu bytes", part[i]);
		EXPECT_EQ(R, mig_get(&self->dev)) TH_LOG("[R6]");
		EXPECT_EQ(-1, write(fd, "x", 1)) TH_LOG("[R6] [X2] [R10]");
		close(fd);
	}
	EXPECT_TRUE(mig_round_trip(&self->dev, &self->ref)) TH_LOG("[R6]");
}

TEST_F(resume, r6_failed_leave_stays_failed)
{
	size_t half = self->ref.len / 2;
	int fd = mig_set(&self->dev, RE), none;

	ASSERT_EQ(0, mig_write(fd, self->ref.data, half, MIG_WHOLE));
	EXPECT_NE(0, __mig_set(&self->dev, ST, &none)) TH_LOG("[R2]");
	/* What was missing comes too late: only a reset leads out. */
	mig_write(fd, self->ref.data + half, self->ref.len - half, MIG_WHOLE);
	EXPECT_NE(0, __mig_set(&self->dev, ST, &none)) TH_LOG("[R6]");
	EXPECT_NE(0, __mig_set(&self->dev, R, &none)) TH_LOG("[R6] [R8]");
	EXPECT_EQ(0, mig_reset(&self->dev)) TH_LOG("[R6]");
	EXPECT_TRUE(mig_round_trip(&self->dev, &self->ref)) TH_LOG("[R6] [X5]");
	close(fd);
}

TEST_F(resume, r11_resuming_to_stop_copy)
{
	struct mig_buf got = {};
	int fd = mig_set(&self->dev, RE), save;

	ASSERT_EQ(0, mig_write(fd, self->ref.data, self->ref.len, MIG_WHOLE));
	save = mig_set(&self->dev, SC);
	EXPECT_EQ(0, mig_read(save, &got, MIG_WHOLE));
	EXPECT_TRUE(mig_buf_equal(&self->ref, &got)) TH_LOG("[R11]");
	close(save);
	close(fd);
	mig_buf_free(&got);
}

MIG_FIXTURE(foreign);

TEST_F(mig_foreign, r9_e11_stream_of_an_incompatible_device)
{
	struct mig_device other;
	struct mig_buf buf = {};

	ASSERT_EQ(0, __mig_open(&other, mig_foreign_path(), mig_mode()));
	ASSERT_EQ(0, mig_reset(&other));
	mig_set(&other, ST);
	mig_save(&other, &buf);
	ASSERT_EQ(0, mig_reset(&other));
	mig_close(&other);
	EXPECT_TRUE(refused(&self->dev, &buf)) TH_LOG("[R9]");
	mig_buf_free(&buf);
}

static const struct mig_need needs[] = {
	{ "mig_foreign", mig_has_foreign },
};

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, needs, ARRAY_SIZE(needs));
	return test_harness_run(argc, argv);
}
