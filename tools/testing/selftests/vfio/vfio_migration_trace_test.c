// SPDX-License-Identifier: GPL-2.0
/*
 * What is to be seen of a device: trace events that tell what happened, in order, and
 * statistics that add up. Neither has anything of what the guest has in the device.
 */
#include <fcntl.h>
#include <sys/ioctl.h>

#include "lib/fixture.h"
#include "lib/emulated.h"
#include "lib/matrix.h"
#include "lib/monitor.h"
#include "lib/system.h"

#define MAX_RECORDS	4096

FIXTURE(trace) {
	struct mig_device dev;
};

FIXTURE_SETUP(trace)
{
	mig_open(&self->dev);
	mon_clear(&self->dev);
	ASSERT_EQ(0, mig_reset(&self->dev));
	mon_trace_begin();
}

FIXTURE_TEARDOWN(trace)
{
	mon_trace_remove();
	mon_clear(&self->dev);
	EXPECT_EQ(0, mig_reset(&self->dev));
	mig_close(&self->dev);
}

static bool is(const struct mon_event *event, const char *name)
{
	return !strcmp(event->name, name);
}

static bool has(const struct mon_event *event, const char *key, const char *value)
{
	char text[64];

	return mon_field(event, key, text, sizeof(text)) && !strcmp(text, value);
}

/* The next event of that name, from *at on; ends the test where there is none. */
static const struct mon_event *next(const struct mon_trace *trace, size_t *at, const char *name)
{
	for (; *at < trace->count; ++*at)
		if (is(&trace->event[*at], name))
			return &trace->event[(*at)++];
	mig_die("there is no further event %s among %zu", name, trace->count);
}

static size_t count(const struct mon_trace *trace, const char *name)
{
	size_t i, n = 0;

	for (i = 0; i < trace->count; i++)
		n += is(&trace->event[i], name);
	return n;
}

/* The arcs of one SET that succeeded, and no others. */
static void check_way(const struct mon_trace *trace, __u64 flags, int from, int to, uint64_t took)
{
	struct mig_path way = mig_way(flags, from, to);
	uint64_t sum = 0;
	size_t at = 0;
	int i;

	if (count(trace, "arc") != (size_t)way.steps)
		mig_die("[A9] %s -> %s: %zu events for %d arcs", mig_state_name(from),
			mig_state_name(to), count(trace, "arc"), way.steps);
	for (i = 0; i < way.steps; from = way.state[i++]) {
		const struct mon_event *event = next(trace, &at, "arc");

		if (!has(event, "from", mig_state_name(from)) ||
		    !has(event, "to", mig_state_name(way.state[i])) || !has(event, "ret", "0"))
			mig_die("[A9] not %s -> %s: %s", mig_state_name(from),
				mig_state_name(way.state[i]), event->text);
		sum += mon_number(event, "ns");
	}
	if (sum > took)
		mig_die("arcs of %llu ns in %llu ns", (unsigned long long)sum,
			(unsigned long long)took);
}

/* A reset from that state, and before it at most what was in the making then. */
static void check_reset(struct __test_metadata *_metadata, const struct mon_trace *trace, int from,
			uint64_t took)
{
	const struct mon_event *last = &trace->event[trace->count - 1];

	ASSERT_EQ(1, count(trace, "reset"));
	/* What is given back to the firmware is in the background. */
	while (is(last, "command"))
		last--;
	ASSERT_TRUE(is(last, "reset")) TH_LOG("[X1] %s after it", last->name);
	EXPECT_TRUE(has(last, "from", mig_state_name(from))) TH_LOG("[X1] %s", last->text);
	EXPECT_GE(took, mon_number(last, "ns"));
	EXPECT_EQ(0, count(trace, "arc"));
	EXPECT_EQ(0, count(trace, "round"));
}

