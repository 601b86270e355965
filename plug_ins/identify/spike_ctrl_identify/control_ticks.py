"""A logged flight on control ticks of 10 ms: interpolated between near samples, unknown across gaps."""

from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from spike_ctrl._files.errors import UsageError
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl_identify.log_defects import gap_limit, outside, period
from spike_ctrl_identify.logged_flight import QUANTITIES, STATE, Series

SLOWEST = {"position": 0.12, "velocity": 0.12, "quaternion": 0.06, "rates": 0.06}
"""s: a state that is logged less often cannot be interpolated."""
COMMANDS = ("motors", "collective_and_rates")
SLOWEST_COMMAND = 0.025  # s: of commands that are logged less often nobody knows what was between them
HELD = ("set_point", "set_point_yaw")  # valid until the next one
SLOW = {"voltage": 1.0}  # s: interpolated across gaps up to this, and held for so long
IDLE = 0.05  # u: no rotor above it, no flight
GROUND = 0.1  # m: lower than this above where it stood, it is on the ground
BESIDE = 2e-3  # s: a tick this near to a sample is known, gap or not
UNIT = 0.05  # a quaternion's norm may differ from 1 by this


class ControlTicks(NamedTuple):
    """T ticks of 10 ms. time (T,): s on the log's clock. values: (T, n) by name of QUANTITIES, NaN where unknown.

    known (T,): the state is known. grounded (T,): it stands on the ground, as far as motors and height tell.
    """

    time: np.ndarray
    values: dict[str, np.ndarray]
    known: np.ndarray
    grounded: np.ndarray


def collectives(thrust: np.ndarray, hover: float) -> np.ndarray:
    """`action_mapping.collective` of an array."""
    return np.where(thrust < hover, thrust / hover - 1, (thrust - hover) / (1 - hover))


def usable(name: str, series: Series) -> Series:
    """The samples of a quantity that can be true: quaternions of norm 1, motors in 0..1."""
    if name.endswith("quaternion"):
        norm = np.linalg.norm(series.value, axis=1)
        good = np.abs(norm - 1) < UNIT
        return Series(series.time[good], series.value[good] / norm[good, None])
    if name == "motors":
        good = ~outside(series)
        return Series(series.time[good], np.clip(series.value[good], 0, 1))
    return series


def sampled(source: str, series: dict[str, Series]) -> ControlTicks:
    """Sample the quantities of a flight, in order of time. source: what an error begins with. Raises UsageError."""
    for name in STATE:
        count = len(series[name].time) if name in series else 0
        if count < 3:
            raise UsageError(f"{source}: {name}: found {count} samples, wanted at least 3")
        if not period(series[name]) <= SLOWEST[name]:
            found = 1e3 * period(series[name])
            wanted = f"wanted one at least each {1e3 * SLOWEST[name]:.0f} ms"
            raise UsageError(f"{source}: {name}: found a sample each {found:.0f} ms, {wanted}")
    begin, end = max(series[n].time[0] for n in STATE), min(series[n].time[-1] for n in STATE)
    count = int((end - begin) * RATE_HZ + 1e-6) + 1
    if end <= begin or count < 2:
        raise UsageError(f"{source}: found no time at which {', '.join(STATE)} were all logged, wanted a flight")
    time = begin + np.arange(count) / RATE_HZ
    values = {name: _at(time, name, series[name]) for name in QUANTITIES if name in series and len(series[name].time)}
    known = np.all([np.isfinite(values[name]).all(1) for name in STATE], axis=0)
    return ControlTicks(time, values, known, _grounded(values))


def _at(time: np.ndarray, name: str, series: Series) -> np.ndarray:
    before = np.searchsorted(series.time, time + 1e-6, side="right") - 1
    found = np.full((len(time), series.value.shape[1]), np.nan)
    if name in HELD:
        found[before >= 0] = series.value[before[before >= 0]]
        return found
    if len(series.time) < 2:
        return found
    before = np.clip(before, 0, len(series.time) - 2)
    near = series.time[before + 1] - series.time[before] <= SLOW.get(name, gap_limit(series))
    near |= np.minimum(np.abs(time - series.time[before]), np.abs(time - series.time[before + 1])) < BESIDE
    beyond = SLOW.get(name, 1e-4)
    near &= (time >= series.time[0] - beyond) & (time <= series.time[-1] + beyond)
    inside = np.clip(time[near], series.time[0], series.time[-1])
    if name.endswith("quaternion"):
        if near.any():
            found[near] = Slerp(series.time, Rotation.from_quat(series.value))(inside).as_quat()
    else:
        found[near] = np.column_stack([np.interp(inside, series.time, column) for column in series.value.T])
    return found


def _grounded(values: dict[str, np.ndarray]) -> np.ndarray:
    """Rotors that idle, or a height as with idle rotors. A log without motors tells no ground."""
    command = values.get("motors")
    thrust = values["collective_and_rates"][:, 0] if "collective_and_rates" in values else None
    height = values["position"][:, 2]
    if command is None and thrust is None:
        return np.zeros(len(height), bool)
    rests = (np.nan_to_num(command, nan=1.0).max(1) if command is not None else np.nan_to_num(thrust, nan=1.0)) < IDLE
    if not np.isfinite(height[rests]).any():
        return rests
    return rests | (height < np.nanmedian(height[rests]) + GROUND)
