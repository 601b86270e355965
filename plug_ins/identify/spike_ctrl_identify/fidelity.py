"""How well an airframe predicts recorded flight open loop, beside predictions that know nothing of it.

Windows wholly in the air and without a gap, starts each 5 steps, a second of history, commands and voltage given. The error
at a horizon is the mean of its norm over the starts of a flight, then over flights; 95 % intervals by bootstrap over these.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from spike_ctrl._files.text_table import text_table
from spike_ctrl.airframe import Airframe
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl_identify import FIT_AHEAD, Show
from spike_ctrl_identify.flight_fit import fit_flights
from spike_ctrl_identify.observed_flight import AHEAD, EVERY, HISTORY, ObservedFlight, require_starts
from spike_ctrl_identify.open_loop import GROUPS, UNITS, Starts, difference, norms, predict, starts

HORIZONS = (1, 10, 50, 100)  # steps
HOLD, CONSTANT = "hold the last state", "constant velocity and rates"
DRAWS = 2000  # of the bootstrap


class Errors(NamedTuple):
    """Mean errors (F, H, 4) of one way to predict: flights, HORIZONS, open_loop.GROUPS in m, m/s, deg, rad/s."""

    name: str
    values: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean over flights (H, 4)."""
        with _nan_where_none():
            return np.nanmean(self.values, axis=0)

    def interval(self, seed: int = 0) -> np.ndarray:
        """95 % interval of the mean (2, H, 4), by bootstrap over flights."""
        drawn = np.random.default_rng(seed).integers(len(self.values), size=(DRAWS, len(self.values)))
        with _nan_where_none():
            return np.nanpercentile(np.nanmean(self.values[drawn], axis=1), [2.5, 97.5], axis=0)


def counted(flights: int, starts: int) -> str:
    """How many flights and starts were compared, and what the intervals are of, in words."""
    if flights == 1:
        return f"1 flight, {starts} starts; no intervals, which need several flights"
    return f"{flights} flights, {starts} starts; 95 % intervals over flights"


def judge(name: str, craft: Airframe, flights: Sequence[ObservedFlight]) -> Errors:
    """The errors of the airframe `craft` on these flights. Raises IdentifyError where no flight has a start."""
    require_starts(flights, 1)
    return Errors(name, np.array([_of_airframe(craft, flight) for flight in flights if len(flight.starts())]))


def judge_whole(name: str, craft: Airframe, flights: Sequence[ObservedFlight]) -> Errors:
    """As `judge`, of starts ahead of which no packet was lost up to the horizon; NaN where a flight has none."""
    return Errors(name, np.array([_of_whole(craft, flight) for flight in flights if len(flight.starts())]))


def simple(flights: Sequence[ObservedFlight]) -> list[Errors]:
    """The errors of holding the last state, and of constant velocity and body rates."""
    found = [[_of(at, guess(at)) for flight in flights if (at := _starts(flight)).count] for guess in (held, straight)]
    return [Errors(name, np.array(values)) for name, values in zip((HOLD, CONSTANT), found, strict=True)]


def leave_one_out(
    start: Airframe, flights: Sequence[ObservedFlight], show: Show, ahead: float = FIT_AHEAD
) -> tuple[Errors, list[Airframe]]:
    """Each flight predicted by an airframe that was fitted to the others, from `start`; and these airframes.

    ahead: s, as of `fit_flights`.
    """
    values, crafts = [], []
    for number, flight in enumerate(flights):
        others = [other for other in flights if other is not flight]
        crafts.append(fit_flights(start, others, ahead=ahead).airframe)
        values.append(_of_airframe(crafts[-1], flight))
        share = (number + 1) / len(flights)
        show(f"{number + 1}/{len(flights)} fits, each to the other flights: {flight.name} is judged", share)
    return Errors("fitted to the other flights", np.array(values)), crafts


def held(at: Starts) -> np.ndarray:
    """States (H, W, 13) that stay as they are."""
    return np.repeat(at.state[HISTORY][None], len(HORIZONS), 0)


def straight(at: Starts) -> np.ndarray:
    """States (H, W, 13) after constant velocity (world) and constant body rates."""
    found, first = held(at), Rotation.from_quat(at.state[HISTORY][:, 3:7])
    for row, steps in enumerate(HORIZONS):
        seconds = steps / RATE_HZ
        found[row, :, :3] += seconds * found[row, :, 7:10]
        found[row, :, 3:7] = (first * Rotation.from_rotvec(seconds * found[row, :, 10:13])).as_quat()
    return found


def fidelity_table(ways: Sequence[Errors]) -> str:
    """For the terminal: one line for each way to predict and horizon."""
    heads = [f"{name}, {unit}" for name, unit in zip(GROUPS, UNITS, strict=True)]
    rows = [["", "horizon", *heads]]
    for way in ways:
        low, high = way.interval()
        for row, steps in enumerate(HORIZONS):
            cells = []
            for i, d in enumerate((4, 4, 3, 3)):
                among = f" ({low[row, i]:.{d}f}-{high[row, i]:.{d}f})" if len(way.values) > 1 else ""
                cells.append(f"{way.mean[row, i]:.{d}f}{among}")
            rows.append([way.name if not row else "", f"{steps / RATE_HZ:.2f} s", *cells])
    return text_table(rows, named=2)


@contextmanager
def _nan_where_none() -> Iterator[None]:
    """Of flights without such a start numpy makes NaN, as it should, and warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def _starts(flight: ObservedFlight) -> Starts:
    return starts([flight], EVERY, AHEAD)


def _of_airframe(craft: Airframe, flight: ObservedFlight) -> np.ndarray:
    at = _starts(flight)
    return _of(at, predict(craft, at, HORIZONS).state)


def _of_whole(craft: Airframe, flight: ObservedFlight) -> np.ndarray:
    at, first = _starts(flight), flight.starts()
    seen = at.state[[HISTORY + steps for steps in HORIZONS]]
    errors = norms(difference(predict(craft, at, HORIZONS).state, seen))
    whole = [flight.whole(first, steps) for steps in HORIZONS]
    none = np.full(4, np.nan)
    return np.array([row[which].mean(0) if which.any() else none for row, which in zip(errors, whole, strict=True)])


def _of(at: Starts, predicted: np.ndarray) -> np.ndarray:
    seen = at.state[[HISTORY + steps for steps in HORIZONS]]
    return norms(difference(predicted, seen)).mean(1)
