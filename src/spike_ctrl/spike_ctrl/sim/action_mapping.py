"""What an action means: the mapping between actions in [-1, 1] and commands, once for simulation, flight and training.

`motors`: each of the four numbers a is a rotor's normalised speed set-point, the command u = (a + 1) / 2 in [0, 1].
`rates`: the first number is the collective. It goes linearly from no thrust at -1 over hover thrust at 0 to full thrust
at 1, thrust being a share of the highest, in [0, 1]. The other three are body rates, as shares of the airframe's limits.

The functions are plain arithmetic, which kernels inline. `command` and `action` take numbers, arrays and tensors;
`thrust` and `collective` take numbers, `thrusts` arrays. Constants are float32, so that a kernel stays in single precision:
a Python float is rounded to it, an np.float64 is not.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.arrays import Numbers
from spike_ctrl.airframe import Airframe

# The least collective that is ever commanded in the air: a quarter of the hover thrust. PX4's mixer gives no torque without
# thrust (MC_AIRMODE 0), and its own position control never asks for less than MPC_THR_MIN, .12 of the full thrust.
LEAST_COLLECTIVE = -0.75
_ZERO, _HALF, _ONE, _TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)


def command(action: Numbers) -> Numbers:
    """u in [0, 1] of an action in [-1, 1]."""
    return _HALF * action + _HALF


def action(command: Numbers) -> Numbers:
    """The action in [-1, 1] that stands for u in [0, 1]: the inverse of `command`."""
    return _TWO * command - _ONE


def at_hover(airframe: Airframe) -> float:
    """The action, each number of it, with which an airframe hovers."""
    return float(action(np.float64(airframe.hover))) if airframe.action_layout == "motors" else 0.0


def thrust(collective: Numbers, hover: Numbers) -> Numbers:
    """Thrust in [0, 1] of a collective in [-1, 1]; hover: that of collective 0."""
    return hover + collective * (hover if collective < _ZERO else _ONE - hover)


def lift(collective: Numbers, hover: Numbers) -> Numbers:
    """The derivative of `thrust` with respect to the collective."""
    return hover if collective < _ZERO else _ONE - hover


def collective(thrust: Numbers, hover: Numbers) -> Numbers:
    """The collective in [-1, 1] that gives a thrust in [0, 1]: the inverse of `thrust`."""
    return thrust / hover - _ONE if thrust < hover else (thrust - hover) / (_ONE - hover)


def thrusts(collective: NDArray[Any], hover: float) -> NDArray[np.float64]:
    """`thrust` of an array."""
    given = np.asarray(collective, float)
    return hover + given * np.where(given < 0, hover, 1 - hover)
