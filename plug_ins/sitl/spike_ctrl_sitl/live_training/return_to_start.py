"""The return to the start of an episode, from any state of the vehicle: arm, take off, fly there; after a crash, again.

Pure; time is an argument (s, the vehicle's). A failed attempt is repeated from the ground a few times; then the flight ends
with the reason. A pilot who changes the mode has taken over, and the flight ends.

    state, order = advance(ReturnState(), facts, limits)   # for each state of the vehicle and at least some times a second
    state = begun(state, now)                        # order.phase is READY: an episode begins
    state = ended(state, start, now)                 # the episode is over, on to the next start
"""

import math
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from spike_ctrl._files.ranges import within
from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.attitude import tilt, yaw
from spike_ctrl.flight.autopilot import Autopilot, Mode
from spike_ctrl.flight.state_checks import Sample


class ReturnPhase(Enum):
    """The phases of an episode and of the return to its start."""

    WAIT = "wait until the autopilot is ready"
    ARM = "arm"
    CLIMB = "take off"
    RETURN = "fly to the start"
    READY = "at the start"
    EPISODE = "fly the episode"
    LAND = "land"
    DISARM = "disarm"
    ENDED = "ended"


class AutopilotRequest(Enum):
    """What the autopilot is asked for, repeatedly, until its status shows it."""

    OFFBOARD = "offboard"
    ARM = "arm"
    LAND = "land"
    DISARM = "disarm"
    FORCED_DISARM = "disarm whatever it does"
    RESTART = "restart its simulation"


class FlownSetPoint(Enum):
    """Whose set-points are sent. REST: motors idle on the ground. SPOOL: motors come up to speed. EPISODE: the episode's."""

    NOTHING = "nothing"
    REST = "rest"
    SPOOL = "spool"
    GUIDE = "guide"
    EPISODE = "episode"


class ReturnFacts(NamedTuple):
    """What is true at `now` (s, vehicle time). ready: the autopilot's checks before arming pass."""

    now: float
    status: Autopilot | None
    sample: Sample | None
    ready: bool


class ReturnState(NamedTuple):
    """Where the return is. attempts: starts from the ground since the last episode. failure: why the flight failed."""

    phase: ReturnPhase = ReturnPhase.WAIT
    since: float | None = None  # s, start of the phase
    start: SetPoint = SetPoint((0.0, 0.0, 0.0))
    asked: float = -math.inf
    settled: float | None = None  # s, since when the vehicle has been at rest at the start
    armed: float | None = None
    origin: SetPoint = SetPoint((0.0, 0.0, 0.0))  # where it takes off
    attempts: int = 0
    lies: bool = False  # on its side
    restarts: int = 0  # of its simulation
    reason: str = ""  # of the last failed attempt
    ending: bool = False
    failure: str = ""


class ReturnOrder(NamedTuple):
    """What to do now. target: of the guide, where the guide flies. news: what has just changed, in words."""

    phase: ReturnPhase
    fly: FlownSetPoint
    target: SetPoint | None = None
    ask: AutopilotRequest | None = None
    news: str = ""


@dataclass(frozen=True)
class ReturnLimits:
    """Times in s on the vehicle's clock, lengths in m. attempts: starts from the ground without an episode."""

    ready: float = within(60.0, 1.0, 600.0)
    arm: float = within(15.0, 1.0, 120.0)
    stream_lead: float = within(0.5, 0.1, 10.0)
    ask_again: float = within(0.5, 0.05, 10.0)
    spool_up: float = within(1.0, 0.0, 10.0)
    climb_speed: float = within(1.0, 0.1, 5.0)
    climb: float = within(20.0, 1.0, 120.0)
    fly_there: float = within(30.0, 1.0, 300.0)
    near: float = within(0.3, 0.01, 5.0)
    slow: float = within(0.3, 0.01, 5.0)  # m/s
    level: float = within(0.2, 0.01, 1.0)  # rad
    settle: float = within(0.3, 0.0, 10.0)
    land: float = within(40.0, 1.0, 300.0)
    disarm: float = within(3.0, 0.1, 60.0)  # after that by force
    lies: float = within(0.7, 0.1, 3.2)  # rad from level: on the ground, a vehicle tilted by more does not take off
    attempts: int = within(3, 1, 100)
    restarts: int = within(0, 0, 100)  # of the simulation, each when the vehicle lies on its side; 0: it is no simulation
    restart: float = within(10.0, 1.0, 120.0)  # until a restart is asked for again
    lost: float = within(5.0, 0.1, 60.0)  # without a state
    pilot_arms: bool = False  # and disarms after each landing; nobody else does