TEST_F_TIMEOUT(trace, a9_every_transition_has_its_arcs, 600)
{
	struct mig_buf ref = {};
	struct mon_trace trace;
	int from, to, fd, new_fd, state;
	uint64_t start;

	mig_set(&self->dev, ST);
	mig_save(&self->dev, &ref);
	mig_set(&self->dev, R);
	for (from = 0; from < MIG_STATES; from++)
		for (to = 0; to < MIG_STATES; to++) {
			if (!mig_supports(self->dev.flags, from))
				continue;
			fd = mig_enter(&self->dev, &ref, from);
			mon_trace_begin();
			start = sys_now_ns();
			if (mig_way(self->dev.flags, from, to).refused) {
				EXPECT_NE(0, __mig_set(&self->dev, to, &new_fd));
				trace = mon_trace_end(&self->dev);
				EXPECT_EQ(0, count(&trace, "arc")) TH_LOG("[A6] refused");
			} else {
				new_fd = mig_set(&self->dev, to);
				trace = mon_trace_end(&self->dev);
				check_way(&trace, self->dev.flags, from, to, sys_now_ns() - start);
			}
			mon_trace_free(&trace);
			state = mig_get(&self->dev);
			mon_trace_begin();
			start = sys_now_ns();
			EXPECT_EQ(0, mig_reset(&self->dev));
			trace = mon_trace_end(&self->dev);
			check_reset(_metadata, &trace, state, sys_now_ns() - start);
			mon_trace_free(&trace);
			if (fd >= 0)
				close(fd);
			if (new_fd >= 0)
				close(new_fd);
		}
	mig_buf_free(&ref);
}

/* Each record of the stream has its event, in order, of this session and direction. */
static void check_records(const struct mon_trace *trace, const struct mig_buf *stream,
			  const char *direction, uint64_t session)
{
	static struct mig_record rec[MAX_RECORDS];
	size_t n = mig_records(stream, rec, MAX_RECORDS), at = 0, i;

	if (!n || count(trace, "record") != n)
		mig_die("%zu events for %zu records", count(trace, "record"), n);
	for (i = 0; i < n; i++) {
		const struct mon_event *event = next(trace, &at, "record");

		if (mon_number(event, "session") != session ||
		    mon_number(event, "tag") != rec[i].tag ||
		    mon_number(event, "flags") != rec[i].flags ||
		    mon_number(event, "size") != rec[i].size ||
		    !has(event, "direction", direction))
			mig_die("record %zu of %zu bytes, tag %#x: %s", i, rec[i].size,
				rec[i].tag, event->text);
	}
}

/* Bytes of device state in the records of a stream. */
static size_t payload(const struct mig_buf *stream)
{
	static struct mig_record rec[MAX_RECORDS];
	size_t n = mig_records(stream, rec, MAX_RECORDS), i, sum = 0;

	for (i = 0; i < n; i++)
		if (!rec[i].tag)
			sum += rec[i].size;
	return sum;
}

static uint64_t sum_of(const struct mon_trace *trace, const char *name, const char *key)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < trace->count; i++)
		if (is(&trace->event[i], name))
			sum += mon_number(&trace->event[i], key);
	return sum;
}

/* The numbers that a migration changes. */
struct numbers {
	uint64_t sessions, saved, resumed, bytes_saved, bytes_loaded, chunks_saved;
	uint64_t chunks_loaded, rounds, resets, errors, injected;
};

static struct numbers numbers(const struct mig_device *dev)
{
	return (struct numbers){
		.sessions = mon_stat(dev, "sessions"),
		.saved = mon_stat(dev, "sessions_saved"),
		.resumed = mon_stat(dev, "sessions_resumed"),
		.bytes_saved = mon_stat(dev, "bytes_saved"),
		.bytes_loaded = mon_stat(dev, "bytes_loaded"),
		.chunks_saved = mon_stat(dev, "chunks_saved"),
		.chunks_loaded = mon_stat(dev, "chunks_loaded"),
		.rounds = mon_stat(dev, "rounds"),
		.resets = mon_stat(dev, "resets"),
		.errors = mon_stat(dev, "errors"),
		.injected = mon_stat(dev, "injected"),
	};
}

