# SPDX-License-Identifier: GPL-2.0
"""A VFIO device as a VMM has it, by its character device; the numbers are the uAPI's."""

import ctypes
import enum
import errno
import fcntl
import os
import struct

VFIO_DEVICE_RESET = 0x3B6F          # _IO(';', 100 + 11)
VFIO_DEVICE_FEATURE = 0x3B75        # _IO(';', 100 + 17)
VFIO_DEVICE_BIND_IOMMUFD = 0x3B76   # _IO(';', 100 + 18)
FEATURE_GET, FEATURE_SET = 1 << 16, 1 << 17
FEATURE_MIG_DEVICE_STATE = 2
FEATURE_DMA_LOGGING_REPORT = 8
FEATURE_MIG_DATA_SIZE = 9
BAR2 = 2 << 40                      # where vfio-pci style devices have their region 2
CONFIG = 7 << 40                    # and their configuration space

State = enum.IntEnum("State", ("ERROR", "STOP", "RUNNING", "STOP_COPY", "RESUMING", "RUNNING_P2P",
                               "PRE_COPY", "PRE_COPY_P2P"), start=0)


def reset(fd):
    fcntl.ioctl(fd, VFIO_DEVICE_RESET)


def logs(fd):
    """Is logging of DMA on? Takes from the log whether page 0 was written."""
    bitmap = ctypes.c_uint64()
    try:
        fcntl.ioctl(fd, VFIO_DEVICE_FEATURE,
                    struct.pack("=IIQQQQ", 40, FEATURE_GET | FEATURE_DMA_LOGGING_REPORT, 0, 4096,
                                4096, ctypes.addressof(bitmap)))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True


class Opened:
    """The device with that folder in sysfs, open between open() and close(), or in a `with`."""

    def __init__(self, path):
        [name] = os.listdir(f"{path}/vfio-dev")
        self.cdev = f"/dev/vfio/devices/{name}"

    def open(self):
        self.iommufd = os.open("/dev/iommu", os.O_RDWR)
        self.fd = os.open(self.cdev, os.O_RDWR)
        fcntl.ioctl(self.fd, VFIO_DEVICE_BIND_IOMMUFD,
                    struct.pack("=IIiI", 16, 0, self.iommufd, 0))

    def close(self):
        os.close(self.fd)
        os.close(self.iommufd)

    def __enter__(self):
        self.open()
        return self

    def __exit__(self, *_):
        self.close()

    def _state(self, flag, state):
        argument = struct.pack("=IIIi", 16, flag | FEATURE_MIG_DEVICE_STATE, state, -1)
        return struct.unpack("=IIIi", fcntl.ioctl(self.fd, VFIO_DEVICE_FEATURE, argument))[2:]

    def state(self):
        return State(self._state(FEATURE_GET, 0)[0])

    def set_state(self, state):
        """The data file that comes with the state, or -1."""
        return self._state(FEATURE_SET, state)[1]

    def data_size(self):
        """How many bytes a stop-copy would take now."""
        argument = struct.pack("=IIQ", 16, FEATURE_GET | FEATURE_MIG_DATA_SIZE, 0)
        return struct.unpack("=IIQ", fcntl.ioctl(self.fd, VFIO_DEVICE_FEATURE, argument))[2]

    def reset(self):
        reset(self.fd)
