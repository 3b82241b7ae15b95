# SPDX-License-Identifier: GPL-2.0
"""What migrations run on: modules, the guest, devices, machines; all gone at the end."""

import os
import shutil
import subprocess
import tempfile

from .device import Device
from .machine import Failure, Host, Machine

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
QEMU = {"10": "qemu-system-x86_64", "11": "/opt/qemu-11/qemu-system-x86_64"}


class Lab:
    """
    Use with `with`: leaving it ends every process and removes every device. The guest is a
    program that was built before, or is built.
    """

    def __init__(self, guest=None):
        self.guest = guest
        self.folder = tempfile.mkdtemp(prefix="vfio-qemu-")
        self.machines = []
        self.devices = []

    def __enter__(self):
        for module in ("vfio_iommu_type1", "iommufd"):
            self._run(["modprobe", module])
        self.load()
        if not self.guest:
            self._run(["make", "-s", "-C", HERE, f"O={self.folder}"])
            self.guest = f"{self.folder}/guest.elf"
        for version, program in QEMU.items():
            if not shutil.which(program):
                raise Failure(f"{program} is missing: it is QEMU {version}")
        self.host = Host(QEMU, self.guest, self.folder)
        return self

    def __exit__(self, *unused):
        self.clear()
        shutil.rmtree(self.folder)

    def load(self, *parameters):
        """The driver of the devices, anew, with these parameters."""
        self._run(["modprobe", "-r", "vfio_migration_emulated"])
        self._run(["modprobe", "vfio_migration_emulated", *parameters])

    def clear(self):
        """End all machines and remove all devices."""
        for machine in self.machines:
            machine.stop()
        while self.devices:
            self.remove(self.devices[0])

    @staticmethod
    def _run(argv):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise Failure(f"{' '.join(argv)}: status {done.returncode}\n{done.stdout}{done.stderr}")

    def device(self, kind):
        device = Device(kind)
        self.devices.append(device)
        return device

    def remove(self, device):
        self.devices.remove(device)
        device.remove()

    def machine(self, devices, qemu="10", backend="legacy", incoming=False, **options):
        name = f"{len(self.machines) + 1}-{devices[0].kind}"
        machine = Machine(self.host, name, devices, qemu, backend, incoming, options)
        self.machines.append(machine)
        return machine
