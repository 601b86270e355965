"""The section of a report on a bag: the charts of a model as they were recorded, and the timing of the graph."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from spike_ctrl._files import resources
from spike_ctrl.evaluation.energy import spiking_energy_pj
from spike_ctrl.flight.faults import Rung
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.policy.pilot import Reason
from spike_ctrl.recordings import BagError, guard_replay, replay
from spike_ctrl.recordings.flight_log import FlightLog, read_log
from spike_ctrl.recordings.reader import read
from spike_ctrl.recordings.recording import PolicyReports, Recording, latencies
from spike_ctrl.report import ladder_charts, thinned
from spike_ctrl.report.colours import COLOURS
from spike_ctrl.report.flight_charts import Band, ChartedFlight, Neurons, banded, charts, hover_verdict, lines, styled
from spike_ctrl.report.page import Chart, FigureTile, Part, Section, Table, Tiles, Verdict, added
from spike_ctrl.sim.episode_flags import FIRST, GUIDE, TERMINATED

VEHICLE = 0
OTHERS = "the controller that flew"  # of an imported flight
RATE_HZ = 100.0  # if the bag holds no checkpoint that tells


def section(path: Path, models: Sequence[Path] = (), namespace: str | None = None) -> Section:
    """The section on one graph in a bag. models: policies to replay if it holds none. Raises BagError, CheckpointError."""
    recording, log = read(path, namespace=namespace), read_log(path, namespace)
    notes = list(recording.notes)
    choice: replay.Choice | None = None
    compared = found = None
    try:
        choice, compared, found = _judged(recording, models)
    except BagError as error:
        notes.append(f"not replayed: {error}")
    rate, title, ended = choice.contract.rate_hz if choice else RATE_HZ, f"Bag {path.name}", None
    flight = _flight(recording, rate, choice, found, log)
    if log is not None:
        ended = ladder_charts.ending(log)
        title += f": {ended.text.partition(' (')[0]}; {flight.judged:.1f} s judged"
    parts: list[Part] = [_tiles(recording, compared if choice and choice.same else None, flight, ended)]
    parts.append(Table(("", ""), _about(recording, rate, choice, compared, flight, log, ended)))
    if log is not None:
        parts.append(ladder_charts.ladder(log))
        parts += added("report_sections", notes, log, flight, log.begun)
    parts += charts([flight])
    if compared is not None and compared.equal < compared.compared:
        curves = zip(replay.AXES[recording.answers.layout], compared.over_time.T, strict=True)
        sheet = lines(np.arange(len(compared.over_time)), curves, "rms difference", rangemode="tozero")
        told = "Between replayed and recorded actions of all vehicles, for each second."
        parts.append(Chart("Disagreement", sheet, told))
    if recording.origin is not None:
        parts += _imported(recording, flight)
    elif faults := _faults(recording, rate, flight):
        parts.append(faults)
    if recording.status is not None:
        parts += _status(recording, recording.status, flight)
    late = {"action of the policy": latencies(recording)} | ({"command": log.latencies()} if log is not None else {})
    if late := {name: seconds for name, seconds in late.items() if len(seconds)}:
        parts.append(ladder_charts.latency(late))
    if log is not None and log.events:
        parts.append(ladder_charts.events(log))
    return Section(title, parts, notes)


def _judged(recording: Recording, models: Sequence[Path]) -> tuple[replay.Choice, replay.Comparison, replay.Replay]:
    """Replay the bag's checkpoints; if it has none, the first that fits among the given and the shipped models.

    Of the models of this installation, those with the name of the one that flew.
    """
    try:
        return replay.judged(recording, traces=True)
    except BagError as error:
        refused = error
    names = set() if recording.policy is None else {Path(name).name for name in recording.policy.name.tolist() if name}
    shipped = (path for path in sorted(resources.folder("models").glob("*.safetensors")) if path.name in names)
    for path in (*models, *shipped):
        model = checkpoint.read(path)
        try:
            return replay.judged(recording, model, str(path), traces=True)
        except BagError as error:
            refused = error
    raise refused


def _flight(
    recording: Recording, rate_hz: float, choice: replay.Choice | None, found: replay.Replay | None, log: FlightLog | None
) -> ChartedFlight:
    states = recording.states
    seconds = (states.tick - states.tick[0]) / rate_hz
    first = (states.flags[:, VEHICLE] & FIRST) > 0
    acted, layout = np.full((len(seconds), 4), np.nan, np.float32), "motors"
    if recording.policy is not None:
        acted, layout = recording.policy.action[:, VEHICLE], recording.policy.layout
    flight = ChartedFlight(
        f"vehicle {VEHICLE}", seconds, states.observation[:, VEHICLE], acted, layout,
        guide=None if recording.guide is None else recording.guide.action[:, VEHICLE],
        neurons=_neurons(choice, found),
        starts=[float(seconds[0]), *seconds[first][seconds[first] > seconds[0]].tolist()],
        bands=_guided(states.flags[:, VEHICLE], seconds),
    )  # fmt: skip
    if log is not None:
        row = np.clip(np.searchsorted(log.tick, states.tick), 0, len(log.tick) - 1)
        bands = ladder_charts.bands(log)
        flight = replace(
            flight, seconds=(states.received - log.begun) * 1e-9, bands=bands, position=log.position[row],
            set_point=log.set_point[row], counts=log.rung_at(states.received) == Rung.SNN,
            starts=[0.0, *(band.begin for band in bands if band.name == Rung.SNN.name)],
            course=bool(log.settings.get("course")), taken=ladder_charts.ending(log).good is False,
        )  # fmt: skip
    if recording.origin is not None and recording.poses is not None:
        pose = recording.poses if recording.reference is None else recording.reference
        wanted = None if recording.sensed is None else recording.sensed.set_point
        flight = replace(
            flight, position=pose.position, set_point=wanted, flown_by=OTHERS, counts=~first, starts=[0.0]
        )  # fmt: skip
        if recording.commands is not None:
            flight = replace(flight, action=recording.commands.action, layout=recording.commands.layout)
    return flight


def _neurons(choice: replay.Choice | None, found: replay.Replay | None) -> Neurons | None:
    if choice is None or found is None or found.spikes is None or found.membrane is None:
        return None
    policy = next(iter(choice.policies.values())) if isinstance(choice.policies, Mapping) else choice.policies
    if not isinstance(policy, SpikingPolicy):
        return None
    return Neurons(found.spikes, found.membrane, policy.theta, policy.sizes[1:-1])


def _guided(flags: np.ndarray, seconds: np.ndarray) -> list[Band]:
    """The times at which the guide flies in training."""
    guided = np.concatenate([[0], (flags & GUIDE) > 0, [0]]).astype(int)
    begins, ends = np.flatnonzero(np.diff(guided) > 0), np.flatnonzero(np.diff(guided) < 0) - 1
    return [Band(float(seconds[i]), float(seconds[j]), "guide", 1) for i, j in zip(begins, ends, strict=True)]


def _tiles(recording: Recording, compared: replay.Comparison | None, flight: ChartedFlight, ended: Verdict | None) -> Tiles:
    """The key figures."""
    errors, error = flight.error[flight.settled], hover_verdict([flight])
    shown: list[FigureTile] = [FigureTile("flight", f"{flight.seconds[-1] - flight.seconds[0]:.1f} s")]
    if ended is not None:
        value, _, name = ended.text.partition(" (")[0].partition(": ")
        shown.append(FigureTile(name or "policy", value, ended.good))
    shown.append(FigureTile(f"position error, {flight.judged:.1f} s judged", error.text.partition(":")[0], error.good))
    if len(errors) and np.isfinite(errors).all():
        shown += [
            FigureTile("RMS error", f"{100 * np.sqrt(np.mean(errors**2)):.1f} cm"),
            FigureTile("worst", f"{100 * errors.max():.1f} cm"),
        ]
    if recording.policy is not None and len(late := latencies(recording)):
        shown.append(FigureTile("policy answers, p99", f"{1e3 * np.percentile(late, 99):.2f} ms"))
    if compared is not None:
        shown.append(_replayed(compared))
    return Tiles(shown)


def _replayed(compared: replay.Comparison) -> FigureTile:
    """Where no spiking state is known, as of a flight that begins in the air, equal actions are neither good nor bad."""
    equal, of = (compared.known_equal, compared.known) if compared.known else (compared.equal, compared.compared)
    return FigureTile("replayed bit by bit", f"{equal} of {of}", equal == of if compared.known or equal < of else None)


def _about(
    recording: Recording, rate_hz: float, choice: replay.Choice | None, compared: replay.Comparison | None,
    flight: ChartedFlight, log: FlightLog | None, ended: Verdict | None,
) -> list[tuple[str, object]]:  # fmt: skip
    vehicles = "one vehicle" if recording.vehicles == 1 else f"{recording.vehicles} vehicles; shown: vehicle {VEHICLE}"
    rows: list[tuple[str, object]] = [
        ("bag", str(recording.path)),
        ("flight", f"{len(recording.states.tick) / rate_hz:.1f} s, {vehicles}"),
        ("recorded", replay.usable(recording).removeprefix("usable: ")),
        ("position error", hover_verdict([flight])),
    ]
    rows += [("how it ended", ended)] if ended is not None else []
    if recording.origin is not None:
        rows += _origin(recording.origin)
    if log is not None:
        rows.append(("who flew", ladder_charts.times(log)))
    flags = recording.states.flags
    begun, crashed = int(((flags & FIRST) > 0).sum()), int(((flags & TERMINATED) > 0).sum())
    if log is None and recording.origin is None:
        rows.append(("episodes", f"{begun} started, {crashed} ended in a crash"))
    if choice is None:
        return rows
    rows.append(("checkpoint", choice.words))
    if compared is not None and choice.same:
        told = _replayed(compared)
        beginning = "" if compared.known else "; the spiking state at the first one is unknown"
        rows.append(("replay", Verdict(f"{told.value} actions equal bit by bit{beginning}", told.good)))
    if (neuron := choice.contract.neuron) is None:
        rows.append(("network", f"{choice.contract.words}: no spikes are known of it"))
    elif (n := flight.neurons) is not None:
        rates = np.add.reduceat(np.nan_to_num(n.spikes).mean(0), n.edges[:-1]) / n.hidden
        energy = spiking_energy_pj(choice.contract.sizes, (1 - rates).tolist(), neuron.recurrent) / 1e3
        rows.append(("energy of a step", f"{energy:.1f} nJ on spiking hardware, by the paper's formula"))
    if len(returns := replay.returns(recording, replay.hover(choice.contract))):
        rows.append(("return as flown", f"{returns.mean():.1f} over {len(returns)} whole episodes"))
    return rows


def _origin(origin: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Where an imported flight comes from, and what was wrong with its log."""
    late = origin["gyro_delay"]
    known = late["seconds"] == late["seconds"]
    return [
        ("imported from", f"{origin['source']}, sha256 {origin['sha256'][:12]}, by {origin['imported']}"),
        ("actions", f"of another controller, as {origin['layout']} of {origin['airframe']}"),
        ("in the air", f"{origin['seconds_in_the_air']:.1f} s; {origin['missing_ticks']} ticks without a state"),
        ("not logged", ", ".join(origin["absent"]) or "nothing"),
        ("gyro late by", f"{1e3 * late['seconds']:.1f} ms behind the {late['against']}" if known else "unknown"),
    ]


