# SPDX-License-Identifier: GPL-2.0
"""A connection between source and target that damages the device state on its way."""

import socket
import threading

# What QEMU puts before each piece of device state, followed by its length.
DEVICE_DATA = (0xFFFFFFFFEF100004).to_bytes(8, "big")
HEAD = len(DEVICE_DATA) + 8


class Tamper:
    """
    Flips one bit in the piece'th piece of device state that is longer than offset,
    offset bytes into it. done tells whether it came to that.
    """

    def __init__(self, piece, offset):
        self.piece = piece
        self.offset = offset
        self.done = False

    def channel(self, address):
        """For migration.migrate(): listens before the target's address."""
        self.target = address
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(address + ".tamper")
        self.listener.listen(1)
        self.listener.settimeout(60)
        threading.Thread(target=self._serve, daemon=True).start()
        return address + ".tamper"

    def _serve(self):
        with self.listener:
            source = self.listener.accept()[0]
        target = socket.socket(socket.AF_UNIX)
        target.connect(self.target)
        threading.Thread(target=self._copy, args=(target, source, bytes), daemon=True).start()
        self._copy(source, target, self._damage)

    @staticmethod
    def _copy(come, go, change):
        """One direction, until either end closes."""
        try:
            while data := come.recv(1 << 20):
                go.sendall(change(data))
        except OSError:
            pass  # an end that is gone is what the other end must learn
        finally:
            for end in (come, go):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # was closed

    def _damage(self, data):
        if self.done:
            return data
        # A piece cut by the buffer's end is left alone: there are more.
        at = -1
        while (at := data.find(DEVICE_DATA, at + 1)) >= 0:
            length = int.from_bytes(data[at + 8:at + HEAD], "big")
            where = at + HEAD + self.offset
            if self.offset < length <= 1 << 20 and where < len(data):
                self.piece -= 1
                if not self.piece:
                    self.done = True
                    return data[:where] + bytes([data[where] ^ 1]) + data[where + 1:]
        return data
