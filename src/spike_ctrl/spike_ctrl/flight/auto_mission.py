"""The automatic flight: take off, engage the policy, fly the trajectories, land. Pure; it asks as an operator would.

A fault that leads down the ladder or drops the engagement ends the flight with a landing, and the policy is not asked for
again. A request that is refused for the moment, for example after a reset of the estimator during the climb, is repeated
until `engage_timeout`.

    mission, requests, target = advance(mission, ladder, airborne, answers, now, plan, refusal)
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from spike_ctrl._files.named_tuples import quickly_replaced
from spike_ctrl._files.ranges import within
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.flight.event import EventKind
from spike_ctrl.flight.event_words import reason
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.ladder_state import Ladder
from spike_ctrl.flight.request import Request

NOT_HEARD, NOT_ANSWERED = "the vehicle is not heard", "the policy has not answered yet"
STARTING = (NOT_HEARD, NOT_ANSWERED)  # what may compile for minutes at its first start on a busy computer


class MissionPhase(Enum):
    """The phases of an automatic flight, in order."""

    WAIT = "wait until everything is ready"
    TAKE_OFF = "take off by the guide"
    ENGAGE = "engage the policy"
    FLY = "fly the trajectory"
    LAND = "land"
    DONE = "done"


@quickly_replaced
class Mission(NamedTuple):
    """Where the automatic flight is. failure: why it was cut short; empty where it was not."""

    phase: MissionPhase = MissionPhase.WAIT
    since: float | None = None  # s, start of the phase
    heard: bool = False  # the vehicle is there
    asked: float | None = None  # s, last request
    flown: float = 0.0  # s by the policy
    leg: int = 0  # index of the trajectory
    failure: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the flight is over and was not cut short."""
        return self.phase is MissionPhase.DONE and not self.failure


@dataclass(frozen=True)
class MissionPlan:
    """The trajectories, one after the other; without any the vehicle hovers where the take-off ended. Times in s."""

    trajectories: tuple[Trajectory, ...] = ()
    duration: float = within(20.0, 0.1, 3600.0)  # of each trajectory
    vehicle_timeout: float = within(300.0, 1.0, 3600.0)  # until vehicle and policy are heard: they compile first
    ready_timeout: float = within(60.0, 1.0, 3600.0)  # from then on
    engage_timeout: float = within(15.0, 1.0, 600.0)  # until a refused engagement ends the flight
    land_timeout: float = within(60.0, 1.0, 600.0)
    ask_again: float = within(1.0, 0.1, 60.0)
    given_back: bool = False  # it is a success, too, if the guide is asked for before the time is over


MissionStep = tuple[Mission, tuple[Request, ...], Trajectory | None]


