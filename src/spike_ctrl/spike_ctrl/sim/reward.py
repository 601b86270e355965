"""The reward of the paper: r = C_survive - C_p |p|^2 - C_v |v|^2 - C_q |q|^2 - C_a |u - u_hover|^2 per step.

p, v: position and velocity in the set-point's frame; q: rotation vector of the attitude error; u: normalised motor
commands in [0, 1]. A perfect hover earns 1 per step. The action baseline is the airframe's own hover throttle.
"""

import math
from dataclasses import astuple, dataclass

import numpy as np

from spike_ctrl._files.arrays import Floats, Number, Scalars
from spike_ctrl._files.kernel import inlined, kernel
from spike_ctrl._files.ranges import within

TERMS = ("position", "velocity", "attitude", "action")


@dataclass(frozen=True)
class Coefficients:
    """Weights of the reward's terms; by default those at the start of the paper's curriculum."""

    survive: float = within(1.0, 0.0, 1e6, "Earned per step in the air.")
    position: float = within(1.0, 0.0, 1e6, "Cost of the squared distance from the set-point.", "1/m^2")
    velocity: float = within(0.01, 0.0, 1e6, "Cost of the squared velocity.", "s^2/m^2")
    attitude: float = within(0.25, 0.0, 1e6, "Cost of the squared angle of the attitude error.", "1/rad^2")
    action: float = within(0.14, 0.0, 1e6, "Cost of the squared difference of the commands from the hover's.")

    def array(self) -> Floats:
        return np.array(astuple(self), np.float32)


START = Coefficients()
END = Coefficients(survive=1.0, position=3.5, velocity=0.10, attitude=0.25, action=0.50)
CURRICULUM_STEPS = 6


def curriculum(progress: float) -> Coefficients:
    """Coefficients at `progress` in [0, 1]: six equal stages, linear from START to END."""
    stage = min(int(progress * CURRICULUM_STEPS), CURRICULUM_STEPS - 1)
    share = stage / (CURRICULUM_STEPS - 1)
    return Coefficients(*(a + share * (b - a) for a, b in zip(astuple(START), astuple(END), strict=True)))


_ONE, _HALF, _HALF_PI, _PI = (np.float32(x) for x in (1.0, 0.5, math.pi / 2, math.pi))
# Abramowitz and Stegun 4.4.49: arctan on [0, 1] to 2e-8, in a form the compiler can vectorise.
_A2, _A4, _A6, _A8 = (np.float32(x) for x in (-0.3333314528, 0.1999355085, -0.1420889944, 0.1065626393))
_A10, _A12, _A14, _A16 = (np.float32(x) for x in (-0.0752896400, 0.0429096138, -0.0161657367, 0.0028662257))
_TINY = np.float32(1e-20)


@inlined
def angle_between(sine: Number, cosine: Number) -> Number:
    """atan2 for sine >= 0: an angle in [0, pi]."""
    c = abs(cosine)
    low, high = (sine, c) if sine < c else (c, sine)
    x = low / (high + _TINY)
    z = x * x
    a = x * (_ONE + z * (_A2 + z * (_A4 + z * (_A6 + z * (_A8 + z * (_A10 + z * (_A12 + z * (_A14 + z * _A16))))))))
    a = a if sine < c else _HALF_PI - a
    return a if cosine >= np.float32(0.0) else _PI - a


@inlined
def costs(o: Scalars, u: Scalars, hover: Number) -> Scalars:
    """The four squared errors (position, velocity, attitude, action) from the 18 observation numbers and 4 commands."""
    x, y, z = o[10] - o[8], o[5] - o[9], o[6] - o[4]
    angle = angle_between(_HALF * math.sqrt(x * x + y * y + z * z), _HALF * (o[3] + o[7] + o[11] - _ONE))
    d0, d1, d2, d3 = u[0] - hover, u[1] - hover, u[2] - hover, u[3] - hover
    return (
        o[0] * o[0] + o[1] * o[1] + o[2] * o[2],
        o[12] * o[12] + o[13] * o[13] + o[14] * o[14],
        angle * angle,
        d0 * d0 + d1 * d1 + d2 * d2 + d3 * d3,
    )


@kernel(cache=True)
def _costs_batch(observation: Floats, command: Floats, hover: Number, out: Floats) -> None:
    for n in range(len(observation)):
        o, u = observation[n], command[n]
        c = costs(o, u, hover)
        for i in range(4):
            out[n, i] = c[i]


def squared_errors(observation: Floats, command: Floats, hover: float) -> Floats:
    """The four squared errors (N, 4) in the order of TERMS, from observations (N, 18) and commands u (N, 4) in [0, 1]."""
    out = np.empty((len(observation), 4), np.float32)
    o, u = (np.ascontiguousarray(array, np.float32) for array in (observation, command))
    _costs_batch(o, u, np.float32(hover), out)
    return out


def reward(observation: Floats, command: Floats, hover: float, coefficients: Coefficients) -> Floats:
    """Reward per step (N,), from the observations reached (N, 18) and the commands u (N, 4) that led there."""
    weights = coefficients.array()
    earned: Floats = weights[0] - squared_errors(observation, command, hover) @ weights[1:]
    return earned