IN_THE_AIR = (ReturnPhase.CLIMB, ReturnPhase.RETURN, ReturnPhase.READY, ReturnPhase.EPISODE)


def advance(state: ReturnState, facts: ReturnFacts, limits: ReturnLimits) -> tuple[ReturnState, ReturnOrder]:
    """One step. In phase ENDED, `failure` of the state gives the reason; it is empty after an ordered end."""
    before = state
    if state.since is None:
        state = state._replace(since=facts.now)
    state = _watch(state, facts, limits)
    state = _STEPS[state.phase](state, facts, limits)
    asked = _ask(state, facts, limits)
    if asked is not None:
        state = state._replace(asked=facts.now)
    fly, target = _fly(state, facts, limits)
    news = _news(before, state)
    return state, ReturnOrder(state.phase, fly, target, asked, news)


def begun(state: ReturnState, now: float) -> ReturnState:
    """An episode begins."""
    return _to(state, ReturnPhase.EPISODE, now)


def ended(state: ReturnState, start: SetPoint, now: float) -> ReturnState:
    """After an episode: fly to the next start. Earlier failed attempts no longer count."""
    return _to(state, ReturnPhase.RETURN, now, start=start, attempts=0)


def stop(state: ReturnState, now: float) -> ReturnState:
    """An ordered end: a vehicle in the air lands first."""
    if state.phase in (ReturnPhase.WAIT, ReturnPhase.ENDED):
        return state._replace(phase=ReturnPhase.ENDED, ending=True)
    if state.phase in (ReturnPhase.LAND, ReturnPhase.DISARM):
        return state._replace(ending=True)
    return _to(state, ReturnPhase.LAND, now, ending=True)


def give_up(state: ReturnState, failure: str, now: float) -> ReturnState:
    """Land, and end with this failure, in words."""
    return state if state.failure else stop(state, now)._replace(failure=failure)


def _to(state: ReturnState, phase: ReturnPhase, now: float, **changes) -> ReturnState:
    return state._replace(phase=phase, since=now, asked=-math.inf, settled=None, **changes)


def _again(state: ReturnState, reason: str, facts: ReturnFacts, limits: ReturnLimits) -> ReturnState:
    """Start again from the ground, or give up after the last attempt."""
    attempts = state.attempts + 1
    state = state._replace(attempts=attempts, reason=reason)
    armed, landed = facts.status is not None and facts.status.armed, facts.status is None or facts.status.landed
    if attempts >= limits.attempts:
        why = f"no start was reached in {attempts} attempts; the last: {reason}"
        state = state._replace(ending=True, failure=state.failure or why)
    if not armed:
        return _to(state, ReturnPhase.ENDED if state.ending else ReturnPhase.WAIT, facts.now)
    return _to(state, ReturnPhase.DISARM if landed else ReturnPhase.LAND, facts.now)


def _watch(state: ReturnState, facts: ReturnFacts, limits: ReturnLimits) -> ReturnState:
    """React to an autopilot that disarms, changes the mode or reports a landing during a flight."""
    status = facts.status
    if state.phase not in IN_THE_AIR or status is None:
        return state
    if not status.armed:
        return _again(state, f"the autopilot disarmed it ({state.phase.value})", facts, limits)
    if status.mode is Mode.OTHER:
        taken = f"taken over: found mode {status.mode.value}, wanted {Mode.OFFBOARD.value}"
        return _to(state, ReturnPhase.ENDED, facts.now, ending=True, failure=state.failure or taken)
    if status.mode is not Mode.OFFBOARD:
        return _again(state, f"the autopilot went to mode {status.mode.value} ({state.phase.value})", facts, limits)
    if status.landed and state.phase is not ReturnPhase.CLIMB:
        return _again(state, f"it is on the ground ({state.phase.value})", facts, limits)
    return state