def _faults(recording: Recording, rate_hz: float, flight: ChartedFlight) -> Chart | None:
    """The faults that the guard finds in the recorded flight, over time. None if there are none."""
    rates = None
    if (n := flight.neurons) is not None:
        rates = np.add.reduceat(np.nan_to_num(n.spikes), n.edges[:-1], axis=1) / np.asarray(n.hidden)
    judged = guard_replay.judge(recording, rate_hz, vehicle=VEHICLE, spike_rates=rates)
    sheet, rows = go.Figure(), 0
    for fault, count, _, _ in guard_replay.fault_rows(judged):
        there = [any(finding.fault is fault for finding in v.findings) for v in judged]
        seconds, rows = flight.seconds[there], rows + 1
        colour = {"ok": COLOURS[0], "warning": COLOURS[1], "error": COLOURS[4]}[fault.severity]
        mark = {"color": colour, "size": 9, "symbol": "line-ns-open", "line": {"width": 1.5}}
        names = [fault.name] * len(seconds)
        sheet.add_scatter(x=seconds, y=names, name=f"{count} ticks", mode="markers", marker=mark, text=fault.meaning)
    if not sheet.data:
        return None
    sheet.update_xaxes(title_text="time (s)", range=[0, flight.seconds[-1]])
    sheet.update_yaxes(automargin=True, range=[rows - 0.5, -0.5])
    timing = "" if guard_replay.in_real_time(recording, rate_hz) else " Times are not judged: not in real time."
    text = f"For vehicle {VEHICLE}. Orange: fall back to the guide. Red: hold or land.{timing}"
    sheet = banded(styled(sheet, 130 + 28 * rows), flight.bands)
    sheet.update_layout(showlegend=False, hovermode="closest")
    return Chart("Faults that the guard finds", sheet, text, wide=True)


