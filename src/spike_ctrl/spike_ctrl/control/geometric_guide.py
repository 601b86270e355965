"""The guide: a geometric controller that teaches and backs up the spiking policy.

It sees what the policy does not: rotor speeds, true parameters and the disturbing force. Cascade: position PD with a
capped error, thrust vector with a tilt cap, tilt-prioritised attitude PD with yaw apart (after Brescianini and
D'Andrea, 2018), mixer that gives way in yaw, then in collective, inverse thrust curve, and a lead that shortens the
motor lag. Without the true parameters it flies the nominal airframe and integrates the position error instead.
"""

import math
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_ctrl import airframe as airframes
from spike_ctrl._files.kernel import kernel, spliced
from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.action_mapping import LEAST_COLLECTIVE, action, collective

_action, _collective = spliced(action), spliced(collective)
NEAR = 0.5  # m
RESTING = 0.2  # m/s
LEAN = 0.17  # of the largest thrust, which stays for leaning whatever the lift wants: 10 degrees; not for a known plant
MAX_YAW = 0.3  # rad, of the error in yaw; motors, where the true parameters are not given
Array = NDArray[Any]


def _read_only(array: Array) -> Array:
    """One type for views of messages and arrays of one's own: for each type the kernel would be compiled anew."""
    view = array.view()
    view.flags.writeable = False
    return view


_NO_ROTORS, _NO_DISTURBANCE = (_read_only(np.zeros((1, n), np.float32)) for n in (4, 6))


@dataclass(frozen=True)
class Gains:
    """Tuning of the guide. Frequencies in rad/s; damping ratios without unit."""

    position_frequency: float = within(2.4, 0.01, 1000.0, "Natural frequency of the position loop.", "rad/s")
    position_damping: float = within(0.9, 0.0, 10.0, "Damping ratio of the position loop.")
    max_error: float = within(1.0, 0.01, 100.0, "Largest position error that the guide acts on.", "m")
    max_tilt: float = within(math.radians(60), 0.1, 1.5, "Largest tilt that the guide commands.", "rad")
    tilt_frequency: float = within(9.8, 0.01, 1000.0, "Natural frequency of the tilt loop.", "rad/s")
    tilt_damping: float = within(0.85, 0.01, 10.0, "Damping ratio of the tilt loop.")
    yaw_frequency: float = within(4.0, 0.01, 1000.0, "Natural frequency of the yaw loop.", "rad/s")
    yaw_damping: float = within(1.0, 0.01, 10.0, "Damping ratio of the yaw loop.")
    integral: float = within(0.8, 0.0, 100.0, "Gain on the integral of the position error, if the plant is not told.", "1/s")
    max_integral: float = within(6.0, 0.0, 100.0, "Largest integral: half a vehicle's weight and more.", "m/s^2")
    lead_cap: float = within(1.5, 1.0, 100.0, "Largest factor by which the lead shortens the motor lag.")
    min_lag: float = within(0.02, 1e-3, 1.0, "Motor lag below which the lead does not shorten it.", "s")


