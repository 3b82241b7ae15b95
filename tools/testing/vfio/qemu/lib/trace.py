# SPDX-License-Identifier: GPL-2.0
"""What QEMU's trace log tells of its VFIO device: arcs, precopy rounds, bytes."""

import datetime
import re
from typing import NamedTuple, Optional

# Patterns, since QEMU 11 has some that QEMU 10 has not.
EVENTS = ("vfio_migration_set_*state", "vfio_save_iterate", "vfio_save_block",
          "vfio_save_complete_precopy", "vfio_load_state_device_data",
          "vfio_query_precopy_size*", "loadvm_approve_switchover*",
          "vfio_save_complete_precopy_thread_*", "vfio_load_state_device_buffer_*",
          "vfio_device_dirty_tracking_start", "vfio_get_dirty_bitmap*",
          "vfio_container_query_dirty_bitmap*")

# QEMU 10 writes "PID@SECONDS:event", QEMU 11 an ISO date and the event.
LINE = re.compile(r"(?:\d+@(\d+\.\d+):|(\d{4}-\S+Z) )(\w+) +(?:\(([^)]*)\) ?)?(.*)")
SET_STATE = re.compile(r"new state (\w+), recover state (\w+)")
STATE = re.compile(r"state (\w+)")
ITERATE = re.compile(r"initial size (\d+)")
BLOCK = re.compile(r"data_size (-?\d+)")
DIRTY = re.compile(r"dirty_pages ?= ?(\d+)")
LOADED = re.compile(r"size (\d+) ret (-?\d+)")


class Event(NamedTuple):
    time: float
    name: str
    device: Optional[str]           # its UUID
    text: str


class Arc(NamedTuple):
    """One SET of the device's state; end is None if it did not come about."""

    start: float
    end: Optional[float]
    old: str
    new: str


class Round(NamedTuple):
    """One reading of the device in PRE_COPY: bytes read, and left of the initial state."""

    time: float
    read: int
    initial: int


def _seconds(match):
    if match[1]:
        return float(match[1])
    return datetime.datetime.fromisoformat(match[2]).timestamp()


def parse(path):
    """All events of a log, oldest first. Lines that are no events are other messages of QEMU's."""
    with open(path, encoding="utf-8", errors="replace") as log:
        found = (LINE.match(line) for line in log)
        return [Event(_seconds(match), match[3], match[4], match[5].strip())
                for match in found if match]


def arcs(events, device):
    """The arcs that QEMU asked the device for, in order."""
    result = []
    state = "RUNNING"
    asked = None
    for event in events:
        if event.device != device.uuid:
            continue
        if event.name == "vfio_migration_set_state":
            if asked and asked[1] != state:
                result.append(Arc(asked[0], None, state, asked[1]))
            asked = (event.time, SET_STATE.match(event.text)[1])
        elif event.name == "vfio_migration_set_device_state":
            new = STATE.match(event.text)[1]
            if asked and new == asked[1] and new != state:
                result.append(Arc(asked[0], event.time, state, new))
                asked = None
            state = new
    if asked and asked[1] != state:
        result.append(Arc(asked[0], None, state, asked[1]))
    return result


def rounds(events):
    """The precopy rounds of the source."""
    result = []
    read = 0
    for event in events:
        if event.name == "vfio_save_block":
            read += max(int(BLOCK.match(event.text)[1]), 0)
        elif event.name == "vfio_save_iterate":
            result.append(Round(event.time, read, int(ITERATE.search(event.text)[1])))
            read = 0
    return result


def reinits(events):
    """How often QEMU was told that the precopy begins anew."""
    return sum("reinit 1" in event.text for event in events)


def count(path, name):
    """How often an event is in a log, also where two threads wrote one line together."""
    with open(path, encoding="utf-8", errors="replace") as log:
        return log.read().count(f"{name} ")


def dirty_pages(events):
    """
    The pages of each answer about what devices wrote, if devices log that themselves: else there
    are none, for QEMU takes all memory as written, or asks the IOMMU.
    """
    if not any(event.name == "vfio_device_dirty_tracking_start" for event in events):
        return []
    return [int(DIRTY.search(event.text)[1]) for event in events
            if event.name in ("vfio_get_dirty_bitmap", "vfio_container_query_dirty_bitmap")]


def bytes_saved(events):
    return sum(max(int(BLOCK.match(event.text)[1]), 0) for event in events
               if event.name == "vfio_save_block")


def bytes_loaded(events):
    return sum(int(LOADED.match(event.text)[1]) for event in events
               if event.name == "vfio_load_state_device_data")
