"""The flight that `auto` asks for: take off, engage, fly the trajectories, land. Pure; it asks as an operator would.

Whatever leads down the ladder, or drops the engagement, ends the flight with a landing; it never asks for that again. What
is refused for now, as after a reset of the estimator on the way up, it asks for until `engage_timeout`.

    auto, requests, target = advance(auto, ladder, airborne, answers, now, plan, refusal)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from spike_ctrl._files.ranges import within
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.ladder import Ladder, Request


class MissionPhase(Enum):
    WAIT = "wait until everything is ready"
    TAKE_OFF = "take off by the guide"
    ENGAGE = "engage the policy"
    FLY = "fly the trajectory"
    LAND = "land"
    DONE = "done"


class Auto(NamedTuple):
    """Where the flight is. failure: why it was cut short, empty where it was not. At DONE, `succeeded` says it all."""

    phase: MissionPhase = MissionPhase.WAIT
    since: float | None = None  # s, begin of the phase
    asked: float | None = None  # s, last request
    flown: float = 0.0  # s by the policy
    leg: int = 0  # of the trajectories
    failure: str = ""

    @property
    def succeeded(self) -> bool:
        return self.phase is MissionPhase.DONE and not self.failure


@dataclass(frozen=True)
class Plan:
    """trajectories: flown one after the other; none: hover where the take-off ended. Times in s."""

    trajectories: tuple[Trajectory, ...] = ()
    duration: float = within(20.0, 0.1, 3600.0)  # by the policy, of each trajectory
    ready_timeout: float = within(60.0, 1.0, 3600.0)
    engage_timeout: float = within(15.0, 1.0, 600.0)  # until an engagement is no longer refused
    land_timeout: float = within(60.0, 1.0, 600.0)
    ask_again: float = within(1.0, 0.1, 60.0)


Step = tuple[Auto, tuple[Request, ...], Trajectory | None]


def advance(auto: Auto, ladder: Ladder, airborne: bool, answers: bool, now: float, plan: Plan, refusal: str = "") -> Step:
    """One step after the supervisor's; requests and target belong into its next inputs.

    answers: whether the policy does; before it, nothing takes off. refusal: the supervisor's last one, in words: what was
    missing, where the flight never becomes ready.
    """
    if auto.since is None:
        auto = auto._replace(since=now)
    rung = ladder.rung
    if auto.phase is MissionPhase.WAIT:
        if rung is Rung.GUIDE:
            return _next(auto, MissionPhase.TAKE_OFF, now)
        if airborne:  # started in the middle of a flight: it would take off anew where the autopilot has just landed
            return _next(auto, MissionPhase.DONE, now, "the vehicle is in the air already")
        if now - auto.since > plan.ready_timeout:
            why = (refusal or "nothing was refused") if answers else "the policy does not answer"
            return _next(auto, MissionPhase.DONE, now, f"not ready within {plan.ready_timeout:g} s: {why}")
        return _ask(auto, Request.TAKE_OFF, now, plan) if answers else (auto, (), None)
    if auto.phase in (MissionPhase.TAKE_OFF, MissionPhase.ENGAGE) and rung > Rung.GUIDE:
        return _give_up(auto, ladder, now)
    if auto.phase is MissionPhase.TAKE_OFF:
        if ladder.taking_off:
            return auto, (), None
        if ladder.latched is not None:
            return _give_up(auto, ladder, now)
        return _ask(auto._replace(phase=MissionPhase.ENGAGE, since=now, asked=None), Request.ENGAGE, now, plan)
    if auto.phase is MissionPhase.ENGAGE:
        if rung is Rung.SNN:
            return auto._replace(phase=MissionPhase.FLY, since=now), (), plan.trajectories[0] if plan.trajectories else None
        if ladder.wanted:
            return auto, (), None
        if ladder.latched is not None:
            return _give_up(auto, ladder, now)
        if now - auto.since > plan.engage_timeout:
            return _next(
                auto, MissionPhase.LAND, now, f"{auto.phase.value}: not within {plan.engage_timeout:g} s: {refusal}"
            )
        return _ask(auto, Request.ENGAGE, now, plan)
    if auto.phase is MissionPhase.FLY:
        auto = auto._replace(flown=now - auto.since)
        if rung is not Rung.SNN:
            return _give_up(auto, ladder, now)
        leg = int(auto.flown / plan.duration)
        if leg >= max(len(plan.trajectories), 1):
            return _next(auto, MissionPhase.LAND, now)
        return (auto, (), None) if leg == auto.leg else (auto._replace(leg=leg), (), plan.trajectories[leg])
    if auto.phase is MissionPhase.DONE:
        return auto, (), None
    if rung is Rung.SILENT and not airborne:  # no fault may have led there, nor come in the very step of the request
        return _next(auto, MissionPhase.DONE, now, _fallen(auto, ladder) if ladder.latched is not None else "")
    if now - auto.since > plan.land_timeout:
        return _next(auto, MissionPhase.DONE, now, auto.failure or f"not landed within {plan.land_timeout:g} s")
    # A pilot or the autopilot who took over is left alone.
    return (auto, (), None) if rung >= Rung.LAND else _ask(auto, Request.LAND, now, plan)


def _next(auto: Auto, phase: MissionPhase, now: float, failure: str = "") -> Step:
    return auto._replace(phase=phase, since=now, asked=None, failure=auto.failure or failure), (), None


def _give_up(auto: Auto, ladder: Ladder, now: float) -> Step:
    return _next(auto, MissionPhase.LAND, now, _fallen(auto, ladder))


def _fallen(auto: Auto, ladder: Ladder) -> str:
    told = ladder.latched is None or str(ladder.latched) in ladder.reason
    fault = "" if told else f": {ladder.latched}"
    return f"{auto.phase.value}: {ladder.rung.name}, {ladder.reason}{fault}"


def _ask(auto: Auto, request: Request, now: float, plan: Plan) -> Step:
    if auto.asked is not None and now - auto.asked < plan.ask_again:
        return auto, (), None
    return auto._replace(asked=now), (request,), None