def advance(
    mission: Mission, ladder: Ladder, airborne: bool, missing: str, now: float, plan: MissionPlan, refusal: str = "",
    unflown: str = "",
) -> MissionStep:  # fmt: skip
    """One step after the supervisor's. Its requests and its target belong into the supervisor's next inputs.

    missing: what is not there yet, one of STARTING or other words; "" where all is there. Without it there is no take-off.
    now: s. refusal: the supervisor's last one, in words; it tells what was missing where the flight never becomes ready.
    unflown: why it has just refused the target of this flight.
    """
    if (since := mission.since) is None:
        mission, since = mission._replace(since=now), now
    rung, phase = ladder.rung, mission.phase
    if phase is MissionPhase.WAIT:
        if rung is Rung.GUIDE:
            return _next(mission, MissionPhase.TAKE_OFF, now)
        if airborne:  # without this a restart in the air would take off again after the autopilot has landed
            return _next(mission, MissionPhase.DONE, now, "the vehicle is in the air already")
        if missing not in STARTING and not mission.heard:
            mission, since = mission._replace(heard=True, since=now), now
        patience = plan.ready_timeout if mission.heard else plan.vehicle_timeout
        if now - since > patience:
            why = missing or refusal or "nothing was refused"
            return _next(mission, MissionPhase.DONE, now, f"not ready within {patience:g} s: {why}")
        return (mission, (), None) if missing else _ask(mission, Request.TAKE_OFF, now, plan)
    if phase in (MissionPhase.TAKE_OFF, MissionPhase.ENGAGE) and rung > Rung.GUIDE:
        return _give_up(mission, ladder, now)
    if phase is MissionPhase.TAKE_OFF:
        if ladder.taking_off:
            return mission, (), None
        if ladder.latched is not None:
            return _give_up(mission, ladder, now)
        return _ask(mission._replace(phase=MissionPhase.ENGAGE, since=now, asked=None), Request.ENGAGE, now, plan)
    if phase is MissionPhase.ENGAGE:
        return _engage(mission, ladder, since, now, plan, refusal)
    if phase is MissionPhase.FLY:
        mission = mission._replace(flown=now - since)
        if rung is not Rung.SNN:
            given_back = plan.given_back and rung is Rung.GUIDE and ladder.latched is None
            return _next(mission, MissionPhase.LAND, now) if given_back else _give_up(mission, ladder, now)
        if unflown:
            return _next(mission, MissionPhase.LAND, now, f"{phase.value}: {unflown}")
        leg = int(mission.flown / plan.duration)
        if leg >= max(len(plan.trajectories), 1):
            return _next(mission, MissionPhase.LAND, now)
        return (mission, (), None) if leg == mission.leg else (mission._replace(leg=leg), (), plan.trajectories[leg])
    if phase is MissionPhase.DONE:
        return mission, (), None
    if rung is Rung.SILENT and not airborne:  # a success only if no fault led there, not even in the step of the request
        failure = _describe_end(mission, ladder) if ladder.latched is not None else ""
        return _next(mission, MissionPhase.DONE, now, failure)
    if now - since > plan.land_timeout:
        return _next(mission, MissionPhase.DONE, now, mission.failure or f"not landed within {plan.land_timeout:g} s")
    # On LAND nothing is left to ask for. On SILENT a pilot or the autopilot has taken over and is left alone.
    asked = rung >= Rung.LAND or ladder.landing or ladder.waiting is Request.LAND
    return (mission, (), None) if asked else _ask(mission, Request.LAND, now, plan)


def _engage(mission: Mission, ladder: Ladder, since: float, now: float, plan: MissionPlan, refusal: str) -> MissionStep:
    if ladder.rung is Rung.SNN:
        first = plan.trajectories[0] if plan.trajectories else None
        return mission._replace(phase=MissionPhase.FLY, since=now), (), first
    if ladder.wanted:
        return mission, (), None
    if ladder.latched is not None:
        return _give_up(mission, ladder, now)
    if now - since > plan.engage_timeout:
        failure = f"{mission.phase.value}: not within {plan.engage_timeout:g} s: {refusal}"
        return _next(mission, MissionPhase.LAND, now, failure)
    return _ask(mission, Request.ENGAGE, now, plan)


def _next(mission: Mission, phase: MissionPhase, now: float, failure: str = "") -> MissionStep:
    return mission._replace(phase=phase, since=now, asked=None, failure=mission.failure or failure), (), None


def _give_up(mission: Mission, ladder: Ladder, now: float) -> MissionStep:
    return _next(mission, MissionPhase.LAND, now, _describe_end(mission, ladder))


def _describe_end(mission: Mission, ladder: Ladder) -> str:
    """Phase, rung, reason, and the fault where the reason does not name it."""
    because = ladder.because
    named = because.finding == ladder.latched and because.kind is not EventKind.RECOVERED
    fault = "" if named or ladder.latched is None else f": {ladder.latched}"
    return f"{mission.phase.value}: {ladder.rung.name}, {reason(because)}{fault}"


def _ask(mission: Mission, request: Request, now: float, plan: MissionPlan) -> MissionStep:
    if mission.asked is not None and now - mission.asked < plan.ask_again:
        return mission, (), None
    return mission._replace(asked=now), (request,), None
