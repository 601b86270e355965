"""The bridge between autopilot and graph, without the node: which states go out and which commands may leave.

Pure; times are seconds on the companion's monotonic clock. The bridge decides nothing about the flight: it numbers the
states, says which of them may be flown on, and passes on what one supervisor answers to a fresh one, once.

    seen, shown = see(seen, sample, status, settings)
    passed = passed.showed(shown.accepted)
    if obeys(passed, source, publishers, now):
        passed, found = admit(passed, tick, action, layout, rests, now, settings)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight import answer_checks, setpoint, state_checks
from spike_ctrl.flight.answer_checks import Action
from spike_ctrl.flight.autopilot import Autopilot
from spike_ctrl.flight.faults import Fault, Finding
from spike_ctrl.flight.limits import Settings
from spike_ctrl.flight.state_checks import Sample, StateTrack

TOUCHDOWN = 1.0  # s: an armed vehicle is landed for so long before guide and policy begin anew
SUCCESSION = 1.0  # s without a command, before the bridge obeys another supervisor


class BridgeMemory(NamedTuple):
    """What is remembered of the vehicle. tick: of its last state. touched: s, when it was last in the air, since armed."""

    tick: int = 0
    track: StateTrack = StateTrack()
    touched: float = -math.inf
    target: SetPoint | None = None  # the supervisor's


class BridgedState(NamedTuple):
    """A state with its tick: as it is, and as it may be flown on, if it may. on_ground: nothing is to wind up."""

    sample: Sample
    accepted: Sample | None
    on_ground: bool


def see(
    seen: BridgeMemory, sample: Sample, status: Autopilot | None, settings: Settings
) -> tuple[BridgeMemory, BridgedState]:
    """The next state. Where the estimator moved its origin the set-point goes along, until the supervisor gives its own."""
    sample = sample._replace(tick=seen.tick + 1)
    airborne, armed = status is not None and status.airborne, status is not None and status.armed
    touched = sample.received if airborne else seen.touched if armed else -math.inf
    found = state_checks.inspect(sample, seen.track, settings.state, airborne)
    target = seen.target
    if found.shift is not None and target is not None:
        target, _ = setpoint.current(setpoint.shifted(setpoint.Target(target), found.shift), 0.0, settings.cage)
    on_ground = not airborne and sample.received - touched > TOUCHDOWN
    return BridgeMemory(sample.tick, found.track, touched, target), BridgedState(sample, found.accepted, on_ground)


class PassedCommand(NamedTuple):
    """What is remembered of the commands: the last states' ticks with their receipt (s), and the last command's tick."""

    states: tuple[tuple[int, float], ...] = ()
    tick: int = -1
    rested: bool = False
    source: int | None = None  # the supervisor that is obeyed
    heard: float = -math.inf  # s, its last command
    guided: bool = False  # that was the guide's

    def showed(self, accepted: Sample | None) -> PassedCommand:
        """After a state went out that a command may answer."""
        if accepted is None:
            return self
        return self._replace(states=(*self.states, (accepted.tick, accepted.received))[-answer_checks.KEPT :])

    def guides(self, now: float, settings: Settings) -> bool:
        """Whether the guide flies: now, and not before a pilot or the autopilot took over, whose errors are not its own."""
        return self.guided and now - self.heard <= 3 * settings.state.period


def obeys(passed: PassedCommand, source: int, publishers: Callable[[], int], now: float) -> bool:
    """Whether the bridge obeys this supervisor: the one that it did, or another that is alone once that one is silent.

    publishers: how many of commands there are in the graph, which takes a while to ask. Two supervisors are an accident: who
    came second, or guesses, flies nothing.
    """
    return source == passed.source or (now - passed.heard > SUCCESSION and publishers() == 1)


def admit(
    passed: PassedCommand, tick: int, action: Action, layout: str, rests: bool, now: float, settings: Settings
) -> tuple[PassedCommand, tuple[Finding, ...]]:
    """Whether the bridge may send this command to the autopilot: only if nothing was found.

    rests: the command is the supervisor's own; as the last act it may repeat a tick or answer an old one, once.
    """

    def refuse(fault: Fault, detail: str):
        return passed, (Finding(fault, detail),)

    if layout != settings.layout:
        return refuse(Fault.WRONG_IDENTITY, f"command: layout: found '{layout}', wanted '{settings.layout}'")
    if len(action) != 4 or not all(math.isfinite(a) and -1.0 <= a <= 1.0 for a in action):
        return refuse(Fault.ACTION_NOT_FINITE, f"command: found {action}, wanted four numbers in [-1, 1]")
    received = dict(passed.states).get(tick)
    if received is None:
        return refuse(Fault.SUPERVISOR_SILENT, f"command: answers tick {tick}, which is unknown or long past")
    if rests and tuple(action) in (settings.idle, settings.spool, settings.level) and not passed.rested:
        late = tick <= passed.tick or now - received > settings.answers.silent
        return passed._replace(tick=max(tick, passed.tick), rested=late), ()
    if tick <= passed.tick:
        return refuse(Fault.SUPERVISOR_SILENT, f"command: tick {tick} was commanded already")
    if (age := now - received) > settings.answers.silent:
        detail = f"command: its state is {1e3 * age:.0f} ms old, wanted at most {1e3 * settings.answers.silent:.0f} ms"
        return refuse(Fault.SUPERVISOR_SILENT, detail)
    return passed._replace(tick=tick, rested=False), ()
