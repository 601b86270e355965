"""The autopilot's own cascade as in PX4: position P, velocity PI, thrust vector, attitude P. Pure; ENU, FLU, SI units."""

import math
from typing import NamedTuple

from spike_ctrl.airframe import GRAVITY
from spike_ctrl.flight.attitude import product
from spike_ctrl.px4 import frames
from spike_ctrl.px4.frames import Quaternion, Vector
from spike_ctrl.simulated_px4.simulated_parameters import AutopilotParameters

INTEGRAL_LIMIT = 4.0  # m/s^2


class StateEstimate(NamedTuple):
    """The autopilot's estimate: position (m), attitude, velocity (m/s), body rates (rad/s)."""

    position: Vector
    quaternion: Quaternion
    velocity: Vector
    rates: Vector


class CascadeTarget(NamedTuple):
    """position: m. velocity: of the target, m/s. yaw: rad. speed: largest on the way to it, m/s."""

    position: Vector
    velocity: Vector
    yaw: float
    speed: float


class RateCommand(NamedTuple):
    """Input of the rate loop: thrust 0..1 and body rates (rad/s)."""

    thrust: float
    rates: Vector


class MotorCommand(NamedTuple):
    """Commands of the four rotors, 0..1, in the airframe's order. They bypass the rate loop."""

    motors: tuple[float, float, float, float]

    @property
    def thrust(self) -> float:
        """Their mean."""
        return sum(self.motors) / 4


IDLE = RateCommand(0.0, (0.0, 0.0, 0.0))


def position_command(
    estimate: StateEstimate, target: CascadeTarget, integral: Vector, parameters: AutopilotParameters, hover: float,
    dt: float,
) -> tuple[RateCommand, Vector]:  # fmt: skip
    """The command that flies to the target, and the next integral (m/s^2). hover: the thrust that carries the weight."""
    p = parameters
    level, level_integral = p["MPC_XY_VEL_P_ACC"], p["MPC_XY_VEL_I_ACC"]
    upright, upright_integral = p["MPC_Z_VEL_P_ACC"], p["MPC_Z_VEL_I_ACC"]
    (a, b, c), (x, y, z), (ix, iy, iz) = target.position, estimate.position, integral
    ex, ey, ez = a - x, b - y, c - z
    vx, vy = p["MPC_XY_P"] * ex, p["MPC_XY_P"] * ey
    fast = math.hypot(vx, vy)
    if fast > target.speed:
        vx, vy = vx * target.speed / fast, vy * target.speed / fast
    vz = max(-p["MPC_Z_V_AUTO_DN"], min(p["MPC_Z_V_AUTO_UP"], p["MPC_Z_P"] * ez))
    (a, b, c), (x, y, z) = target.velocity, estimate.velocity
    ex, ey, ez = vx + a - x, vy + b - y, vz + c - z
    fx, fy, fz = level * ex + ix, level * ey + iy, max(upright * ez + iz + GRAVITY, 0.1 * GRAVITY)
    integral = (
        max(-INTEGRAL_LIMIT, min(INTEGRAL_LIMIT, ix + level_integral * ex * dt)),
        max(-INTEGRAL_LIMIT, min(INTEGRAL_LIMIT, iy + level_integral * ey * dt)),
        max(-INTEGRAL_LIMIT, min(INTEGRAL_LIMIT, iz + upright_integral * ez * dt)),
    )
    sideways, most = math.hypot(fx, fy), fz * math.tan(math.radians(p["MPC_TILTMAX_AIR"]))
    if sideways > most:
        fx, fy = fx * most / sideways, fy * most / sideways
    force = math.sqrt(fx * fx + fy * fy + fz * fz)
    thrust = max(p["MPC_THR_MIN"], min(p["MPC_THR_MAX"], force * hover / GRAVITY))
    attitude = facing((fx / force, fy / force, fz / force), target.yaw)
    return attitude_command(estimate.quaternion, attitude, thrust, parameters), integral


def without_place(
    estimate: StateEstimate, target: CascadeTarget, integral: Vector
) -> tuple[StateEstimate, CascadeTarget, Vector]:
    """Arguments of `position_command` without a horizontal position: level, it neither holds a place nor brakes."""
    (x, y, _), (_, _, climb) = estimate.position, estimate.velocity
    level = target._replace(position=(x, y, target.position[2]), velocity=(0.0, 0.0, target.velocity[2]))
    return estimate._replace(velocity=(0.0, 0.0, climb)), level, (0.0, 0.0, integral[2])


def attitude_command(found: Quaternion, wanted: Quaternion, thrust: float, parameters: AutopilotParameters) -> RateCommand:
    """The body rates that turn from attitude `found` to attitude `wanted`, within PX4's limits."""
    (x, y, z), w = found[:3], found[3]
    x, y, z, w = product((-x, -y, -z, w), wanted)
    sign = 2.0 if w >= 0 else -2.0
    p = parameters
    a, b, c = (math.radians(p["MC_ROLLRATE_MAX"]), math.radians(p["MC_PITCHRATE_MAX"]), math.radians(p["MC_YAWRATE_MAX"]))
    roll = max(-a, min(a, p["MC_ROLL_P"] * sign * x))
    pitch = max(-b, min(b, p["MC_PITCH_P"] * sign * y))
    return RateCommand(thrust, (roll, pitch, max(-c, min(c, p["MC_YAW_P"] * sign * z))))


def facing(up: Vector, yaw: float) -> Quaternion:
    """The attitude whose body z axis is the unit vector `up` and whose nose points to `yaw` (up must not point down)."""
    ux, uy, uz = up
    # The shortest turn from the world's z axis to `up`, after a turn by yaw.
    w = math.sqrt(max(0.5 * (1 + uz), 1e-9))
    return product((-uy / (2 * w), ux / (2 * w), 0.0, w), frames.from_yaw(yaw))