def _imported(recording: Recording, flight: ChartedFlight) -> list[Chart]:
    """Battery, and how far the estimate was from the reference, where the log has them."""
    found, at = [], thinned(len(flight.seconds))
    if recording.sensed is not None and np.isfinite(recording.sensed.voltage).any():
        sheet = lines(flight.seconds[at], [("battery", recording.sensed.voltage[at])], "V")
        found.append(Chart("Battery", sheet, "As it was logged."))
    if recording.reference is not None and recording.poses is not None:
        off = 100 * (recording.poses.position - recording.reference.position)[at]
        sheet = lines(flight.seconds[at], zip("xyz", off.T, strict=True), "cm")
        found.append(Chart("Estimate minus reference", sheet, "Position as the vehicle and as the reference saw it."))
    return found


def _status(recording: Recording, status: PolicyReports, flight: ChartedFlight) -> list[Chart]:
    found = []
    x = np.interp(status.tick, recording.states.tick, flight.seconds)
    layers = [(f"layer {layer}", values) for layer, values in enumerate(status.spike_rate.T)]
    if layers and flight.neurons is None:
        rates = lines(x, layers, "share of neurons", rangemode="tozero").update_traces(showlegend=True)
        found.append(Chart("Reported spike rates", rates, "Reported by the policy node once a second."))
    curves = [("inference", 1e3 * status.inference_time), ("age of the state", 1e3 * status.state_age)]
    times = lines(x, curves, "ms", rangemode="tozero")
    reasons = [f"{Reason(int(r)).name} {(status.reason == r).sum()} times" for r in np.unique(status.reason)]
    found.append(Chart("Policy node", times, f"Times that the node reported. Its states: {', '.join(reasons)}."))
    return found
