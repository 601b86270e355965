"""The ladder SNN -> GUIDE -> HOLD -> LAND -> SILENT: who flies, and why. Pure; time is in the facts.

Faults lead down by themselves. Up leads only what the operator asks for, and SNN only through GUIDE with the policy in
shadow. SILENT is also where everything begins: passive, the autopilot or a pilot flies. HOLD and LAND are the autopilot's
modes: until it confirms them, commands keep it alive; from then on it flies and none is sent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from spike_ctrl._files.ranges import within
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.flight.answer_checks import Identity
from spike_ctrl.flight.autopilot import Ask, Autopilot, Mode
from spike_ctrl.flight.faults import Fault, Finding, Rung
from spike_ctrl.flight.setpoint import Target, hold
from spike_ctrl.flight.state_checks import Sample, yaw

MODE = {Rung.SNN: Mode.OFFBOARD, Rung.GUIDE: Mode.OFFBOARD, Rung.HOLD: Mode.HOLD, Rung.LAND: Mode.LAND}


class Request(Enum):
    """What an operator may ask for."""

    TAKE_OFF = "take off"  # arm and climb by the guide, the policy in shadow
    GUIDE = "guide"  # the guide flies, in the air
    ENGAGE = "engage"  # the policy flies, in the air, as soon as it agrees with the guide
    DISENGAGE = "disengage"  # hand back to the autopilot, which holds
    LAND = "land"
    SHUT_DOWN = "shut down"


class Event(NamedTuple):
    """Something that happened. severity: ok, warning or error."""

    time: float
    severity: str
    text: str


class Ladder(NamedTuple):
    """Where the flight is on the ladder."""

    rung: Rung = Rung.SILENT
    since: float = 0.0  # s, begin of this rung
    reason: str = "passive: never engaged"
    wanted: bool = False  # the operator wants the policy to fly
    wanted_since: float = 0.0
    confirmed: bool = False  # the autopilot is in the mode of this rung
    came_from: Mode | None = None  # its mode when the rung began
    armed: bool = False  # has been, since this engagement
    taking_off: bool = False
    armed_since: float | None = None  # s, where this stack has armed it
    recovering: Finding | None = None  # what the guide recovers from
    settled_since: float | None = None
    suspect: bool = False  # the guide recovers from what it has done itself
    latched: Finding | None = None  # the fault that ended the last engagement
    trusted: bool = False  # the policy flew until HOLD or LAND and may go on until the autopilot has taken over
    approved: Identity | None = None  # who may fly as the policy
    asked_at: float = -math.inf
    ending: bool = False

    @property
    def commanding(self) -> bool:
        return self.rung < Rung.HOLD or (self.rung < Rung.SILENT and not self.confirmed)


@dataclass(frozen=True)
class LadderLimits:
    """Times in s, lengths in m."""

    stream_lead: float = within(0.5, 0.1, 10.0)  # of commands before OFFBOARD is asked for
    ask_again: float = within(0.5, 0.05, 10.0)
    mode_timeout: float = within(2.5, 0.1, 30.0)  # a heartbeat may be a second late
    arm_timeout: float = within(10.0, 0.5, 120.0)
    spool_up: float = within(1.0, 0.0, 10.0)  # COM_SPOOLUP_TIME
    take_off_height: float = within(1.0, 0.5, 50.0)
    climb_speed: float = within(0.5, 0.05, 5.0)
    take_off_timeout: float = within(15.0, 1.0, 120.0)  # after arming
    reached: float = within(0.1, 0.02, 5.0)  # of the height
    engage_timeout: float = within(10.0, 0.5, 600.0)
    settle_time: float = within(0.5, 0.0, 30.0)
    recover_timeout: float = within(5.0, 0.5, 60.0)
    proven: float = within(1.0, 0.0, 10.0)  # s on its rung, after which what leaves the envelope is the guide's own doing


class Facts(NamedTuple):
    """What the ladder decides by in one step."""

    now: float
    autopilot: Autopilot | None
    sample: Sample | None  # the last accepted state
    target: Target | None
    found: tuple[Finding, ...]
    settled: bool  # well inside the envelope and the cage
    tumbling: bool  # tilt or body rate is far outside of the envelope
    lowest: float  # m, where a recovery may end
    low: bool  # lower than anybody flies: it stands or lies on the ground, or is about to
    agrees: bool  # the policy in shadow agrees with the guide
    disagreement: str
    identity: Identity | None  # of the policy that answers
    unmet: tuple[str, ...] | None  # preconditions, None: not audited
    centre: tuple[float, float, float]  # of the cage

    @property
    def airborne(self) -> bool:
        return self.autopilot is not None and self.autopilot.airborne

    @property
    def hold(self) -> Rung:
        """HOLD, but on the ground LAND, which stops the rotors."""
        return Rung.HOLD if self.airborne and not self.low else Rung.LAND

    @property
    def blocking(self) -> list[str]:
        return [str(finding) for finding in self.found if finding.fault.blocks]


class Move(NamedTuple):
    """The ladder after a step, the target if it changes, what to ask of the autopilot, and what happened."""

    ladder: Ladder
    target: Target | None = None
    ask: Ask | None = None
    events: tuple[Event, ...] = ()


def move(ladder: Ladder, requests: tuple[Request, ...], facts: Facts, limits: LadderLimits) -> Move:
    """One step: requests first, which faults may refuse; then faults; then modes, take-off, recovery and hand-over."""
    done = Move(ladder)
    for request in requests:
        done = _then(done, _obey(done.ladder, request, facts))
    for rule in (_mode, _faults, _take_off, _recover, _hand_over):
        done = _then(done, rule(done.ladder, facts, limits))
    ask = _ask(done.ladder, facts, limits)
    if ask is not None:
        done = done._replace(ladder=done.ladder._replace(asked_at=facts.now), ask=ask)
    return done


def _then(first: Move, second: Move) -> Move:
    target = first.target if second.target is None else second.target
    return Move(second.ladder, target, None, first.events + second.events)


def _go(ladder: Ladder, rung: Rung, reason: str, facts: Facts, **changes) -> Ladder:
    mode = facts.autopilot.mode if facts.autopilot is not None else None
    confirmed = rung in MODE and mode is MODE[rung]
    kept = {"wanted": False, "taking_off": False, "recovering": None, "settled_since": None, "asked_at": -math.inf}
    down = rung in (Rung.HOLD, Rung.LAND)
    changes = kept | {"trusted": down and (ladder.trusted or ladder.rung is Rung.SNN)} | changes
    return ladder._replace(rung=rung, since=facts.now, reason=reason, confirmed=confirmed, came_from=mode, **changes)


def _change(ladder: Ladder, rung: Rung, reason: str, facts: Facts, severity: str = "ok", target=None, **changes) -> Move:
    after = _go(ladder, rung, reason, facts, **changes)
    event = Event(facts.now, severity, f"{ladder.rung.name} -> {rung.name}: {reason}")
    return Move(after, target, None, (event,))


def _here(facts: Facts) -> Target:
    return hold(facts.sample.position, yaw(facts.sample.quaternion))


# --- requests -------------------------------------------------------------------------------------------------------


def _obey(ladder: Ladder, request: Request, facts: Facts) -> Move:
    refusal = _refusal(ladder, request, facts)
    if refusal:
        event = Event(facts.now, "warning", f"refused to {request.value}: {'; '.join(refusal)}")
        return Move(ladder, None, None, (event,))
    if request in (Request.TAKE_OFF, Request.GUIDE, Request.ENGAGE):
        return _enter(ladder, request, facts)
    reason = f"the operator asked to {request.value}"
    if request is Request.SHUT_DOWN:
        ladder = ladder._replace(ending=True)
        if not ladder.commanding and not (ladder.rung is Rung.HOLD and facts.airborne):
            return Move(ladder, None, None, (Event(facts.now, "ok", f"{ladder.rung.name}: {reason}"),))
    piloted = facts.autopilot is not None and facts.autopilot.mode is Mode.OTHER
    landing = request is not Request.DISENGAGE and facts.airborne and not piloted
    if ladder.rung is Rung.GUIDE and not (ladder.confirmed and ladder.armed) and not landing:
        return _change(ladder, Rung.SILENT, reason, facts)  # the autopilot flies still, or nothing does yet
    down = facts.hold if request is Request.DISENGAGE else Rung.LAND
    return _change(ladder, down, reason, facts)


def _enter(ladder: Ladder, request: Request, facts: Facts) -> Move:
    """To GUIDE, or further on it, at the operator's request."""
    taking_off = request is Request.TAKE_OFF
    reason = f"the operator asked to {request.value}"
    wishes = {"wanted": request is Request.ENGAGE, "wanted_since": facts.now, "latched": None}
    if ladder.rung is Rung.GUIDE:
        event = Event(facts.now, "ok", f"GUIDE: {reason}")
        return Move(ladder._replace(**wishes), None, None, (event,))
    target = None if ladder.rung is Rung.SNN else _here(facts)
    changes = wishes | {"armed": facts.autopilot.armed, "taking_off": taking_off, "armed_since": None}
    return _change(ladder, Rung.GUIDE, reason, facts, target=target, **changes)


