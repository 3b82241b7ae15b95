# SPDX-License-Identifier: GPL-2.0
"""Emulated migration devices: made and removed through sysfs, and reached behind QEMU's back."""

import ctypes
import glob
import os
import uuid

from . import vfio

MDEV = "/sys/bus/mdev/devices"
SYS_PIDFD_OPEN = 434
SYS_PIDFD_GETFD = 438

TYPES = ("stop_copy", "p2p", "pre_copy", "full")


class DeviceError(Exception):
    """The module is not there, or refused."""


class Device:
    """One device of the given type ('full', ...), alive until removed."""

    def __init__(self, kind):
        found = glob.glob(f"/sys/class/mdev_bus/*/mdev_supported_types/*-{kind}")
        if len(found) != 1:
            raise DeviceError(f"{len(found)} device types *-{kind}: is the module loaded?")
        self.kind = kind
        self.uuid = str(uuid.uuid4())
        _write(f"{found[0]}/create", self.uuid)
        self.path = f"{MDEV}/{self.uuid}"

    def remove(self):
        _write(f"{self.path}/remove", "1")


def _write(path, text):
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        raise DeviceError(f"{path}: {error.strerror}") from error


def _system_call(number, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(value) for value in arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def borrow(pid, wanted=lambda fd: True):
    """A copy of a VFIO device's file descriptor in the QEMU process pid: the first that is wanted."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{name}")
        if target == "anon_inode:[vfio-device]" or target.startswith("/dev/vfio/devices/"):
            pidfd = _system_call(SYS_PIDFD_OPEN, pid, 0)
            try:
                fd = _system_call(SYS_PIDFD_GETFD, pidfd, int(name), 0)
            finally:
                os.close(pidfd)
            if wanted(fd):
                return fd
            os.close(fd)
    raise DeviceError(f"process {pid} has no such VFIO device open")


def reset_behind(pid):
    """Reset the device without QEMU or the guest knowing."""
    fd = borrow(pid)
    try:
        vfio.reset(fd)
    finally:
        os.close(fd)


def logs_behind(pid, pci_id):
    """
    Does the device with these numbers of vendor and device log what it writes? It is asked for
    page 0 of the guest's memory, which no device writes, so QEMU misses nothing.
    """
    def wanted(fd):
        return os.pread(fd, 4, vfio.CONFIG) == pci_id.to_bytes(4, "little")

    fd = borrow(pid, wanted)
    try:
        return vfio.logs(fd)
    finally:
        os.close(fd)


def flip_behind(pid, offset):
    """Flip one bit of BAR2 without QEMU or the guest knowing."""
    fd = borrow(pid)
    try:
        byte = os.pread(fd, 1, vfio.BAR2 + offset)[0]
        os.pwrite(fd, bytes([byte ^ 1]), vfio.BAR2 + offset)
    finally:
        os.close(fd)
