"""An airframe in the parameters of l2f (learning-to-fly), and the airframes that RAPTOR's training drew for it.

l2f has a rigid body, a thrust curve of each rotor, and lags. It has no air: drag of the body, its lever and angular drag
cannot be said in its parameters. A steady force is part of its gravity here. A trim torque is a constant part of each
rotor's thrust, the four of which add up to nothing.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.sim.airframe_sampler import FASTEST, AirframeRanges, DrawnVehicle, sides

_CRAZYFLIE = {"mass": 0.0306, "x": 0.028, "inertia": (9.416556729130406e-6, 9.644051701582312e-6, 1.745951732253285e-5)}
_CURVE = np.array((0.00352526, 0.01437313, 0.09223048))  # of the Crazyflie in l2f, N


def without_air(ranges: AirframeRanges) -> AirframeRanges:
    """The ranges with nothing in them that l2f's parameters cannot say: the same airframes are drawn, without drag."""
    return dataclasses.replace(ranges, drag=(0.0, 0.0), angular_drag=(0.0, 0.0))


def dynamics(vehicle: DrawnVehicle) -> dict[str, Any]:
    """What l2f calls the dynamics of a vehicle, as its JSON names them; rotors in our order, which is its own.

    Raises ValueError for an airframe with drag, UsageError for one that is not an X of four rotors.
    """
    craft = vehicle.airframe
    if any((craft.linear_drag, craft.angular_drag, *craft.body_drag, *craft.velocity_moment)):
        raise ValueError(f"airframe {craft.name}: found drag, wanted none: l2f has no air")
    c0, c1, c2 = craft.thrust_curve
    x, y, spin = (np.array(values) for values in (craft.rotor_x, craft.rotor_y, craft.rotor_spin))
    roll, pitch = sides(craft)
    tx, ty, tz = craft.trim_moment
    push = tx * np.sign(y) / (4 * roll) - ty * np.sign(x) / (4 * pitch) + tz * spin / (4 * craft.torque_per_thrust)
    inertia = np.diag(craft.inertia)
    gravity = np.array(vehicle.force, float) / craft.mass - (0.0, 0.0, GRAVITY)
    return {
        "rotor_positions": [[float(a), float(b), 0.0] for a, b in zip(x, y, strict=True)],
        "rotor_thrust_directions": [[0.0, 0.0, 1.0]] * 4,
        "rotor_torque_directions": [[0.0, 0.0, float(sign)] for sign in spin],
        "rotor_thrust_coefficients": [[float(c0 + more), float(c1), float(c2)] for more in push],
        "rotor_torque_constants": [craft.torque_per_thrust] * 4,
        "rotor_time_constants_rising": [craft.lag_up] * 4,
        "rotor_time_constants_falling": [craft.lag_down] * 4,
        "mass": craft.mass,
        "gravity": gravity.tolist(),
        "J": inertia.tolist(),
        "J_inv": np.linalg.inv(inertia).tolist(),
        "hovering_throttle_relative": craft.hover,
        "action_limit": {"min": 0.0, "max": FASTEST},
    }


def draw_as_raptor(seed: int, vehicle: int, episode: int) -> DrawnVehicle:
    """The quadrotor of that number in that episode as RAPTOR's training drew them; it has no battery, trim or dead time.

    After `sample_initial_parameters` of l2f 2.0.18, which the wheel is compiled without, with the ranges of rl-tools,
    src/foundation_policy/pre_training/sample_dynamics_parameters.cpp (MIT). Its normal deviate of the size has the mean -.1,
    and its steady force has no factor of 9.81; both are kept.
    """
    random = np.random.default_rng([seed, vehicle, episode, 23])
    ratio = random.uniform(1.5, 5.0)
    mass = random.uniform(0.02 ** (1 / 3), 5.0 ** (1 / 3)) ** 3
    torque_to_inertia = random.uniform(40.0, 1200.0)  # 1/s^2
    deviation = random.normal(-0.1, 0.1)
    factor = 1 / (1 - deviation) if deviation < 0 else 1 + deviation
    side = _CRAZYFLIE["x"] * (mass / _CRAZYFLIE["mass"]) ** (1 / 3) * factor
    most = ratio * mass * GRAVITY / 4
    jx = math.sqrt(2) * side * most / torque_to_inertia
    curve = _CURVE * most / _CURVE.sum()
    torque_per_thrust = random.uniform(0.005, 0.05)
    spread = random.uniform(0.0, 0.3 * (ratio - 1)) * ratio * mass / 3
    airframe = Airframe(
        name="drawn as for RAPTOR",
        mass=mass,
        inertia=tuple(jx * value / _CRAZYFLIE["inertia"][0] for value in _CRAZYFLIE["inertia"]),
        rotor_x=(side, -side, -side, side),
        rotor_y=(-side, -side, side, side),
        rotor_spin=(-1.0, 1.0, -1.0, 1.0),
        thrust_curve=tuple(float(value) for value in curve),
        torque_per_thrust=torque_per_thrust,
        lag_up=random.uniform(0.03, 0.1),
        lag_down=random.uniform(0.03, 0.3),
        linear_drag=0.0,
        angular_drag=0.0,
        max_rates=(20.0, 20.0, 10.0),
        action_layout="motors",
    )
    return DrawnVehicle(airframe, random.normal(0.0, spread, 3), 1.0)
