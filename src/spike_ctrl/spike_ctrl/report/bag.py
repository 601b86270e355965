"""A recorded flight's part of a report: the same figures as a model's, from what was recorded, and the graph's timing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from spike_ctrl import checkpoint, replay, verdict
from spike_ctrl.bag import BagError
from spike_ctrl.bag.reader import Recording, latencies, read
from spike_ctrl.experiment.figures import COLOURS
from spike_ctrl.learn.buffer import FIRST, TERMINATED
from spike_ctrl.report import thinned
from spike_ctrl.report.flight import Flight, charts, curve, hover_verdict, styled
from spike_ctrl.report.page import Chart, Section, Table, Verdict

VEHICLE = 0
RATE_HZ = 100.0  # where no checkpoint tells


def section(path: Path, models: Sequence[Path] = ()) -> Section:
    """models: the policies to replay, where the bag holds none."""
    recording = read(path)
    notes = list(recording.notes)
    choice, compared, found = None, None, None
    try:
        choice, compared = _judged(recording, models)
        found = replay.replay(recording, choice.policies, traces=True)
    except BagError as error:
        notes.append(f"not replayed: {error}")
    rate = choice.contract.rate_hz if choice else RATE_HZ
    flight = _flight(recording, rate, choice, found)
    parts: list = [Table(("", ""), _about(recording, rate, choice, compared, flight)), *charts([flight])]
    if compared is not None and compared.equal < compared.compared:
        parts.append(_disagreement(recording, compared))
    if faults := _faults(recording, rate, found, flight.hidden):
        parts.append(faults)
    if recording.status is not None:
        parts += _status(recording)
    if recording.policy is not None:
        parts.append(_latency(latencies(recording)))
    return Section(f"Bag {path.name}", parts, notes)


def _judged(recording: Recording, models: Sequence[Path]) -> tuple[replay.Choice, replay.Comparison]:
    try:
        return replay.judged(recording, None, "", "")
    except BagError:
        if not models:
            raise
    data = models[0].read_bytes()
    return replay.judged(recording, checkpoint.loads(data), str(models[0]), hashlib.sha256(data).hexdigest())


def _flight(recording: Recording, rate_hz: float, choice, found: replay.Replay | None) -> Flight:
    states = recording.states
    seconds = (states.tick - states.tick[0]) / rate_hz
    first = (states.flags[:, VEHICLE] & FIRST) > 0
    starts = [float(seconds[0]), *seconds[first][seconds[first] > seconds[0]].tolist()]
    policy = choice.policies if choice else None
    if isinstance(policy, dict):
        policy = next(iter(policy.values()))
    nothing = np.full((len(seconds), 4), np.nan, np.float32)
    return Flight(
        f"vehicle {VEHICLE}",
        seconds,
        states.observation[:, VEHICLE],
        nothing if recording.policy is None else recording.policy.action[:, VEHICLE],
        "motors" if recording.policy is None else recording.policy.layout,
        None if recording.guide is None else recording.guide.action[:, VEHICLE],
        *((found.spikes, found.membrane, policy.theta, policy.sizes[1:-1]) if found else (None, None, None, ())),
        starts=starts,
    )


def _about(recording: Recording, rate_hz: float, choice, compared, flight: Flight) -> list[tuple]:
    rows: list[tuple] = [
        ("bag", str(recording.path)),
        ("flight", f"{len(recording.states.tick) / rate_hz:.1f} s, {recording.vehicles} vehicles; shown: vehicle {VEHICLE}"),
        ("recorded", replay.usable(recording).removeprefix("usable: ")),
        ("position error", hover_verdict([flight])),
    ]
    flags = recording.states.flags
    begun, crashed = int(((flags & FIRST) > 0).sum()), int(((flags & TERMINATED) > 0).sum())
    rows.append(("episodes", f"{begun} started, {crashed} ended in a crash"))
    if choice is not None:
        rows.append(("checkpoint", choice.words))
    if compared is not None and choice.same:
        words = f"{compared.known_equal} of {compared.known} actions equal bit by bit"
        rows.append(("replay", Verdict(words, compared.same)))
    returns = replay.returns(recording, replay.hover(choice.contract)) if choice is not None else ()
    if len(returns):
        rows.append(("return as flown", f"{returns.mean():.1f} over {len(returns)} whole episodes"))
    return rows


def _faults(recording: Recording, rate_hz: float, found: replay.Replay | None, hidden: Sequence[int]) -> Chart | None:
    """What the guard says to the recorded flight, on the time axis."""
    edges, rates = np.cumsum([0, *hidden])[:-1], None
    if found is not None:
        rates = np.add.reduceat(np.nan_to_num(found.spikes), edges, axis=1) / np.asarray(hidden)
    judged = verdict.judge(recording, rate_hz, vehicle=VEHICLE, spike_rates=rates)
    sheet, begun = go.Figure(), int(recording.states.tick[0])
    for fault, count, _, _ in verdict.table(judged):
        seconds = [(v.tick - begun) / rate_hz for v in judged if any(finding.fault is fault for finding in v.findings)]
        colour = {"ok": COLOURS[0], "warning": COLOURS[1], "error": COLOURS[4]}[fault.severity]
        mark = {"color": colour, "size": 7, "symbol": "line-ns-open"}
        names = [fault.name] * len(seconds)
        label = f"{fault.name}, {count} ticks"
        sheet.add_trace(go.Scatter(x=seconds, y=names, name=label, mode="markers", marker=mark, text=fault.meaning))
    if not sheet.data:
        return None
    sheet.update_xaxes(title_text="time (s)", range=[0, len(judged) / rate_hz])
    timing = "" if verdict.in_real_time(recording, rate_hz) else " Not flown in real time: times are not judged."
    text = f"To vehicle {VEHICLE}; orange falls back to the guide, red to holding or landing.{timing}"
    return Chart("What the guard says", styled(sheet), text, wide=True)


def _disagreement(recording: Recording, compared: replay.Comparison) -> Chart:
    sheet, seconds = go.Figure(), np.arange(len(compared.over_time))
    for number, axis in enumerate(replay.AXES[recording.policy.layout]):
        sheet.add_trace(curve(seconds, compared.over_time[:, number], axis, number))
    sheet.update_xaxes(title_text="time (s)")
    sheet.update_yaxes(title_text="rms difference", rangemode="tozero")
    return Chart("Disagreement", styled(sheet), "Of replayed and recorded actions, each second, all vehicles.")


def _status(recording: Recording) -> list[Chart]:
    status, found = recording.status, []
    x = status.tick
    rates = go.Figure()
    for layer, values in enumerate(status.spike_rate.T):
        rates.add_trace(curve(x, values, f"layer {layer}", layer, showlegend=True))
    if rates.data:
        rates.update_xaxes(title_text="tick")
        rates.update_yaxes(title_text="share of neurons", rangemode="tozero")
        found.append(Chart("Spike rates as reported", styled(rates), "By the policy node, once a second."))
    times = go.Figure()
    for number, (name, values) in enumerate((("inference", status.inference_time), ("age of the state", status.state_age))):
        times.add_trace(curve(x, 1e3 * values, name, number))
    reasons = go.Scatter(x=x, y=status.reason, name="reason (0: OK)", mode="markers", yaxis="y2", marker={"size": 4})
    times.add_trace(reasons)
    times.update_xaxes(title_text="tick")
    times.update_layout(yaxis={"title": {"text": "ms"}}, yaxis2={"overlaying": "y", "side": "right", "range": [-0.5, 6.5]})
    found.append(Chart("Policy node", styled(times), "Times and reasons as reported."))
    return found


def _latency(seconds: np.ndarray) -> Chart:
    ms = 1e3 * seconds
    shown = ms[thinned(len(ms), 20000)]
    sheet = go.Figure(go.Histogram(x=shown, nbinsx=80, name="answers", marker={"color": COLOURS[0]}))
    sheet.update_xaxes(title_text="ms")
    sheet.update_yaxes(title_text="answers")
    text = "no answers" if not len(ms) else "median {:.2f}, p99 {:.2f}, largest {:.2f} ms".format(
        *np.percentile(ms, [50, 99, 100])
    )  # fmt: skip
    return Chart("Latency from state to action", styled(sheet), f"As the recorder received them: {text}.")
