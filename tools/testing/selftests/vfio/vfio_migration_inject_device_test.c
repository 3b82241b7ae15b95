// SPDX-License-Identifier: GPL-2.0
/*
 * Calls of the backend of the emulated device fail: the state that is reported then is the one
 * that the device is in, and nothing of it is lost.
 */
#include "lib/fixture.h"
#include "lib/emulated.h"
#include "lib/matrix.h"
#include "lib/monitor.h"
#include "lib/system.h"

FIXTURE(emulated_inject) {
	struct emulated emu;
};

FIXTURE_SETUP(emulated_inject)
{
	ASSERT_EQ(0, emu_open(&self->emu, mig_path()));
	mon_clear(&self->emu.dev);
}

FIXTURE_TEARDOWN(emulated_inject)
{
	mon_clear(&self->emu.dev);
	EXPECT_EQ(0, mig_reset(&self->emu.dev));
	emu_close(&self->emu);
}

static bool ticks(struct emulated *emu)
{
	uint64_t deadline = sys_now_us() + 2000000;
	__u64 before = emu_ticks(emu);

	/* One that stands still is not waited for that long. */
	if (!(emu_read(emu, EMU_STATUS) & 1))
		deadline = sys_now_us() + 50000;
	while (sys_now_us() < deadline)
		if (emu_ticks(emu) != before)
			return true;
	return false;
}

static void tick_arc(void *arg, const struct mig_arc *arc)
{
	struct emulated *emu = arg;
	bool expect = arc->leaves == R || arc->leaves == RP || mig_saving(arc->leaves);
	int fd, new_fd, ret;

	/* Arcs by themselves: each is on the way of others in the same manner. */
	if (arc->from != arc->leaves || arc->to != arc->enters || !mig_can_keep(arc) ||
	    arc->leaves == RE)
		return;
	if (arc->leaves == SC)
		expect = false;
	emu_write(emu, EMU_TICK_PERIOD_US, 200);
	emu_write(emu, EMU_TICK_CTRL, 1);
	fd = mig_set(&emu->dev, arc->leaves);
	mon_rule(&emu->dev, mon_arc(arc->leaves, arc->enters), "errno=5 kind=kept times=1");
	ret = __mig_set(&emu->dev, arc->enters, &new_fd);
	if (ret != -EIO)
		mig_die("[A11] %d", ret);
	if (ticks(emu) != expect)
		mig_die("[B1] [S17] in %s the device %s", mig_state_name(arc->leaves),
			expect ? "stands still" : "ticks");
	if (mig_reset(&emu->dev))
		mig_die("[X1]");
	if (fd >= 0)
		close(fd);
}

TEST_F(emulated_inject, b1_s17_e6_the_state_is_true)
{
	EXPECT_LT(5, mig_every_arc(self->emu.dev.flags, tick_arc, &self->emu));
}

/* What is left of a device that is lost, before and after the backend has stopped it. */
TEST_F(emulated_inject, s20_the_backend_does_half_of_it)
{
	struct mig_device *dev = &self->emu.dev;
	int last = mig_has_p2p(dev) ? RP : R, done, none;
	char rule[64];

	for (done = 0; done < 2; done++) {
		emu_write(&self->emu, EMU_TICK_PERIOD_US, 200);
		emu_write(&self->emu, EMU_TICK_CTRL, 1);
		EXPECT_TRUE(ticks(&self->emu));
		snprintf(rule, sizeof(rule), "errno=5 kind=lost done=%d times=1", done);
		mon_rule(dev, mon_arc(last, ST), rule);
		EXPECT_EQ(-EIO, __mig_set(dev, ST, &none));
		EXPECT_EQ(ERR, mig_get(dev)) TH_LOG("[S17]");
		EXPECT_EQ(!done, ticks(&self->emu)) TH_LOG("done=%d", done);
		EXPECT_EQ(0, mig_reset(dev)) TH_LOG("[S20]");
		emu_write(&self->emu, EMU_TICK_PERIOD_US, 200);
		emu_write(&self->emu, EMU_TICK_CTRL, 1);
		EXPECT_TRUE(ticks(&self->emu)) TH_LOG("[S20] it stands still after the reset");
		EXPECT_EQ(0, mig_reset(dev));
	}
}

/* Through every fault on the way of a migration, nothing of the device is lost. */
TEST_F(emulated_inject, s18_a_migration_with_faults_at_every_arc)
{
	bool precopy = mig_has_precopy(&self->emu.dev);
	struct mig_device *dev = &self->emu.dev;
	int first = precopy ? PC : R, at, i, fd = -1, new_fd;
	struct mig_buf stream = {}, again = {}, ref = {};
	struct mig_path way;

	emu_fill(&self->emu, 11);
	mig_set(dev, ST);
	mig_save(dev, &ref);
	mig_set(dev, R);

	if (precopy) {
		mon_rule(dev, mon_arc(R, PC), "errno=5 times=2");
		EXPECT_EQ(-EIO, __mig_set(dev, PC, &new_fd));
		EXPECT_EQ(-EIO, __mig_set(dev, PC, &new_fd));
		fd = mig_set(dev, PC);
		EXPECT_EQ(-ENOMSG, mig_read(fd, &stream, MIG_WHOLE));
	}
	way = mig_way(dev->flags, first, SC);
	for (i = 0, at = first; i < way.steps; at = way.state[i++])
		mon_rule(dev, mon_arc(at, way.state[i]), "errno=5 times=1");
	for (i = 0, at = first; i < way.steps; i++) {
		EXPECT_EQ(-EIO, __mig_set(dev, SC, &new_fd)) TH_LOG("[A11]");
		EXPECT_EQ(at, mig_get(dev)) TH_LOG("[S17]");
		at = way.state[i];
	}
	new_fd = mig_set(dev, SC);
	if (!precopy)
		fd = new_fd;
	EXPECT_EQ(0, mig_read(fd, &stream, MIG_WHOLE));
	mig_set(dev, ST);
	close(fd);

	EXPECT_EQ(0, mig_reset(dev));
	mig_set(dev, ST);
	ASSERT_EQ(0, __mig_load(dev, &stream, MIG_WHOLE));
	mig_save(dev, &again);
	EXPECT_TRUE(mig_buf_equal(&ref, &again)) TH_LOG("[S18] the state was damaged");
	mig_set(dev, R);
	mig_buf_free(&stream);
	mig_buf_free(&again);
	mig_buf_free(&ref);
}

static bool is_possible(const struct mig_device *dev)
{
	return mon_possible(dev) && emu_is(dev);
}

static const struct mig_need needs[] = {
	{ "emulated_inject", is_possible },
};

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, needs, ARRAY_SIZE(needs));
	return test_harness_run(argc, argv);
}
