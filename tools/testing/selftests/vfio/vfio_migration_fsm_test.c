// SPDX-License-Identifier: GPL-2.0
/*
 * The state machine against the table in lib/matrix.c: every pair of
 * states, and a long random walk in which every arc, refusal and file is checked.
 */
#include <fcntl.h>

#include "kselftest_harness.h"
#include "lib/matrix.h"
#include "lib/vfio_migration.h"

static bool in_session(int state)
{
	return mig_saving(state) || state == RE;
}

static bool arc_opens(int from, int to)
{
	return to == RE || (mig_saving(to) && !mig_saving(from));
}

static bool arc_ends(int from, int to)
{
	return from == RE || (mig_saving(from) && !mig_saving(to));
}

/* One device on its walk, with all it must remember. */
struct walker {
	struct mig_device dev;
	int state;
	int fd;			/* of the session, -1 if closed or none */
	struct mig_buf stream;	/* that is being loaded */
	size_t written;		/* of it */
	bool failed;		/* a way out of RESUMING was refused: it takes a reset [R6] */
	int old[4];		/* files of sessions that are over */
	unsigned int olds;
	size_t refusals, sets;
	bool arc[MIG_STATES][MIG_STATES];
};

/* Was the whole of a good stream written? */
static bool loaded(const struct walker *w)
{
	return w->written && w->written == w->stream.len;
}

static void end_session(struct walker *w)
{
	int *slot = &w->old[w->olds++ % ARRAY_SIZE(w->old)];

	if (*slot > 0)
		close(*slot);
	*slot = w->fd;
	w->fd = -1;
}

/* SET, and everything the table says about it. The stream for leaving RESUMING is complete. */
static void step(struct walker *w, int to)
{
	struct mig_path expect = mig_way(w->dev.flags, w->state, to);
	int from = w->state, at = from, fd, ret, i;
	bool ends = false, opens = false;

	ret = __mig_set(&w->dev, to, &fd);
	w->sets++;
	if (from == ERR || (from == RE && to != RE && !loaded(w) && !expect.refused)) {
		/* [R2] [S15] A load that is not complete, or ERROR: no SET gets out. */
		w->refusals++;
		w->failed = true;
		w->state = mig_get(&w->dev);
		if (!ret || fd != -1)
			mig_die("[R2] [S15] %s -> %s succeeded", mig_state_name(from),
				mig_state_name(to));
		if (w->state != from && w->state != ERR)
			mig_die("[R8] [S17] %s -> %s failed into %s", mig_state_name(from),
				mig_state_name(to), mig_state_name(w->state));
		return;
	}
	if (expect.refused) {
		w->refusals++;
		if (ret != -EINVAL || fd != -1)
			mig_die("[A6] [A7] [S12] %s -> %s: %d, fd %d instead of EINVAL",
				mig_state_name(from), mig_state_name(to), ret, fd);
		if (mig_get(&w->dev) != from)
			mig_die("[A7] [S11] %s -> %s refused, but now in %s",
				mig_state_name(from), mig_state_name(to),
				mig_state_name(mig_get(&w->dev)));
		return;
	}
	if (ret)
		mig_die("[A6] %s -> %s: %s", mig_state_name(from), mig_state_name(to),
			strerror(-ret));
	if (mig_get(&w->dev) != to)
		mig_die("[A6] %s -> %s ended in %s", mig_state_name(from), mig_state_name(to),
			mig_state_name(mig_get(&w->dev)));
	for (i = 0; i < expect.steps; i++) {
		w->arc[at][expect.state[i]] = true;
		ends |= arc_ends(at, expect.state[i]);
		opens = arc_opens(at, expect.state[i]);
		at = expect.state[i];
	}
	if (opens ? fd < 0 : fd != -1)
		mig_die("[D1] [D2] [D3] [D4] [D5] [A10] %s -> %s returned fd %d",
			mig_state_name(from), mig_state_name(to), fd);
	if (ends && w->fd >= 0) {
		if (from != RE && !mig_reads_nothing(w->fd))
			mig_die("[D3] [D4] %s -> %s left the session's file alive",
				mig_state_name(from), mig_state_name(to));
		if (from == RE && write(w->fd, "x", 1) >= 0)
			mig_die("[R10] a write after %s -> %s was taken",
				mig_state_name(from), mig_state_name(to));
		end_session(w);
	}
	if (opens) {
		w->fd = fd;
		w->stream.len = 0;
		w->written = 0;
		w->failed = false;
		if (to == RE && read(fd, &ret, 1) >= 0)
			mig_die("[D6] read from the file of RESUMING");
		if (to != RE && write(fd, "x", 1) >= 0)
			mig_die("[D6] write to the file of %s", mig_state_name(to));
	}
	w->state = to;
}