def _wait(state: ReturnState, facts: ReturnFacts, limits: ReturnLimits) -> ReturnState:
    late = facts.now - state.since > limits.ready
    if facts.status is None or facts.sample is None:
        if late:
            what = "autopilot not heard" if facts.status is None else "no state that can be flown on"
            return _to(state, ReturnPhase.ENDED, facts.now, failure=f"{what} for {limits.ready:g} s")
        return state
    if facts.status.airborne:
        return _to(state, ReturnPhase.ENDED, facts.now, failure="the vehicle is in the air already: land it first")
    if facts.status.armed and not limits.pilot_arms:
        return _to(state, ReturnPhase.DISARM, facts.now)
    tilted = tilt(facts.sample.quaternion)
    lies = facts.status.landed and tilted > limits.lies
    if lies and state.restarts >= limits.restarts and not state.lies:
        on_its_side = f"the vehicle lies on its side, {math.degrees(tilted):.0f} degrees from level: restart its simulation"
        return _to(state, ReturnPhase.ENDED, facts.now, failure=on_its_side)
    if lies != state.lies:
        state = state._replace(lies=lies, restarts=state.restarts + lies)
    if lies or not (facts.ready and facts.status.landed):
        if not late:
            return state
        wanted = "PREARM_CHECK in SYS_STATUS and the ground below; the autopilot's own messages say what is missing"
        return _to(state, ReturnPhase.ENDED, facts.now, failure=f"not ready to arm for {limits.ready:g} s: wanted {wanted}")
    return _to(state, ReturnPhase.ARM, facts.now, armed=None)


def _arm(state: ReturnState, facts: ReturnFacts, limits: ReturnLimits) -> ReturnState:
    status = facts.status
    if facts.now - state.since > limits.arm + (limits.spool_up if state.armed is not None else 0.0):
        found = f"mode {status.mode.value}, {'armed' if status.armed else 'disarmed'}"
        return _again(state, f"not armed in offboard mode within {limits.arm:g} s: found {found}", facts, limits)
    if not (status.armed and status.mode is Mode.OFFBOARD):
        return state._replace(armed=None)
    if state.armed is None:
        return state._replace(armed=facts.now)
    if facts.now - state.armed < limits.spool_up:
        return state
    origin = SetPoint(facts.sample.position, yaw=yaw(facts.sample.quaternion))
    return _to(state, ReturnPhase.CLIMB, facts.now, origin=origin)


def _climb(state: ReturnState, facts: ReturnFacts, limits: ReturnLimits) -> ReturnState:
    here, climbed = facts.sample.position[2], facts.now - state.since
    if facts.status.airborne and here > state.origin.position[2] + 0.5 * _rise(state):
        return _to(state, ReturnPhase.RETURN, facts.now)
    if climbed > limits.climb:
        return _again(state, f"not taken off within {limits.climb:g} s: found {here:.2f} m", facts, limits)
    return state


def _return(state: ReturnState, facts: ReturnFacts, limits: ReturnLimits) -> ReturnState:
    sample = facts.sample
    away, speed = math.dist(sample.position, state.start.position), math.hypot(*sample.velocity)
    turned = abs(math.remainder(yaw(sample.quaternion) - state.start.yaw, 2 * math.pi))
    still = away < limits.near and speed < limits.slow and tilt(sample.quaternion) < limits.level and turned < limits.level
    if not still:
        if facts.now - state.since > limits.fly_there:
            found = f"{away:.2f} m away at {speed:.2f} m/s"
            return _again(state, f"not at the start within {limits.fly_there:g} s: found {found}", facts, limits)
        return state._replace(settled=None)
    if state.settled is None:
        return state._replace(settled=facts.now)
    return state if facts.now - state.settled < limits.settle else _to(state, ReturnPhase.READY, facts.now)


def _stay(state: ReturnState, facts: ReturnFacts, limits: ReturnLimits) -> ReturnState:
    return state


def _land(state: ReturnState, facts: ReturnFacts, limits: ReturnLimits) -> ReturnState:
    status = facts.status
    if status is not None and not status.armed:
        return _down(state, facts)
    if status is not None and status.landed and limits.pilot_arms:
        return _to(state, ReturnPhase.DISARM, facts.now)
    if status is not None and status.mode is Mode.OTHER:
        taken = f"taken over: found mode {status.mode.value} while landing"
        return _to(state, ReturnPhase.ENDED, facts.now, failure=state.failure or taken)
    if facts.now - state.since > limits.land:
        return _to(state, ReturnPhase.DISARM, facts.now)
    return state


