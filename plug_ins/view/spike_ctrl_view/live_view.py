"""What `spike-ctrl watch` shows of a running graph in a terminal. Pure: what was seen goes in, text comes out.

seen = SeenGraph(now=12.0, nodes=("simulator", "learner"), streams=(SeenStream("state", 930.0, 0.002),))
Console().print(render(seen))
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spike_ctrl._files.text_table import printable
from spike_ctrl._files.time_left import time_left
from spike_ctrl.control.trajectory import PASS_ERROR
from spike_ctrl.flight.faults import Rung
from spike_ctrl.policy.pilot import Reason
from spike_ctrl_view import seen_graph
from spike_ctrl_view.seen_graph import AXES, LOW_BATTERY, REASONS, RUNGS, SeenGraph

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.panel import Panel
    from rich.text import Text

EVENTS, HISTORY = 8, 60
BARS, BLOCKS = "▁▂▃▄▅▆▇█", "█"
RUNG_STYLES = {Rung.SNN: "bold blue", Rung.GUIDE: "bold yellow", Rung.HOLD: "bold magenta", Rung.LAND: "bold cyan"}
STYLES = {"ok": "green", "info": "green", "warning": "yellow", "error": "bold red"}


def render(seen: SeenGraph) -> Group:
    """The dashboard as a rich renderable."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.text import Text

    nodes = "the graph has ended" if seen.gone else printable(", ".join(seen.nodes)) or "no node"
    pace = f"{words}   " if (words := seen_graph.pace(seen)) else ""
    head = Text.assemble(("spike-ctrl watch", "bold"), f"  {seen.now:.0f} s   {pace}", (nodes, "dim"))
    if not seen.nodes and not seen.heard:
        return Group(head, Text("nothing is heard: is a graph running, in this ROS_DOMAIN_ID?", style="yellow"))
    first = [_flight(seen)] if seen.supervisor is not None or seen.autopilot is not None else []
    first += [_training(seen)] if seen.training is not None else []
    second = [_streams(seen), *([_policy(seen)] if seen.policy is not None or seen.actions else [])]
    last = [_events(seen)] if seen.events else []
    return Group(head, *first, Columns(second, padding=(0, 1)), *last)


def _flight(seen: SeenGraph) -> Panel:
    from rich.text import Text

    lines, status, pilot = [], seen.supervisor, seen.autopilot
    if status is not None:
        silent = seen_graph.unheard(seen, "supervisor/status")
        lines += [Text(f"supervisor {silent}; its last word:", style="red")] if silent else []
        rung = (RUNGS.get(status.rung, f"rung {status.rung}?"), RUNG_STYLES.get(status.rung, "bold"))
        lines.append(Text.assemble(rung, f" {seen.lasting}   {seen_graph.doing(status)}"))
        lines += [Text(why, style="dim")] if (why := seen_graph.reason(seen)) else []
        who = printable(status.checkpoint_id) or "none approved"
        fault = (seen_graph.latched(status), "red" if status.latched else "dim")
        lines.append(Text.assemble("policy ", who, "   latched fault ", fault))
    if pilot is not None and pilot.heard:
        state, battery = seen_graph.autopilot(pilot)
        low = not pilot.battery > LOW_BATTERY
        lines.append(Text.assemble(f"autopilot {state}   battery ", (battery, "red" if low else "")))
    elif pilot is not None:
        lines.append(Text("autopilot not heard", style="dim" if seen.over else "red"))
    lines += [_error(seen)] if seen.error else []
    return _panel("flight", lines)


def _error(seen: SeenGraph) -> Text:
    from rich.text import Text

    style = "dim" if not seen.judged else "red" if seen_graph.off(seen) else "green"
    line = sparkline(seen.error, 2 * PASS_ERROR)
    return Text.assemble(
        "error ", (f"{seen.error[-1]:.3f} m ", style), (line, style), (f" 0 to {2 * PASS_ERROR:g} m", "dim")
    )


def _training(seen: SeenGraph) -> Panel:
    from rich.text import Text

    status = seen.training
    done = seen_graph.share(status)
    words = f" {100 * done:.0f} %   {time_left(status.remaining_time)} left   "
    figures = [f"{name} {value}" for name, value in seen_graph.training_figures(status)]
    lines = [
        Text.assemble(f"{printable(status.recipe)}   ", (bar(done, 30), "blue"), words, (printable(status.run), "dim")),
        Text("   ".join(figures[:4])),
        Text("   ".join(figures[4:])),
    ]
    return _panel("training", lines + ([_error(seen)] if seen.error and seen.supervisor is None else []))


def _streams(seen: SeenGraph) -> Panel:
    from rich.table import Table
    from rich.text import Text

    table = Table("topic", *(f"{name:>6}" for name in ("Hz", "age")), box=None, pad_edge=False, header_style="dim")
    for column in table.columns[1:]:
        column.justify = "right"
    for stream in seen.shown():
        if stream.age is None:
            table.add_row(stream.topic, Text("-", style="dim"), Text("-", style="dim"))
            continue
        style = "dim" if seen.over else "red" if seen_graph.late(seen, stream) else "green"
        table.add_row(stream.topic, seen_graph.hertz(stream.hertz), Text(seen_graph.age(stream.age), style=style))
    return _panel(f"topics: {printable(seen.wanted)}" if seen.wanted else "topics", [table])


def _policy(seen: SeenGraph) -> Panel:
    from rich.text import Text

    lines, status = [], seen.policy
    silent = seen_graph.unheard(seen, "policy/status")
    if status is not None:
        style = "red" if silent else "green" if status.reason == Reason.OK else "yellow"
        who = f"   {printable(status.checkpoint_id) or 'no checkpoint'}, epoch {status.epoch}"
        lines.append(Text.assemble((silent or REASONS.get(status.reason, f"reason {status.reason}?"), style), who))
    if status is not None and not silent:
        lines += [Text(printable(status.detail), style="yellow")] if status.detail else []
        times = (1e3 * status.inference_time, 1e3 * status.state_age)
        lines.append(Text("inference {:.2f} ms, answers after {:.2f} ms".format(*times)))
        for layer, rate in enumerate(status.spike_rate):
            style = "blue" if 0.0 < rate < 0.9 else "red"
            lines.append(Text.assemble(f"layer {layer} spikes ", (bar(rate, 20), style), f" {rate:.2f}"))
    for topic, action in seen.actions.items():
        if seen_graph.unheard(seen, topic):
            continue
        words = "  ".join(f"{axis} {value:+.2f}" for axis, value in zip(AXES.get(seen.layout, "abcd"), action, strict=False))
        lines.append(Text.assemble((f"{topic:<14}", "dim"), words))
    if seen.vehicles > 1:
        lines.append(Text(f"vehicle 0 of {seen.vehicles}", style="dim"))
    return _panel("policy", lines)


def _events(seen: SeenGraph) -> Panel:
    from rich.text import Text

    lines = []
    for when, severity, text in seen.events[-EVENTS:]:
        kind = (f"{printable(severity):<8}", STYLES.get(severity, ""))
        line = Text.assemble((f"{when:7.1f} s ", "dim"), kind, printable(text), no_wrap=True, overflow="ellipsis")
        lines.append(line)
    return _panel("events", lines)


def _panel(title: str, lines: Sequence[RenderableType]) -> Panel:
    from rich.console import Group
    from rich.panel import Panel

    wide = not title.startswith(("topics", "policy"))
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