/* A whole migration: both sides of it tell the same as the stream between them. */
TEST_F(trace, t8_a_migration)
{
	struct numbers before = numbers(&self->dev), after;
	bool precopy = mig_has_precopy(&self->dev);
	struct mig_buf stream = {};
	struct mon_trace trace;
	size_t at = 0, i, before_stop = 0;
	uint64_t session;
	int fd, new_fd;

	fd = mig_set(&self->dev, precopy ? PC : SC);
	if (precopy) {
		EXPECT_EQ(-ENOMSG, mig_read(fd, &stream, (struct mig_cut){ 1, 9000, 5 }));
		before_stop = stream.len;
		EXPECT_EQ(-1, mig_set(&self->dev, SC));
	}
	EXPECT_EQ(0, mig_read(fd, &stream, MIG_WHOLE));
	mig_set(&self->dev, ST);
	close(fd);
	trace = mon_trace_end(&self->dev);
	after = numbers(&self->dev);

	session = mon_number(next(&trace, &at, "chunk"), "session");
	EXPECT_EQ(after.sessions, session);
	check_records(&trace, &stream, "save", session);
	EXPECT_EQ(payload(&stream), sum_of(&trace, "chunk", "len"));
	EXPECT_EQ(before_stop, sum_of(&trace, "round", "bytes"));
	EXPECT_EQ(0, count(&trace, "error"));
	for (i = 0, at = 0; i < count(&trace, "round"); i++)
		EXPECT_EQ(i + 1, mon_number(next(&trace, &at, "round"), "round"));
	EXPECT_EQ(precopy, !!i);
	/*
	 * With the device stopped nothing of pre-copy is made any more. What follows is begun
	 * before the arc is over, so it may come before the arc's event.
	 */
	for (i = 0, at = 0; at < trace.count; at++) {
		const struct mon_event *event = &trace.event[at];

		i |= is(event, "arc") && has(event, "to", "STOP_COPY");
		if (!is(event, "chunk"))
			continue;
		i |= has(event, "phase", "stop_copy");
		EXPECT_TRUE(has(event, "phase", i ? "stop_copy" : "pre_copy"))
			TH_LOG("%s", event->text);
	}
	EXPECT_EQ(1, after.sessions - before.sessions);
	EXPECT_EQ(1, after.saved - before.saved);
	EXPECT_EQ(0, after.resumed - before.resumed);
	EXPECT_EQ(stream.len, after.bytes_saved - before.bytes_saved);
	EXPECT_EQ(0, after.bytes_loaded - before.bytes_loaded);
	EXPECT_EQ(count(&trace, "chunk"), after.chunks_saved - before.chunks_saved);
	EXPECT_EQ(count(&trace, "round"), after.rounds - before.rounds);
	EXPECT_EQ(0, after.errors - before.errors);
	EXPECT_EQ(0, after.injected - before.injected);
	mon_trace_free(&trace);

	before = after;
	mon_trace_begin();
	ASSERT_EQ(0, __mig_load(&self->dev, &stream, (struct mig_cut){ 1, 9000, 6 }));
	trace = mon_trace_end(&self->dev);
	after = numbers(&self->dev);
	check_records(&trace, &stream, "load", session + 1);
	EXPECT_EQ(payload(&stream), sum_of(&trace, "chunk", "len"));
	for (i = 0, at = 0; i < count(&trace, "chunk"); i++)
		EXPECT_TRUE(has(next(&trace, &at, "chunk"), "phase", "load"));
	EXPECT_EQ(count(&trace, "chunk"), after.chunks_loaded - before.chunks_loaded);
	EXPECT_EQ(stream.len, after.bytes_loaded - before.bytes_loaded);
	EXPECT_EQ(0, after.bytes_saved - before.bytes_saved);
	EXPECT_EQ(1, after.resumed - before.resumed);
	EXPECT_EQ(0, count(&trace, "error"));
	mon_trace_free(&trace);

	/* The last word about a session is that of the arc that ends it. */
	mig_set(&self->dev, R);
	EXPECT_EQ(0, mig_reset(&self->dev));
	EXPECT_EQ(1, mon_stat(&self->dev, "resets") - after.resets);
	new_fd = mig_set(&self->dev, RE);
	EXPECT_EQ(session + 2, mon_stat(&self->dev, "sessions"));
	close(new_fd);
	mig_buf_free(&stream);
}

