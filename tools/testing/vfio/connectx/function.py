# SPDX-License-Identifier: GPL-2.0
"""A virtual function that is open, with its sessions and their streams."""

import errno
import os
import struct

from lib import vfio
from lib.vfio import State

RECORD = 16                         # bytes of a record's header
DATA = 0                            # the tag of a record with an image


class Wrong(Exception):
    """Something is not as it must be."""


def expect(good, text):
    if not good:
        raise Wrong(text)


class Function(vfio.Opened):
    """A function that is open, and its session."""

    def __init__(self, path):
        super().__init__(path)
        self.open()
        self.data = None

    def set(self, state):
        """Sets a state; a data file that comes with it is kept."""
        fd = self.set_state(state)
        if fd >= 0:
            self.close_data()
            self.data = fd

    def reset(self):
        self.close_data()
        super().reset()
        expect(self.state() == State.RUNNING, "not RUNNING after a reset")

    def close_data(self):
        if self.data is not None:
            os.close(self.data)
        self.data = None

    def read_all(self):
        parts = []
        while part := os.read(self.data, 1 << 20):
            parts.append(part)
        return b"".join(parts)

    def read_for_now(self):
        """What pre-copy has for now."""
        parts = []
        try:
            while True:
                parts.append(os.read(self.data, 1 << 20))
        except OSError as error:
            expect(error.errno == errno.ENOMSG, str(error))
        return b"".join(parts)

    def save(self, precopy=False):
        stream = b""
        if precopy:
            self.set(State.PRE_COPY)
            stream = self.read_for_now()
        self.set(State.STOP_COPY)
        stream += self.read_all()
        self.set(State.STOP)
        self.close_data()
        return stream

    def load(self, stream):
        self.set(State.RESUMING)
        while stream:
            stream = stream[os.write(self.data, stream):]
        self.set(State.STOP)
        self.close_data()


def refused(numbers, call, *arguments):
    """The call must fail with that error, or one of those."""
    numbers = numbers if isinstance(numbers, tuple) else (numbers,)
    wanted = " or ".join(errno.errorcode[number] for number in numbers)
    try:
        call(*arguments)
    except OSError as error:
        expect(error.errno in numbers, f"{errno.errorcode[error.errno]}, not {wanted}")
        return
    raise Wrong(f"success, not {wanted}")


def images(stream):
    """The images of a stream, one after the other."""
    parts, at = [], 0
    while at < len(stream):
        size, _, tag = struct.unpack_from("<QII", stream, at)
        at += RECORD
        if tag == DATA:
            parts.append(stream[at:at + size])
        at += size
    expect(at == len(stream), "the stream is cut")
    return b"".join(parts)