def _refusal(ladder: Ladder, request: Request, facts: Facts) -> list[str]:
    """All that speaks against a request, in words."""
    if request is Request.SHUT_DOWN:
        return []
    if ladder.ending:
        return ["the stack is shutting down"]
    if request is Request.DISENGAGE:
        return [] if ladder.rung <= Rung.GUIDE else [f"nothing is engaged: {ladder.reason}"]
    if request is Request.LAND:
        if ladder.rung is Rung.LAND:
            return ["it lands already"]
        return [] if facts.airborne or ladder.rung <= Rung.HOLD else ["the vehicle is not in the air"]
    if request is Request.GUIDE and ladder.rung <= Rung.GUIDE and not ladder.taking_off:
        # Down from SNN, or back from wanting it.
        return [] if facts.autopilot is not None else ["the autopilot has not been heard"]
    against = list(facts.blocking)
    if facts.unmet is None:
        against.append("the preflight has not run")
    else:
        against.extend(facts.unmet)
    if facts.sample is None or facts.autopilot is None:
        return against or ["neither state nor autopilot has been seen"]
    if request is Request.TAKE_OFF:
        if ladder.rung is not Rung.SILENT:
            against.append(f"{ladder.rung.name} flies already")
        if facts.autopilot.airborne:
            against.append("the vehicle is in the air")
        return against
    if not facts.airborne:
        against.append("the vehicle is not in the air: take off first")
    if ladder.taking_off:
        against.append("the take-off is not finished")
    if ladder.recovering is not None:
        against.append(f"the guide recovers from {ladder.recovering.fault.name}")
    if request is Request.ENGAGE and ladder.rung is Rung.SNN:
        against.append("SNN flies already")
    return against