/* The line of an arc in the histogram, or the end of the text. */
static const char *arc_line(const char *text, int from, int to)
{
	char start[80];
	const char *line;

	snprintf(start, sizeof(start), "from=%s to=%s ", mig_state_name(from),
		 mig_state_name(to));
	line = strstr(text, start);
	return line ? line + strlen(start) : text + strlen(text);
}

struct arc_numbers {
	unsigned long long count, failed, total, longest, buckets, least, most;
};

static struct arc_numbers arc_numbers(const struct mig_device *dev, int from, int to)
{
	struct arc_numbers arc = {};
	char *text = mon_read(dev, "arcs");
	const char *at = arc_line(text, from, to);

	if (*at && sscanf(at, "count=%llu failed=%llu total_ns=%llu max_ns=%llu", &arc.count,
			  &arc.failed, &arc.total, &arc.longest) != 4)
		mig_die("no arc: %s", at);
	/* In the bucket 2^n are times from 2^n to below 2^(n + 1) ns. */
	for (at = strchrnul(at, '^'); *at && *strchrnul(at, '\n');) {
		unsigned long long log2, n;

		if (sscanf(at, "^%llu=%llu", &log2, &n) != 2)
			mig_die("no bucket: %s", at);
		arc.buckets += n;
		arc.least += n * (log2 ? 1ULL << log2 : 0);
		arc.most += n * (2ULL << log2);
		if (strchrnul(at, '\n') < strchrnul(at + 1, '^'))
			break;
		at = strchrnul(at + 1, '^');
	}
	free(text);
	return arc;
}

TEST_F(trace, the_histogram_adds_up)
{
	const char *name = mon_arc(ST, SC);
	struct arc_numbers before = arc_numbers(&self->dev, ST, SC), after;
	uint64_t sum = 0;
	struct mon_trace trace;
	size_t i;
	int fd;

	for (i = 0; i < 10; i++) {
		mig_set(&self->dev, ST);
		if (i == 7)
			mon_rule(&self->dev, name, "errno=5 delay_us=20000 times=1");
		if (__mig_set(&self->dev, SC, &fd))
			continue;
		close(fd);
	}
	trace = mon_trace_end(&self->dev);
	after = arc_numbers(&self->dev, ST, SC);
	for (i = 0; i < trace.count; i++)
		if (is(&trace.event[i], "arc") && has(&trace.event[i], "to", "STOP_COPY"))
			sum += mon_number(&trace.event[i], "ns");
	EXPECT_EQ(10, after.count - before.count);
	EXPECT_EQ(1, after.failed - before.failed);
	EXPECT_EQ(sum, after.total - before.total);
	EXPECT_LE(20000000, after.longest);
	EXPECT_EQ(after.count, after.buckets);
	EXPECT_LE(after.least, after.total);
	EXPECT_GE(after.most, after.total);
	mon_trace_free(&trace);
}

/* The last line of a text. */
static const char *last_line(char *text)
{
	char *end = strrchr(text, '\n');

	if (!end)
		return text;
	*end = '\0';
	end = strrchr(text, '\n');
	return end ? end + 1 : text;
}

