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


class AutomaticFlight:
    """An automatic flight as the supervisor's parameters `p` plan it. Raises UsageError for an impossible one.

    given_back: as of MissionPlan.
    """

    def __init__(self, p: SupervisorParameters, envelope: Envelope, given_back: bool = False):
        self.anywhere = not p.setpoint
        centre, yaw = ((0.0, 0.0, p.height), 0.0) if self.anywhere else parse_place(p.setpoint)
        paths = trajectory.several(p.trajectory, centre, yaw, p.size, p.period, p.duration)
        paths = tuple(path.within_reach(*envelope.trajectory_limits, envelope.reach) for path in paths)
        self.plan, self.mission = MissionPlan(paths, p.duration, given_back=given_back), Mission()
        self._centre: SetPoint | None = None

    @property
    def done(self) -> bool:
        return self.mission.phase is MissionPhase.DONE

    @property
    def waits(self) -> bool:
        return self.mission.phase is MissionPhase.WAIT

    def advance(
        self, ladder: Ladder, airborne: bool, missing: str, point: SetPoint | None, now: float, *refusals: str
    ) -> tuple[tuple[Request, ...], Trajectory | None, str]:
        """Requests and target for the supervisor's next step, and the name of a phase that has just begun.

        missing, refusals: as of `auto_mission.advance`. point: the present one; from the hand-over on it is the centre.
        """
        before = self.mission.phase
        self.mission, requests, target = auto_mission.advance(
            self.mission, ladder, airborne, missing, now, self.plan, *refusals
        )
        phase = self.mission.phase.value if self.mission.phase is not before else ""
        if target is not None:
            self._centre = self._centre or point
            if self.anywhere and self._centre is not None:
                target = replace(target, centre=self._centre.position, yaw=self._centre.yaw)
            phase = f"fly trajectory {self.mission.leg + 1} of {len(self.plan.trajectories)}, {target.name}"
        return requests, target, phase
