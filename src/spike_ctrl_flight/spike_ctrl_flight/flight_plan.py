"""What follows from the parameters of a flight's nodes: its settings, the checkpoint that fits, the automatic flight."""

from dataclasses import replace

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.control import trajectory
from spike_ctrl.control.trajectory import SetPoint, Trajectory
from spike_ctrl.flight import auto_mission
from spike_ctrl.flight.auto_mission import Mission, MissionPhase, MissionPlan
from spike_ctrl.flight.envelope import Envelope
from spike_ctrl.flight.estimate_quality import EstimateLimits
from spike_ctrl.flight.flight_options import FlightOptions
from spike_ctrl.flight.flight_settings import FlightSettings, for_adaptation, for_lost_rotor, settings_for
from spike_ctrl.flight.force_consistency import ForceLimits
from spike_ctrl.flight.ladder_state import Ladder
from spike_ctrl.flight.request import Request, parse_place
from spike_ctrl.flight.setpoint_limiter import too_fast
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.manifest import Contract
from spike_ctrl.px4 import preflight
from spike_ctrl.px4.parameter_rules import Wanted, require_version
from spike_ctrl_flight.flight_parameters import SupervisorParameters

STRETCH, SLOWER = 1.25, 6  # factor of a period; how often


class AutomaticFlight:
    """An automatic flight as the supervisor's parameters `p` plan it. Raises UsageError. given_back: as of MissionPlan."""

    def __init__(self, p: SupervisorParameters, envelope: Envelope, given_back: bool = False):
        self.anywhere = not p.setpoint
        centre, yaw = ((0.0, 0.0, p.height), 0.0) if self.anywhere else parse_place(p.setpoint)
        paths = trajectory.several(p.trajectory, centre, yaw, p.size, p.period, p.duration)
        paths = tuple(path.within_reach(*envelope.trajectory_limits, envelope.reach) for path in paths)
        self.plan, self.mission = MissionPlan(paths, p.duration, given_back=given_back), Mission()
        self._centre: SetPoint | None = None
        self._path, self._slower = Trajectory("hover"), SLOWER  # what was asked for last, and how often

    @property
    def done(self) -> bool:
        return self.mission.phase is MissionPhase.DONE

    @property
    def asks_again(self) -> bool:
        """Whether a refusal is not the end: the same is asked for until it is granted, or the patience is over."""
        return self.mission.phase in (MissionPhase.WAIT, MissionPhase.ENGAGE)

    def advance(
        self, ladder: Ladder, airborne: bool, missing: str, point: SetPoint | None, now: float, refusal: str, unflown: str
    ) -> tuple[tuple[Request, ...], Trajectory | None, str]:
        """Requests and target for the supervisor's next step, and what has just begun, in words.

        missing, refusal, unflown: as of `auto_mission.advance`. point: the present one; from the hand-over on it is the
        centre. A trajectory that wind or a doubtful position make too fast is flown slower.
        """
        if unflown and self._slower < SLOWER:
            self._slower, period = self._slower + 1, STRETCH * self._path.period
            self._path = replace(self._path, period=period, lead=STRETCH * self._path.lead)
            return (), self._path, f"{self._path.name} slower, in {period:.1f} s"
        before = self.mission.phase
        known = (ladder, airborne, missing, now, self.plan, refusal, unflown)
        self.mission, requests, target = auto_mission.advance(self.mission, *known)
        phase = self.mission.phase.value if self.mission.phase is not before else ""
        if target is not None:
            self._centre = self._centre or point
            if self.anywhere and self._centre is not None:
                target = replace(target, centre=self._centre.position, yaw=self._centre.yaw)
            phase = f"fly trajectory {self.mission.leg + 1} of {len(self.plan.trajectories)}, {target.name}"
            self._path, self._slower = target, 0
        return requests, target, phase


def flight_settings(options: FlightOptions) -> tuple[Airframe, FlightSettings, Wanted]:
    """Airframe, settings and preflight of a flight. Raises UsageError where parameters contradict each other."""
    vehicle = airframe.load(options.airframe)
    estimate = EstimateLimits(options.deviation, options.height_deviation, options.innovation)
    force = ForceLimits(options.velocity_mismatch)
    settings = settings_for(vehicle, options.rate, options.cage, options.height, estimate, force)
    require_version(options.assume, "parameter 'assume'")
    wanted = Wanted(options.remote_control, options.assume, options.speed, options.paced, 0.8 * options.rate)
    return vehicle, settings, wanted


def plan_flight(p: SupervisorParameters) -> tuple[Airframe, FlightSettings, AutomaticFlight]:
    """Vehicle, settings and automatic flight. Raises UsageError where they are impossible."""
    vehicle, settings, _ = flight_settings(p)
    settings = for_adaptation(settings) if p.adapt else settings
    contract = require_fit(p.model, vehicle, p.rate) if p.model else None
    settings = for_lost_rotor(settings, vehicle, contract is not None and contract.lost_rotor, p.rotor_check)
    sight = None if contract is None else contract.sight
    settings = settings if sight is None else sight.settings(settings, vehicle, p.trajectory)
    automatic = AutomaticFlight(p if sight is None else replace(p, trajectory="hover"), settings.envelope, sight is not None)
    for path in automatic.plan.trajectories if automatic.anywhere else ():
        if why := too_fast(path, settings.cage.laid((0.0, 0.0, 0.0)), settings.braking, settings.set_point):
            raise UsageError(f"trajectory {path.name}: {why}")
    return vehicle, settings, automatic


def require_fit(model: str, vehicle: Airframe, rate_hz: float) -> Contract:
    """The checkpoint's contract. Raises UsageError where it is of another vehicle, rate or layout, or cannot be loaded."""
    contract = checkpoint.load(model).manifest.contract
    for unmet in preflight.audit_contract(contract, vehicle, rate_hz, vehicle.action_layout):
        raise UsageError(f"{model}: {unmet}")
    return contract
