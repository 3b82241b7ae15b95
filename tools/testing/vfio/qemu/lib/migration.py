# SPDX-License-Identifier: GPL-2.0
"""One migration from one machine to another, and what can be known of it afterwards."""

import os
import time
from typing import NamedTuple, Optional

from . import trace
from .machine import PATIENCE, Failure
from .qmp import QmpError

SECONDS = 120 * PATIENCE
# A slow machine may not keep up with what changes. Then any downtime must do.
HURRY_SECONDS = 5
ANY_DOWNTIME_MS = 60000
ENDED = ("completed", "failed", "cancelled")


class Outcome(NamedTuple):
    status: str                     # one of ENDED
    began: float                    # when the source was told to migrate
    hurried: Optional[float]        # when it could have any downtime
    info: dict                      # the source's query-migrate
    source: object
    target: object
    before: dict                    # the guest's last report on the source
    after: dict                     # on the target, after full checks; None unless completed
    multifd: bool

    def source_events(self):
        return self.source.events(since=self.began)

    def target_events(self):
        return self.target.events()

    def arcs(self):
        """For each device of the guest, the arcs on the source and those on the target."""
        return [(trace.arcs(self.source_events(), source), trace.arcs(self.target_events(), target))
                for source, target in zip(self.source.devices, self.target.devices)]


def migrate(source, target, switchover_ack=True, multifd=False, channel=None, stored=False,
            during=None, hurry=True, **parameters):
    """
    Migrate the guest of source to target: directly, or with stored by way of a file.

    channel(address) may put something between the two: it is given the target's
    address and returns the one for the source. during(source, rounds) is called again and
    again while the migration is under way, with the precopy rounds so far. hurry is for
    migrations that are meant to end. With multifd there are several channels, which devices
    use for the last of their state if their option says so. Parameters are those of migrate-set-parameters.
    """
    address = target.file("state" if stored else "socket")
    if os.path.exists(address):
        os.unlink(address)
    uri = f"{'file' if stored else 'unix'}:{address}"
    parameters.setdefault("downtime-limit", 300)
    parameters.setdefault("max-bandwidth", 1 << 30)
    for machine in (source, target):
        _configure(machine, parameters, {"events": True, "return-path": not stored,
                                         "switchover-ack": switchover_ack and not stored,
                                         "multifd": multifd})
    if not stored:
        target.qmp.command("migrate-incoming", uri=uri)
    began = time.time()
    source.qmp.command("migrate", uri=f"unix:{channel(address)}" if channel else uri)
    hurried, info = _follow(source, began, during, hurry)
    before = source.last_report()
    after = None
    if info["status"] == "completed":
        if stored:
            target.qmp.command("migrate-incoming", uri=uri)
        _follow_target(target)
        after = target.wait_checked()
    return Outcome(info["status"], began, hurried, info, source, target, before, after, multifd)


def _configure(machine, parameters, capabilities):
    machine.qmp.command("migrate-set-capabilities", capabilities=[
        {"capability": name, "state": state} for name, state in capabilities.items()])
    machine.qmp.command("migrate-set-parameters", **parameters)


def _follow(source, began, during, hurry):
    hurried = None
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            info = source.qmp.command("query-migrate")
        except QmpError as error:
            raise source.failure(f"lost while migrating: {error}") from error
        if info.get("status") in ENDED:
            return hurried, info
        if hurry and not hurried and time.time() > began + HURRY_SECONDS:
            hurried = time.time()
            source.qmp.command("migrate-set-parameters", **{"downtime-limit": ANY_DOWNTIME_MS})
        if time.monotonic() > deadline:
            raise source.failure(f"migration still '{info.get('status')}' after {SECONDS} s")
        source.last_report()
        if source.trouble:
            raise source.failure(f"while migrating: {source.trouble}")
        if during:
            during(source, trace.rounds(source.events(since=began)))
        time.sleep(0.02)


def _follow_target(target):
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            if target.qmp.command("query-status")["running"]:
                return
        except QmpError as error:
            raise target.failure(f"lost while loading: {error}") from error
        if time.monotonic() > deadline:
            raise target.failure(f"does not run {SECONDS} s after the source was done")
        time.sleep(0.02)


def require(outcome):
    """Fail unless the migration was completed, and whole."""
    if outcome.status != "completed":
        why = outcome.info.get("error-desc", "no reason given")
        raise Failure(f"{outcome.source.failure(f'migration {outcome.status}: {why}')}\n"
                      f"{outcome.target.failure('the target of it')}")
    found = _problems(outcome)
    if found:
        raise outcome.target.failure("\n".join(found))


def _problems(outcome):
    """What a completed migration got wrong that neither QEMU nor the guest's own rules noticed."""
    before, after = outcome.before, outcome.after
    found = []
    if before["id"] != after["id"]:
        found.append(f"another guest: {before['id']} became {after['id']}")
    function = ("turns", "work", "events", "interrupts") if "work" in before else ()
    for counter in ("t", "ticks", "stores", "irqs", "sweeps", "pages", "copies", *function):
        if int(after[counter]) <= int(before[counter]):
            found.append(f"{counter} did not go on: {before[counter]}, then {after[counter]}")
    passed = int(after["t"]) - int(before["t"])
    wall = (time.time() - outcome.began) * 1000
    if passed > wall + 1000:
        found.append(f"the guest's clock jumped by {passed} ms in {wall:.0f} ms")
    saved = trace.bytes_saved(outcome.source_events())
    loaded = trace.bytes_loaded(outcome.target_events())
    if outcome.multifd:
        # QEMU tells of the bytes in precopy only, and of the threads: of the end of loading
        # only if it knew before that it was to come.
        devices = len(outcome.source.devices)
        threads = (outcome.source.count("vfio_save_complete_precopy_thread_end"),
                   outcome.target.count("vfio_load_state_device_buffer_start"))
        if threads != (devices, devices):
            found.append(f"of {devices} devices {threads[0]} sent and {threads[1]} received their"
                         " state by multifd")
    elif not saved or saved != loaded:
        found.append(f"{saved} bytes of device state were saved and {loaded} loaded")
    for arcs in outcome.arcs():
        found += [f"the arc {arc.old} -> {arc.new} failed"
                  for side in arcs for arc in side if arc.end is None]
    return found