static void restart(struct walker *w)
{
	if (mig_reset(&w->dev) || mig_get(&w->dev) != R)
		mig_die("[X1] reset in %s", mig_state_name(w->state));
	if (in_session(w->state) && w->fd >= 0) {
		if (w->state != RE && !mig_reads_nothing(w->fd))
			mig_die("[X2] reset left the session's file alive");
		if (w->state == RE && write(w->fd, "x", 1) >= 0)
			mig_die("[X2] a write after reset was taken");
	}
	if (w->fd >= 0)
		end_session(w);
	w->state = R;
}

/* Write the stream, or its next part. Its start decides which stream it is to the end. */
static void load(struct walker *w, const struct mig_buf *buf, size_t part)
{
	struct mig_cut cut = { 1, 1 << 20, 7 };
	int ret;

	if (w->fd < 0 || w->failed)
		return;
	if (!w->written) {
		w->stream.len = 0;
		mig_buf_add(&w->stream, buf->data, buf->len);
	}
	if (part > w->stream.len - w->written)
		part = w->stream.len - w->written;
	ret = mig_write(w->fd, w->stream.data + w->written, part, cut);
	if (ret)
		mig_die("[T2] a good stream was refused: %s", strerror(-ret));
	w->written += part;
}

static void start(struct walker *w, const char *path)
{
	memset(w, 0, sizeof(*w));
	if (__mig_open(&w->dev, path, mig_mode()) || mig_reset(&w->dev))
		mig_die("cannot open %s", path);
	w->state = R;
	w->fd = -1;
}

static void finish(struct walker *w)
{
	size_t i;

	restart(w);
	for (i = 0; i < ARRAY_SIZE(w->old); i++)
		if (w->old[i] > 0)
			close(w->old[i]);
	mig_buf_free(&w->stream);
	mig_close(&w->dev);
}

FIXTURE(fsm) {
	struct walker w;
	struct mig_buf buf;
};

FIXTURE_SETUP(fsm)
{
	memset(&self->buf, 0, sizeof(self->buf));
	start(&self->w, mig_path());
	mig_set(&self->w.dev, ST);
	mig_save(&self->w.dev, &self->buf);
	mig_set(&self->w.dev, R);
}

FIXTURE_TEARDOWN(fsm)
{
	finish(&self->w);
	mig_buf_free(&self->buf);
}

/* One row of the matrix, with the columns the device does not have, and out of range. */
static void row(struct walker *w, const struct mig_buf *buf, int from)
{
	int to;

	for (to = 0; to < MIG_STATES + 2; to++) {
		step(w, from);
		if (from == RE)
			load(w, buf, buf->len);
		step(w, to);
		if (mig_saving(from) && mig_saving(to) && w->fd >= 0 && w->state == SC) {
			/* [D2] [A7] The session goes on: its stream has an end. */
			struct mig_buf got = {};

			if (mig_read(w->fd, &got, MIG_WHOLE) || !got.len)
				mig_die("[D2] [A7] %s -> %s broke the session",
					mig_state_name(from), mig_state_name(to));
			mig_buf_free(&got);
		}
		restart(w);
	}
}

TEST_F(fsm, a6_d1_d4_every_pair)
{
	int from;

	for (from = 0; from < MIG_STATES; from++)
		if (mig_supports(self->w.dev.flags, from))
			row(&self->w, &self->buf, from);
	EXPECT_LT(0, self->w.refusals);
}

