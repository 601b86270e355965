"""The take-off by the guide: idle, armed, spooled up, climbing, arrived. Pure."""

from __future__ import annotations

from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.flight.attitude import yaw
from spike_ctrl.flight.event import Event, EventKind
from spike_ctrl.flight.faults import Fault, Finding, Rung
from spike_ctrl.flight.ladder_state import Facts, Ladder, LadderLimits, Move, change_rung
from spike_ctrl.flight.setpoint import Target
from spike_ctrl.flight.state_checks import Sample


def take_off(ladder: Ladder, facts: Facts, limits: LadderLimits) -> Move | None:
    """The next step of a take-off. It ends on GUIDE, the policy in shadow; where it fails, on LAND or SILENT."""
    if ladder.rung is not Rung.GUIDE or not ladder.taking_off or facts.sample is None:
        return None
    if ladder.armed_since is None:
        if ladder.armed and ladder.confirmed:
            # A vehicle that a pilot has lifted off meanwhile has spooled up.
            spooled = limits.spool_up + 1e-3 if facts.airborne else 0.0
            return Move(ladder._replace(armed_since=facts.now - spooled))
        if facts.now - ladder.since <= limits.arm_timeout:
            return None
        return change_rung(ladder, Rung.SILENT, EventKind.NOT_ARMED, None, facts)
    if facts.now - ladder.armed_since > limits.take_off_timeout:
        finding = Finding(Fault.TAKE_OFF_FAILED, f"found {facts.sample.position[2]:.2f} m after {limits.take_off_timeout} s")
        return change_rung(ladder, Rung.LAND, EventKind.STEPPED_DOWN, finding, facts, changes={"latched": finding})
    path = facts.target.course if facts.target is not None else None
    if facts.target is None or not isinstance(path, Trajectory) or path.kind != "climb":
        spooling = spooling_up(ladder, facts.now, limits)
        return None if spooling else Move(ladder, _climb(facts.sample, facts.now, limits))
    height = facts.sample.position[2]
    top = path.centre[2] + path.size + facts.target.moved.position[2]
    if not facts.airborne or abs(height - top) > limits.reached:
        return None
    event = Event(facts.now, EventKind.TOOK_OFF, rung=Rung.GUIDE, height=height)
    return Move(ladder._replace(taking_off=False), None, None, (event,))


def spooling_up(ladder: Ladder, now: float, limits: LadderLimits) -> bool:
    """Whether the rotors are still coming up to speed after arming."""
    return ladder.taking_off and ladder.armed_since is not None and now - ladder.armed_since <= limits.spool_up


def _climb(sample: Sample, now: float, limits: LadderLimits) -> Target:
    """Straight up from where the vehicle stands."""
    heading = yaw(sample.quaternion)
    path = Trajectory("climb", sample.position, heading, size=limits.take_off_height, speed=limits.climb_speed)
    return Target(path, since=now)
