"""The state of the ladder SNN, GUIDE, HOLD, LAND, SILENT: where a flight is, the facts of one step, and a change of rung.

The rules that decide about a change: ladder.py; about what an operator asks for: operator_requests.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from spike_ctrl._files.named_tuples import quickly_replaced
from spike_ctrl._files.ranges import within
from spike_ctrl.flight.answer_checks import AnswerLimits, Identity
from spike_ctrl.flight.attitude import yaw
from spike_ctrl.flight.autopilot import Ask, Autopilot, Mode
from spike_ctrl.flight.braking import Braking
from spike_ctrl.flight.envelope import Envelope
from spike_ctrl.flight.event import Cause, Event, EventKind
from spike_ctrl.flight.faults import Fault, Finding, Findings, Rung
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.policy_monitor import Monitor
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.rotor_check import LostRotor
from spike_ctrl.flight.setpoint import Target, hold
from spike_ctrl.flight.state_checks import Sample

MODES = {Rung.SNN: Mode.OFFBOARD, Rung.GUIDE: Mode.OFFBOARD, Rung.HOLD: Mode.HOLD, Rung.LAND: Mode.LAND}


@quickly_replaced
class Ladder(NamedTuple):
    """Where a flight is on the ladder. Times in s on the monotonic clock."""

    rung: Rung = Rung.SILENT
    since: float = 0.0  # start of this rung, or of the recovery on it
    because: Event = Event(0.0, EventKind.NEVER_ENGAGED)  # what led to this rung
    wanted: bool = False  # the operator wants the policy to fly
    wanted_since: float = 0.0
    confirmed: bool = False  # the autopilot is in the mode of this rung
    came_from: Mode | None = None  # the autopilot's mode when this rung began
    asked_for: tuple[Mode, ...] = ()  # modes that were asked for, and that the autopilot may still take late
    armed: bool = False  # the vehicle has been armed during this engagement
    taking_off: bool = False
    landing: bool = False  # the guide brings the vehicle down, and the autopilot lands it from there
    armed_since: float | None = None  # when this stack had the vehicle armed for a take-off
    recovering: Finding | None = None  # the fault that the guide recovers from
    waiting: Request | None = None  # what the operator asked for meanwhile
    settled_since: float | None = None  # since when the recovering vehicle is at rest
    guide_suspect: bool = False  # if the vehicle tumbles in this recovery, it is the guide's doing
    latched: Finding | None = None  # the fault that ended the last engagement
    may_bridge: bool = False  # the policy flew until HOLD or LAND: it may command until the autopilot has taken over
    approved: Identity | None = None  # the checkpoint that may fly as the policy
    asked_at: float = -math.inf  # when the autopilot was last asked for something
    shutting_down: bool = False

    @property
    def commanding(self) -> bool:
        """Whether commands leave: on SNN and GUIDE, and until the autopilot confirms HOLD or LAND."""
        return self.rung < Rung.HOLD or (self.rung < Rung.SILENT and not self.confirmed)

    @property
    def urgent(self) -> bool:
        """Whether the autopilot must hold at once, or else hear nothing more: it does not fly the motor commands."""
        unheard = self.latched is not None and self.latched.fault is Fault.MOTORS_NOT_FLOWN
        return unheard and self.rung is Rung.HOLD and not self.confirmed

    def spools_up(self, now: float, limits: LadderLimits) -> bool:
        """Whether the rotors are still coming up to speed after arming for a take-off."""
        return self.taking_off and self.armed_since is not None and now - self.armed_since <= limits.spool_up

    @property
    def steady(self) -> bool:
        """Whether commands are flown that ask for no more than the vehicle can do: no take-off, and no recovery."""
        return self.rung < Rung.HOLD and self.confirmed and not self.taking_off and self.recovering is None

    def cruises(self, status: Autopilot | None) -> bool:
        """Whether only a fault or a request changes it: on SILENT, or as the autopilot obeys and nothing is awaited."""
        obeys = status is not None and status.armed and status.mode is MODES.get(self.rung)
        awaits = self.wanted or self.taking_off or self.recovering is not None
        return self.rung is Rung.SILENT or (obeys and self.armed and self.confirmed and not awaits)


@dataclass(frozen=True)
class LadderLimits:
    """Times, heights and speeds of take-off, engagement, recovery and of a change of the autopilot's mode."""

    stream_lead: float = within(0.5, 0.1, 10.0, "Time that commands are sent before OFFBOARD is requested.", "s")
    ask_again: float = within(0.5, 0.05, 10.0, "Pause between two equal requests to the autopilot.", "s")
    ask_to_take_over: float = within(0.1, 0.05, 10.0, "Pause between two requests to take over (HOLD, LAND).", "s")
    ask_urgently: float = within(0.009, 0.001, 1.0, "The same if the autopilot flies no motor commands.", "s")
    deaf: float = within(0.12, 0.01, 2.0, "Time until an autopilot that flies no motor commands must have taken over.", "s")
    mode_timeout: float = within(2.5, 0.1, 30.0, "Longest wait for the autopilot's new mode; a heartbeat may be late.", "s")
    arm_timeout: float = within(10.0, 0.5, 120.0, "Longest time until the autopilot has armed.", "s")
    spool_up: float = within(1.0, 0.0, 10.0, "Time of the rotors to come up to speed, COM_SPOOLUP_TIME.", "s")
    take_off_height: float = within(1.0, 0.5, 50.0, "Height of a take-off.", "m")
    climb_speed: float = within(0.5, 0.05, 5.0, "Speed of a take-off.", "m/s")
    take_off_timeout: float = within(15.0, 1.0, 120.0, "Longest time from arming to the end of the take-off.", "s")
    behind: float = within(0.6, 0.05, 10.0, "In a climb: largest distance below the set-point,", "m")
    risen: float = within(0.02, 0.0, 10.0, "of a vehicle that has risen by less than this.", "m")
    sinks: float = within(0.25, 0.05, 5.0, "In a climb: largest speed downwards of a vehicle below the set-point.", "m/s")
    turns: float = within(2.0, 0.1, 100.0, "In a climb: largest body rate where the policy objects,", "rad/s")
    apart: float = within(1.0, 0.0, 2.0, "as it does by this difference from the actions of the guide.", "")
    reached: float = within(0.1, 0.02, 5.0, "Largest distance from the take-off height at which it counts as reached.", "m")
    engage_timeout: float = within(10.0, 0.5, 600.0, "Time after which a request to engage is dropped.", "s")
    settle_time: float = within(0.5, 0.0, 30.0, "Time at rest after which a recovery is over.", "s")
    recover_timeout: float = within(5.0, 0.5, 60.0, "Longest time for a recovery by the guide.", "s")
    proven: float = within(0.4, 0.0, 10.0, "Time on GUIDE after which the guide is blamed for leaving the envelope.", "s")
    objected: float = within(
        0.07, 0.0, 2.0, "It is, too, if its lean along the flight, times the policy's difference from it, is larger.", ""
    )
    guide_brakes: float = within(0.4, 0.0, 10.0, "Time on GUIDE after which the guide has slowed the vehicle.", "s")
    falling: float = within(0.5, 0.0, 50.0, "A vehicle that sinks faster recovers above the place where it stops.", "m/s")
    sinking: float = within(0.4, 0.05, 1.0, "Speed at which the guide lands a vehicle whose rotors are checked.", "m/s")
    pressed: float = within(0.2, 0.01, 5.0, "It has landed if it is this far above its set-point,", "m")
    stands: float = within(0.15, 0.01, 5.0, "and moves no faster than this.", "m/s")


