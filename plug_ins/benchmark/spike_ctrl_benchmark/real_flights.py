"""What real flights of an identified airframe ask of a controller: unknown plants, sensors that err, a battery that empties.

256 vehicles with batteries from full to empty, each a plant of its own within the spread that was identified, follow the
references of the flights: a hover, and circle, figure-eight and trefoil of 1 m at .5, .75 and 1 m/s. A vehicle that is ever
farther than LOST from its set-point is lost.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.json_lines import plain
from spike_ctrl._files.text_table import text_table
from spike_ctrl.airframe import Airframe
from spike_ctrl.control.trajectory import Trajectory, Vector
from spike_ctrl.evaluation.controllers import Controller
from spike_ctrl.evaluation.tracking import FollowedErrors, errors, hovering
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl_benchmark.real_plants import SPREAD

VEHICLES = 256
SECONDS = 20.0
LEAD = 4.0  # s, to find out what it flies
LOST = 1.0  # m
LONGEST_LAG = 0.8  # s, of `lagged_rmse`
SPEEDS = {"slow": 0.5, "medium": 0.75, "fast": 1.0}  # m/s


class RealFlight(NamedTuple):
    """How 256 vehicles followed one reference.

    survival: share that was never lost. rmse, rmse_lagged: m, over the others, as flown and with the best lag taken out.
    lag: s, that lag. change: mean |change of u| per step. lost_after: s of the reference until half are lost; infinite where
    they never are.
    """

    survival: float
    rmse: float
    rmse_lagged: float
    lag: float
    change: float
    lost_after: float

    def to_dict(self) -> dict[str, float | None]:
        """The figures for machines; null where nobody survived."""
        named = {"survival": self.survival, "rmse_m": self.rmse, "rmse_lag_corrected_m": self.rmse_lagged, "lag_s": self.lag}
        named |= {"change_of_u": self.change, "half_lost_after_s": self.lost_after}
        return dict(plain(named))


def references() -> dict[str, Trajectory]:
    """The references by name."""
    found = {"hover": Trajectory("hover", lead=LEAD)}
    for kind in ("circle", "figure8", _trefoil):
        for word, speed in SPEEDS.items():
            path = Trajectory(kind, lead=LEAD)
            found[f"{path.name.strip('_')} {word}"] = replace(path, period=_length(path) / speed)
    return found


def fly_references(
    controller: Controller,
    airframe: Airframe,
    vehicles: int = VEHICLES,
    shown: Callable[[float], None] = lambda share: None,
) -> dict[str, RealFlight]:
    """Fly all references. shown: takes the share that is done."""
    found = {}
    for name, path in (paths := references()).items():
        found[name] = follow(controller, airframe, SPREAD, vehicles, path)
        shown(len(found) / len(paths))
    return found


def reference_table(flown: dict[str, dict[str, RealFlight]]) -> str:
    """For each controller survival, RMSE, RMSE without the lag (cm), and |change of u| on each reference."""
    return "\n".join(_of_controller(label, found) for label, found in flown.items())


def _of_controller(label: str, found: dict[str, RealFlight]) -> str:
    rows = [[label, "alive", "cm", "-lag", "|du|"]]
    for name, f in found.items():
        rows.append([name, f"{f.survival:.3f}", f"{100 * f.rmse:.1f}", f"{100 * f.rmse_lagged:.1f}", f"{f.change:.3f}"])
    return text_table(rows)


def follow(controller: Controller, airframe: Airframe, spread: Randomisation, vehicles: int, path: Trajectory) -> RealFlight:
    steps = int(RATE_HZ * (path.lead + SECONDS))
    environment, observation = hovering(airframe, vehicles, steps, spread)
    found: FollowedErrors = errors(controller, environment, observation, path)
    strayed = ~(found.distance <= LOST)
    alive = ~strayed.any(0)
    lost_after = float(np.quantile(np.where(alive, np.inf, strayed.argmax(0) / RATE_HZ), 0.5, method="higher"))
    if not alive.any():
        return RealFlight(0.0, math.nan, math.nan, math.nan, float(found.change.mean()), lost_after)
    times = path.lead + (1 + np.arange(len(found.error))) / RATE_HZ
    point = np.array([path.at(t).position for t in times])[:, None]
    rmse, change = lagged_rmse(found.error[:, alive] + point, point), float(found.change[alive].mean())
    return RealFlight(float(alive.mean()), *rmse, change, lost_after)


def _trefoil(path: Trajectory, t: float) -> tuple[Vector, Vector]:
    """Three loops within `size` metres, 15 cm up and down."""
    w = 2 * math.pi / path.period
    a, s = w * t, path.size / 3
    offset = s * (math.sin(a) + 2 * math.sin(2 * a)), s * (math.cos(a) - 2 * math.cos(2 * a)), 0.15 * math.sin(3 * a)
    velocity = (
        s * w * (math.cos(a) + 4 * math.cos(2 * a)),
        s * w * (4 * math.sin(2 * a) - math.sin(a)),
        0.45 * w * math.cos(3 * a),
    )
    return offset, velocity


def _length(path: Trajectory) -> float:
    """Of one round, m."""
    times = np.linspace(0, path.period, 401)[:-1]
    return float(np.mean([math.hypot(*path.shape(t)[1]) for t in times]) * path.period)


def lagged_rmse(flown: np.ndarray, wanted: np.ndarray) -> tuple[float, float, float]:
    """RMSE (m) of vehicles (T, N, 3) from where they should be (T, 1, 3), at RATE_HZ: as flown, and with the best lag taken
    out, the same for all; and that lag (s), at most LONGEST_LAG.
    """
    lags = np.arange(int(RATE_HZ * LONGEST_LAG) + 1)
    rmse = [_rmse(flown[lag:] - wanted[: len(wanted) - lag]) for lag in lags]
    best = int(np.argmin(rmse))
    return rmse[0], rmse[best], best / RATE_HZ


def _rmse(error: np.ndarray) -> float:
    return float(np.sqrt((error**2).sum(-1).mean()))
