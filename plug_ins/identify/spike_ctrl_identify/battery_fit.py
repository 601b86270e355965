"""Fits how the battery's voltage falls under load and with use, flight by flight one start charge.

    V = empty + (full - empty) charge - sag load_late,  charge' = -load / endurance,  load: mean of r^3 over the rotors

with the load late by the time constant sag_time: what `sim.voltage` simulates. `full` and `empty` are not told by a flight.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.optimize import lsq_linear
from scipy.signal import lfilter

from spike_ctrl.airframe import Airframe
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl_identify.fit import ParameterEstimate
from spike_ctrl_identify.jackknife import ENOUGH, half_width, linear
from spike_ctrl_identify.observed_flight import ObservedFlight

TIMES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0)  # s, of the sag, that are tried
EVERY = 10  # steps: a battery is logged at some 10 Hz
LONGEST = 3600.0  # s


def fit_battery(craft: Airframe, flights: Sequence[ObservedFlight]) -> tuple[Airframe, tuple[ParameterEstimate, ...]]:
    """The airframe with sag, sag_time and endurance of these flights, and what is known of them."""
    before, tried = craft.battery, {}
    for time in TIMES:
        tried[time] = _at(craft, flights, time)
    time = min(tried, key=lambda t: tried[t][2])
    (sag, drain), (sag_width, drain_width), _ = tried[time]
    whole = before.full - before.empty
    drained, sagged = drain > max(drain_width, whole / LONGEST), sag > sag_width
    endurance = whole / drain if drained else before.endurance
    sag = min(sag, 0.45 * before.empty) if sagged else before.sag
    battery = dataclasses.replace(
        before, sag=float(sag), sag_time=time if sagged else before.sag_time, endurance=float(endurance)
    )  # fmt: skip
    width = endurance * drain_width / drain if drained else np.inf
    return dataclasses.replace(craft, battery=battery), (
        ParameterEstimate("battery.sag", "V", before.sag, battery.sag, sag_width, before.sag, sagged),
        ParameterEstimate("battery.sag_time", "s", before.sag_time, battery.sag_time, time / 2, 0.1, sagged),
        ParameterEstimate("battery.endurance", "s", before.endurance, battery.endurance, width, 10.0, drained),
    )


def _at(craft: Airframe, flights: Sequence[ObservedFlight], time: float):
    """(sag, fall of the voltage in a second of load 1), their half-widths, and the mean square of what remains."""
    rows, wanted, who = [], [], []
    for number, flight in enumerate(flights):
        speed = flight.command * craft.battery.factor(flight.voltage[:, None])
        load = (_late(speed, craft.lag_up) ** 3).mean(1)
        late = _late(load[:, None], time)[:, 0]
        at = np.flatnonzero(flight.good)[::EVERY]
        begin = np.zeros((len(at), len(flights)))
        begin[:, number] = 1
        rows.append(np.column_stack([-late[at], -np.cumsum(load)[at] / RATE_HZ, begin]))
        wanted.append(flight.voltage[at])
        who += [number] * len(at)
    x, y = np.vstack(rows), np.concatenate(wanted)
    found = lsq_linear(x, y, (0, np.inf)).x
    error = y - x @ found
    blocks = numbers = np.array(who)
    if len(flights) < ENOUGH:  # what remains is alike for seconds
        blocks = np.arange(len(y)) // max(len(y) // (8 * len(flights)), 1)
    load = x[:, :2] - np.array([x[numbers == n, :2].mean(0) for n in range(len(flights))])[numbers]
    widths = half_width(len(np.unique(blocks))) * np.sqrt(np.diag(linear(load, error, np.ones(len(y)), blocks)))
    return found[:2], widths, float((error**2).mean())


def _late(signal: np.ndarray, time: float) -> np.ndarray:
    """The signal (T, n) behind a first-order lag of `time` seconds, settled at the first row."""
    share = -np.expm1(-1 / (RATE_HZ * time))
    return lfilter([share], [1, share - 1], signal, axis=0, zi=(1 - share) * signal[:1])[0]