class Facts(NamedTuple):
    """What the ladder decides by in one step."""

    now: float  # s
    autopilot: Autopilot | None
    sample: Sample | None  # the last accepted state
    target: Target | None
    found: Findings
    ground: float | None  # m, its height at home; None: unknown, or it may have become lower since the autopilot flies
    unmet: tuple[str, ...] | None  # preconditions that are not met; None: the preflight has not run
    envelope: Envelope
    cage: Cage  # as it lies over home
    braking: Braking  # of the autopilot
    monitor: Monitor  # of the policy
    limits: AnswerLimits
    lost: LostRotor | None = None  # such a vehicle spins and leans, which is no fault of who flies it
    flown: bool = False  # by the policy, with a lost rotor
    rotors_checked: bool = False  # while this stack commands motors; the autopilot knows no lost rotor
    opposed: bool = False  # the policy in shadow objects, and so does the motion, to how the guide steers

    @property
    def settled(self) -> bool:
        """Whether the vehicle is well inside the envelope and the cage."""
        strayed = any(finding.fault.strays for finding in self.found)
        return self.sample is not None and not strayed and self.envelope.is_settled(self.sample)

    def upset(self, share: float = 1.0) -> bool:
        """Whether tilt or body rate is beyond that share of its limit in the envelope."""
        return self.sample is not None and self.lost is None and self.envelope.is_upset(self.sample, share)

    @property
    def airborne(self) -> bool:
        """Whether the autopilot reports a vehicle in the air."""
        return self.autopilot is not None and self.autopilot.airborne

    @property
    def hold_or_land(self) -> Rung:
        """HOLD in the air. On the ground, and lower than any vehicle that flies, LAND, which stops the rotors."""
        height = math.inf if self.sample is None or self.ground is None else self.sample.position[2] - self.ground
        return Rung.LAND if not self.airborne or height < self.envelope.crash_height else Rung.HOLD

    @property
    def blocking(self) -> list[Finding]:
        """The faults that bar an engagement."""
        return [finding for finding in self.found if finding.fault.blocks]


