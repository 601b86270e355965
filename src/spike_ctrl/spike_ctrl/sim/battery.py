"""The battery of a vehicle: its voltage falls with its charge and sags under the rotors' load, and weakens the rotors.

    set-point of a rotor = u (V / nominal)^exponent, held over a step
    load = mean of r^3 over the four rotors;  charge' = -load / endurance
    V' = (open-circuit voltage(charge) - sag load - V) / sag_time, open-circuit voltage linear from `empty` to `full`

Charge and voltage move once a step, after the rotors; the fall of the voltage within a step of 10 ms is some 1e-4 of it.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial

from spike_ctrl._files.arrays import Floats, Number, Scalars
from spike_ctrl._files.kernel import inlined
from spike_ctrl.airframe import Airframe

_ZERO, _ONE, _QUARTER = np.float32(0.0), np.float32(1.0), np.float32(0.25)
_DEGREE = 5  # of the polynomial in the voltage that stands for the power, whose vector instructions numba lacks


class BatteryConstants(NamedTuple):
    """Of a battery, for steps of one length; float32 where kernels take them. By default nothing changes.

    factor0..5: coefficients of the factor on commands in z = (voltage - middle) per_half_range, which is in [-1, 1].
    """

    empty: Number = 0.0  # V
    span: Number = 0.0  # V, full - empty
    sag: Number = 0.0  # V at load 1
    share: Number = 0.0  # of the way to the settled voltage in a step
    drain: Number = 0.0  # charge that load 1 takes in a step
    middle: Number = 0.0  # V, of the range of voltages
    per_half_range: Number = 0.0  # 1/V
    factor0: Number = 1.0
    factor1: Number = 0.0
    factor2: Number = 0.0
    factor3: Number = 0.0
    factor4: Number = 0.0
    factor5: Number = 0.0
    fails: Any = None  # True: rotors may fail, and the kernels are compiled with that, see `rotor_loss`


def constants(airframe: Airframe, dt: float) -> BatteryConstants:
    """Of the battery of an airframe, for steps of `dt` seconds; without a battery, those by which nothing changes."""
    if (b := airframe.battery) is None:
        return BatteryConstants(*map(np.float32, BatteryConstants()[:-1]))
    share = -math.expm1(-dt / b.sag_time) if b.sag_time else 1.0
    low, high = b.empty - 1.5 * b.sag, b.full
    fit = Chebyshev.interpolate(b.factor, _DEGREE, [low, high])
    factor = Polynomial(np.polynomial.chebyshev.cheb2poly(fit.coef), [-1, 1]).coef
    found = [b.empty, b.full - b.empty, b.sag, share, dt / b.endurance, (low + high) / 2, 2 / (high - low)]
    return BatteryConstants(*map(np.float32, [*found, *np.pad(factor, (0, _DEGREE + 1 - len(factor)))]))


@inlined
def unpack_constants(b: Floats, fails: bool | None) -> BatteryConstants:
    """An array of `constants`, and whether rotors may fail (True or None), as the functions here take them."""
    return BatteryConstants(b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], fails)


@inlined
def command_factor(voltage: Number, b: BatteryConstants) -> Number:
    """Set-point of a rotor over its command: (V / nominal)^exponent."""
    z = (voltage - b.middle) * b.per_half_range
    return b.factor0 + z * (b.factor1 + z * (b.factor2 + z * (b.factor3 + z * (b.factor4 + z * b.factor5))))


@inlined
def factor_slope(voltage: Number, b: BatteryConstants) -> Number:
    """Derivative of `command_factor` with respect to the voltage."""
    z = (voltage - b.middle) * b.per_half_range
    two, three, four, five = np.float32(2.0), np.float32(3.0), np.float32(4.0), np.float32(5.0)
    by_z = b.factor1 + z * (two * b.factor2 + z * (three * b.factor3 + z * (four * b.factor4 + z * five * b.factor5)))
    return b.per_half_range * by_z


@inlined
def load_of(r0: Number, r1: Number, r2: Number, r3: Number) -> Number:
    """Load of the battery at these normalised rotor speeds, 1 at full speed."""
    return _QUARTER * (r0 * r0 * r0 + r1 * r1 * r1 + r2 * r2 * r2 + r3 * r3 * r3)


@inlined
def settled(charge: Number, load: Number, b: BatteryConstants) -> Number:
    """Voltage at this charge once it has sagged under this load."""
    return b.empty + b.span * charge - b.sag * load


@inlined
def drained(charge: Number, voltage: Number, load: Number, b: BatteryConstants) -> tuple[Number, Number]:
    """Charge and voltage after a step with this load."""
    left = charge - b.drain * load
    left = left if left > _ZERO else _ZERO
    return left, voltage + b.share * (settled(left, load, b) - voltage)


@inlined
def drained_vjp(charge: Number, load: Number, b: BatteryConstants, by_charge: Number, by_voltage: Number) -> Scalars:
    """The gradient with respect to charge, voltage and load before a step, from that of charge and voltage after it."""
    by_settled = b.share * by_voltage
    alive = _ONE if charge > b.drain * load else _ZERO
    by_left = alive * (by_charge + b.span * by_settled)
    return by_left, by_voltage - by_settled, -b.sag * by_settled - b.drain * by_left
