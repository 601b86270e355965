"""What the vehicle follows: a target that the operator gave, a stream of set-points, or its own position. Pure."""

from spike_ctrl.control.trajectory import SetPoint, Trajectory
from spike_ctrl.flight.attitude import yaw
from spike_ctrl.flight.event import Bar, Event, EventKind, Obstacle
from spike_ctrl.flight.faults import Fault, Finding, Findings, Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.ladder_state import hold_here
from spike_ctrl.flight.setpoint import Target, hold, not_finite, set_point_at, too_far
from spike_ctrl.flight.setpoint_limiter import at_rest, grant, too_fast
from spike_ctrl.flight.supervisor_state import SupervisorInputs, SupervisorState


def follow_target(
    state: SupervisorState, inputs: SupervisorInputs, settings: FlightSettings
) -> tuple[SupervisorState, Findings, tuple[Event, ...]]:
    """The state with its target and the set-point granted, which moves on with the states that it is flown by."""
    state, found, refused = _choose_target(state, inputs, settings)
    if inputs.sample is None and state.granted is not None:
        return state, found, refused
    state, clamped = grant_set_point(state, inputs.now, settings)
    return state, found + clamped, refused


def _choose_target(
    state: SupervisorState, inputs: SupervisorInputs, settings: FlightSettings
) -> tuple[SupervisorState, Findings, tuple[Event, ...]]:
    """The state with its target, the faults of set-points, and the refusals.

    A NaN changes nothing and does not keep a stream alive. A stream that stops is replaced by the nearest place at which the
    set-point can rest. After a fault, during a take-off and while the guide recovers, no other target is taken.
    """
    now, ladder, target = inputs.now, state.ladder, state.target
    if inputs.target is None and inputs.stream is None and (target is None or target.streamed is None):
        return state, (), ()
    found: Findings = ()
    events: tuple[Event, ...] = ()
    free = inputs.airborne and ladder.rung <= Rung.GUIDE and not ladder.taking_off
    free = free and ladder.latched is None and ladder.recovering is None
    if inputs.target is not None:
        bad = not_finite(inputs.target) if isinstance(inputs.target, SetPoint) else None
        if bad is not None:
            found = (Finding(Fault.SET_POINT_NOT_FINITE, bad),)
        elif free and (why := _refusal(state, inputs.target, now, settings)) is not None:
            events = (_refused(now, Obstacle(Bar.UNREACHABLE, detail=why)),)
        elif free:
            state = state._replace(target=Target(inputs.target, since=now))
        else:
            events = (_refused(now, Obstacle(Bar.NOT_FREE), ladder.rung, ladder.because),)
    if inputs.stream is not None and free and state.target is not None:
        if (bad := not_finite(inputs.stream)) is not None:
            found += (Finding(Fault.SET_POINT_NOT_FINITE, bad),)
        elif (why := _refusal(state, inputs.stream, now, settings)) is not None:
            found += (Finding(Fault.SET_POINT_OUTSIDE, why),)
        else:
            state = state._replace(target=Target(inputs.stream, streamed=now))
    heard = state.target.streamed if state.target is not None else None
    if heard is not None and now - heard > settings.set_point.stream_timeout and state.sample is not None:
        found += (Finding(Fault.SET_POINT_STOPPED, f"the last one came {now - heard:.2f} s ago"),)
        point = state.granted
        rest = None if point is None else hold(at_rest(point, settings.set_point.acceleration), point.yaw)
        state = state._replace(target=rest or hold_here(state.sample))
    return state, found, events


def grant_set_point(state: SupervisorState, now: float, settings: FlightSettings) -> tuple[SupervisorState, Findings]:
    """The state with the set-point that is granted now, and the faults of the wanted one.

    It begins where the vehicle is. In a take-off, recovery or descent, and where the autopilot flies, nothing is held back.
    """
    if state.target is None:
        return state._replace(granted=None), ()
    cage = state.cage(settings)
    wanted, found = set_point_at(state.target, now, cage)
    ladder = state.ladder
    free = ladder.taking_off or ladder.recovering is not None or state.target.descends or ladder.rung > Rung.GUIDE
    if state.sample is None or free:
        return state._replace(granted=wanted), found
    before, begun = state.granted, state.granted_at
    if before is None:
        before, begun = SetPoint(cage.clamp(state.sample.position), yaw=yaw(state.sample.quaternion)), now
    speed = settings.envelope.trajectory_limits[1]
    on_path = isinstance(state.target.course, Trajectory)
    streamed = state.target.streamed is not None
    point = grant(before, wanted, now - begun, cage, settings.braking, speed, settings.set_point, on_path, streamed)
    return state._replace(granted=point, granted_at=now), found


def _refused(now: float, obstacle: Obstacle, rung: Rung | None = None, since: Event | None = None) -> Event:
    return Event(now, EventKind.TARGET_REFUSED, rung=rung, obstacles=(obstacle,), since=since)


def _refusal(state: SupervisorState, course: SetPoint | Trajectory, now: float, settings: FlightSettings) -> str | None:
    """Why a course is not followed, in words; None where it is."""
    if state.sample is None:
        return None
    cage = state.cage(settings)
    if (far := too_far(course, state.sample.position, now, cage, settings.envelope.reach)) is not None:
        return far
    return too_fast(course, cage, settings.braking, settings.set_point) if isinstance(course, Trajectory) else None
