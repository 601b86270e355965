"""What goes into a step of the supervisor, what comes out of it, and what it remembers."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from spike_ctrl._files.named_tuples import quickly_replaced
from spike_ctrl.control.trajectory import SetPoint, Trajectory, Vector
from spike_ctrl.flight.actuator_faults import RateResidual, TorqueResidual
from spike_ctrl.flight.answer_checks import Answer, AnswerSource, Identity
from spike_ctrl.flight.autopilot import Ask, Autopilot
from spike_ctrl.flight.command_choice import Command, SentCommand
from spike_ctrl.flight.estimate_quality import Doubt
from spike_ctrl.flight.event import Event
from spike_ctrl.flight.faults import Findings, Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.ladder_state import Ladder
from spike_ctrl.flight.motion_check import MotionCheck
from spike_ctrl.flight.policy_monitor import Monitor
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.rotor_check import RotorTrack, ToldRotors
from spike_ctrl.flight.setpoint import Target
from spike_ctrl.flight.state_checks import Sample, StateTrack
from spike_ctrl.flight.state_consistency import Consistency
from spike_ctrl.flight.steering import Astray
from spike_ctrl.flight.swap_trial import SwapTrial
from spike_ctrl.flight.wind_estimate import CALM, Wind


@quickly_replaced
class SupervisorInputs(NamedTuple):
    """What is new at `now` (s, monotonic). Of autopilot, reports and unmet: what is true now.

    candidate: an answer of a new checkpoint in shadow. target: followed until another comes. stream: one set-point of a
    stream. reports: faults that the nodes found. unmet: preconditions of the preflight, None while it has not run.
    """

    now: float
    sample: Sample | None = None
    policy: Answer | None = None
    guide: Answer | None = None
    candidate: Answer | None = None
    autopilot: Autopilot | None = None
    requests: tuple[Request, ...] = ()
    target: SetPoint | Trajectory | None = None
    stream: SetPoint | None = None
    reports: Findings = ()
    unmet: tuple[str, ...] | None = None

    @property
    def airborne(self) -> bool:
        """Whether the autopilot reports a vehicle in the air."""
        return self.autopilot is not None and self.autopilot.airborne


class SupervisorOutput(NamedTuple):
    """What the node does after a step: publish command and set-point, ask the autopilot, print events and status.

    accept: the checkpoint in shadow that may take over at the next tick. finished: an ordered shutdown is over. rotors: for
    the guide, where one is lost: the share of its thrust that each gives, and their speeds, 0 to 1.
    """

    rung: Rung
    command: Command | None
    ask: Ask | None
    set_point: SetPoint | None
    accept: Identity | None
    events: tuple[Event, ...]
    status: str | None
    finished: bool
    rotors: ToldRotors | None = None


@quickly_replaced
class SupervisorState(NamedTuple):
    """What the supervisor remembers.

    early: answers that came before the state that they answer, by the names of their inputs. counts: how often each fault
    was found, by name. seen: when (s) it was last found.
    """

    ladder: Ladder = Ladder()
    track: StateTrack = StateTrack()
    sample: Sample | None = None  # the last accepted state
    doubt: Doubt = Doubt()  # of the autopilot's estimate
    policy: AnswerSource = AnswerSource()
    guide: AnswerSource = AnswerSource()
    candidate: AnswerSource = AnswerSource()
    early: Mapping[str, Answer] = {}
    monitor: Monitor = Monitor()
    guide_monitor: Monitor = Monitor()
    candidate_monitor: Monitor = Monitor()
    accepted: Identity | None = None  # the checkpoint that may take over
    trial: SwapTrial = SwapTrial()  # of the checkpoint that has
    target: Target | None = None
    home: Vector | None = None  # m, where the vehicle last stood disarmed
    granted: SetPoint | None = None  # where the set-point is, on its way to the target's
    granted_at: float = 0.0  # s
    consistency: Consistency = Consistency()
    held: Consistency | None = None  # the same when the autopilot had begun to hold a vehicle in doubt
    turn: RateResidual = RateResidual()
    spin: TorqueResidual = TorqueResidual()
    rotors: RotorTrack = RotorTrack()
    wind: Wind = CALM
    astray: Astray = Astray()  # how guide or policy steers otherwise than towards the set-point
    motion: MotionCheck = MotionCheck()
    sent: SentCommand = SentCommand()
    autopilot: Autopilot | None = None
    stepped: float | None = None  # s, time of the last step
    stalls: int = 0  # one bit per control period: the supervisor was not called in it
    counts: Mapping[str, int] = {}
    seen: Mapping[str, float] = {}
    status_due: float | None = None  # s, time of the next status line
    followed: Any = None  # what settings of a plug-in remember

    @property
    def ground(self) -> float | None:
        """Height (m) of the ground at home."""
        return None if self.home is None else self.home[2]

    @property
    def descends(self) -> bool:
        """Whether its target leads to the ground."""
        return self.target is not None and self.target.descends

    def cage(self, settings: FlightSettings) -> Cage:
        """Where set-points may lie now. In a take-off and a descent they may lie on the ground."""
        laid = settings.cage.laid(self.home).in_wind(self.wind)
        if self.rotors.lost is None:
            laid = laid.in_doubt(self.consistency.doubted(settings.consistency))
        return laid.without_ground if self.ladder.taking_off or self.descends else laid
