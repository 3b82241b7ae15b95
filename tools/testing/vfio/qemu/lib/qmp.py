# SPDX-License-Identifier: GPL-2.0
"""QEMU's machine protocol over a socket that QEMU inherited."""

import json
import select
import time


class QmpError(Exception):
    """QEMU refused a command, or is gone."""


class Qmp:
    def __init__(self, sock, timeout):
        self.sock = sock
        self.buffer = b""
        self.events = []
        deadline = time.monotonic() + timeout
        if "QMP" not in self._message(deadline):
            raise QmpError("no greeting")
        self.command("qmp_capabilities", timeout=timeout)

    def command(self, name, timeout=30, **arguments):
        """The return value of one command. Events that come in between are kept."""
        request = {"execute": name, "arguments": arguments}
        try:
            self.sock.sendall(json.dumps(request).encode())
        except OSError as error:
            raise QmpError(f"{name}: {error}") from error
        deadline = time.monotonic() + timeout
        while True:
            answer = self._message(deadline)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise QmpError(f"{name}: {answer['error']['desc']}")
            self._keep(answer)

    def poll(self):
        """Take in the events that have arrived."""
        while self._readable(0):
            self._keep(self._message(time.monotonic() + 5))

    def _keep(self, message):
        if "event" in message:
            stamp = message["timestamp"]
            message["time"] = stamp["seconds"] + stamp["microseconds"] / 1e6
            self.events.append(message)

    def _readable(self, timeout):
        return b"\n" in self.buffer or select.select([self.sock], [], [], max(timeout, 0))[0]

    def _message(self, deadline):
        while b"\n" not in self.buffer:
            if not self._readable(deadline - time.monotonic()):
                raise QmpError("no answer in time")
            try:
                data = self.sock.recv(65536)
            except OSError as error:
                raise QmpError(f"connection lost: {error}") from error
            if not data:
                raise QmpError("connection closed")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)
