"""Motor commands in the Crazyflie firmware's counts: its mixer, its cap, and what a count means for an airframe.

The firmware's controllers give each motor a count of thrust from 0 to 65535; its battery compensation turns that into a duty
so that the thrust is proportional to the count. Here 65535 is the thrust of a rotor of the airframe at u = 1, and the
airframe's thrust curve gives u. Source: bitcraze/crazyflie-firmware, power_distribution_quadrotor.c, legacy mode.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_ctrl.airframe import GRAVITY, Airframe, rotor_speed

Array = NDArray[Any]
FULL = 65535.0
HALF = 32767.0  # the firmware keeps roll, pitch and yaw in 16 bits with a sign


def hover(airframe: Airframe) -> float:
    """The count with which four rotors carry the weight."""
    return float(FULL * airframe.mass * GRAVITY / 4 / airframe.thrust(1.0))


def of_force(airframe: Airframe, force: Array) -> Array:
    """The count of each rotor for a collective force (N)."""
    counts: Array = FULL * force / 4 / airframe.thrust(1.0)
    return counts


def mixed(airframe: Airframe, collective: Array, moment: Array) -> Array:
    """Counts (N, 4) of the motors, in our order. moment (N, 3): roll, pitch and yaw about the body's FLU axes.

    Half of roll and pitch and all of yaw go to each motor. Where the highest is beyond FULL, all are lowered by as much.
    """
    effect = np.stack([np.sign(airframe.rotor_y) / 2, -np.sign(airframe.rotor_x) / 2, airframe.rotor_spin])
    counts = collective[:, None] + moment @ effect
    excess = np.maximum(counts.max(axis=1, keepdims=True) - FULL, 0.0)
    lowered: Array = np.maximum(counts - excess, 0.0)
    return lowered


def commands(airframe: Airframe, counts: Array) -> Array:
    """The commands u (N, 4) in [0, 1] that give the counts' thrust."""
    thrust = np.clip(counts / FULL, 0, 1) * airframe.thrust(1.0)
    found: Array = np.clip(rotor_speed(airframe.thrust_curve, thrust), 0, 1)
    return found