TEST_F(trace, a11_an_arc_fails)
{
	const char *name = mon_arc(ST, RE);
	const struct mon_event *event;
	struct mon_trace trace;
	char *text, *line;
	uint64_t injected;
	size_t at = 0;
	int fd;

	injected = mon_stat(&self->dev, "injected");
	mon_rule(&self->dev, name, "errno=12 kind=lost times=1");
	EXPECT_EQ(-ENOMEM, __mig_set(&self->dev, RE, &fd));
	EXPECT_EQ(0, mig_reset(&self->dev));
	trace = mon_trace_end(&self->dev);
	event = next(&trace, &at, "error");
	EXPECT_TRUE(has(event, "where", name)) TH_LOG("%s", event->text);
	EXPECT_TRUE(has(event, "error", "-12")) TH_LOG("%s", event->text);
	event = next(&trace, &at, "arc");
	EXPECT_TRUE(has(event, "to", "RESUMING")) TH_LOG("%s", event->text);
	EXPECT_TRUE(has(event, "ret", "-12")) TH_LOG("%s", event->text);
	event = next(&trace, &at, "reset");
	EXPECT_TRUE(has(event, "from", "ERROR")) TH_LOG("%s", event->text);
	EXPECT_EQ(1, count(&trace, "error"));
	mon_trace_free(&trace);

	text = mon_read(&self->dev, "errors");
	line = strdup(last_line(text));
	EXPECT_NE(NULL, strstr(line, "where=STOP-RESUMING error=-12 state=STOP cause=injected"))
		TH_LOG("%s", line);
	free(line);
	free(text);
	EXPECT_EQ(injected + 1, mon_stat(&self->dev, "injected"));
}

/* Why a stream is refused is said in words. */
TEST_F(trace, r7_a_stream_is_refused)
{
	struct numbers before = numbers(&self->dev), after;
	static struct mig_record rec[MAX_RECORDS];
	struct mig_buf stream = {};
	struct mon_trace trace;
	size_t at = 0, i = 0, n;
	char *text, *line;
	int ret;

	mig_set(&self->dev, ST);
	mig_save(&self->dev, &stream);
	/* In the middle of the first record of device state: what is there is no structure. */
	n = mig_records(&stream, rec, MAX_RECORDS);
	while (i < n && rec[i].tag)
		i++;
	ASSERT_LT(i, n);
	stream.data[rec[i].start + MIG_RECORD_HEADER + rec[i].size / 2] ^= 1;
	mon_trace_begin();
	ret = __mig_load(&self->dev, &stream, MIG_WHOLE);
	trace = mon_trace_end(&self->dev);
	after = numbers(&self->dev);
	EXPECT_EQ(-EBADMSG, ret);
	EXPECT_TRUE(has(next(&trace, &at, "error"), "where", "stream"));
	EXPECT_EQ(1, count(&trace, "error")) TH_LOG("an error that stays is one error");
	EXPECT_EQ(1, after.errors - before.errors);
	text = mon_read(&self->dev, "errors");
	line = strdup(last_line(text));
	EXPECT_NE(NULL, strstr(line, "where=stream error=-74 state=RESUMING cause=a checksum"))
		TH_LOG("%s", line);
	free(line);
	free(text);
	mon_trace_free(&trace);
	mig_buf_free(&stream);
}

TEST_F(trace, the_last_errors_are_kept)
{
	char rule[64], want[64], *text;
	const char *name = mon_arc(ST, SC), *at;
	int i, fd;

	mig_set(&self->dev, ST);
	for (i = 1; i <= 20; i++) {
		snprintf(rule, sizeof(rule), "errno=%d times=1", i);
		mon_rule(&self->dev, name, rule);
		EXPECT_EQ(-i, __mig_set(&self->dev, SC, &fd));
	}
	text = mon_read(&self->dev, "errors");
	for (i = 13, at = text; i <= 20; i++) {
		snprintf(want, sizeof(want), "where=%s error=-%d state=STOP", name, i);
		at = strstr(at, want);
		ASSERT_NE(NULL, at) TH_LOG("%s is not in order in:\n%s", want, text);
	}
	snprintf(want, sizeof(want), "error=-%d ", 12);
	EXPECT_EQ(NULL, strstr(text, want)) TH_LOG("more are kept than should");
	free(text);
}

FIXTURE(emulated_trace) {
	struct emulated emu;
};

FIXTURE_SETUP(emulated_trace)
{
	ASSERT_EQ(0, emu_open(&self->emu, mig_path()));
	mon_clear(&self->emu.dev);
}

