"""The factors of the scaling laws that describe an airframe, and whether they lie within the ranges of a training.

The laws are those of `sim.airframe_sampler`, and for the rate loop of `sim.loop_sampler`.
"""

import math

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.sim import airframe_sampler, loop_sampler
from spike_ctrl.sim.airframe_sampler import AirframeRanges

ROUNDING = 1e-3  # by how much a figure of a described airframe may be beyond a range
PX4_GYRO_CUTOFF = 40.0  # Hz, the default; filters are as quick as this one where loop_filters is 1


def figures(airframe: Airframe) -> dict[str, float]:
    """The factors of the scaling laws that describe an airframe, or the square X that has its authority over roll and pitch.

    Linear drag counts as drag of the body. Raises UsageError as `airframe_sampler.sides`.
    """
    m, length = airframe.mass, airframe_sampler.arm(airframe)
    (jx, jy, jz), (c0, c1, c2) = airframe.inertia, airframe.thrust_curve
    roll, pitch = airframe_sampler.sides(airframe)
    jx, jy = jx * length / math.sqrt(2) / roll, jy * length / math.sqrt(2) / pitch
    drag = (np.mean(airframe.body_drag[:2]) + airframe.linear_drag) / m
    found = {
        "mass": m,
        "thrust_to_weight": airframe.thrust_to_weight,
        "reach": length / m ** (1 / 3),
        "slenderness": jx / (m * length * length),
        "pitch_over_roll": jy / jx,
        "yaw_reach": airframe.torque_per_thrust / length,
        "lag": airframe.lag_up,
        "lag_down": airframe.lag_down / airframe.lag_up,
        "yaw_inertia": 2 * jz / (jx + jy),
        "linear_thrust": c1 / (c1 + c2),
        "idle_thrust": 4 * c0 / (m * GRAVITY),
        "drag": drag,
        "angular_drag": airframe.angular_drag / jx,
        "dead_time": airframe.dead_time,
    }
    if airframe.action_layout == "rates":
        found |= _loop_figures(airframe)
    return {name: float(value) for name, value in found.items()}


def outside(airframe: Airframe, ranges: AirframeRanges = AirframeRanges()) -> list[str]:
    """In words, what of an airframe is not within the ranges; [] for one that could be drawn. Drag below them is none."""
    found = []
    for name, value in figures(airframe).items():
        low, high = getattr(ranges, name)
        low = 0.0 if name == "drag" else low
        if not low - ROUNDING * abs(low) <= value <= high + ROUNDING * abs(high):
            found.append(f"{name}: found {value:.3g}, wanted {low:g} to {high:g}")
    return found


def require_within(airframe: Airframe, ranges: AirframeRanges = AirframeRanges()) -> None:
    """Raise UsageError for an airframe that could not be drawn, naming the first figure that is outside."""
    if problems := outside(airframe, ranges):
        raise UsageError(f"airframe {airframe.name}: {problems[0]}")


def _loop_figures(airframe: Airframe) -> dict[str, float]:
    """The factors of the tuner's rules that describe an airframe's rate loop about roll."""
    loop, lag = loop_sampler.loop_of(airframe), loop_sampler.loop_lag(airframe)
    p = loop.proportional[0]
    return {
        "loop_gain": p * loop_sampler.roll_authority(airframe) * lag,
        "loop_damping": loop.derivative[0] / (p * lag),
        "loop_integral": loop.integral[0] / p,
        "loop_filters": loop_sampler.filter_share(loop.gyro_cutoff) / loop_sampler.filter_share(PX4_GYRO_CUTOFF),
    }