class Move(NamedTuple):
    """The ladder after a rule, the target where it changes, what to ask of the autopilot, and what happened."""

    ladder: Ladder
    target: Target | None = None
    ask: Ask | None = None
    events: tuple[Event, ...] = ()


def change_rung(
    ladder: Ladder, rung: Rung, kind: EventKind, cause: Cause, facts: Facts, target: Target | None = None, detail: str = ""
) -> Move:
    """To another rung, for this cause. A wish, a take-off and a recovery end there."""
    event = Event(facts.now, kind, cause, rung, ladder.rung, detail=detail)
    mode = facts.autopilot.mode if facts.autopilot is not None else None
    pending = (*ladder.asked_for, MODES[ladder.rung]) if ladder.rung in MODES and not ladder.confirmed else ()
    after = ladder._replace(
        rung=rung,
        since=facts.now,
        because=event,
        confirmed=rung in MODES and mode is MODES[rung],
        came_from=mode,
        asked_for=pending if ladder.asked_at > -math.inf or ladder.asked_for else (),
        wanted=False,
        taking_off=False,
        landing=False,
        recovering=None,
        waiting=None if rung >= Rung.LAND else ladder.waiting,
        settled_since=None,
        asked_at=-math.inf,
        may_bridge=rung in (Rung.HOLD, Rung.LAND) and (ladder.may_bridge or ladder.rung is Rung.SNN),
    )
    return Move(after, target, events=(event,))


def fall_to(rung: Rung, ladder: Ladder, finding: Finding, facts: Facts, kind: EventKind = EventKind.STEPPED_DOWN) -> Move:
    """Down to a rung for a fault, after which the operator must ask again."""
    return change_rung(ladder._replace(latched=finding), rung, kind, finding, facts)


def hold_here(sample: Sample) -> Target:
    """A target that holds the vehicle's present position and yaw."""
    return hold(sample.position, yaw(sample.quaternion))
