"""What `spike-ctrl watch` shows of a running graph in a terminal. Pure: what was seen goes in, text comes out.

seen = SeenGraph(now=12.0, nodes=("simulator", "learner"), streams=(SeenStream("state", 930.0, 0.002),))
Console().print(render(seen))
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from spike_ctrl._files.printable import printable
from spike_ctrl._files.time_left import time_left
from spike_ctrl.control.trajectory import PASS_ERROR
from spike_ctrl.flight.faults import Fault, Rung
from spike_ctrl.policy.pilot import Reason

STALE = 0.1  # s; an older message of a fast topic is shown in red
LATE = 3.0  # s; the same for a topic below 20 Hz
EVENTS, HISTORY = 8, 60
REASON_SHOWN = 20.0  # s after a change of the rung
BARS, BLOCKS = "▁▂▃▄▅▆▇█", "█"
RUNG_STYLES = {Rung.SNN: "bold blue", Rung.GUIDE: "bold yellow", Rung.HOLD: "bold magenta", Rung.LAND: "bold cyan"}
STYLES = {"ok": "green", "info": "green", "warning": "yellow", "error": "bold red"}
AXES = {"motors": ("FR", "BR", "BL", "FL"), "rates": ("thrust", "roll", "pitch", "yaw")}
NAMES = {number: mode for number, mode in enumerate(("offboard", "hold", "land", "return", "a pilot's"))}
RUNGS = {int(rung): rung.name for rung in Rung}
REASONS = {int(reason): reason.name for reason in Reason}
FAULTS = {fault.number: fault for fault in Fault}


class SeenStream(NamedTuple):
    """A topic: its name, messages per second, and the age of the last message, s; None if there was none."""

    topic: str
    hertz: float
    age: float | None


@dataclass(frozen=True)
class SeenGraph:
    """A graph at one moment.

    supervisor, autopilot, policy, training: the last message of spike_ctrl_msgs from each, None if there was none.
    now: s since the watch began. rung_since: value of `now` when the rung last changed. error: distances of vehicle 0 from
    its set-point, m, oldest first. actions: of vehicle 0, by topic. events: (now, severity, text), oldest first.
    """

    now: float
    nodes: Sequence[str] = ()
    streams: Sequence[SeenStream] = ()
    supervisor: Any = None
    rung_since: float = 0.0
    autopilot: Any = None
    policy: Any = None
    training: Any = None
    vehicles: int = 0
    error: Sequence[float] = ()
    actions: Mapping[str, Sequence[float]] = field(default_factory=dict)
    layout: str = "motors"
    events: Sequence[tuple[float, str, str]] = ()


def render(seen: SeenGraph):
    """The dashboard as a rich renderable."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.text import Text

    nodes = printable(", ".join(seen.nodes)) or "no node"
    head = Text.assemble(("spike-ctrl watch", "bold"), f"  {seen.now:.0f} s   ", (nodes, "dim"))
    if not seen.nodes and all(stream.age is None for stream in seen.streams):
        return Group(head, Text("nothing is heard: is a graph running, in this ROS_DOMAIN_ID?", style="yellow"))
    first = [_flight(seen)] if seen.supervisor is not None or seen.autopilot is not None else []
    first += [_training(seen)] if seen.training is not None else []
    second = [_streams(seen), *([_policy(seen)] if seen.policy is not None or seen.actions else [])]
    last = [_events(seen)] if seen.events else []
    return Group(head, *first, Columns(second, padding=(0, 1)), *last)


def _flight(seen: SeenGraph):
    from rich.text import Text

    lines, status, pilot = [], seen.supervisor, seen.autopilot
    if status is not None:
        rung = RUNGS.get(status.rung, f"rung {status.rung}?")
        since = f" for {seen.now - seen.rung_since:.0f} s   "
        fresh = seen.now - seen.rung_since <= REASON_SHOWN  # what led there is no news for long
        reason = printable(status.reason) if fresh else ""
        lines.append(Text.assemble((rung, RUNG_STYLES.get(status.rung, "bold")), since, (reason, "dim")))
        latched = FAULTS[status.latched].name if status.latched in FAULTS else "none"
        style = "red" if status.latched else "dim"
        who = printable(status.checkpoint_id) or "none approved"
        lines.append(Text.assemble("policy ", who, "   latched fault ", (latched, style)))
    if pilot is not None and pilot.heard:
        where = "on the ground" if pilot.landed else "in the air"
        battery = "unknown" if math.isnan(pilot.battery) else f"{100 * pilot.battery:.0f} %, {pilot.voltage:.1f} V"
        state = f"{NAMES.get(pilot.mode, '?')}, {'armed' if pilot.armed else 'disarmed'}, {where}"
        low = not pilot.battery > 0.3
        lines.append(Text.assemble(f"autopilot {state}   battery ", (battery, "red" if low else "")))
    elif pilot is not None:
        lines.append(Text("autopilot not heard", style="red"))
    lines += [_error(seen)] if seen.error else []
    return _panel("flight", lines)


def _error(seen: SeenGraph):
    from rich.text import Text

    last = seen.error[-1]
    style = "red" if not last <= PASS_ERROR else "green"
    line = sparkline(seen.error, 2 * PASS_ERROR)
    return Text.assemble("error ", (f"{last:.3f} m ", style), (line, style), (f" 0 to {2 * PASS_ERROR:g} m", "dim"))