# --- faults and modes -----------------------------------------------------------------------------------------------


def _faults(ladder: Ladder, facts: Facts, limits: LadderLimits) -> Move:
    """Down to the worst rung that a fault demands."""
    if ladder.rung is Rung.SILENT:
        return Move(ladder)
    demanding = [finding for finding in facts.found if finding.fault.rung is not None]
    if not demanding:
        return Move(ladder)
    worst = max(demanding, key=lambda finding: finding.fault.rung)
    rung, reason = worst.fault.rung, str(worst)
    rung = facts.hold if rung is Rung.HOLD else rung
    entering = ladder.rung is Rung.GUIDE and not ladder.confirmed
    grounded = ladder.rung is Rung.GUIDE and not ladder.armed
    if (entering or grounded) and rung is not Rung.SILENT:
        return _change(ladder, Rung.SILENT, f"engagement dropped: {reason}", facts, "warning", latched=worst)
    if rung > ladder.rung:
        target = _here(facts) if ladder.rung is Rung.SNN and facts.sample is not None else None
        moved = _change(ladder, rung, reason, facts, worst.fault.severity, target=target, latched=worst)
    elif ladder.wanted and ladder.rung is not Rung.SNN:
        event = Event(facts.now, "warning", f"{ladder.rung.name}: engagement dropped: {reason}")
        moved = Move(ladder._replace(wanted=False, latched=worst), None, None, (event,))
    else:
        moved = Move(ladder)
    if moved.ladder.rung is Rung.GUIDE and moved.ladder.recovering is None and facts.airborne:
        suspect = ladder.rung is Rung.GUIDE and facts.now - ladder.since > limits.proven
        return _begin_recovery(moved, demanding, facts, suspect)
    return moved


