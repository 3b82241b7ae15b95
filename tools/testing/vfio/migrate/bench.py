# SPDX-License-Identifier: GPL-2.0
"""What the tests of vfio-migrate work with: the program, and devices to try it on."""

import contextlib
import os
import pty
import random
import struct
import subprocess
import time

from lib import vfio
from lib.device import Device

PROGRAM = ""                        # set by main()
PATIENCE_S = 120                    # an emulated processor takes its time

BAR0 = 0                            # where vfio-pci style devices have their first region
PAGE = 4096
SIZE = 1 << 20                      # of an emulated device's memory


class Failure(Exception):
    """What a test expects did not come."""


def expect(good, text):
    if not good:
        raise Failure(text)


def noise(seed, size):
    return random.Random(seed).randbytes(size)


def put_text(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def load_modules():
    for module in ("vfio_iommu_type1", "iommufd", "mtty"):
        subprocess.run(["modprobe", module], check=True)
    _load_emulated(SIZE)


def _load_emulated(size):
    subprocess.run(["modprobe", "-r", "vfio_migration_emulated"], check=True)
    subprocess.run(["modprobe", "vfio_migration_emulated", f"state_size={size}"], check=True)


def wait_until(condition, what):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        expect(time.monotonic() < end, f"there was no {what}")
        time.sleep(0.01)


def wait_for_text(stream, words):
    for line in stream:
        if words in line:
            return
    raise Failure(f"it ended without {words!r}")


# The program

def _descriptors(files):
    return [file.fd for file in (files if isinstance(files, tuple) else (files,))]


def start(*arguments, files=(), **options):
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True} | options
    if options["stdout"] == subprocess.PIPE:
        # The stream; only what is said beside it is text.
        options["text"] = False
    return Text(subprocess.Popen([PROGRAM, *arguments], pass_fds=_descriptors(files), **options))


class Text:
    """A process whose standard error is text, whatever goes through its other files."""

    def __init__(self, process):
        self._process = process

    def __getattr__(self, name):
        return getattr(self._process, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def ends(self):
        """Waits for its end; returns its status."""
        try:
            return self._process.wait(PATIENCE_S / 2)
        except subprocess.TimeoutExpired as error:
            where = ""
            for name in ("wchan", "stack", "syscall", "status"):
                with open(f"/proc/{self._process.pid}/{name}", encoding="ascii") as file:
                    where += file.read() + "\n"
            raise Failure(f"it does not end:\n{where}") from error

    def communicate(self, timeout=PATIENCE_S):
        out, err = self._process.communicate(timeout=timeout)
        return out, err.decode() if isinstance(err, bytes) else err


def run(*arguments, files=(), status=0, **options):
    """Runs the program to its end, which must be with this status."""
    done = subprocess.run([PROGRAM, *arguments], pass_fds=_descriptors(files), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                          timeout=PATIENCE_S, **options)
    expect(done.returncode == status,
           f"{' '.join(arguments)}: status {done.returncode}, not {status}: {done.stdout}{done.stderr}")
    return done


def on_terminal(*arguments):
    """What the program shows on standard error, if that is a terminal."""
    ours, theirs = pty.openpty()
    # Bars are for terminals that can move the cursor.
    able = os.environ | {"TERM": "xterm"}
    with open(ours, "rb", buffering=0) as screen:
        with subprocess.Popen([PROGRAM, *arguments], stderr=theirs, stdout=subprocess.DEVNULL,
                              env=able) as process:
            os.close(theirs)
            seen = b""
            # Linux ends a terminal that nobody has open any more with EIO.
            with contextlib.suppress(OSError):
                while more := screen.read(65536):
                    seen += more
    expect(process.returncode == 0, f"status {process.returncode}")
    return seen.decode()


# Devices

class Pair:
    """Two devices of one type."""

    def __init__(self, kind):
        self.kind = kind

    def __enter__(self):
        self.one, self.other = Device(self.kind), Device(self.kind)
        return self

    def __exit__(self, *_):
        for device in self:
            device.remove()

    def __iter__(self):
        return iter((self.one, self.other))


def state(device):
    with open(f"/sys/kernel/debug/vfio/{device.uuid}/migration/state", encoding="ascii") as file:
        return file.read().strip()


class Opened(vfio.Opened):
    """An open device, whose regions can be read and written."""

    def __init__(self, device):
        super().__init__(device.path)

    def state(self):
        return super().state().name

    def read(self, offset, size):
        data = b""
        while len(data) < size:
            part = os.pread(self.fd, size - len(data), offset + len(data))
            expect(part, "the region ends early")
            data += part
        return data

    def write(self, offset, data):
        done = 0
        while done < len(data):
            done += os.pwrite(self.fd, data[done:], offset + done)

    def get(self, offset):
        return struct.unpack("<I", os.pread(self.fd, 4, offset))[0]

    def put(self, offset, value):
        os.pwrite(self.fd, struct.pack("<I", value), offset)


def is_ticked(memory, ticks):
    """Whether so many ticks, no more and no fewer, have left their numbers: each tick writes its
    number, and its complement, at the start of the page that it counts to."""
    pages = len(memory) // PAGE
    for page in range(pages):
        number = ticks - (ticks - page) % pages
        wanted = struct.pack("<QQ", number, number ^ (1 << 64) - 1) if number > 0 else bytes(16)
        if memory[page * PAGE:page * PAGE + 16] != wanted:
            return False
    return True


@contextlib.contextmanager
def devices_of(size):
    """Emulated devices have a memory of that size meanwhile."""
    _load_emulated(size)
    try:
        yield
    finally:
        _load_emulated(SIZE)


@contextlib.contextmanager
def small_disk(folder, size):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@contextlib.contextmanager
def no_debugfs():
    subprocess.run(["umount", "/sys/kernel/debug"], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug"], check=True)
