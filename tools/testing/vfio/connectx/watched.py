# SPDX-License-Identifier: GPL-2.0
"""Functions of an emulated ConnectX of which the driver counts the commands, and what goes wrong."""

import os
import subprocess
import time

from function import Function, expect
from lib.vfio import State

DEBUGFS = "/sys/kernel/debug"
FAULT = 0xFFC                       # a register of the emulated card
# What makes an object of the firmware's, and what takes it back.
OBJECTS = {"CREATE_MKEY": "DESTROY_MKEY", "ALLOC_PD": "DEALLOC_PD", "CREATE_QP": "DESTROY_QP",
           "CREATE_GENERAL_OBJECT": "DESTROY_GENERAL_OBJECT"}


def mount_debugfs():
    if not os.path.isdir(f"{DEBUGFS}/vfio"):
        subprocess.run(("mount", "-t", "debugfs", "debugfs", DEBUGFS), check=True)


def arm(pf, text):
    """Sets the card's list of faults; counting begins anew."""
    config = os.open(f"{pf}/config", os.O_WRONLY)
    for byte in f"{text}\n".encode():
        os.pwrite(config, bytes((byte,)), FAULT)
    os.close(config)


class Watched(Function):
    """A function that nobody else uses, and how many commands the driver gave for it."""

    def __init__(self, path):
        super().__init__(path)
        self.counts = f"{DEBUGFS}/vfio/{os.path.basename(os.path.realpath(path))}/migration/commands"
        # That it refused to let go of before.
        self.lost = 0
        self.lost = self.held()

    def commands(self):
        """By name: how many, and how many of them failed."""
        table = {}
        with open(self.counts, encoding="ascii") as lines:
            for line in lines:
                fields = dict(word.split("=", 1) for word in line.split())
                table[fields["command"]] = (int(fields["count"]), int(fields["failed"]))
        return table

    def failed(self):
        return sum(failed for _, failed in self.commands().values())

    def held(self):
        """Objects that the firmware has of what is done here."""
        table = self.commands()

        def done(command):
            count, failed = table.get(command, (0, 0))
            return count - failed

        return sum(done(make) - done(end) for make, end in OBJECTS.items()) - self.lost

    def settle(self):
        """Waits until the driver has taken everything back."""
        end = time.monotonic() + 10
        while held := self.held():
            expect(time.monotonic() < end, f"the firmware still has {held} objects")
            time.sleep(0.002)


def true_running(function):
    """A function that is said to run can be stopped and started, by commands that succeed."""
    function.close_data()
    expect(function.state() == State.RUNNING, "not RUNNING")
    failed = function.failed()
    for state in State.RUNNING_P2P, State.STOP, State.RUNNING:
        function.set(state)
    expect(function.failed() == failed, "RUNNING was not true: the firmware refused")


def migrate(source, target):
    stream = source.save(precopy=True)
    target.load(stream)
    expect(target.save() == source.save(), "the target is not what the source is")
    for function in source, target:
        function.set(State.RUNNING)
        function.settle()
