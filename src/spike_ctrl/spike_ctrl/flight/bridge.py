"""The bridge between autopilot and graph, without its node: which states go out, and which commands may leave.

Pure. Times are seconds on the companion's monotonic clock. The bridge decides nothing about the flight. It numbers the
states, tells which of them guide and policy may fly on, and passes one supervisor's answer to a fresh state on, once.

    memory, bridged = bridge_state(memory, sample, status, settings)
    passed = passed.with_state(bridged.accepted)
    if obeys_supervisor(passed, source, publishers, now, settings):
        passed, found = admit_command(passed, tick, action, layout, rests, now, settings)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from spike_ctrl._files.arrays import Floats
from spike_ctrl._files.named_tuples import quickly_replaced
from spike_ctrl.control.trajectory import SetPoint, Vector
from spike_ctrl.flight import attitude
from spike_ctrl.flight.answer_checks import KEPT_STATES, Action, received_at
from spike_ctrl.flight.autopilot import Autopilot
from spike_ctrl.flight.faults import Fault, Finding, Findings
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.setpoint import moved_along
from spike_ctrl.flight.state_checks import Sample, StateTrack, check_state, home_after
from spike_ctrl.sim import observation

LEAD = 0.02  # s, preview of the position of a moving set-point; it compensates the lag that drag causes


@quickly_replaced
class BridgeMemory(NamedTuple):
    """What the bridge remembers of the vehicle. tick: of its last state. target: the supervisor's set-point.

    last_airborne: time (s) of the last state in the air since arming, -inf before that. home: where the vehicle last stood
    disarmed (m), None: it never did.
    """

    tick: int = 0
    track: StateTrack = StateTrack()
    last_airborne: float = -math.inf
    target: SetPoint | None = None
    home: Vector | None = None


class BridgedState(NamedTuple):
    """A state with its tick, and the same as guide and policy may fly on it, or None.

    on_ground: guide and policy start a new episode, so that no integral winds up.
    """

    sample: Sample
    accepted: Sample | None
    on_ground: bool


def bridge_state(
    memory: BridgeMemory, sample: Sample, status: Autopilot | None, settings: FlightSettings
) -> tuple[BridgeMemory, BridgedState]:
    """The next state with its tick. Where the estimator moved its origin, the set-point moves with it."""
    sample = sample._replace(tick=memory.tick + 1)
    airborne, armed = status is not None and status.airborne, status is not None and status.armed
    last_airborne = sample.received if airborne else memory.last_airborne if armed else -math.inf
    found = check_state(sample, memory.track, settings.state, airborne)
    target, home = memory.target, memory.home
    if found.shift is not None:
        home = home_after(home, found.shift)
        target = moved_along(target, found.shift, settings.cage.laid(home))
    if found.accepted is not None and status is not None and not armed:
        home = found.accepted.position
    on_ground = not airborne and sample.received - last_airborne > settings.bridge.landed_time
    return BridgeMemory(sample.tick, found.track, last_airborne, target, home), BridgedState(
        sample, found.accepted, on_ground
    )


def observed(state: Sample, point: SetPoint | None) -> Floats:
    """The observation float32 (18,) of a state; without a set-point that from its own position and yaw."""
    if point is None:
        point = SetPoint(state.position, yaw=attitude.yaw(state.quaternion))
    (u, v, w), (a, b, c), (x, y, z) = state.velocity, point.velocity, point.position
    ahead = (x + LEAD * a, y + LEAD * b, z + LEAD * c)
    return observation.build(state.position, state.quaternion, (u - a, v - b, w - c), state.rates, ahead, point.yaw)


@quickly_replaced
class PassedCommand(NamedTuple):
    """The states that a command may answer, tick and receipt (s), and the last command that was passed on."""

    states: tuple[tuple[int, float], ...] = ()
    tick: int = -1
    rested: bool = False  # it was the last one before a hand-over to the autopilot
    source: int | None = None  # the supervisor that the bridge obeys
    heard: float = -math.inf  # s, when its last command came
    guided: bool = False  # that command was the guide's

    def with_state(self, accepted: Sample | None) -> PassedCommand:
        """After a state went out that a command may answer; None: it may not."""
        if accepted is None:
            return self
        return self._replace(states=(*self.states[1 - KEPT_STATES :], (accepted.tick, accepted.received)))

    def guide_flies(self, now: float, settings: FlightSettings) -> bool:
        """Whether the guide flies at `now` (s). After a pause of commands it does not: somebody else has taken over."""
        return self.guided and now - self.heard <= settings.bridge.guided_periods * settings.state.period


def obeys_supervisor(
    passed: PassedCommand, source: int, publishers: Callable[[], int], now: float, settings: FlightSettings
) -> bool:
    """Whether the bridge obeys this supervisor: the one that it obeyed before, or the only one after that fell silent.

    publishers: counts the publishers of commands in the graph; asked only where needed, because it takes a while. Two
    supervisors are an accident: the second one, and one that guesses the source, command nothing.
    """
    silent = now - passed.heard > settings.bridge.succession_time
    return source == passed.source or (silent and publishers() == 1)


def admit_command(
    passed: PassedCommand, tick: int, action: Action, layout: str, rests: bool, now: float, settings: FlightSettings
) -> tuple[PassedCommand, Findings]:
    """Whether the bridge may send this command to the autopilot: only if there is no finding.

    rests: the command is the supervisor's own. As its last one it may repeat a tick or answer an old state, once.
    """

    def refuse(fault: Fault, detail: str) -> tuple[PassedCommand, Findings]:
        return passed, (Finding(fault, detail),)

    if layout != settings.layout:
        return refuse(Fault.WRONG_IDENTITY, f"command: layout: found '{layout}', wanted '{settings.layout}'")
    if len(action) != 4 or not all([-1.0 <= a <= 1.0 for a in action]):
        return refuse(Fault.ACTION_NOT_FINITE, f"command: found {action}, wanted four numbers in [-1, 1]")
    received = received_at(passed.states, tick)
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