/* [A8] [A9] are rules about the path, so they are checked on the table the tests rest on. */
TEST_F(fsm, a8_a9_table_obeys_the_rules)
{
	__u64 flags = self->w.dev.flags;
	int from, to, i;

	for (from = 0; from < MIG_STATES; from++) {
		for (to = 0; to < MIG_STATES; to++) {
			struct mig_path expect;
			int at = from;

			if (!mig_supports(flags, from))
				continue;
			expect = mig_way(flags, from, to);
			ASSERT_TRUE(expect.refused || mig_supports(flags, to));
			for (i = 0; i < expect.steps; i++) {
				struct mig_path one = mig_way(flags, at, expect.state[i]);

				EXPECT_EQ(1, one.steps) TH_LOG("[A9] not an arc");
				at = expect.state[i];
				if (i < expect.steps - 1 && mig_saving(at))
					EXPECT_TRUE(mig_saving(from) && mig_saving(to))
						TH_LOG("[A8] through %s", mig_state_name(at));
			}
			if (!expect.refused)
				EXPECT_EQ(to, at) TH_LOG("[A9]");
		}
	}
}

TEST_F(fsm, a7_stop_copy_to_precopy_keeps_the_session)
{
	struct mig_buf got = {};
	int to;

	step(&self->w, ST);
	step(&self->w, SC);
	for (to = PC; to <= PP; to++)
		step(&self->w, to);
	EXPECT_EQ(SC, mig_get(&self->w.dev)) TH_LOG("[A7]");
	EXPECT_EQ(0, mig_read(self->w.fd, &got, MIG_WHOLE)) TH_LOG("[A7]");
	EXPECT_TRUE(mig_buf_equal(&got, &self->buf)) TH_LOG("[A7] another stream");
	mig_buf_free(&got);
}

TEST_F(fsm, a10_stop_copy_to_resuming_swaps_the_files)
{
	int save;

	step(&self->w, SC);
	save = dup(self->w.fd);
	step(&self->w, RE);
	EXPECT_TRUE(mig_reads_nothing(save)) TH_LOG("[A10] the old session lives");
	load(&self->w, &self->buf, self->buf.len);
	step(&self->w, SC);
	EXPECT_LE(0, self->w.fd) TH_LOG("[A10]");
	close(save);
}

/* [A11] The arc RE>ST comes first on every way out of RESUMING and can be made to fail. */
TEST_F(fsm, a11_r8_failing_first_arc)
{
	int to;

	for (to = 0; to < MIG_STATES; to++) {
		step(&self->w, RE);
		load(&self->w, &self->buf, self->buf.len / 2);
		if (to != RE)
			step(&self->w, to);
		EXPECT_TRUE(self->w.state == RE || self->w.state == ERR) TH_LOG("[A11] [R8]");
		restart(&self->w);
	}
}

/*
 * The walk is as long as the size of the state allows: streams are moved whole. It is long
 * enough for every arc to come many times.
 */
static void wander(struct walker *w, unsigned int n, const char *const *path)
{
	uint64_t seed = mig_seed(0x5eed), first = seed;
	struct mig_buf stream = {};
	char part[4096];
	size_t steps;
	unsigned int i;

	for (i = 0; i < n; i++)
		start(&w[i], path[i]);
	mig_set(&w[0].dev, ST);
	mig_save(&w[0].dev, &stream);
	mig_set(&w[0].dev, R);
	steps = stream.len > 1 << 17 ? 1500 * n : 5000 * n;
	fprintf(stderr, "# random walk of %zu steps, from %#llx\n", steps,
		(unsigned long long)first);
	while (steps--) {
		struct walker *me = &w[mig_random(&seed) % n];
		unsigned int draw = mig_random(&seed) % 100;

		if (draw < 75) {
			/* Mostly with the load complete, so that RESUMING is left as well. */
			if (me->state == RE && mig_random(&seed) % 4)
				load(me, &stream, stream.len);
			step(me, mig_random(&seed) % (MIG_STATES + 2));
		} else if (draw < 80) {
			restart(me);
		} else if (draw < 85 && me->state == SC && me->fd >= 0) {
			/* Whatever is saved whole here, any of the devices loads later. */
			struct mig_buf more = {};

			if (mig_read(me->fd, &more, (struct mig_cut){ 1, 1 << 18, draw }))
				mig_die("[T6] [T8] read in STOP_COPY failed");
			mig_buf_free(&more);
		} else if (draw < 90 && me->fd >= 0 && mig_saving(me->state)) {
			if (read(me->fd, part, 1 + draw) < 0 && errno != ENOMSG)
				mig_die("read in %s: %s", mig_state_name(me->state),
					strerror(errno));
		} else if (draw < 90 && me->fd >= 0 && me->state == RE) {
			load(me, &stream, 1 + mig_random(&seed) % 5000);
		} else if (draw < 92 && me->fd >= 0) {
			/* [S25] Closed early: the state stays, the load can be no longer. */
			close(me->fd);
			me->fd = -1;
		} else if (me->state == ST) {
			stream.len = 0;
			mig_save(&me->dev, &stream);
		}
		if (mig_get(&me->dev) != me->state)
			mig_die("[S5] in %s instead of %s",
				mig_state_name(mig_get(&me->dev)), mig_state_name(me->state));
	}
	for (i = 0; i < n; i++)
		finish(&w[i]);
	mig_buf_free(&stream);
}

