"""References of recorded flights, flown again on the identified plant by policies and by the firmware's own controllers."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.arrays import Floats
from spike_ctrl._files.json_lines import plain
from spike_ctrl._files.text_table import text_table
from spike_ctrl.airframe import Airframe
from spike_ctrl.recordings import BagError
from spike_ctrl.recordings.reader import read
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl_benchmark.real_flights import lagged_rmse
from spike_ctrl_benchmark.real_plants import SENSORS, SPREAD
from spike_ctrl_crazyflie import fine_flight
from spike_ctrl_crazyflie.erring_estimate import ErringEstimate
from spike_ctrl_crazyflie.fine_flight import DT, TICKS, DutyCommander, FineVehicle, StateEstimator

TOPICS = ("state", "flight_state", "reference_state", "set_point", "origin")
LEAD = 4.0  # s of hovering at the first set-point
HIGH = 0.3, 0.25  # m: the set-point, and the vehicle, of what is flown again
SMOOTH = 0.1  # s, over which set-points are averaged
LOST = 2.0  # m from the set-point; the controllers of the flights were up to 1.2 m behind


class Reference(NamedTuple):
    """Set-points of a flight. position (T, 3, m), velocity (T, 3, m/s): by ticks of 1 ms, after LEAD seconds of hovering.

    flown (S, 3, m): where the vehicle of the flight was, every 10 ms.
    """

    name: str
    position: Floats
    velocity: Floats
    flown: Floats


class Followed(NamedTuple):
    """How a reference was followed: share of the vehicles that were never lost; of the others RMSE (m) as flown, and with
    the best lag (s) taken out, the same for all.

    estimate: RMS of what the estimate was off by, of all vehicles: position (m), velocity (m/s), attitude (rad).
    """

    survival: float
    rmse: float
    rmse_lagged: float
    lag: float
    estimate: tuple[float, float, float] = (math.nan, math.nan, math.nan)

    def to_dict(self) -> dict[str, float | None]:
        """The figures for machines; null where nobody survived."""
        named = {"survival": self.survival, "rmse_m": self.rmse, "rmse_lag_corrected_m": self.rmse_lagged, "lag_s": self.lag}
        units = ("estimate_position_m", "estimate_velocity_m_s", "estimate_attitude_rad")
        named |= dict(zip(units, self.estimate, strict=True))
        return dict(plain(named))


def reference(bag: Path) -> Reference:
    """The set-points of the flight in a bag while it was in the air.

    A set-point that is held for long was lost on its way to the log: it moves on a straight line to the next one. Raises
    BagError where the bag has no set-points or no flight.
    """
    recording = read(bag, TOPICS)
    if recording.poses is None or recording.sensed is None:
        raise BagError(f"{bag}: found no set_point of a flight, wanted one: spike-ctrl import of a log that has it")
    told, stamp = recording.sensed.set_point, recording.poses.stamp
    seen = recording.reference if recording.reference is not None else recording.poses
    known = np.isfinite(stamp) & np.isfinite(told).all(1) & np.isfinite(seen.position).all(1)
    high = np.flatnonzero(known & (told[:, 2] > HIGH[0]) & (seen.position[:, 2] > HIGH[1]))
    if len(high) < RATE_HZ:
        raise BagError(f"{bag}: found {len(high) / RATE_HZ:g} s in the air with a set-point, wanted at least 1 s")
    chosen = np.arange(high[0], high[-1] + 1)[known[high[0] : high[-1] + 1]]
    time, path, flown = stamp[chosen], told[chosen], seen.position[chosen]
    new = np.append(True, np.any(np.diff(path, axis=0) != 0, axis=1))
    ticks = np.arange(time[0], time[-1], DT)
    moving = _smooth(_at(ticks, time[new], path[new]))
    position = np.concatenate([np.tile(moving[0], (round(LEAD / DT), 1)), moving])
    return Reference(bag.name, position, np.gradient(position, DT, axis=0), _at(ticks[::TICKS], time, flown))


def follow(
    commander: DutyCommander,
    airframe: Airframe,
    path: Reference,
    vehicles: int,
    estimator: Callable[[int], StateEstimator] = lambda seed: ErringEstimate(SENSORS, seed),
    shown: Callable[[], None] = lambda: None,
) -> Followed:
    """Fly a reference by that many plants of `real_plants.SPREAD`. estimator: gives that of the vehicle of a number.
    shown: called after each of them.
    """
    flights = []
    for number, rows in enumerate(fine_flight.plants(airframe, SPREAD, vehicles)):
        vehicle = FineVehicle(airframe, rows, path.position[0])
        flights.append(fine_flight.fly_ticks(commander, vehicle, estimator(number), path.position, path.velocity, LOST))
        shown()
    lead = round(RATE_HZ * LEAD)
    errors = np.array([flight.error for flight in flights])[:, lead:].reshape(-1, 3)
    seen = errors[np.isfinite(errors).all(1)]
    rms = np.sqrt((seen**2).mean(0)) if len(seen) else np.full(3, np.nan)
    found = judged(np.array([flight.position for flight in flights])[:, lead:], path)
    return found._replace(estimate=(float(rms[0]), float(rms[1]), float(rms[2])))


def judged(flights: Floats, path: Reference) -> Followed:
    """Of flights (N, S, 3), every 10 ms from the end of the lead; a flight that holds a NaN is lost."""
    alive = np.isfinite(flights).all((1, 2))
    if not alive.any():
        return Followed(0.0, math.nan, math.nan, math.nan)
    wanted = path.position[round(LEAD / DT) + TICKS - 1 :: TICKS]
    count = min(len(wanted), flights.shape[1])
    return Followed(float(alive.mean()), *lagged_rmse(flights[alive, :count].swapaxes(0, 1), wanted[:count, None]))


def reference_table(found: dict[str, dict[str, Followed]]) -> str:
    """For each flight by its name, and each who followed it: RMSE in cm, and with the best lag taken out; lost vehicles."""
    who = list(next(iter(found.values())))
    rows = [["RMSE cm / with the lag taken out", *who]]
    rows += [[name, *map(_cell, followed.values())] for name, followed in found.items()]
    if len(found) > 1:
        rows.append(["mean", *(_cell(_mean([followed[one] for followed in found.values()])) for one in who)])
    return text_table(rows)


def _cell(found: Followed) -> str:
    if not found.survival:
        return "all lost"
    lost = "" if found.survival == 1 else f" ({1 - found.survival:.0%} lost)"
    return f"{100 * found.rmse:.1f} / {100 * found.rmse_lagged:.1f}{lost}"


def estimates(found: dict[str, dict[str, Followed]]) -> str:
    """What the estimates were off by, for each who followed, over all flights."""
    rows = [["estimate off by, RMS", "position cm", "velocity cm/s", "attitude deg"]]
    for who in next(iter(found.values())):
        position, velocity, attitude = _mean([followed[who] for followed in found.values()]).estimate
        if math.isfinite(position):
            rows.append([who, f"{100 * position:.1f}", f"{100 * velocity:.1f}", f"{math.degrees(attitude):.1f}"])
    return text_table(rows)


def _mean(found: Sequence[Followed]) -> Followed:
    flown = [one for one in found if one.survival]
    if not flown:
        return Followed(0.0, math.nan, math.nan, math.nan)
    survival = float(np.mean([one.survival for one in found]))
    estimate = [float(np.mean(column)) for column in zip(*(one.estimate for one in flown), strict=True)]
    followed = (float(np.mean(column)) for column in list(zip(*flown, strict=True))[1:4])
    return Followed(survival, *followed, estimate=(estimate[0], estimate[1], estimate[2]))


def _at(when: Floats, time: Floats, values: Floats) -> Floats:
    return np.stack([np.interp(when, time, column) for column in values.T], axis=1)


def _smooth(path: Floats) -> Floats:
    """The mean over SMOOTH seconds around each tick; the ends stay where they are."""
    half = round(SMOOTH / DT / 2)
    padded = np.pad(path, ((half, half), (0, 0)), "edge")
    sums = np.cumsum(np.pad(padded, ((1, 0), (0, 0))), axis=0)
    smooth: Floats = (sums[2 * half + 1 :] - sums[: -2 * half - 1]) / (2 * half + 1)
    return smooth
