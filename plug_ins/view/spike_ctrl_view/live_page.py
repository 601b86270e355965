"""What `spike-ctrl watch --web` shows beside the vehicles. Pure: what was seen goes in, HTML by panel comes out."""

from collections.abc import Sequence
from html import escape

from spike_ctrl._files.text_table import printable
from spike_ctrl._files.time_left import time_left
from spike_ctrl.flight.faults import Rung
from spike_ctrl.policy.pilot import Reason
from spike_ctrl_view import seen_graph
from spike_ctrl_view.seen_graph import AXES, LOW_BATTERY, REASONS, SeenGraph

RUNG_COLOURS = {
    Rung.SNN: "#2369bd",
    Rung.GUIDE: "#d9722e",
    Rung.HOLD: "#8a5cb5",
    Rung.LAND: "#1796a6",
    Rung.SILENT: "#6b7280",
}
OTHER_COLOUR = "#6b7280"
STYLE = """<style>
.seen { font: 13px/1.45 system-ui, sans-serif; padding: .1rem .2rem }
.seen p { margin: .05rem 0; overflow-wrap: anywhere }
.seen .soft { opacity: .62 }
.seen .good { color: #2f9467 } .seen .bad { color: #d0382c; font-weight: 600 }
.seen .warning { color: #b97a10 }
.seen .ladder { display: flex; gap: 3px; margin: .2rem 0 .4rem }
.seen .ladder span { flex: 1; text-align: center; padding: .2rem 0; border-radius: 4px;
  font-size: 11.5px; background: #8883 }
.seen .ladder .now { color: #fff; font-weight: 700 }
.seen table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
.seen td, .seen th { padding: .05rem .3rem; text-align: right; font-weight: 400; white-space: nowrap }
.seen td:first-child, .seen th:first-child { text-align: left; padding-left: 0 } .seen th { opacity: .62 }
.seen td.said { white-space: normal; text-align: left; overflow-wrap: anywhere }
.seen .bar { background: #8883; border-radius: 4px; height: 9px; margin: .2rem 0 }
.seen .bar div { background: #2369bd; height: 100%; border-radius: 4px }
.seen .figures { display: grid; grid-template-columns: 1fr 1fr; gap: 0 1.2rem }
.seen .figures div { display: flex; justify-content: space-between }
</style>"""


def panels(seen: SeenGraph) -> dict[str, str]:
    """HTML by the name of its panel, in order; empty text: the graph has nothing of that kind."""
    return {
        "Graph": _frame(_graph(seen)),
        "Flight": _frame(_flight(seen)) if seen.supervisor is not None or seen.autopilot is not None else "",
        "Training": _frame(_training(seen)) if seen.training is not None else "",
        "Error": _frame(_error(seen)) if seen.error else "",
        "Policy": _frame(_policy(seen)) if seen.policy is not None or seen.actions else "",
        "Topics": _frame(_topics(seen)),
        "Events": _frame(_events(seen)) if seen.events else "",
    }


def _frame(parts: Sequence[str]) -> str:
    return f'<div class="seen">{"".join(parts)}</div>'


def _graph(seen: SeenGraph) -> list[str]:
    if not seen.nodes and not seen.heard:
        return [STYLE, _line("nothing is heard: is a graph running, in this ROS_DOMAIN_ID?", "warning")]
    nodes = "the graph has ended; this is the last that was heard" if seen.gone else ", ".join(seen.nodes)
    return [STYLE, _line(seen_graph.pace(seen)), _line(nodes, "soft")]


def _flight(seen: SeenGraph) -> list[str]:
    lines, status, pilot = [], seen.supervisor, seen.autopilot
    if status is not None:
        if silent := seen_graph.unheard(seen, "supervisor/status"):
            lines += [_line(f"supervisor {silent}; its last word:", "bad")]
        rungs = "".join(_rung(rung, status.rung) for rung in RUNG_COLOURS)
        lines += [f'<div class="ladder">{rungs}</div>']
        lines += [_line(f"{seen_graph.doing(status)}, {seen.lasting}")]
        lines += [_line(seen_graph.reason(seen), "soft")]
        lines += [_line(f"policy {status.checkpoint_id or 'none approved'}")]
        lines += [_line(f"latched fault {seen_graph.latched(status)}", "bad" if status.latched else "soft")]
    if pilot is not None and pilot.heard:
        state, battery = seen_graph.autopilot(pilot)
        low = not pilot.battery > LOW_BATTERY
        lines += [_line(f"autopilot {state}"), _line(f"battery {battery}", "bad" if low else "soft")]
    elif pilot is not None:
        lines += [_line("autopilot not heard", "soft" if seen.over else "bad")]
    return lines


