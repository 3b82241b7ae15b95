# SPDX-License-Identifier: GPL-2.0
"""DMA logging of a VFIO device that is open."""

import ctypes
import fcntl
import struct

from lib import vfio

LOGGING_START, LOGGING_STOP, LOGGING_REPORT = 6, 7, 8

PAGE = 4096
BASE, PAGES = 1 << 32, 4096         # what is logged if nothing is said


class Logger:
    """For who is a `vfio.Opened`, too."""

    def _feature(self, flags, payload):
        data = bytearray(struct.pack("=II", 8 + len(payload), flags) + payload)
        fcntl.ioctl(self.fd, vfio.VFIO_DEVICE_FEATURE, data)
        return bytes(data[8:])

    def start(self, ranges=((0, PAGES),), page_size=PAGE, base=BASE):
        """Starts to log these ranges of pages, and returns the size of the log's own pages."""
        array = b"".join(struct.pack("=QQ", base + first * PAGE, count * PAGE)
                         for first, count in ranges)
        buffer = ctypes.create_string_buffer(array, len(array))
        answer = self._feature(vfio.FEATURE_SET | LOGGING_START, struct.pack(
            "=QIIQ", page_size, len(ranges), 0, ctypes.addressof(buffer)))
        return struct.unpack("=Q", answer[:8])[0]

    def stop(self):
        self._feature(vfio.FEATURE_SET | LOGGING_STOP, b"")

    def report_to(self, bitmap, first=0, count=PAGES, base=BASE):
        self._feature(vfio.FEATURE_GET | LOGGING_REPORT, struct.pack(
            "=QQQQ", base + first * PAGE, count * PAGE, PAGE, bitmap))

    def report(self, first=0, count=PAGES, base=BASE):
        """The pages that were written."""
        bitmap = (ctypes.c_uint64 * -(-count // 64))()
        self.report_to(ctypes.addressof(bitmap), first, count, base)
        return {first + n for n in range(count) if bitmap[n // 64] >> n % 64 & 1}
