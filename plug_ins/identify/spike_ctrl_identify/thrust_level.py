"""Fits the level of the thrust, and how it falls with the voltage.

The observer's trim takes up what the thrust is wrong by, so errors of prediction do not tell it; the trim itself does:

    log(1 + vertical trim / vertical acceleration of the thrust) = level + slope log(V / nominal)

over all starts. A flight at one voltage tells the level only, and the exponent stays.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from spike_ctrl.airframe import Airframe
from spike_ctrl_identify.fit import ParameterEstimate
from spike_ctrl_identify.jackknife import half_width, linear
from spike_ctrl_identify.observed_flight import HISTORY
from spike_ctrl_identify.open_loop import Starts, predict

RECENT = 20  # steps before a start whose commands and voltage count
MODEL = 0.03  # error of the method, as a share
UNKNOWN = 0.5  # half-width of the battery's exponent; with a wider interval it keeps the prior's value


class ThrustLevel(NamedTuple):
    """Natural logarithm of the factor on the thrust at the nominal voltage, and the power of the voltage on top.

    width, power_width: half-widths of their 95 % intervals. power_width is infinite where the voltage hardly changes.
    """

    level: float
    power: float
    width: float
    power_width: float


def thrust_level(craft: Airframe, at: Starts, blocks: np.ndarray) -> ThrustLevel:
    """What the trims say of the thrust of `craft`. blocks (W,): the block of each start; blocks are independent."""
    rows = slice(HISTORY - RECENT, HISTORY)
    speed, volts = at.command[rows].astype(float), np.zeros(at.count)
    if battery := craft.battery:
        speed = speed * battery.factor(at.voltage[rows, :, None])
        volts = np.log(at.voltage[rows].mean(0) / battery.nominal)
    x, y = at.state[HISTORY, :, 3], at.state[HISTORY, :, 4]
    c0, c1, c2 = craft.thrust_curve
    lift = (c0 + c1 * speed + c2 * speed * speed).sum(2).mean(0) / craft.mass * (1 - 2 * (x * x + y * y))
    wrong = np.log(np.maximum(1 + predict(craft, at, (1,)).push[:, 2] / lift, 0.1))
    level = np.ones((len(wrong), 1))
    if battery is not None and np.std(volts) > 0.01:
        found, widths = _robust(np.column_stack([level, volts]), wrong, blocks)
        if widths[1] / elasticity(craft, float(speed.mean())) < UNKNOWN:
            return ThrustLevel(float(found[0]), float(found[1]), float(widths[0]), float(widths[1]))
    found, widths = _robust(level, wrong, blocks)
    return ThrustLevel(float(found[0]), 0.0, float(widths[0]), np.inf)


def _robust(columns: np.ndarray, wanted: np.ndarray, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least squares with Huber's weights, for a gust is no thrust, and the half-widths of the 95 % intervals."""
    weight = np.ones_like(wanted)
    for _ in range(8):
        found = np.linalg.lstsq(columns * weight[:, None], wanted * weight, rcond=None)[0]
        error = wanted - columns @ found
        limit = 1.5 * 1.4826 * np.median(np.abs(error)) + 1e-9
        weight = np.sqrt(np.minimum(1, limit / np.maximum(np.abs(error), 1e-9)))
    return found, half_width(len(np.unique(blocks))) * np.sqrt(np.diag(linear(columns, error, weight**2, blocks)))


def levelled(craft: Airframe, hover: float, level: ThrustLevel) -> Airframe:
    """The airframe with its thrust so changed. hover: speed at which the power of the voltage becomes one of the command."""
    battery = craft.battery
    if battery:
        exponent = float(np.clip(battery.exponent + level.power / elasticity(craft, hover), 0, 3))
        battery = dataclasses.replace(battery, exponent=exponent)
    curve = tuple(float(np.exp(level.level)) * c for c in craft.thrust_curve)
    return dataclasses.replace(craft, thrust_curve=curve, battery=battery)


def elasticity(craft: Airframe, hover: float) -> float:
    """The power of the rotor's speed in its thrust, at the speed `hover`."""
    return (craft.thrust_curve[1] + 2 * craft.thrust_curve[2] * hover) * hover / craft.thrust(hover)


def estimates(start: Airframe, craft: Airframe, hover: float, level: ThrustLevel) -> list[ParameterEstimate]:
    """The estimate of thrust and exponent once `craft` is level. start: the airframe before the fit."""
    thrust = craft.thrust(hover)
    found = [
        ParameterEstimate("hover_thrust", "N", start.thrust(hover), thrust, thrust * np.hypot(level.width, MODEL), 0.0, True)
    ]
    if craft.battery:
        before, value = start.battery.exponent, craft.battery.exponent
        width = float(np.hypot(level.power_width / elasticity(craft, hover), MODEL * value))
        found.append(ParameterEstimate("battery.exponent", "1", before, value, width, 0.0, bool(width < UNKNOWN)))
    return found