def _rung(rung: Rung, present: int) -> str:
    now = f' class="now" style="background: {RUNG_COLOURS[rung]}"' if rung == present else ""
    return f"<span{now}>{rung.name}</span>"


def _error(seen: SeenGraph) -> list[str]:
    look = "soft" if not seen.judged else "bad" if seen_graph.off(seen) else "good"
    return [_line(f"error of vehicle 0: {seen.error[-1]:.3f} m", look)]


def _training(seen: SeenGraph) -> list[str]:
    status, done = seen.training, 100 * seen_graph.share(seen.training)
    figures = "".join(
        f'<div><span class="soft">{escape(name)}</span><span>{escape(value)}</span></div>'
        for name, value in seen_graph.training_figures(status)
    )
    return [
        _line(f"{status.recipe}: {done:.0f} %, {time_left(status.remaining_time)} left"),
        f'<div class="bar"><div style="width: {done:.1f}%"></div></div>',
        f'<div class="figures">{figures}</div>',
        _line(status.run, "soft"),
    ]


def _policy(seen: SeenGraph) -> list[str]:
    lines, status = [], seen.policy
    silent = seen_graph.unheard(seen, "policy/status")
    if status is not None:
        word = REASONS.get(status.reason, f"reason {status.reason}?")
        lines.append(_line(silent or word, "bad" if silent else "good" if status.reason == Reason.OK else "warning"))
        lines.append(_line(f"{status.checkpoint_id or 'no checkpoint'}, epoch {status.epoch}"))
    if status is not None and not silent:
        lines.append(_line(status.detail, "warning"))
        times = (1e3 * status.inference_time, 1e3 * status.state_age)
        lines.append(_line("inference {:.2f} ms, answers after {:.2f} ms".format(*times)))
    if seen.actions:
        head = "".join(f"<th>{axis}</th>" for axis in ("action", *AXES.get(seen.layout, "abcd")))
        rows = (
            f"<tr><td>{topic.partition('/')[0]}</td>{''.join(f'<td>{value:+.2f}</td>' for value in action)}</tr>"
            for topic, action in seen.actions.items()
            if not seen_graph.unheard(seen, topic)
        )
        lines.append(f"<table><tr>{head}</tr>{''.join(rows)}</table>")
    if seen.vehicles > 1:
        lines.append(_line(f"vehicle 0 of {seen.vehicles}", "soft"))
    return lines


def _topics(seen: SeenGraph) -> list[str]:
    rows = []
    for stream in seen.shown():
        if stream.age is None:
            rows.append(f"<tr><td>{stream.topic}</td><td>-</td><td>-</td></tr>")
            continue
        look = "soft" if seen.over else "bad" if seen_graph.late(seen, stream) else "good"
        rate, since = seen_graph.hertz(stream.hertz), seen_graph.age(stream.age)
        rows.append(f'<tr><td>{stream.topic}</td><td>{rate}</td><td class="{look}">{since}</td></tr>')
    return [f"<table><tr><th>topic</th><th>Hz</th><th>age</th></tr>{''.join(rows)}</table>"]


def _events(seen: SeenGraph) -> list[str]:
    look = {"ok": "good", "info": "good", "warning": "warning", "error": "bad"}
    rows = (
        f'<tr><td>{when:.1f} s</td><td class="said {look.get(severity, "")}">{escape(printable(text))}</td></tr>'
        for when, severity, text in reversed(seen.events)
    )
    return [f"<table>{''.join(rows)}</table>"]


def _line(text: str, look: str = "") -> str:
    """A line of text, with what would be HTML in it as text; nothing for no text."""
    return f'<p class="{look}">{escape(printable(text))}</p>' if text else ""
