"""The one command of a step: who gives it on each rung of the ladder. Pure.

A command answers an accepted, fresh state once. It is finite, within [-1, 1], and changes no faster than the slew limit. On
the ground, and as the last command before silence, it is the supervisor's own. Which commands the bridge passes on to the
autopilot: bridge.py.
"""

from enum import Enum
from typing import NamedTuple

from spike_ctrl._files.named_tuples import quickly_replaced
from spike_ctrl.flight.answer_checks import Action, AnswerSource, Identity, limit_slew, received_at
from spike_ctrl.flight.autopilot import Autopilot, Mode
from spike_ctrl.flight.faults import Findings, Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.ladder_state import Ladder
from spike_ctrl.flight.state_checks import Sample


class CommandedBy(Enum):
    """Whose command it is. REST: the supervisor's own, idle on the ground or level in the air."""

    POLICY = "policy"
    GUIDE = "guide"
    REST = "rest"


@quickly_replaced
class Command(NamedTuple):
    """An action for the state of `tick`, which was received at `received` (s)."""

    tick: int
    received: float
    action: Action
    commander: CommandedBy
    identity: Identity | None = None


class SentCommand(NamedTuple):
    """The last command: tick, time (s) and action, and whether it was the last one before a hand-over to the autopilot."""

    tick: int = -1
    at: float | None = None
    action: Action | None = None
    rested: bool = False


class CommandSources(NamedTuple):
    """What a command is made from. sample: the last accepted state."""

    sample: Sample | None
    policy: AnswerSource
    guide: AnswerSource
    autopilot: Autopilot | None


def choose_command(
    sent: SentCommand, sources: CommandSources, ladder: Ladder, before: Rung, now: float, settings: FlightSettings
) -> tuple[SentCommand, Command | None, Findings]:
    """The command of this step, or None. before: the rung before this step."""
    status, sample = sources.autopilot, sources.sample
    if sample is None or status is None:
        return sent, None, ()
    if ladder.rung is Rung.SILENT:
        if status.mode is not Mode.OFFBOARD or sent.rested or sent.at is None:
            return SentCommand(sent.tick), None, ()
        repeats = status.airborne and now - ladder.since < settings.farewell
        if before is Rung.SILENT and sample.tick <= sent.tick:
            return sent if repeats else SentCommand(sent.tick), None, ()
        return SentCommand(sample.tick, now if repeats else None), _last(sample, status, settings), ()
    chosen = _choose(sent, sources, sample, status, ladder, now, settings)
    if chosen is None:
        handing_over = ladder.rung >= Rung.HOLD and ladder.commanding and ladder.came_from is Mode.OFFBOARD
        if handing_over and not sent.rested and now - (sent.at or 0.0) > settings.answers.silent:
            return SentCommand(sent.tick, sent.at, None, True), _last(sample, status, settings), ()
        return sent, None, ()
    found: Findings = ()
    action = chosen.action
    if chosen.commander is not CommandedBy.REST:
        action = settings.with_thrust(action)
        action, found = limit_slew(action, sent.action, settings.answers)
        if action is not chosen.action:
            chosen = chosen._replace(action=action)
    return SentCommand(chosen.tick, now, action), chosen, found


def _last(sample: Sample, status: Autopilot, settings: FlightSettings) -> Command:
    """The supervisor's own command before somebody else flies: level in the air, idle on the ground."""
    rest = settings.level if status.airborne else settings.idle
    return Command(sample.tick, sample.received, rest, CommandedBy.REST)


def _choose(
    sent: SentCommand, sources: CommandSources, sample: Sample, status: Autopilot, ladder: Ladder, now: float,
    settings: FlightSettings,
) -> Command | None:  # fmt: skip
    """The command on this rung, for a fresh state that has had none."""
    policy, guide, silent = sources.policy, sources.guide, settings.answers.silent
    if ladder.rung is Rung.SNN:
        return _answer_of(policy, CommandedBy.POLICY, sent, now, silent)
    if ladder.rung is Rung.GUIDE:
        spooling = ladder.spools_up(now, settings.ladder)
        # The rotors rest until the vehicle is armed, and spool up after that, even if the autopilot already reports that it
        # flies. Later the guide commands, even if the autopilot reports a landing: rotors at rest would be a fall.
        waiting = ladder.armed_since is None and not status.airborne
        if not ladder.taking_off or not (waiting or spooling):
            return _answer_of(guide, CommandedBy.GUIDE, sent, now, silent)
        resting = settings.spool if spooling else settings.idle
        passes = sample.tick > sent.tick and now - sample.received <= silent
        return Command(sample.tick, sample.received, resting, CommandedBy.REST) if passes else None
    if ladder.confirmed or ladder.came_from is not Mode.OFFBOARD:
        return None
    if now - status.heard > settings.stall:  # after a stall the supervisor does not know who flies by now
        return None
    if ladder.may_bridge and guide.waiting_since is not None and now - guide.waiting_since > silent:
        return _answer_of(policy, CommandedBy.POLICY, sent, now, silent)
    return _answer_of(guide, CommandedBy.GUIDE, sent, now, silent)


def _answer_of(source: AnswerSource, by: CommandedBy, sent: SentCommand, now: float, silent: float) -> Command | None:
    """The latest answer of a source, where its state has had no command and came no longer than `silent` (s) ago."""
    answer = source.latest
    if answer is None or answer.tick <= sent.tick:
        return None
    received = received_at(source.states, answer.tick)
    if received is None or now - received > silent:
        return None
    return Command(answer.tick, received, answer.action, by, answer.identity)