def _training(seen: SeenGraph):
    from rich.text import Text

    status = seen.training
    done = _share(seen)
    words = f" {100 * done:.0f} %   {time_left(status.remaining_time)} left   "
    lines = [
        Text.assemble(f"{printable(status.recipe)}   ", (bar(done, 30), "blue"), words, (printable(status.run), "dim")),
        Text(
            f"{status.environment_steps / 1e6:.2f}M steps   {status.steps_per_second / 1e3:.0f}k steps/s   "
            f"{status.updates} updates   checkpoint {status.epoch}"
        ),
        Text(
            f"return {_number(status.return_mean, '.0f')}   survival {_number(status.survival, '.2f')}   "
            f"guide flies {100 * status.guide_share:.0f} %   slope {status.slope:.1f}   "
            f"critic {_number(status.critic_loss, '.3f')}   actor {_number(status.actor_loss, '.3f')}"
        ),
    ]
    return _panel("training", lines + ([_error(seen)] if seen.error and seen.supervisor is None else []))


def _number(value: float, form: str) -> str:
    return f"{value:{form}}" if math.isfinite(value) else "-"


def _share(seen: SeenGraph) -> float:
    """Share of the training run that is done, from the steps done and the time left at the present speed."""
    status = seen.training
    rest = status.remaining_time * status.steps_per_second
    whole = status.environment_steps + rest
    return status.environment_steps / whole if whole > 0 and math.isfinite(whole) else 0.0


def _over(seen: SeenGraph) -> bool:
    """Whether a flight is over: what stops then is not late."""
    rung, pilot = getattr(seen.supervisor, "rung", None), seen.autopilot
    return rung == Rung.SILENT and pilot is not None and pilot.heard and pilot.landed and not pilot.armed


def _streams(seen: SeenGraph):
    from rich.table import Table
    from rich.text import Text

    table = Table("topic", *(f"{name:>6}" for name in ("Hz", "age")), box=None, pad_edge=False, header_style="dim")
    for column in table.columns[1:]:
        column.justify = "right"
    for stream in seen.streams:
        if stream.age is None:
            table.add_row(stream.topic, Text("-", style="dim"), Text("-", style="dim"))
            continue
        slow = stream.hertz < 20
        style = "dim" if _over(seen) else "red" if stream.age > (LATE if slow else STALE) else "green"
        age = f"{1e3 * stream.age:.0f} ms" if stream.age < 10 else f"{stream.age:.0f} s"
        table.add_row(stream.topic, f"{stream.hertz:.1f}" if slow else f"{stream.hertz:.0f}", Text(age, style=style))
    return _panel("topics", [table])


def _policy(seen: SeenGraph):
    from rich.text import Text

    lines, status = [], seen.policy
    if status is not None:
        style = "green" if status.reason == Reason.OK else "yellow"
        who = f"   {printable(status.checkpoint_id) or 'no checkpoint'}, epoch {status.epoch}"
        lines.append(Text.assemble((REASONS.get(status.reason, f"reason {status.reason}?"), style), who))
        lines += [Text(printable(status.detail), style="yellow")] if status.detail else []
        times = (1e3 * status.inference_time, 1e3 * status.state_age)
        lines.append(Text("inference {:.2f} ms, answers after {:.2f} ms".format(*times)))
        for layer, rate in enumerate(status.spike_rate):
            style = "blue" if 0.0 < rate < 0.9 else "red"
            lines.append(Text.assemble(f"layer {layer} spikes ", (bar(rate, 20), style), f" {rate:.2f}"))
    for topic, action in seen.actions.items():
        words = "  ".join(f"{axis} {value:+.2f}" for axis, value in zip(AXES.get(seen.layout, "abcd"), action, strict=False))
        lines.append(Text.assemble((f"{topic:<14}", "dim"), words))
    if seen.vehicles > 1:
        lines.append(Text(f"vehicle 0 of {seen.vehicles}", style="dim"))
    return _panel("policy", lines)


def _events(seen: SeenGraph):
    from rich.text import Text

    one_line = {"no_wrap": True, "overflow": "ellipsis"}
    lines = []
    for when, severity, text in seen.events[-EVENTS:]:
        kind = (f"{printable(severity):<8}", STYLES.get(severity, ""))
        lines.append(Text.assemble((f"{when:7.1f} s ", "dim"), kind, printable(text), **one_line))
    return _panel("events", lines)


def _panel(title: str, lines: Sequence):
    from rich.console import Group
    from rich.panel import Panel

    wide = title not in ("topics", "policy")
    return Panel(Group(*lines), title=title, title_align="left", border_style="dim", expand=wide)


def bar(share: float, width: int) -> str:
    """A bar of `width` characters that is filled to a share in 0..1."""
    full = round(max(0.0, min(share, 1.0)) * width) if math.isfinite(share) else 0
    return BLOCKS * full + "·" * (width - full)


def sparkline(values: Sequence[float], top: float) -> str:
    """The last HISTORY values as bars from 0 to `top`. Larger values are cut off. "x" stands for NaN or infinity."""
    steps = len(BARS) - 1
    return "".join(
        BARS[min(int(value / top * steps), steps)] if math.isfinite(value) else "x" for value in values[-HISTORY:]
    )