def _disarm(state: ReturnState, facts: ReturnFacts, limits: ReturnLimits) -> ReturnState:
    if facts.status is not None and not facts.status.armed:
        return _down(state, facts)
    if facts.now - state.since > limits.disarm + limits.arm:
        return _to(state, ReturnPhase.ENDED, facts.now, failure=state.failure or "the autopilot does not disarm")
    return state


def _down(state: ReturnState, facts: ReturnFacts) -> ReturnState:
    return _to(state, ReturnPhase.ENDED if state.ending else ReturnPhase.WAIT, facts.now)


_STEPS = {
    ReturnPhase.WAIT: _wait,
    ReturnPhase.ARM: _arm,
    ReturnPhase.CLIMB: _climb,
    ReturnPhase.RETURN: _return,
    ReturnPhase.READY: _stay,
    ReturnPhase.EPISODE: _stay,
    ReturnPhase.LAND: _land,
    ReturnPhase.DISARM: _disarm,
    ReturnPhase.ENDED: _stay,
}


def _ask(state: ReturnState, facts: ReturnFacts, limits: ReturnLimits) -> AutopilotRequest | None:
    """What the autopilot must be asked for now, at most every `ask_again` seconds."""
    status = facts.status
    if state.phase is ReturnPhase.WAIT and state.lies:
        return AutopilotRequest.RESTART if facts.now - state.asked >= limits.restart else None
    if status is None or facts.now - state.asked < limits.ask_again:
        return None
    if state.phase is ReturnPhase.ARM:
        if status.mode is not Mode.OFFBOARD:
            return AutopilotRequest.OFFBOARD if facts.now - state.since >= limits.stream_lead else None
        return None if status.armed else AutopilotRequest.ARM
    if state.phase is ReturnPhase.LAND:
        return None if status.mode is Mode.LAND else AutopilotRequest.LAND
    if state.phase is ReturnPhase.DISARM:
        return AutopilotRequest.FORCED_DISARM if facts.now - state.since > limits.disarm else AutopilotRequest.DISARM
    return None


def _fly(state: ReturnState, facts: ReturnFacts, limits: ReturnLimits) -> tuple[FlownSetPoint, SetPoint | None]:
    if state.phase is ReturnPhase.ARM:
        return (FlownSetPoint.REST if state.armed is None else FlownSetPoint.SPOOL), None
    if state.phase is ReturnPhase.CLIMB:
        x, y, z = state.origin.position
        up = min(limits.climb_speed * (facts.now - state.since), _rise(state))
        speed = limits.climb_speed if up < _rise(state) else 0.0
        return FlownSetPoint.GUIDE, SetPoint((x, y, z + up), (0.0, 0.0, speed), state.origin.yaw)
    if state.phase in (ReturnPhase.RETURN, ReturnPhase.READY):
        return FlownSetPoint.GUIDE, state.start
    if state.phase is ReturnPhase.EPISODE:
        return FlownSetPoint.EPISODE, None
    if state.phase is ReturnPhase.LAND and facts.status is not None and facts.status.mode is Mode.OFFBOARD:
        here = facts.sample  # until the autopilot takes over
        return FlownSetPoint.GUIDE, SetPoint(here.position, yaw=yaw(here.quaternion))
    return (FlownSetPoint.REST if state.phase is ReturnPhase.DISARM else FlownSetPoint.NOTHING), None


def _rise(state: ReturnState) -> float:
    """Height (m) of the climb: to the height of the start, and at least a metre."""
    return max(state.start.position[2] - state.origin.position[2], 1.0)


def _news(before: ReturnState, after: ReturnState) -> str:
    if after.phase is before.phase:
        return "the vehicle lies on its side: its simulation is restarted" if after.lies and not before.lies else ""
    if after.attempts > before.attempts:
        return f"{after.reason}; {after.phase.value} (attempt {after.attempts})"
    quiet = (ReturnPhase.RETURN, ReturnPhase.READY, ReturnPhase.EPISODE)
    return "" if after.phase in quiet and before.phase in quiet else after.phase.value