def _begin_recovery(moved: Move, demanding: list[Finding], facts: Facts, suspect: bool) -> Move:
    """The guide brings the vehicle to rest, from the wall to the centre of the cage; HOLD follows."""
    settling = [finding for finding in demanding if finding.fault.settles]
    if not settling or facts.sample is None:
        return moved
    why = next((finding for finding in settling if finding.fault is Fault.CAGE_NEAR), settling[0])
    x, y, z = facts.centre if why.fault is Fault.CAGE_NEAR else facts.sample.position
    target = hold((x, y, max(z, facts.lowest)), yaw(facts.sample.quaternion))
    event = Event(facts.now, "warning", f"GUIDE recovers from {why}")
    ladder = moved.ladder._replace(recovering=why, latched=why, wanted=False, taking_off=False, since=facts.now)
    ladder = ladder._replace(suspect=suspect)
    return Move(ladder, target, None, (*moved.events, event))


def _mode(ladder: Ladder, facts: Facts, limits: LadderLimits) -> Move:
    """Yield to whoever changes the mode, notice who disarms, and go on where the autopilot does not take a mode."""
    if ladder.rung is Rung.SILENT or facts.autopilot is None:
        return Move(ladder)
    status, wanted = facts.autopilot, MODE[ladder.rung]
    if status.armed:
        ladder = ladder._replace(armed=True)
    elif ladder.armed or ladder.rung is Rung.LAND:
        done = ladder.rung is Rung.LAND
        reason = "landed and disarmed" if done else "disarmed by the autopilot or a pilot"
        return _change(ladder, Rung.SILENT, reason, facts, "ok" if done else "warning")
    if ladder.rung is Rung.LAND and ladder.confirmed and status.landed and status.mode is not wanted:
        # It has disarmed and gone back to the mode before; that it is disarmed it tells up to a second later.
        return _change(ladder, Rung.SILENT, "landed", facts)
    if status.mode is wanted:
        return Move(ladder if ladder.confirmed else ladder._replace(confirmed=True))
    if ladder.confirmed or status.mode is not ladder.came_from:
        finding = Finding(Fault.TAKEN_OVER, f"found mode {status.mode.value}, wanted {wanted.value}")
        return _change(ladder, Rung.SILENT, str(finding), facts, "warning", latched=finding)
    allowed = limits.mode_timeout + (limits.stream_lead if ladder.rung is Rung.GUIDE else 0.0)
    if facts.now - ladder.since <= allowed:
        return Move(ladder)
    finding = Finding(Fault.MODE_NOT_TAKEN, f"found mode {status.mode.value}, wanted {wanted.value}")
    further = Rung.LAND if ladder.rung is Rung.HOLD else Rung.SILENT
    return _change(ladder, further, str(finding), facts, "error", latched=finding)


# --- up -------------------------------------------------------------------------------------------------------------


def _take_off(ladder: Ladder, facts: Facts, limits: LadderLimits) -> Move:
    """Idle, armed, spooled up, climbing, there."""
    if ladder.rung is not Rung.GUIDE or not ladder.taking_off or facts.sample is None:
        return Move(ladder)
    if ladder.armed_since is None:
        if ladder.armed and ladder.confirmed:
            spooled = limits.spool_up + 1e-3 if facts.airborne else 0.0  # a pilot has lifted off meanwhile
            return Move(ladder._replace(armed_since=facts.now - spooled))
        if facts.now - ladder.since <= limits.arm_timeout:
            return Move(ladder)
        return _change(ladder, Rung.SILENT, "the autopilot did not arm", facts, "error")
    if facts.now - ladder.armed_since > limits.take_off_timeout:
        finding = Finding(Fault.TAKE_OFF_FAILED, f"found {facts.sample.position[2]:.2f} m after {limits.take_off_timeout} s")
        return _change(ladder, Rung.LAND, str(finding), facts, "error", latched=finding)
    path = facts.target.course if facts.target is not None else None
    if not isinstance(path, Trajectory) or path.kind != "climb":
        return Move(ladder) if spooling(ladder, facts.now, limits) else Move(ladder, _climb(facts, limits))
    height = facts.sample.position[2]
    top = path.centre[2] + path.size + facts.target.moved.position[2]
    if not facts.airborne or abs(height - top) > limits.reached:
        return Move(ladder)
    event = Event(facts.now, "ok", f"GUIDE: took off to {height:.2f} m; the policy flies in shadow")
    return Move(ladder._replace(taking_off=False), None, None, (event,))


