"""Samples a rate controller for a random airframe, and the hover throttle its autopilot assumes.

Rotors that follow with a lag, behind a gain, are an oscillator. So its tuner raises the gain P until a step swings, and
damps it with D. With A the angular acceleration about roll (rad/s^2) that a normalised torque of 1 gives in the hover,
and L the lag of rotors and gyro filter together, s:

    P = loop_gain / (A L)        D = loop_damping L P        I = loop_integral P

A follows from the airframe: each rotor's command changes by sqrt(1/2), and its thrust by the slope of the thrust curve.
P, I and D of pitch and yaw stand to those of roll as the carrier's do, which has PX4's ratios. One factor quickens both
filters. The delay within the loop is the carrier's; `late` control steps come before it.

The autopilot is told a throttle at which the vehicle hovers. There four rotors give told_thrust times the weight.
"""

import dataclasses
import math

import numpy as np

from spike_ctrl._files.arrays import Floats
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import GRAVITY, Airframe, RateLoop, rotor_speed
from spike_ctrl.sim.rate_loop import SUBSTEPS

SUBSTEP = 0.01 / SUBSTEPS  # s, in which the filters' shares of a new value are compared
GAINS = ("proportional", "integral", "derivative")
SAME = ("integral_limit", "delay", "airmode")  # of a loop and its carrier's
EQUAL = 1e-3  # relative, of numbers that must be those of the carrier


def roll_authority(airframe: Airframe) -> float:
    """Angular acceleration about roll (rad/s^2) that a normalised torque of 1 gives in the hover."""
    _, c1, c2 = airframe.thrust_curve
    side = float(np.abs(airframe.rotor_y).mean())
    return 4 * side * math.sqrt(0.5) * (c1 + 2 * c2 * airframe.hover) / airframe.inertia[0]


def loop_lag(airframe: Airframe) -> float:
    """The lag (s) of rotors and gyro filter together."""
    return (airframe.lag_up + airframe.lag_down) / 2 + 1 / (2 * math.pi * loop_of(airframe).gyro_cutoff)


def loop_of(airframe: Airframe) -> RateLoop:
    """The airframe's rate loop. Raises UsageError where it has none."""
    airframe.require_layout("rates")
    if airframe.rate_loop is None:
        raise UsageError(f"airframe {airframe.name}: rate_loop: found none, wanted one")
    return airframe.rate_loop


def tuned(airframe: Airframe, carrier: Airframe, gain: float, damping: float, integral: float, filters: float) -> Airframe:
    """The airframe (of any layout) with the layout `rates`, and a loop in the proportions of the carrier's."""
    model = loop_of(carrier)
    gyro, slope = (_cutoff(filters * filter_share(cutoff)) for cutoff in (model.gyro_cutoff, model.derivative_cutoff))
    craft = dataclasses.replace(
        airframe,
        action_layout="rates",
        max_rates=carrier.max_rates,
        rate_loop=dataclasses.replace(model, gyro_cutoff=gyro, derivative_cutoff=slope),
    )
    lag = loop_lag(craft)
    p = gain / (roll_authority(craft) * lag)
    d = damping * lag * p
    loop = dataclasses.replace(
        loop_of(craft),
        proportional=_scaled(model.proportional, p),
        integral=_scaled(model.integral, integral * p),
        derivative=_scaled(model.derivative, d),
    )
    return dataclasses.replace(craft, rate_loop=loop)


def _scaled(values: tuple[float, ...], roll: float) -> tuple[float, ...]:
    return tuple(float(roll * value / values[0]) for value in values)


def filter_share(cutoff: float) -> float:
    """Of a new value in the loop's filter of first order with this cutoff (Hz)."""
    return 1 - math.exp(-2 * math.pi * cutoff * SUBSTEP)


def _cutoff(share: float) -> float:
    return -math.log(1 - share) / (2 * math.pi * SUBSTEP)


def carried_loop(airframe: Airframe, carrier: Airframe) -> Floats:
    """Factors (4,) with which the carrier's loop becomes the airframe's. Raises UsageError where there are none."""
    ours, theirs = loop_of(airframe), loop_of(carrier)
    for name in SAME:
        _require_equal(airframe, carrier, f"rate_loop.{name}", getattr(ours, name), getattr(theirs, name))
    _require_equal(airframe, carrier, "max_rates", airframe.max_rates, carrier.max_rates)
    factors = []
    for name in GAINS:
        factor = getattr(ours, name)[0] / getattr(theirs, name)[0]
        wanted = tuple(factor * value for value in getattr(theirs, name))
        _require_equal(airframe, carrier, f"rate_loop.{name}", getattr(ours, name), wanted)
        factors.append(factor)
    factors.append(filter_share(ours.gyro_cutoff) / filter_share(theirs.gyro_cutoff))
    cutoff = _cutoff(min(factors[3] * filter_share(theirs.derivative_cutoff), 1 - 1e-6))
    _require_equal(airframe, carrier, "rate_loop.derivative_cutoff", ours.derivative_cutoff, cutoff)
    return np.array(factors, np.float32)


def _require_equal(airframe: Airframe, carrier: Airframe, name: str, found: object, wanted: object) -> None:
    if found == wanted or (not isinstance(found, str) and np.allclose(np.array(found), np.array(wanted), EQUAL)):
        return
    raise UsageError(f"airframe {airframe.name}: {name}: found {found}, wanted {wanted}, as airframe {carrier.name} has")


def told_hover(airframe: Airframe, told_thrust: float) -> float:
    """The throttle that the autopilot takes for that of the hover, .05 to .95."""
    thrust = told_thrust * airframe.mass * GRAVITY / 4
    return float(np.clip(rotor_speed(airframe.thrust_curve, thrust), 0.05, 0.95))
