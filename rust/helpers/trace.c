// SPDX-License-Identifier: GPL-2.0
/*
 * The trace events, one function each: Rust code outside the kernel's tree cannot see their
 * static keys. While an event is off its function does nothing but look at the key.
 */

#include <linux/export.h>
#include "helpers.h"

#define CREATE_TRACE_POINTS
#include <trace/events/vfio_migration.h>

void rust_helper_vfio_trace_arc(const char *device, u32 from, u32 to, int ret, u64 ns)
{
	trace_vfio_migration_arc(device, from, to, ret, ns);
}
EXPORT_SYMBOL_GPL(rust_helper_vfio_trace_arc);

void rust_helper_vfio_trace_chunk(const char *device, u64 session, const char *phase,
				  u64 len, bool initial, u64 ns)
{
	trace_vfio_migration_chunk(device, session, phase, len, initial, ns);
}
EXPORT_SYMBOL_GPL(rust_helper_vfio_trace_chunk);

void rust_helper_vfio_trace_round(const char *device, u64 session, u64 round, u64 bytes)
{
	trace_vfio_migration_round(device, session, round, bytes);
}
EXPORT_SYMBOL_GPL(rust_helper_vfio_trace_round);

void rust_helper_vfio_trace_record(const char *device, u64 session, u32 tag, u32 flags,
				   u64 size, bool load)
{
	trace_vfio_migration_record(device, session, tag, flags, size, load);
}
EXPORT_SYMBOL_GPL(rust_helper_vfio_trace_record);

void rust_helper_vfio_trace_reset(const char *device, u32 from, u64 ns)
{
	trace_vfio_migration_reset(device, from, ns);
}
EXPORT_SYMBOL_GPL(rust_helper_vfio_trace_reset);

void rust_helper_vfio_trace_command(const char *device, const char *command, int status, u64 ns)
{
	trace_vfio_migration_command(device, command, status, ns);
}
EXPORT_SYMBOL_GPL(rust_helper_vfio_trace_command);

void rust_helper_vfio_trace_error(const char *device, const char *where, int error)
{
	trace_vfio_migration_error(device, where, error);
}
EXPORT_SYMBOL_GPL(rust_helper_vfio_trace_error);
