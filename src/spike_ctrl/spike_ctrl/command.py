"""The one command that may leave: whose it is on each rung, and what the bridge lets pass.

A command answers an accepted state that is fresh, is finite, within [-1, 1] and slewed, and leaves once. On the ground and
as the last act before silence it is the supervisor's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from spike_ctrl import answers, ladder
from spike_ctrl.answers import Action, Answer, Identity, Source
from spike_ctrl.autopilot import Autopilot, Mode
from spike_ctrl.fault import Fault, Finding, Rung
from spike_ctrl.guard import Sample
from spike_ctrl.ladder import Ladder
from spike_ctrl.settings import Settings

SUCCESSION = 1.0  # s without a command, before the bridge obeys another supervisor


class Commander(Enum):
    """Whose command it is. REST: the supervisor's own, idle on the ground or level in the air."""

    POLICY = "policy"
    GUIDE = "guide"
    REST = "rest"


class Command(NamedTuple):
    """An action for the state of `tick`, which was received at `received` (s)."""

    tick: int
    received: float
    action: Action
    commander: Commander
    identity: Identity | None = None


class Sent(NamedTuple):
    """What has been commanded: tick, time (s) and action of the last command, and whether it was the last act."""

    tick: int = -1
    at: float | None = None
    action: Action | None = None
    rested: bool = False


class Sources(NamedTuple):
    """What a command is made from."""

    sample: Sample | None  # the last accepted state
    policy: Source
    guide: Source
    autopilot: Autopilot | None


def command(
    sent: Sent, sources: Sources, rungs: Ladder, before: Rung, now: float, settings: Settings
) -> tuple[Sent, Command | None, tuple[Finding, ...]]:
    """The command of this step, if there is one. before: the rung before this step."""
    status, sample = sources.autopilot, sources.sample
    if sample is None or status is None:
        return sent, None, ()
    rest = settings.level if status.airborne else settings.idle
    last_act = Command(sample.tick, sample.received, rest, Commander.REST)
    if rungs.rung is Rung.SILENT:
        leaving = before is not Rung.SILENT and status.mode is Mode.OFFBOARD and not sent.rested
        return Sent(sent.tick), last_act if leaving else None, ()
    chosen = _choose(sent, sources, rungs, now, settings)
    if chosen is None:
        handing_over = rungs.rung >= Rung.HOLD and rungs.commanding and rungs.came_from is Mode.OFFBOARD
        if handing_over and not sent.rested and now - (sent.at or 0.0) > settings.answers.silent:
            return Sent(sent.tick, sent.at, None, True), last_act, ()
        return sent, None, ()
    action, found = chosen.action, ()
    if chosen.commander is not Commander.REST:
        action, found = answers.slewed(action, sent.action, settings.answers)
    return Sent(chosen.tick, now, action), chosen._replace(action=action), found


def _choose(sent: Sent, sources: Sources, rungs: Ladder, now: float, settings: Settings) -> Command | None:
    """Whose command it is on this rung, for a fresh state that has not been commanded."""

    def fresh(tick: int, received: float) -> bool:
        return tick > sent.tick and now - received <= settings.answers.silent

    def of(source: Source, commander: Commander) -> Command | None:
        answer: Answer | None = source.latest
        received = dict(source.states).get(answer.tick) if answer is not None else None
        if received is None or not fresh(answer.tick, received):
            return None
        return Command(answer.tick, received, answer.action, commander, answer.identity)

    policy, guide, sample = sources.policy, sources.guide, sources.sample
    if rungs.rung is Rung.SNN:
        return of(policy, Commander.POLICY)
    if rungs.rung is Rung.GUIDE:
        spooling = ladder.spooling(rungs, now, settings.ladder)
        # Once it flies, an autopilot that takes it for landed is not believed: rotors at rest would be a fall.
        if sources.autopilot.airborne or not rungs.taking_off or not (rungs.armed_since is None or spooling):
            return of(guide, Commander.GUIDE)
        resting = settings.spool if spooling else settings.idle
        passes = fresh(sample.tick, sample.received)
        return Command(sample.tick, sample.received, resting, Commander.REST) if passes else None
    if rungs.confirmed or rungs.came_from is not Mode.OFFBOARD:
        return None
    if rungs.trusted and guide.waiting_since is not None and now - guide.waiting_since > settings.answers.silent:
        return of(policy, Commander.POLICY)
    return of(guide, Commander.GUIDE)


# --- the bridge -----------------------------------------------------------------------------------------------------


class Passed(NamedTuple):
    """What the bridge remembers: the ticks of its last states with their receipt (s), and the last command's tick."""

    states: tuple[tuple[int, float], ...] = ()
    tick: int = -1
    rested: bool = False
    source: int | None = None  # the supervisor that is obeyed
    heard: float = -math.inf  # s, its last command


def obeys(passed: Passed, source: int, publishers: Callable[[], int], now: float) -> bool:
    """Whether the bridge obeys this supervisor: the one that it did, or another that is alone once that one is silent.

    publishers: how many of commands there are in the graph, which takes a while to ask. Two supervisors are an accident: who
    came second, or guesses, flies nothing.
    """
    return source == passed.source or (now - passed.heard > SUCCESSION and publishers() == 1)


def admit(
    passed: Passed, tick: int, action: Action, layout: str, rests: bool, now: float, settings: Settings
) -> tuple[Passed, tuple[Finding, ...]]:
    """Whether the bridge may send this command to the autopilot: only if nothing was found.

    The bridge appends each state that it publishes to `states`. rests: the command is the supervisor's own; as the last
    act it may repeat a tick or answer an old one, once.
    """

    def refuse(fault: Fault, detail: str):
        return passed, (Finding(fault, detail),)

    if layout != settings.layout:
        return refuse(Fault.WRONG_IDENTITY, f"command: layout: found '{layout}', wanted '{settings.layout}'")
    if len(action) != 4 or not all(math.isfinite(a) and -1.0 <= a <= 1.0 for a in action):
        return refuse(Fault.ACTION_NOT_FINITE, f"command: found {action}, wanted four numbers in [-1, 1]")
    received = dict(passed.states[-answers.KEPT :]).get(tick)
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
