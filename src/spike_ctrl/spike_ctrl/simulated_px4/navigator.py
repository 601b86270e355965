"""Targets of the autopilot's own modes: hold, take off, return, land. Time is the vehicle's (s)."""

import math

from spike_ctrl.control.trajectory import plus
from spike_ctrl.flight.attitude import yaw
from spike_ctrl.px4.dialect import PX4Mode
from spike_ctrl.px4.frames import Vector
from spike_ctrl.simulated_px4.cascade import CascadeTarget, StateEstimate
from spike_ctrl.simulated_px4.simulated_parameters import AutopilotParameters

NEAR = 0.5  # m, within which a place counts as reached
# Measured on PX4: 14 s from the start of a landing at 1.5 m to the ground
LAND_PAUSE = 2.0  # s before the descent, in which the vehicle stops
LAND_SLOWLY_BELOW, LAND_SLOWLY = 2.0, 0.125  # m, m/s
BRAKE_LATE = 0.6  # s: PX4 stops v (v / (2 MPC_ACC_HOR) + 0.6 s) ahead, as if it braked so much later


class Navigator:
    """Targets of AUTO_LOITER, AUTO_TAKEOFF, AUTO_RTL and AUTO_LAND. Call `begin` at the start of each mode.

    home: where the vehicle was last armed.
    """

    def __init__(self) -> None:
        self.home: Vector = (0.0, 0.0, 0.0)
        self._hold: Vector = (0.0, 0.0, 0.0)
        self._yaw = 0.0
        self._since = 0.0
        self._leg = ""
        self._braking = (0.0, 0.0)  # m/s, horizontal velocity of the target while the vehicle comes to rest
        self._climbing = 0.0  # m/s, with which the mode began

    def begin(self, mode: PX4Mode, estimate: StateEstimate, parameters: AutopilotParameters, now: float) -> None:
        """A mode begins at this estimate."""
        self._hold, self._since = estimate.position, now
        self._yaw = yaw(estimate.quaternion)
        self._leg = "land" if mode == PX4Mode.AUTO_LAND else ""
        stops = mode in (PX4Mode.AUTO_LOITER, PX4Mode.AUTO_LAND)
        *level, climb = estimate.velocity if stops else (0.0, 0.0, 0.0)
        self._braking, self._climbing = (level[0], level[1]), climb
        x, y, z = estimate.position
        if mode == PX4Mode.AUTO_TAKEOFF:
            self._hold = (x, y, z + parameters["MIS_TAKEOFF_ALT"])
        elif mode == PX4Mode.AUTO_RTL:
            self._leg = "climb"
            if self._from_home(estimate) > parameters["RTL_MIN_DIST"]:
                self._hold = (x, y, max(z, self.home[2] + parameters["RTL_RETURN_ALT"]))

    def shifted(self, jump: Vector) -> None:
        """The estimate has jumped by so much (m); remembered places jump with it."""
        self.home = plus(self.home, jump)
        self._hold = plus(self._hold, jump)

    def target(self, estimate: StateEstimate, parameters: AutopilotParameters, now: float, dt: float) -> CascadeTarget:
        """The target of this tick of `dt` (s)."""
        self._brake(parameters["MPC_ACC_HOR"] if now - self._since >= BRAKE_LATE else 0.0, dt)
        most = parameters["MPC_ACC_DOWN_MAX" if self._climbing > 0 else "MPC_ACC_UP_MAX"]
        climb = math.copysign(
            stopping(abs(self._climbing), most, parameters["MPC_JERK_AUTO"], now - self._since), self._climbing
        )
        self._hold = plus(self._hold, (0.0, 0.0, climb * dt))
        velocity = (*self._braking, climb)
        if self._leg == "climb" and abs(self._hold[2] - estimate.position[2]) < NEAR:
            self._leg, self._hold = "return", (self.home[0], self.home[1], self._hold[2])
        elif self._leg == "return" and self._from_home(estimate) < NEAR:
            self._leg, self._since = "land", now
        elif self._leg == "land" and now - self._since >= LAND_PAUSE:
            low = estimate.position[2] - self.home[2] < LAND_SLOWLY_BELOW
            speed = LAND_SLOWLY if low else parameters["MPC_LAND_SPEED"]
            velocity = (*self._braking, -speed)
            self._hold = plus(self._hold, (0.0, 0.0, -speed * dt))
        return CascadeTarget(self._hold, velocity, self._yaw, parameters["MPC_XY_CRUISE"])

    def arrived(self, estimate: StateEstimate) -> bool:
        """Whether the vehicle has reached the place that it holds."""
        return math.dist(self._hold, estimate.position) < NEAR

    @property
    def landing(self) -> bool:
        """Whether it descends to the ground."""
        return self._leg == "land"

    def _brake(self, deceleration: float, dt: float) -> None:
        """Like PX4, come to rest as soon as possible, and do not fly back to where the mode began."""
        vx, vy = self._braking
        speed = math.hypot(vx, vy)
        keep = max(0.0, 1 - deceleration * dt / speed) if speed > 0 else 0.0
        self._braking = (keep * vx, keep * vy)
        self._hold = plus(self._hold, (keep * vx * dt, keep * vy * dt, 0.0))

    def _from_home(self, estimate: StateEstimate) -> float:
        return math.hypot(estimate.position[0] - self.home[0], estimate.position[1] - self.home[1])


def stopping(speed: float, deceleration: float, jerk: float, time: float) -> float:
    """The remaining speed (m/s) `time` s after a stop began, with at most this deceleration (m/s^2), jerk (m/s^3)."""
    steepest = min(deceleration, math.sqrt(speed * jerk))
    if steepest <= 0:
        return 0.0
    ramp, end = steepest / jerk, speed / steepest + steepest / jerk
    if time < ramp:
        return speed - jerk * time**2 / 2
    if time < end - ramp:
        return speed - steepest * (time - ramp / 2)
    return jerk * max(end - time, 0.0) ** 2 / 2
