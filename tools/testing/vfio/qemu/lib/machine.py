# SPDX-License-Identifier: GPL-2.0
"""One QEMU process with its VFIO devices, and the guest's console."""

import os
import re
import secrets
import socket
import subprocess
import time
from typing import NamedTuple

from . import trace
from .qmp import Qmp, QmpError

MACHINE = "pc-q35-10.0"             # known to QEMU 10 and to QEMU 11
CPU = "qemu64,+pdpe1gb"             # the guest maps its memory with pages of 1 GiB
MEMORY_MIB = 64                     # the guest holds a copy of the device's state
FIRST_SLOT = 4                      # of the devices, on the guest's PCI bus
VECTORS = 8                         # of each device
# What is late by so much does not come. The debug kernel takes its time.
PATIENCE = 20 if os.uname().release.endswith("-debug") else 1
START_SECONDS = 60 * PATIENCE
BOOT_SECONDS = 120 * PATIENCE
ALIVE_SECONDS = 60 * PATIENCE
END_SECONDS = 20 * PATIENCE

REPORT = re.compile(r"guest: (ready|ok) (.*)")


class Failure(Exception):
    """Something that must not happen did; the text says what, with what the processes said."""


class Host(NamedTuple):
    """What all machines have in common."""

    qemu: dict                      # version -> program
    guest: str                      # the program
    folder: str                     # for logs


