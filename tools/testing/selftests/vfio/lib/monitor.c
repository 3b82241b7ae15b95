// SPDX-License-Identifier: GPL-2.0
/*
 * Statistics and fault rules in debugfs, trace events in an instance of tracefs.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor.h"
#include "system.h"
#include "vfio_migration.h"

#define INSTANCE	"/sys/kernel/tracing/instances/vfio_migration_selftest"
#define EVENTS		": vfio_migration_"

void mon_path(const struct mig_device *dev, const char *file, char *path, size_t size)
{
	snprintf(path, size, "/sys/kernel/debug/vfio/%s/migration/%s", dev->name, file);
}

bool mon_possible(const struct mig_device *dev)
{
	char path[PATH_MAX];

	mon_path(dev, "fail/save", path, sizeof(path));
	return !access(path, R_OK | W_OK) &&
	       !access("/sys/kernel/tracing/events/vfio_migration", R_OK);
}

char *mon_read(const struct mig_device *dev, const char *file)
{
	char path[PATH_MAX];

	mon_path(dev, file, path, sizeof(path));
	return sys_read(path);
}

/* The number after the first KEY and one character. */
static bool number_after(const char *text, const char *key, uint64_t *number)
{
	const char *at = text;
	size_t len = strlen(key);

	while ((at = strstr(at, key))) {
		if ((at == text || isspace(at[-1])) && strchr("= ", at[len])) {
			*number = strtoull(at + len + 1, NULL, 0);
			return true;
		}
		at += len;
	}
	return false;
}

uint64_t mon_stat(const struct mig_device *dev, const char *name)
{
	char *text = mon_read(dev, "stats");
	uint64_t number;

	if (!number_after(text, name, &number))
		mig_die("the statistics have no %s: %s", name, text);
	free(text);
	return number;
}

/* Good until the next call but one. */
const char *mon_arc(int from, int to)
{
	static char name[2][40];
	static int turn;

	turn = !turn;
	snprintf(name[turn], sizeof(name[turn]), "%s-%s", mig_state_name(from),
		 mig_state_name(to));
	return name[turn];
}

static void rule_path(const struct mig_device *dev, const char *call, char *path, size_t size)
{
	char file[80];

	snprintf(file, sizeof(file), "fail/%s", call);
	mon_path(dev, file, path, size);
}

int __mon_rule(const struct mig_device *dev, const char *call, const char *rule)
{
	char path[PATH_MAX];

	rule_path(dev, call, path, sizeof(path));
	return __sys_write(path, rule);
}

void mon_rule(const struct mig_device *dev, const char *call, const char *rule)
{
	int ret = __mon_rule(dev, call, rule);

	if (ret)
		mig_die("rule '%s' for %s: %s", rule, call, strerror(-ret));
}

/* How often the rule applied. */
uint64_t mon_hits(const struct mig_device *dev, const char *call)
{
	char path[PATH_MAX];
	uint64_t hits;
	char *text;

	rule_path(dev, call, path, sizeof(path));
	text = sys_read(path);
	if (!number_after(text, "hits", &hits))
		mig_die("%s has no rule: %s", call, text);
	free(text);
	return hits;
}

/* Nothing goes wrong any more. */
void mon_clear(const struct mig_device *dev)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	mon_path(dev, "fail", path, sizeof(path));
	dir = opendir(path);
	if (!dir)
		mig_die("%s: %s", path, strerror(errno));
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			mon_rule(dev, entry->d_name, "off");
	closedir(dir);
}

/* The events of the instance are on. */
static bool enabled;

/* All events of the system from now on, and no others. */
void mon_trace_begin(void)
{
	int fd;

	if (mkdir(INSTANCE, 0700) && errno != EEXIST)
		mig_die("%s: %s", INSTANCE, strerror(errno));
	sys_write(INSTANCE "/tracing_on", "0");
	sys_write(INSTANCE "/buffer_size_kb", "2048");
	/* Opened like this it is emptied. */
	fd = open(INSTANCE "/trace", O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		mig_die("%s/trace: %s", INSTANCE, strerror(errno));
	close(fd);
	/* Once: the kernel patches itself for it, and an emulator then interprets anew. */
	if (!enabled)
		sys_write(INSTANCE "/events/vfio_migration/enable", "1");
	enabled = true;
	sys_write(INSTANCE "/tracing_on", "1");
}

void mon_trace_remove(void)
{
	enabled = false;
	rmdir(INSTANCE);
}

/* The events since then of one device, in order. */
struct mon_trace mon_trace_end(const struct mig_device *dev)
{
	struct mon_trace trace = {};
	char *text, *line, *rest;
	char mine[128];

	sys_write(INSTANCE "/tracing_on", "0");
	snprintf(mine, sizeof(mine), "device=%s ", dev->name);
	text = sys_read(INSTANCE "/trace");
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *name, *fields = strstr(line, mine);
		struct mon_event *event;

		if (line[0] == '#')
			continue;
		if (strstr(line, "LOST"))
			mig_die("the trace has lost events");
		name = strstr(line, EVENTS);
		if (!name || !fields || fields < name)
			continue;
		trace.event = realloc(trace.event, (trace.count + 1) * sizeof(*event));
		if (!trace.event)
			mig_die("no memory for %zu events", trace.count);
		event = &trace.event[trace.count++];
		name += strlen(EVENTS);
		snprintf(event->name, sizeof(event->name), "%.*s", (int)strcspn(name, ":"), name);
		snprintf(event->text, sizeof(event->text), "%s", fields);
	}
	free(text);
	return trace;
}

void mon_trace_free(struct mon_trace *trace)
{
	free(trace->event);
	*trace = (struct mon_trace){};
}

/* The value of KEY=VALUE among the fields of an event. */
bool mon_field(const struct mon_event *event, const char *key, char *value, size_t size)
{
	const char *at = event->text;
	size_t len = strlen(key);

	while (*at) {
		size_t word = strcspn(at, " ");

		if (word > len && at[len] == '=' && !memcmp(at, key, len)) {
			snprintf(value, size, "%.*s", (int)(word - len - 1), at + len + 1);
			return true;
		}
		at += word + strspn(at + word, " ");
	}
	return false;
}

uint64_t mon_number(const struct mon_event *event, const char *key)
{
	char value[64], *end;
	uint64_t number;

	if (!mon_field(event, key, value, sizeof(value)))
		mig_die("event %s has no %s: %s", event->name, key, event->text);
	number = strtoull(value, &end, 0);
	if (*end || end == value)
		mig_die("event %s: %s is no number: %s", event->name, key, value);
	return number;
}