def _climb(facts: Facts, limits: LadderLimits) -> Target:
    """Straight up from where the vehicle stands."""
    heading, here = yaw(facts.sample.quaternion), facts.sample.position
    path = Trajectory("climb", here, heading, size=limits.take_off_height, speed=limits.climb_speed)
    return Target(path, since=facts.now)


def spooling(ladder: Ladder, now: float, limits: LadderLimits) -> bool:
    """Whether the rotors are still coming up to speed after arming."""
    return ladder.taking_off and ladder.armed_since is not None and now - ladder.armed_since <= limits.spool_up


def _recover(ladder: Ladder, facts: Facts, limits: LadderLimits) -> Move:
    """From GUIDE to HOLD once the vehicle is at rest, when it does not come to rest, or where the guide makes it tumble."""
    if ladder.rung is not Rung.GUIDE or ladder.recovering is None:
        return Move(ladder)
    if ladder.suspect and facts.tumbling:
        finding = Finding(Fault.NOT_RECOVERED, "the guide flew, and the vehicle tumbles")
        return _change(ladder, facts.hold, str(finding), facts, "error", latched=finding)
    if facts.now - ladder.since > limits.recover_timeout:
        finding = Finding(Fault.NOT_RECOVERED, f"from {ladder.recovering.fault.name} within {limits.recover_timeout} s")
        return _change(ladder, facts.hold, str(finding), facts, "error")
    if not facts.settled:
        return Move(ladder._replace(settled_since=None))
    if ladder.settled_since is None:
        return Move(ladder._replace(settled_since=facts.now))
    if facts.now - ladder.settled_since < limits.settle_time:
        return Move(ladder)
    return _change(ladder, facts.hold, f"the guide recovered from {ladder.recovering.fault.name}", facts)


def _hand_over(ladder: Ladder, facts: Facts, limits: LadderLimits) -> Move:
    """From GUIDE to SNN: wanted by the operator, agreeing with the guide, and nothing against it."""
    ready = ladder.rung is Rung.GUIDE and ladder.wanted and ladder.confirmed and not ladder.taking_off
    if not ready or not facts.airborne:
        return Move(ladder)
    if facts.agrees and facts.identity is not None and not facts.blocking:
        who = f"{facts.identity.checkpoint_id} (epoch {facts.identity.epoch})"
        return _change(ladder, Rung.SNN, f"{who} {facts.disagreement}", facts, approved=facts.identity)
    if facts.now - ladder.wanted_since <= limits.engage_timeout:
        return Move(ladder)
    finding = Finding(Fault.DISAGREEMENT, facts.disagreement)
    event = Event(facts.now, "warning", f"GUIDE: engagement dropped: {finding}")
    return Move(ladder._replace(wanted=False, latched=finding), None, None, (event,))


def _ask(ladder: Ladder, facts: Facts, limits: LadderLimits) -> Ask | None:
    """What the autopilot must be asked for now; nothing more often than `ask_again`."""
    if ladder.rung is Rung.SILENT or facts.autopilot is None or facts.now - ladder.asked_at < limits.ask_again:
        return None
    if ladder.rung in (Rung.HOLD, Rung.LAND):
        return None if ladder.confirmed else Ask.HOLD if ladder.rung is Rung.HOLD else Ask.LAND
    if not ladder.confirmed:
        return Ask.OFFBOARD if facts.now - ladder.since >= limits.stream_lead else None
    return Ask.ARM if ladder.taking_off and not ladder.armed else None
