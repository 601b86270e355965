"""Runs the guard, the checks of states and of answers, over a recorded flight.

If the flight was flown in real time, the recorder's times are used. Otherwise every state and every answer counts as being
on time, so only their contents are judged. Each episode is judged on its own.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight import answer_checks, flight_settings, wind_estimate
from spike_ctrl.flight.answer_checks import Answer, AnswerSource, Identity
from spike_ctrl.flight.faults import Fault, Finding, Rung
from spike_ctrl.flight.policy_monitor import Monitor, check_disagreement, compare_with_guide, observe_answer
from spike_ctrl.flight.state_checks import Sample, StateLimits, StateTrack, check_state, check_state_age
from spike_ctrl.flight.wind_estimate import CALM, WindLimits
from spike_ctrl.recordings.recording import Actions, Recording
from spike_ctrl.sim.episode_flags import FIRST

ORIGIN = SetPoint((0.0, 0.0, 0.0))  # recorded states are relative to the set-point


class GuardVerdict(NamedTuple):
    """What the guard found at one tick, and the rung that it demands: SNN if it found nothing."""

    tick: int
    findings: tuple[Finding, ...]
    rung: Rung


def judge(
    recording: Recording, rate_hz: float, *, vehicle: int = 0, spike_rates: np.ndarray | None = None
) -> list[GuardVerdict]:
    """Judge one vehicle of a recording by the usual limits. Gives one verdict for each of its T ticks.

    rate_hz: control steps per second. spike_rates (T, layers): share of spiking neurons of the vehicle's policy, if known.
    """
    states, period, limits = recording.states, 1 / rate_hz, StateLimits()
    received = states.received * 1e-9 if in_real_time(recording, rate_hz) else states.tick * period
    samples = _samples(recording, vehicle, period, received)
    first = (states.flags[:, vehicle] & FIRST) > 0
    layout = recording.policy.layout if recording.policy else ""
    answer_limits = flight_settings.answer_limits(layout)
    by_policy = _answers(recording, recording.policy, vehicle, received, spike_rates)
    by_guide = _answers(recording, recording.guide, vehicle, received, None)
    found, track, source, monitor, wind, last = [], StateTrack(), AnswerSource(), Monitor(), CALM, None
    for row, sample in enumerate(samples):
        if first[row]:
            track, source, monitor, wind, last = StateTrack(), AnswerSource(), Monitor(), CALM, None
        late = check_state_age(track, sample.received, limits) if track.accepted_at is not None else ()
        late += answer_checks.check_deadlines(source, sample.received, answer_limits, Fault.POLICY_SILENT)
        track, accepted, findings, _ = check_state(sample, track, limits)
        if accepted is not None:
            wind, last = wind_estimate.follow(wind, last, accepted, WindLimits()), accepted
        findings += late
        answer = by_policy[row]
        if accepted is not None and recording.policy is not None:
            source = answer_checks.await_answer(source, accepted)
        if answer is not None:
            answer, judged = answer_checks.check_answer(answer, source, layout, answer_limits)
            findings += judged
        if answer is not None:
            source = answer_checks.record_answer(source, answer, answer_limits)
            monitor, behaviour = observe_answer(monitor, answer, accepted or sample, answer_limits)
            findings += behaviour
            if (by_its_side := by_guide[row]) is not None:
                monitor = compare_with_guide(monitor, answer, by_its_side, sample, ORIGIN, answer_limits, wind)
                findings += check_disagreement(monitor, answer_limits)
        rungs = (finding.fault.rung for finding in findings if finding.fault.rung is not None)
        found.append(GuardVerdict(int(states.tick[row]), findings, max(rungs, default=Rung.SNN)))
    return found


def in_real_time(recording: Recording, rate_hz: float) -> bool:
    """Whether the vehicle did not wait, and the median time between two states is the period, within a factor of 2."""
    if recording.paced:
        return False
    steps = np.diff(recording.states.received) * 1e-9 * rate_hz
    return len(steps) > 0 and 0.5 < float(np.median(steps)) < 2.0


def fault_rows(verdicts: Sequence[GuardVerdict]) -> list[tuple[Fault, int, int, str]]:
    """One row per fault: the fault, the number of ticks that have it, the first of them, and the detail given there."""
    rows: dict[Fault, tuple[int, int, str]] = {}
    for verdict in verdicts:
        for fault in {finding.fault for finding in verdict.findings}:
            detail = next(f.detail for f in verdict.findings if f.fault is fault)
            count, first, detail = rows.get(fault, (0, verdict.tick, detail))
            rows[fault] = count + 1, first, detail
    return [(fault, *row) for fault, row in sorted(rows.items(), key=lambda item: item[0].number)]


def _samples(recording: Recording, vehicle: int, period: float, received: np.ndarray) -> list[Sample]:
    """The recorded states of a vehicle, in the set-point's frame."""
    seen = recording.states.observation[:, vehicle].astype(float)
    columns = [map(tuple, part.tolist()) for part in (seen[:, :3], quaternions(seen[:, 3:12]), seen[:, 12:15], seen[:, 15:])]
    ticks = recording.states.tick.tolist()
    stamps = [tick * period for tick in ticks]
    return list(map(Sample, ticks, stamps, received.tolist(), *columns))


def quaternions(rotation: np.ndarray) -> np.ndarray:
    """Quaternions x, y, z, w (T, 4) of rotation matrices (T, 9), row-major.

    Each quaternion is multiplied by the determinant of its matrix. If the matrix is not a rotation, the norm is therefore
    not 1, and the guard notices.
    """
    r = rotation.reshape(-1, 3, 3)
    xx, yy, zz = r[:, 0, 0], r[:, 1, 1], r[:, 2, 2]
    w, x, y, z = (np.sqrt(np.maximum(1 + sum_, 0)) / 2 for sum_ in (xx + yy + zz, xx - yy - zz, yy - xx - zz, zz - xx - yy))
    signed = [np.copysign(part, r[:, k, j] - r[:, j, k]) for part, j, k in ((x, 1, 2), (y, 2, 0), (z, 0, 1))]
    determinant = np.einsum("ti,ti->t", r[:, 0], np.cross(r[:, 1], r[:, 2]))
    return np.asarray(np.stack([*signed, w], axis=1) * determinant[:, None])


def _answers(
    recording: Recording, actions: Actions | None, vehicle: int, received: np.ndarray, spike_rates: np.ndarray | None
) -> list[Answer | None]:
    """The answer to each state, or None. An answer keeps its recorded delay if `received` are the recorder's times."""
    if actions is None:
        return [None] * len(recording.states.tick)
    later = np.where(received == recording.states.received * 1e-9, (actions.received - recording.states.received) * 1e-9, 0)
    found: list[Answer | None] = []
    for row, tick in enumerate(actions.tick.tolist()):
        if tick < 0:
            found.append(None)
            continue
        rates = () if spike_rates is None else tuple(spike_rates[row].tolist())
        action = tuple(actions.action[row, vehicle].tolist())
        identity = Identity(actions.name[row], int(actions.epoch[row]))
        found.append(Answer(tick, float(received[row] + later[row]), action, actions.layout, identity, rates))
    return found
