"""The recovery: the guide brings a vehicle to rest that left its envelope or came near the geofence; then HOLD. Pure."""

from __future__ import annotations

from spike_ctrl.control.trajectory import Vector
from spike_ctrl.flight.attitude import yaw
from spike_ctrl.flight.event import Event, EventKind
from spike_ctrl.flight.faults import Fault, Finding, Rung
from spike_ctrl.flight.ladder_state import Facts, Ladder, LadderLimits, Move, change_rung
from spike_ctrl.flight.setpoint import hold
from spike_ctrl.flight.state_checks import Sample


def begin_recovery(moved: Move, demanding: list[Finding], facts: Facts, guide_suspect: bool, limits: LadderLimits) -> Move:
    """The recovery begins on GUIDE, where one of the demanding faults asks for it.

    The target is the vehicle's position; near a wall it is the centre of the cage, and in a fall the place above where it
    coasts, unless it coasts out of the cage: a weak vehicle that leans to the centre has no thrust left to stop its fall.
    guide_suspect: the guide itself flew when the fault came, or the vehicle did not tumble when the guide took over.
    """
    settling = [finding for finding in demanding if finding.fault.settles]
    if not settling or facts.sample is None:
        return moved
    why = next((finding for finding in settling if finding.fault is Fault.CAGE_NEAR), settling[0])
    x, y, z = facts.cage.centre if why.fault is Fault.CAGE_NEAR else facts.sample.position
    if (
        why.fault is Fault.CAGE_NEAR
        and facts.sample.velocity[2] < -limits.falling
        and not _nears_a_wall(facts.sample, facts)
    ):
        x, y, _ = facts.cage.clamp(_coasting(facts.sample, facts.cage.stopping_time))
    target = hold((x, y, max(z, facts.cage.ground + facts.cage.recovery_height)), yaw(facts.sample.quaternion))
    event = Event(facts.now, EventKind.RECOVERS, why)
    ladder = moved.ladder._replace(
        recovering=why, latched=why, wanted=False, taking_off=False, since=facts.now, guide_suspect=guide_suspect
    )
    return Move(ladder, target, None, (*moved.events, event))


def _nears_a_wall(sample: Sample, facts: Facts) -> bool:
    """Whether the autopilot would not stop its way to the side inside the cage, whatever its height does."""
    (x, y, _), (u, v, _), z = sample.position, sample.velocity, facts.cage.centre[2]
    return facts.braking.beyond((x, y, z), (u, v, 0.0), facts.cage.low, facts.cage.high) > 0


def _coasting(sample: Sample, time: float) -> Vector:
    """Where (m) a controller would leave the vehicle without leaning it: its way of so much time (s)."""
    (x, y, z), (u, v, _) = sample.position, sample.velocity
    return x + time * u, y + time * v, z


def recover(ladder: Ladder, facts: Facts, limits: LadderLimits) -> Move | None:
    """From GUIDE to HOLD: once the vehicle is at rest, when that takes too long, or when the guide makes it tumble."""
    if ladder.rung is not Rung.GUIDE or ladder.recovering is None:
        return None
    if ladder.guide_suspect and facts.tumbling:
        finding = Finding(Fault.NOT_RECOVERED, "under the guide the vehicle began to tumble")
        down, why = facts.hold_or_land, EventKind.STEPPED_DOWN
        return change_rung(ladder, down, why, finding, facts, changes={"latched": finding})
    if facts.now - ladder.since > limits.recover_timeout:
        finding = Finding(Fault.NOT_RECOVERED, f"from {ladder.recovering.fault.name} within {limits.recover_timeout} s")
        return change_rung(ladder, facts.hold_or_land, EventKind.STEPPED_DOWN, finding, facts)
    if not facts.settled:
        return Move(ladder._replace(settled_since=None))
    if ladder.settled_since is None:
        return Move(ladder._replace(settled_since=facts.now))
    if facts.now - ladder.settled_since < limits.settle_time:
        return None
    return change_rung(ladder, facts.hold_or_land, EventKind.RECOVERED, ladder.recovering, facts)
