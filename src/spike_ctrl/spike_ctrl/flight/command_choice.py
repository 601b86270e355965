"""The one command that may leave: whose it is on each rung.

A command answers an accepted state that is fresh, is finite, within [-1, 1] and slewed, and leaves once. On the ground and
as the last act before silence it is the supervisor's own. What the bridge lets pass of them: bridge.py.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from spike_ctrl.flight import answer_checks, ladder
from spike_ctrl.flight.answer_checks import Action, Answer, AnswerSource, Identity
from spike_ctrl.flight.autopilot import Autopilot, Mode
from spike_ctrl.flight.faults import Finding, Rung
from spike_ctrl.flight.ladder import Ladder
from spike_ctrl.flight.limits import Settings
from spike_ctrl.flight.state_checks import Sample


class CommandedBy(Enum):
    """Whose command it is. REST: the supervisor's own, idle on the ground or level in the air."""

    POLICY = "policy"
    GUIDE = "guide"
    REST = "rest"


class Command(NamedTuple):
    """An action for the state of `tick`, which was received at `received` (s)."""

    tick: int
    received: float
    action: Action
    commander: CommandedBy
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
    policy: AnswerSource
    guide: AnswerSource
    autopilot: Autopilot | None


def command(
    sent: Sent, sources: Sources, rungs: Ladder, before: Rung, now: float, settings: Settings
) -> tuple[Sent, Command | None, tuple[Finding, ...]]:
    """The command of this step, if there is one. before: the rung before this step."""
    status, sample = sources.autopilot, sources.sample
    if sample is None or status is None:
        return sent, None, ()
    rest = settings.level if status.airborne else settings.idle
    last_act = Command(sample.tick, sample.received, rest, CommandedBy.REST)
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
    if chosen.commander is not CommandedBy.REST:
        action, found = answer_checks.slewed(action, sent.action, settings.answers)
    return Sent(chosen.tick, now, action), chosen._replace(action=action), found


def _choose(sent: Sent, sources: Sources, rungs: Ladder, now: float, settings: Settings) -> Command | None:
    """Whose command it is on this rung, for a fresh state that has not been commanded."""

    def fresh(tick: int, received: float) -> bool:
        return tick > sent.tick and now - received <= settings.answers.silent

    def of(source: AnswerSource, commander: CommandedBy) -> Command | None:
        answer: Answer | None = source.latest
        received = dict(source.states).get(answer.tick) if answer is not None else None
        if received is None or not fresh(answer.tick, received):
            return None
        return Command(answer.tick, received, answer.action, commander, answer.identity)

    policy, guide, sample = sources.policy, sources.guide, sources.sample
    if rungs.rung is Rung.SNN:
        return of(policy, CommandedBy.POLICY)
    if rungs.rung is Rung.GUIDE:
        spooling = ladder.spooling(rungs, now, settings.ladder)
        # Once it flies, an autopilot that takes it for landed is not believed: rotors at rest would be a fall. Nor is one
        # that takes it for flying while they come up to speed.
        waiting = rungs.armed_since is None and not sources.autopilot.airborne
        if not rungs.taking_off or not (waiting or spooling):
            return of(guide, CommandedBy.GUIDE)
        resting = settings.spool if spooling else settings.idle
        passes = fresh(sample.tick, sample.received)
        return Command(sample.tick, sample.received, resting, CommandedBy.REST) if passes else None
    if rungs.confirmed or rungs.came_from is not Mode.OFFBOARD:
        return None
    if now - sources.autopilot.heard > settings.stall:  # who was stopped does not know who flies by now
        return None
    if rungs.trusted and guide.waiting_since is not None and now - guide.waiting_since > settings.answers.silent:
        return of(policy, CommandedBy.POLICY)
    return of(guide, CommandedBy.GUIDE)