class Machine:
    def __init__(self, host, name, devices, qemu="10", backend="legacy", incoming=False,
                 options=None):
        """Options are those of QEMU's device vfio-pci, with _ for -."""
        self.name = name
        self.devices = devices
        self.qemu = qemu
        self.backend = backend
        # A guest that booted here would have this number, one that came here keeps its own.
        self.id = secrets.randbits(64)
        self.file = lambda kind: os.path.join(host.folder, f"{name}.{kind}")
        self.console_lines = []
        self.console_read = 0
        self.reports = []
        self.trouble = None
        self.qmp = None
        ours, theirs = socket.socketpair()
        argv = self._argv(host, theirs.fileno(), incoming, options or {})
        with open(self.file("console"), "wb") as out, open(self.file("stderr"), "wb") as err:
            self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=out, stderr=err,
                                            pass_fds=[theirs.fileno()])
        theirs.close()
        try:
            self.qmp = Qmp(ours, START_SECONDS)
        except QmpError as error:
            ours.close()
            self.stop()
            raise self.failure(f"QEMU did not start: {error}") from error

    def _argv(self, host, qmp, incoming, options):
        argv = [host.qemu[self.qemu], "-nodefaults", "-display", "none", "-no-reboot",
                "-machine", MACHINE, "-cpu", CPU, "-accel", "tcg,tb-size=32",
                "-m", str(MEMORY_MIB), "-kernel", host.guest, "-append", f"id={self.id:x}",
                "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
                "-chardev", f"socket,id=qmp,fd={qmp}", "-qmp", "chardev:qmp",
                "-msg", "timestamp=on", "-D", self.file("trace")]
        for event in trace.EVENTS:
            argv += ["-trace", f"enable={event}"]
        if self.backend == "iommufd":
            argv += ["-object", "iommufd,id=iommufd0"]
            options = {"iommufd": "iommufd0", **options}
        if incoming:
            argv += ["-incoming", "defer"]
        # As by default: a device migrates if QEMU finds that it can, and that QEMU knows what it
        # writes to the guest's memory.
        options = {"enable_migration": "auto", **options}
        options = ",".join(f"{name.replace('_', '-')}={value}" for name, value in options.items())
        for slot, device in enumerate(self.devices, FIRST_SLOT):
            argv += ["-device", f"vfio-pci,addr={slot:x},sysfsdev={device.path},{options}"]
        return argv

    def describe(self):
        return f"{self.name} (QEMU {self.qemu}, {self.backend})"

    # The process

    def alive(self):
        return self.process.poll() is None

    def stop(self, timeout=END_SECONDS):
        """End the process; its files stay."""
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(timeout)
        self.process.stdin.close()
        if self.qmp:
            self.qmp.sock.close()

    def failure(self, what):
        """A Failure that tells what is known of this machine."""
        text = [f"{self.describe()}: {what}"]
        try:
            # A process whose connection broke is about to end.
            text.append(f"the process ended with status {self.process.wait(0.5)}")
        except subprocess.TimeoutExpired:
            text.append("the process is alive")
        with open(self.file("stderr"), encoding="utf-8", errors="replace") as err:
            text += [f"stderr: {line.rstrip()}" for line in err.readlines()[-10:]]
        self._read_console()
        text += [f"console: {line}" for line in self.console_lines[-10:]]
        return Failure("\n".join(text))

    def last_error(self):
        """What QEMU said last, but for that it was told to end."""
        with open(self.file("stderr"), encoding="utf-8", errors="replace") as err:
            said = [line.strip() for line in err if "terminating on signal" not in line]
        return said[-1] if said else ""

    def events(self, since=0):
        return [event for event in trace.parse(self.file("trace")) if event.time >= since]

    def count(self, event):
        """How often QEMU told of an event."""
        return trace.count(self.file("trace"), event)

    # The guest

    def _read_console(self):
        with open(self.file("console"), "rb") as console:
            console.seek(self.console_read)
            data = console.read()
        end = data.rfind(b"\n") + 1
        self.console_read += end
        for line in data[:end].decode(errors="replace").splitlines():
            self.console_lines.append(line)
            report = REPORT.match(line)
            if report:
                self.reports.append(dict(field.split("=") for field in report[2].split()))
            elif "guest: FAIL" in line:
                self.trouble = self.trouble or line

    def wait(self, what, seconds, condition):
        """Wait until condition() holds; fail if the process or the guest does first."""
        deadline = time.monotonic() + seconds
        while True:
            self._read_console()
            if self.trouble:
                raise self.failure(f"while waiting for {what}: {self.trouble}")
            if condition():
                return
            if not self.alive():
                raise self.failure(f"died while waiting for {what}")
            if time.monotonic() > deadline:
                raise self.failure(f"no {what} within {seconds} s")
            time.sleep(0.02)

    def wait_booted(self):
        self.wait("running guest", BOOT_SECONDS, lambda: self.reports)

    def wait_trouble(self, seconds=ALIVE_SECONDS):
        """Wait for a guest that must notice something; what it said."""
        deadline = time.monotonic() + seconds
        while not self.trouble:
            self._read_console()
            if time.monotonic() > deadline or not self.alive():
                raise self.failure("the guest noticed nothing")
            time.sleep(0.02)
        return self.trouble

    def wait_checked(self):
        """
        Wait until the guest has been through all of its devices from now on: every page,
        every interrupt; with a ConnectX also every page that this wrote. The report that says so.
        """
        self._read_console()
        seen = len(self.reports)
        self.wait("report of the guest", ALIVE_SECONDS, lambda: len(self.reports) > seen)
        first = self.reports[-1]
        # The sweep under way has begun before: one more.
        sweeps = int(first["sweeps"]) + 2
        irqs = int(first["irqs"]) + VECTORS * len(self.devices)
        turns = int(first.get("turns", 0)) + 2
        self.wait("full check by the guest", ALIVE_SECONDS,
                  lambda: int(self.reports[-1]["sweeps"]) >= sweeps and
                  int(self.reports[-1]["irqs"]) >= irqs and
                  int(self.reports[-1].get("turns", turns)) >= turns)
        return self.reports[-1]

    def last_report(self):
        self._read_console()
        return self.reports[-1]

    def memory(self, address):
        """The guest's memory at an address, opened behind the back of QEMU and the guest."""
        answer = self.qmp.command("human-monitor-command",
                                  **{"command-line": f"gpa2hva {address:#x}"})
        try:
            place = int(answer.split()[-1], 16)
        except (IndexError, ValueError) as error:
            raise self.failure(f"no memory at {address:#x}: {answer}") from error
        file = open(f"/proc/{self.process.pid}/mem", "r+b", buffering=0)
        file.seek(place)
        return file

    def tell(self, command):
        """Give the guest a command and wait until it has done it."""
        done = f"guest: done {command}"
        before = self.console_lines.count(done)
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        self.wait(f"'{done}'", ALIVE_SECONDS, lambda: self.console_lines.count(done) > before)
