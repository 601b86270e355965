"""The battery of a vehicle: its voltage falls with its charge and sags under the rotors' load, and weakens the rotors.

    set-point of a rotor = u (V / nominal)^exponent, held over a step
    load = mean of r^3 over the four rotors;  charge' = -load / endurance
    V' = (open-circuit voltage(charge) - sag load - V) / sag_time, open-circuit voltage linear from `empty` to `full`

Charge and voltage move once a step, after the rotors; the fall of the voltage within a step of 10 ms is some 1e-4 of it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial

from spike_ctrl._files.arrays import Floats, Number, Scalars
from spike_ctrl._files.kernel import inlined
from spike_ctrl.airframe import Airframe

_ZERO, _ONE, _QUARTER = np.float32(0.0), np.float32(1.0), np.float32(0.25)
_DEGREE = 5  # of the polynomial in the voltage that stands for the power, whose vector instructions numba lacks
NONE = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def constants(airframe: Airframe, dt: float) -> Scalars:
    """Of the battery, for steps of `dt` seconds, as 13 float32; without a battery, those by which nothing changes.

    Empty voltage, full - empty, sag, share of a step in the sag, charge that load 1 takes in a step; middle and reciprocal
    half-width of the range of voltages, six coefficients of the factor on commands in it.
    """
    if (b := airframe.battery) is None:
        return tuple(np.float32(value) for value in NONE)
    share = -math.expm1(-dt / b.sag_time) if b.sag_time else 1.0
    low, high = b.empty - 1.5 * b.sag, b.full
    fit = Chebyshev.interpolate(b.factor, _DEGREE, [low, high])
    factor = Polynomial(np.polynomial.chebyshev.cheb2poly(fit.coef), [-1, 1]).coef
    found = [b.empty, b.full - b.empty, b.sag, share, dt / b.endurance, (low + high) / 2, 2 / (high - low)]
    return tuple(np.float32(value) for value in [*found, *np.pad(factor, (0, _DEGREE + 1 - len(factor)))])


@inlined
def unpack_constants(b: Floats) -> Scalars:
    """An array of `constants` as the tuple that the functions here take."""
    return b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12]


@inlined
def command_factor(voltage: Number, b: Scalars) -> Number:
    """Set-point of a rotor over its command: (V / nominal)^exponent."""
    z = (voltage - b[5]) * b[6]
    return b[7] + z * (b[8] + z * (b[9] + z * (b[10] + z * (b[11] + z * b[12]))))


@inlined
def factor_slope(voltage: Number, b: Scalars) -> Number:
    """Derivative of `command_factor` with respect to the voltage."""
    z = (voltage - b[5]) * b[6]
    two, three, four, five = np.float32(2.0), np.float32(3.0), np.float32(4.0), np.float32(5.0)
    return b[6] * (b[8] + z * (two * b[9] + z * (three * b[10] + z * (four * b[11] + z * five * b[12]))))


@inlined
def load_of(r0: Number, r1: Number, r2: Number, r3: Number) -> Number:
    """Load of the battery at these normalised rotor speeds, 1 at full speed."""
    return _QUARTER * (r0 * r0 * r0 + r1 * r1 * r1 + r2 * r2 * r2 + r3 * r3 * r3)


@inlined
def settled(charge: Number, load: Number, b: Scalars) -> Number:
    """Voltage at this charge once it has sagged under this load."""
    return b[0] + b[1] * charge - b[2] * load


@inlined
def drained(charge: Number, voltage: Number, load: Number, b: Scalars) -> tuple[Number, Number]:
    """Charge and voltage after a step with this load."""
    left = charge - b[4] * load
    left = left if left > _ZERO else _ZERO
    return left, voltage + b[3] * (settled(left, load, b) - voltage)


@inlined
def drained_vjp(charge: Number, load: Number, b: Scalars, by_charge: Number, by_voltage: Number) -> Scalars:
    """The gradient with respect to charge, voltage and load before a step, from that of charge and voltage after it."""
    by_settled = b[3] * by_voltage
    alive = _ONE if charge > b[4] * load else _ZERO
    by_left = alive * (by_charge + b[1] * by_settled)
    return by_left, by_voltage - by_settled, -b[2] * by_settled - b[4] * by_left