/* The number of arcs a driver sees. */
static unsigned int arcs(__u64 flags)
{
	switch (flags) {
	case VFIO_MIGRATION_STOP_COPY:
		return 6;	/* [A1] */
	case VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P:
		return 8;	/* [A2] */
	case VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY:
		return 9;	/* [A3] */
	default:
		return 15;	/* [A4] */
	}
}

static unsigned int arcs_seen(const struct walker *w)
{
	unsigned int from, to, seen = 0;

	for (from = 0; from < MIG_STATES; from++)
		for (to = 0; to < MIG_STATES; to++)
			seen += w->arc[from][to];
	return seen;
}

static void walk_alone(struct __test_metadata *_metadata)
{
	const char *const path[] = { mig_path() };
	struct walker w;

	wander(&w, 1, path);
	EXPECT_EQ(arcs(w.dev.flags), arcs_seen(&w))
		TH_LOG("[A1] [A2] [A3] [A4] a walk that missed an arc, or took one too many");
	EXPECT_LT(100, w.refusals);
}

/*
 * A device has one set of features. [A5] Drivers warn of an arc that is none, and the
 * kernel's log counts.
 */
#define WALK(_fixture, _name) \
	FIXTURE(_fixture) { }; \
	FIXTURE_SETUP(_fixture) { } \
	FIXTURE_TEARDOWN(_fixture) { } \
	TEST_F(_fixture, _name) \
	{ \
		walk_alone(_metadata); \
	} \
	struct _mig_end_ ## _fixture

WALK(with_none, a1_a5_random_walk);
WALK(with_p2p, a2_a5_random_walk);
WALK(with_precopy, a3_a5_random_walk);
WALK(with_both, a4_a5_random_walk);

static bool with_none(const struct mig_device *dev)
{
	return !mig_has_precopy(dev) && !mig_has_p2p(dev);
}

static bool with_p2p(const struct mig_device *dev)
{
	return !mig_has_precopy(dev) && mig_has_p2p(dev);
}

static bool with_precopy(const struct mig_device *dev)
{
	return mig_has_precopy(dev) && !mig_has_p2p(dev);
}

/* The arcs that only stop and start have no file. */
FIXTURE(p2p) {
	struct walker w;
};

FIXTURE_SETUP(p2p)
{
	start(&self->w, mig_path());
}

FIXTURE_TEARDOWN(p2p)
{
	finish(&self->w);
}

TEST_F(p2p, d5_no_file_on_the_way_to_stop)
{
	static const int way[] = { RP, R, RP, ST, RP, ST, R, ST };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(way); i++) {
		step(&self->w, way[i]);
		EXPECT_EQ(-1, self->w.fd) TH_LOG("[D5]");
	}
}

FIXTURE(peer) {
	struct walker w[2];
};

FIXTURE_SETUP(peer)
{
}

FIXTURE_TEARDOWN(peer)
{
}

/* Two devices that load each other's streams. */
TEST_F(peer, a6_random_walk_of_two)
{
	const char *const path[] = { mig_path(), mig_peer_path() };

	wander(self->w, 2, path);
	EXPECT_EQ(arcs(self->w[0].dev.flags), arcs_seen(&self->w[0]));
	EXPECT_EQ(arcs(self->w[1].dev.flags), arcs_seen(&self->w[1]));
}

static const struct mig_need needs[] = {
	{ "peer", mig_has_peer },
	{ "p2p", mig_has_p2p },
	{ "with_none", with_none },
	{ "with_p2p", with_p2p },
	{ "with_precopy", with_precopy },
	{ "with_both", mig_has_precopy_p2p },
};

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, needs, ARRAY_SIZE(needs));
	return test_harness_run(argc, argv);
}