FIXTURE_TEARDOWN(emulated_trace)
{
	mon_trace_remove();
	mon_clear(&self->emu.dev);
	EXPECT_EQ(0, mig_reset(&self->emu.dev));
	emu_close(&self->emu);
}

/* Is the word, as text or as a number, in any file? */
static void search(const struct mig_device *dev, const char *text, const char *what)
{
	static const char * const secret[] = {
		"GUESTDATA", "0x4755455354", "4755455354444154", "5441445453455547",
		/* as decimal numbers of 8 and 4 bytes, in both orders */
		"6071212239397142849", "5137462541158602068", "1397052743", "1196770643",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(secret); i++)
		if (strcasestr(text, secret[i]))
			mig_die("data of the guest in %s of %s: %s", what, dev->name, secret[i]);
}

TEST_F(emulated_trace, nothing_of_the_guest)
{
	static const char * const file[] = { "stats", "arcs", "errors" };
	struct mig_device *dev = &self->emu.dev;
	struct mig_buf stream = {};
	struct mon_trace trace;
	char *text;
	size_t i;
	__u32 word;

	for (i = 0; i + 9 <= self->emu.size; i += 8)
		memcpy(self->emu.mem + i, "GUESTDATA", 9);
	memcpy(&word, "GUES", 4);
	emu_write(&self->emu, EMU_SCRATCH, word);
	mon_trace_begin();
	mig_set(dev, ST);
	mig_save(dev, &stream);
	ASSERT_NE(NULL, memmem(stream.data, stream.len, "GUESTDAT", 8)) TH_LOG("no such data");
	EXPECT_EQ(0, __mig_load(dev, &stream, MIG_WHOLE));
	/* Errors, too, with the data where a record should be. */
	EXPECT_NE(0, __mig_load(dev, &(struct mig_buf){ self->emu.mem, 4096, 4096 }, MIG_WHOLE));
	EXPECT_EQ(0, mig_reset(dev));
	trace = mon_trace_end(dev);
	EXPECT_LT(10, trace.count);
	for (i = 0; i < trace.count; i++)
		search(dev, trace.event[i].text, "a trace event");
	for (i = 0; i < ARRAY_SIZE(file); i++) {
		text = mon_read(dev, file[i]);
		search(dev, text, file[i]);
		free(text);
	}
	mon_trace_free(&trace);
	mig_buf_free(&stream);
}

/* A reader that is slower than the device makes it wait, and the other way round. */
TEST_F(emulated_trace, who_waits_for_whom)
{
	struct mig_device *dev = &self->emu.dev;
	uint64_t reader, chunk;
	struct mig_buf got = {};
	int fd;

	emu_fill(&self->emu, 3);
	chunk = mon_stat(dev, "waits_for_chunk");
	mon_rule(dev, "save", "delay_us=50000");
	fd = mig_set(dev, SC);
	EXPECT_EQ(0, mig_read(fd, &got, MIG_WHOLE));
	EXPECT_LT(chunk, mon_stat(dev, "waits_for_chunk"));
	mon_rule(dev, "save", "off");
	mig_set(dev, ST);
	close(fd);

	if (self->emu.size >= 1 << 20) {
		reader = mon_stat(dev, "waits_for_reader");
		fd = mig_set(dev, SC);
		EXPECT_EQ(1, read(fd, got.data, 1));
		/* The state is larger than all buffers. */
		usleep(300000);
		EXPECT_LT(reader, mon_stat(dev, "waits_for_reader"));
		close(fd);
	}
	mig_set(dev, R);
	mig_buf_free(&got);
}

static bool emulated_possible(const struct mig_device *dev)
{
	return mon_possible(dev) && emu_is(dev);
}

static const struct mig_need needs[] = {
	{ "trace", mon_possible },
	{ "emulated_trace", emulated_possible },
};

int main(int argc, char **argv)
{
	argv = mig_select(&argc, argv, needs, ARRAY_SIZE(needs));
	return test_harness_run(argc, argv);
}