class GeometricGuide:
    """Guide for a batch of vehicles of one airframe, with the actions of its layout.

    With `rates` actions the attitude PD becomes a set-point for the body rates that decays the error as fast, and the
    airframe's own rate loop does the rest; rotor speeds are of no use then.

    airframe: an `Airframe`, its name or the path of its file. rate_hz: control steps per second. Raises UsageError.

    >>> guide = GeometricGuide("crazyflie")
    >>> level = np.float32([[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]])  # at rest on the set-point
    >>> action, state = guide.act(level, guide.initial_state(vehicles=1))
    >>> action.round(2)  # the hover: .66 of the full speed of the rotors
    array([[0.32, 0.32, 0.32, 0.32]], dtype=float32)
    """

    def __init__(self, airframe: str | Path | Airframe, gains: Gains = Gains(), rate_hz: float = 100.0) -> None:
        self.airframe = airframe = airframes.load(airframe)
        self._rates = airframe.action_layout == "rates"
        self._limits = np.array([airframe.hover, *airframe.max_rates])
        self._gains = np.array(astuple(gains), np.float32)
        self._nominal = _read_only(dynamics.nominal_plant(airframe)[None])
        self._dt = np.float32(1.0 / rate_hz)
        x, y, spin = airframe.rotor_x, airframe.rotor_y, airframe.rotor_spin
        # Rows: collective, roll, pitch and yaw moment (over torque_per_thrust) as functions of the rotors' thrusts.
        effect = np.array([np.ones(4), y, [-v for v in x], spin])
        self._mixer = np.linalg.inv(effect).astype(np.float32)

    def initial_state(self, vehicles: int) -> np.ndarray:
        """Integral of the position error as an acceleration (N, 3), m/s^2."""
        return np.zeros((vehicles, 3), np.float32)

    def reset_rows(self, state: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The state with nothing integrated for the vehicles of the mask (N,)."""
        return np.where(mask[:, None], np.float32(0), state)

    def act(
        self,
        observation: np.ndarray,
        state: np.ndarray,
        rotor_speed: np.ndarray | None = None,
        disturbance: np.ndarray | None = None,
        plant: np.ndarray | None = None,
        *,
        measured: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Actions (N, 4) in [-1, 1] and the next state.

        observation (N, 18); rotor_speed (N, 4) normalised, or None: no lead; disturbance (N, 6) force N in the world
        and torque N m in the body, or None: unknown, the guide integrates; plant (N, PLANT_SIZE), or None: nominal.
        measured: the disturbance was found in flight, so the plant is not known, and a vehicle may be weaker than it says.
        """
        n = len(observation)
        action, next_state = np.empty((n, 4), np.float32), state.copy()
        _act(
            np.ascontiguousarray(observation, np.float32),
            _NO_ROTORS if rotor_speed is None else _read_only(rotor_speed),
            _NO_DISTURBANCE if disturbance is None else _read_only(disturbance),
            self._nominal if plant is None else _read_only(plant),
            rotor_speed is not None, disturbance is not None and not measured, self._gains, self._mixer, self._dt,
            next_state, action, self._rates, self._limits,
        )  # fmt: skip
        return action, next_state


@spliced
def _speed(thrust: float, c0: float, c1: float, c2: float) -> float:
    """The normalised rotor speed that gives this thrust."""
    if c2 > 0:
        return (-c1 + math.sqrt(max(c1 * c1 - 4 * c2 * (c0 - thrust), 0.0))) / (2 * c2)
    return (thrust - c0) / c1


@kernel(cache=True, nogil=True)
def _act(
    observation: Array, rotor_speed: Array, disturbance: Array, plant: Array, has_rotors: bool, known: bool, gains: Array,
    mixer: Array, dt: np.float32, integral: Array, action: Array, rates: bool, limits: Array,
) -> None:  # fmt: skip
    wn, zeta, max_error, max_tilt, wt, zt, wy, zy, ki, max_integral, lead_cap, min_lag = gains
    thrusts = np.empty(4)
    swing = np.empty(4)
    for n in range(len(observation)):
        o = observation[n]
        p = plant[n % len(plant)]
        d = disturbance[n % len(disturbance)]
        mass, jx, jy, jz, c0, c1, c2, torque, lag_up, lag_down = p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9]
        # Desired force in the set-point frame (the disturbing force is known in it: training set-points have no yaw).
        error = math.sqrt(o[0] * o[0] + o[1] * o[1] + o[2] * o[2])
        scale = min(1.0, max_error / max(error, 1e-6))
        ax = -wn * wn * scale * o[0] - 2 * zeta * wn * o[12]
        ay = -wn * wn * scale * o[1] - 2 * zeta * wn * o[13]
        az = -wn * wn * scale * o[2] - 2 * zeta * wn * o[14]
        if not known:
            # Near the set-point, or at rest far below or above it, where nothing balances the weight. Else it would wind up.
            for i in range(3):
                if error < NEAR or (i == 2 and abs(o[14]) < RESTING):
                    integral[n, i] -= ki * wn * wn * min(max(o[i], -NEAR), NEAR) * dt
                integral[n, i] = min(max(integral[n, i], -max_integral), max_integral)
            ax, ay, az = ax + integral[n, 0], ay + integral[n, 1], az + integral[n, 2]
        fx, fy, fz = mass * ax - d[0], mass * ay - d[1], mass * (az + GRAVITY) - d[2]
        fz = max(fz, 0.2 * mass * GRAVITY)
        planar = math.sqrt(fx * fx + fy * fy)
        limit = fz * math.tan(max_tilt)
        if not known:  # a vehicle that is weaker than it should be would sink while it leans: its lift comes first
            most = 4 * (c0 + c1 + c2)
            limit = min(limit, max(math.sqrt(max(most * most - fz * fz, 0.0)), LEAN * most))
        if planar > limit:
            fx, fy = fx * limit / planar, fy * limit / planar
        force = math.sqrt(fx * fx + fy * fy + fz * fz)
        zx, zy_, zz = fx / force, fy / force, fz / force
        # Tilt error: the rotation from the body's z axis to the desired one, in the body frame.
        bx, by, bz = o[5], o[8], o[11]
        nx, ny, nz = by * zz - bz * zy_, bz * zx - bx * zz, bx * zy_ - by * zx
        sine = math.sqrt(nx * nx + ny * ny + nz * nz)
        cosine = bx * zx + by * zy_ + bz * zz
        factor = math.atan2(sine, cosine) / sine if sine > 1e-6 else 1.0
        ex = factor * (o[3] * nx + o[6] * ny + o[9] * nz)
        ey = factor * (o[4] * nx + o[7] * ny + o[10] * nz)
        yaw = math.atan2(o[6] - o[4], o[3] + o[7])
        collective = max(fx * bx + fy * by + fz * bz, 0.0)
        if rates:
            thrust = min(max(collective / 4, c0), c0 + c1 + c2)
            u, hover = _speed(thrust, c0, c1, c2), limits[0]
            action[n, 0] = max(_collective(u, hover), LEAST_COLLECTIVE)
            action[n, 1] = min(max(wt / (2 * zt) * ex / limits[1], -1.0), 1.0)
            action[n, 2] = min(max(wt / (2 * zt) * ey / limits[2], -1.0), 1.0)
            action[n, 3] = min(max(-wy / (2 * zy) * yaw / limits[3], -1.0), 1.0)
            continue
        if not known:  # in flight a vehicle may be turned far; the mixer would then give thrust away for the yaw
            yaw = min(max(yaw, -MAX_YAW), MAX_YAW)
        rx, ry, rz = o[15], o[16], o[17]
        mx = jx * (wt * wt * ex - 2 * zt * wt * rx) + (jz - jy) * ry * rz - d[3]
        my = jy * (wt * wt * ey - 2 * zt * wt * ry) + (jx - jz) * rz * rx - d[4]
        mz = jz * (-wy * wy * yaw - 2 * zy * wy * rz) + (jy - jx) * rx * ry - d[5]
        # Mixer: roll and pitch first, then as much yaw as fits, the collective last.
        low, high = c0, c0 + c1 + c2
        for i in range(4):
            thrusts[i] = mixer[i, 1] * mx + mixer[i, 2] * my
            swing[i] = mixer[i, 3] * mz / max(torque, 1e-9)
        room = (high - low) - (thrusts.max() - thrusts.min())
        if room < 0:
            thrusts *= (high - low) / (thrusts.max() - thrusts.min())
            room = 0.0
        span = swing.max() - swing.min()
        thrusts += swing * min(1.0, room / max(span, 1e-9))
        base = min(max(collective / 4, low - thrusts.min()), high - thrusts.max())
        for i in range(4):
            thrust = min(max(base + thrusts[i], low), high)
            u = _speed(thrust, c0, c1, c2)
            if has_rotors:
                speed = rotor_speed[n, i]
                lag = lag_up if u > speed else lag_down
                u = speed + max(1.0, min(lead_cap, lag / min_lag)) * (u - speed)
            action[n, i] = min(max(_action(u), -1.0), 1.0)
