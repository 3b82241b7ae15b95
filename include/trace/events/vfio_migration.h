/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Events of live migration. None of them has anything of a guest: no data and no addresses.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vfio_migration

#if !defined(_TRACE_VFIO_MIGRATION_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_VFIO_MIGRATION_H

#include <linux/tracepoint.h>
#include <linux/vfio.h>

TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_ERROR);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_STOP);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_RUNNING);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_STOP_COPY);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_RESUMING);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_RUNNING_P2P);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_PRE_COPY);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_PRE_COPY_P2P);

#define show_vfio_device_state(state)					\
	__print_symbolic(state,						\
		{ VFIO_DEVICE_STATE_ERROR,		"ERROR" },		\
		{ VFIO_DEVICE_STATE_STOP,		"STOP" },		\
		{ VFIO_DEVICE_STATE_RUNNING,		"RUNNING" },		\
		{ VFIO_DEVICE_STATE_STOP_COPY,		"STOP_COPY" },		\
		{ VFIO_DEVICE_STATE_RESUMING,		"RESUMING" },		\
		{ VFIO_DEVICE_STATE_RUNNING_P2P,	"RUNNING_P2P" },	\
		{ VFIO_DEVICE_STATE_PRE_COPY,		"PRE_COPY" },		\
		{ VFIO_DEVICE_STATE_PRE_COPY_P2P,	"PRE_COPY_P2P" })

/* An arc is over; where it failed, ret is -errno and the device may not be in "to". */
TRACE_EVENT(vfio_migration_arc,
	TP_PROTO(const char *device, u32 from, u32 to, int ret, u64 ns),
	TP_ARGS(device, from, to, ret, ns),
	TP_STRUCT__entry(
		__string(device, device)
		__field(u32, from)
		__field(u32, to)
		__field(int, ret)
		__field(u64, ns)
	),
	TP_fast_assign(
		__assign_str(device);
		__entry->from = from;
		__entry->to = to;
		__entry->ret = ret;
		__entry->ns = ns;
	),
	TP_printk("device=%s from=%s to=%s ret=%d ns=%llu",
		  __get_str(device), show_vfio_device_state(__entry->from),
		  show_vfio_device_state(__entry->to), __entry->ret, __entry->ns)
);

/* The backend has made a chunk, or taken a piece, of len bytes of its state. */
TRACE_EVENT(vfio_migration_chunk,
	TP_PROTO(const char *device, u64 session, const char *phase, u64 len, bool initial,
		 u64 ns),
	TP_ARGS(device, session, phase, len, initial, ns),
	TP_STRUCT__entry(
		__string(device, device)
		__field(u64, session)
		__string(phase, phase)
		__field(u64, len)
		__field(bool, initial)
		__field(u64, ns)
	),
	TP_fast_assign(
		__assign_str(device);
		__entry->session = session;
		__assign_str(phase);
		__entry->len = len;
		__entry->initial = initial;
		__entry->ns = ns;
	),
	TP_printk("device=%s session=%llu phase=%s len=%llu initial=%d ns=%llu",
		  __get_str(device), __entry->session, __get_str(phase),
		  __entry->len, __entry->initial, __entry->ns)
);

/* A round of pre-copy is over; bytes are those of the stream since the last one. */
TRACE_EVENT(vfio_migration_round,
	TP_PROTO(const char *device, u64 session, u64 round, u64 bytes),
	TP_ARGS(device, session, round, bytes),
	TP_STRUCT__entry(
		__string(device, device)
		__field(u64, session)
		__field(u64, round)
		__field(u64, bytes)
	),
	TP_fast_assign(
		__assign_str(device);
		__entry->session = session;
		__entry->round = round;
		__entry->bytes = bytes;
	),
	TP_printk("device=%s session=%llu round=%llu bytes=%llu",
		  __get_str(device), __entry->session, __entry->round, __entry->bytes)
);

/* A record was made, or its header was accepted; size is what follows the header. */
TRACE_EVENT(vfio_migration_record,
	TP_PROTO(const char *device, u64 session, u32 tag, u32 flags, u64 size, bool load),
	TP_ARGS(device, session, tag, flags, size, load),
	TP_STRUCT__entry(
		__string(device, device)
		__field(u64, session)
		__field(u32, tag)
		__field(u32, flags)
		__field(u64, size)
		__field(bool, load)
	),
	TP_fast_assign(
		__assign_str(device);
		__entry->session = session;
		__entry->tag = tag;
		__entry->flags = flags;
		__entry->size = size;
		__entry->load = load;
	),
	TP_printk("device=%s session=%llu tag=0x%08x flags=0x%x size=%llu direction=%s",
		  __get_str(device), __entry->session, __entry->tag, __entry->flags,
		  __entry->size, __print_symbolic(__entry->load, { 0, "save" }, { 1, "load" }))
);

/* The device was reset, by its user or by its last close, and is in RUNNING. */
TRACE_EVENT(vfio_migration_reset,
	TP_PROTO(const char *device, u32 from, u64 ns),
	TP_ARGS(device, from, ns),
	TP_STRUCT__entry(
		__string(device, device)
		__field(u32, from)
		__field(u64, ns)
	),
	TP_fast_assign(
		__assign_str(device);
		__entry->from = from;
		__entry->ns = ns;
	),
	TP_printk("device=%s from=%s ns=%llu",
		  __get_str(device), show_vfio_device_state(__entry->from), __entry->ns)
);

/*
 * The backend's firmware has done a command; status is the firmware's own, 0 if the command was
 * done, or -errno if the firmware gave none.
 */
TRACE_EVENT(vfio_migration_command,
	TP_PROTO(const char *device, const char *command, int status, u64 ns),
	TP_ARGS(device, command, status, ns),
	TP_STRUCT__entry(
		__string(device, device)
		__string(command, command)
		__field(int, status)
		__field(u64, ns)
	),
	TP_fast_assign(
		__assign_str(device);
		__assign_str(command);
		__entry->status = status;
		__entry->ns = ns;
	),
	TP_printk("device=%s command=%s status=%d ns=%llu",
		  __get_str(device), __get_str(command), __entry->status, __entry->ns)
);

/* Something failed: an arc, a call of the backend, or the check of a stream. */
TRACE_EVENT(vfio_migration_error,
	TP_PROTO(const char *device, const char *where, int error),
	TP_ARGS(device, where, error),
	TP_STRUCT__entry(
		__string(device, device)
		__string(where, where)
		__field(int, error)
	),
	TP_fast_assign(
		__assign_str(device);
		__assign_str(where);
		__entry->error = error;
	),
	TP_printk("device=%s where=%s error=%d",
		  __get_str(device), __get_str(where), __entry->error)
);

#endif

/* This part must be outside protection */
#include <trace/define_trace.h>
