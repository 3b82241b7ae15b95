# SPDX-License-Identifier: GPL-2.0
"""A migration as text: what happened when, on which side, and what it amounted to."""

from . import trace

FIRST_ROUNDS = 4
LAST_ROUNDS = 2


def _size(number):
    if number < 10240:
        return f"{number} B"
    if number < 10 << 20:
        return f"{number / 1024:.0f} KiB"
    return f"{number / (1 << 20):.1f} MiB"


def _arc_lines(side, arcs):
    for arc in arcs:
        took = "failed" if arc.end is None else f"{(arc.end - arc.start) * 1000:.2f} ms"
        yield arc.start, side, f"{arc.old} -> {arc.new}", took


def _round_lines(events):
    """Every round that read something, but of many only the first and the last ones."""
    rounds = [each for each in trace.rounds(events) if each.read]
    skipped = rounds[FIRST_ROUNDS:-LAST_ROUNDS]
    for number, each in enumerate(rounds, 1):
        if each not in skipped:
            left = f", {_size(each.initial)} of the initial state to go" if each.initial else ""
            yield each.time, "source", f"  precopy round {number}", f"{_size(each.read)} read{left}"
        elif each is skipped[0]:
            yield (each.time, "source", f"  {len(skipped)} more precopy rounds",
                   f"{_size(sum(other.read for other in skipped))} read")


def _other_lines(source_events, target_events):
    for event in source_events:
        if event.name == "vfio_save_complete_precopy":
            yield event.time, "source", "  rest of the state read", ""
    for event in target_events:
        if event.name.startswith("loadvm_approve_switchover"):
            yield event.time, "target", "  has the initial state: switchover allowed", ""


def rows(outcome):
    """(seconds since the start, side, what, detail) in order of time."""
    source, target = outcome.source_events(), outcome.target_events()
    lines = [*_round_lines(source), *_other_lines(source, target)]
    if outcome.hurried:
        lines.append((outcome.hurried, "source", "  slow: any downtime allowed from here", ""))
    for on_source, on_target in outcome.arcs():
        lines += [*_arc_lines("source", on_source), *_arc_lines("target", on_target)]
    return [(time - outcome.began, *rest) for time, *rest in sorted(lines)]


def blackout_ms(outcome):
    """From the source's last RUNNING state to the target's first one."""
    on_source, on_target = outcome.arcs()[0]
    stopped = [arc.start for arc in on_source
               if arc.old in ("RUNNING", "PRE_COPY") and arc.new not in ("RUNNING", "PRE_COPY")]
    running = [arc.end for arc in on_target if arc.new == "RUNNING"]
    return (running[-1] - stopped[-1]) * 1000


def text(outcome):
    out = ["     time  side    state or event"]
    for time, side, what, detail in rows(outcome):
        out.append(f"{time:7.3f} s  {side}  {what:42} {detail}".rstrip())
    info = outcome.info
    if outcome.status != "completed":
        return "\n".join(out + [f"migration {outcome.status}: {info.get('error-desc', '')}"])
    ram = info["ram"]
    before, after = outcome.before, outcome.after
    out += [
        "",
        f"memory    {_size(ram['transferred'])} in {ram['dirty-sync-count']} passes"
        f" over {_size(ram['total'])}",
        f"device    {_size(trace.bytes_saved(outcome.source_events()))} saved,"
        f" {_size(trace.bytes_loaded(outcome.target_events()))} loaded",
        f"time      {info['total-time']} ms in all, {info['downtime']} ms downtime by QEMU's count",
        f"          {blackout_ms(outcome):.0f} ms between the device's running states",
        f"guest     {after['id']}, its clock went on from {before['t']} to {after['t']} ms",
        f"          ticks of the device {before['ticks']} -> {after['ticks']}, all in place",
        f"          pages that the device wrote to its memory {before['pages']} -> {after['pages']},"
        " none lost, none twice",
        f"          its own stores {before['stores']} -> {after['stores']}, all in place,"
        f" {int(after['sweeps']) - int(before['sweeps'])} full checks since",
        f"          interrupts asked for and received {before['irqs']} -> {after['irqs']},"
        f" {int(after['lost']) - int(before['lost'])} lost on the way",
    ]
    return "\n".join(out)
