"""The automatic flight of the supervisor node: its plan from parameters, and its next step."""

from dataclasses import replace

from spike_ctrl.control import trajectory
from spike_ctrl.control.trajectory import SetPoint, Trajectory
from spike_ctrl.flight import auto_mission
from spike_ctrl.flight.auto_mission import Mission, MissionPhase, MissionPlan
from spike_ctrl.flight.envelope import Envelope
from spike_ctrl.flight.ladder_state import Ladder
from spike_ctrl.flight.request import Request, parse_place
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
    def waits(self) -> bool:
        return self.mission.phase is MissionPhase.WAIT

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
