/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the vfio_migration core shows of a device, and makes go wrong with it.
 */
#ifndef SELFTESTS_VFIO_MONITOR_H
#define SELFTESTS_VFIO_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mig_device;

/* One trace event. */
struct mon_event {
	char name[32];		/* without the system's: arc, chunk, ... */
	char text[256];		/* its fields */
};

struct mon_trace {
	struct mon_event *event;
	size_t count;
};

bool mon_possible(const struct mig_device *dev);

/* debugfs; a file of the device, and numbers in it */
void mon_path(const struct mig_device *dev, const char *file, char *path, size_t size);
char *mon_read(const struct mig_device *dev, const char *file);
uint64_t mon_stat(const struct mig_device *dev, const char *name);

/* Rules for calls, by the names of the files. An arc's name is that of its two states. */
const char *mon_arc(int from, int to);
int __mon_rule(const struct mig_device *dev, const char *call, const char *rule);
void mon_rule(const struct mig_device *dev, const char *call, const char *rule);
uint64_t mon_hits(const struct mig_device *dev, const char *call);
void mon_clear(const struct mig_device *dev);

/* Trace events of one device, in a buffer of their own. */
void mon_trace_begin(void);
struct mon_trace mon_trace_end(const struct mig_device *dev);
void mon_trace_free(struct mon_trace *trace);
void mon_trace_remove(void);
bool mon_field(const struct mon_event *event, const char *key, char *value, size_t size);
uint64_t mon_number(const struct mon_event *event, const char *key);

#endif
