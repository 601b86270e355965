"""What is wrong with a log: samples that are missing, doubled, out of order, interpolated, held or late.

Nothing is mended in silence: `ordered` tells what it dropped, and `defects` only measures.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from spike_ctrl_identify.logged_flight import Series

RESTART = 1.0  # s: time that goes back by more than this begins another flight
LEAP = 3600.0  # s: time of the state that goes on by more than this at once, too
HUGE = 1e30  # in any unit: no sample of anything, and a bag's numbers of 32 bits end soon after
STRAIGHT = 1e-6  # of a signal's range: a row this near to the line between its neighbours was interpolated
LATEST = 0.1  # s: delays up to this are looked for
GRID = 0.01  # s
BAND = (0.5, 10.0)  # Hz: what counts in the comparison of rates
SURE = 0.5  # a delay with a smaller correlation is not told
OUTSIDE = 1e-3  # motors: beyond 0..1 by more than this is no command


class Order(NamedTuple):
    """What a quantity's samples suffered before they were in order.

    unknown: samples with NaN or above HUGE. doubled: samples with the time of another. backward: steps back in time, of
    which back, s, is the largest.
    """

    unknown: int = 0
    doubled: int = 0
    backward: int = 0
    back: float = 0.0


def ordered(series: Series) -> tuple[Series, Order]:
    """The samples that are numbers below HUGE, in order of time; of several with one time, the first."""
    good = np.isfinite(series.time) & (np.abs(series.value) < HUGE).all(1)  # NaN is not below it
    time, value = series.time[good], series.value[good]
    steps = np.diff(time)
    backward, back = int((steps < 0).sum()), float(max(-steps.min(initial=0.0), 0.0))
    if backward:
        at = np.argsort(time, kind="stable")
        time, value = time[at], value[at]
    first = np.concatenate([[True], np.diff(time) > 0])[: len(time)]
    order = Order(int((~good).sum()), int((~first).sum()), backward, back)
    return Series(time[first], value[first]), order


def period(series: Series) -> float:
    """Median time between samples, s; NaN for fewer than two."""
    return float(np.median(np.diff(series.time))) if len(series.time) > 1 else float("nan")


def gap_limit(series: Series) -> float:
    """A larger time between two samples, s, is a gap: nothing is interpolated across it."""
    return max(0.015, 1.5 * period(series))


def gaps(series: Series) -> tuple[int, float]:
    """How many gaps there are, and the longest, s."""
    steps = np.diff(series.time)
    wide = steps[steps > gap_limit(series)]
    return len(wide), float(wide.max(initial=0.0))


def on_line(series: Series) -> np.ndarray:
    """Which samples (K,) lie on the straight line between their neighbours, in all columns.

    A signal that rests is not on a line. Such samples were interpolated over at least two lost ones.
    """
    time, value = series
    line = np.zeros(len(time), bool)
    if len(time) > 2:
        share = ((time[1:-1] - time[:-2]) / (time[2:] - time[:-2]))[:, None]
        off = np.abs(value[:-2] + share * (value[2:] - value[:-2]) - value[1:-1])
        near = (off <= STRAIGHT * np.maximum(np.ptp(value, axis=0), 1e-9)).all(1)
        line[1:-1] = near & (value[2:] != value[:-2]).any(1)
    return line


def runs(flags: np.ndarray, time: np.ndarray) -> list[tuple[int, int, float]]:
    """Stretches in which `flags` (K,) holds: first sample, the one after the last, and how long they last, s."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return [(int(a), int(b), float(time[min(b, len(time) - 1)] - time[a])) for a, b in edges.reshape(-1, 2)]


def held(series: Series) -> float:
    """The longest time without any change, s."""
    if len(series.time) < 2:
        return 0.0
    same = (np.diff(series.value, axis=0) == 0).all(1)
    return max((seconds for *_, seconds in runs(same, series.time)), default=0.0)


def outside(motors: Series) -> np.ndarray:
    """Which samples (K,) of the motors are no commands in 0..1."""
    return ((motors.value < -OUTSIDE) | (motors.value > 1 + OUTSIDE)).any(1)


def delay(rates: Series, attitude: Series) -> tuple[float, float]:
    """How late measured rates are behind those of an attitude, s, and the correlation at that delay.

    Both are sampled each 10 ms, kept between 0.5 and 10 Hz, and the three axes are correlated together; a parabola through
    the peak gives parts of a sample. Positive: the rates come later. NaN where the log is shorter than 2 s.
    """
    if len(rates.time) < 3 or len(attitude.time) < 3:
        return float("nan"), 0.0
    begin, end = max(rates.time[0], attitude.time[0]), min(rates.time[-1], attitude.time[-1])
    grid = np.arange(begin, end, GRID)
    if len(grid) < 200:
        return float("nan"), 0.0
    turned = Slerp(attitude.time, Rotation.from_quat(attitude.value))(np.clip(grid, attitude.time[0], attitude.time[-1]))
    # Central differences, so that the rates belong to the times of the grid.
    true = _band((turned[:-2].inv() * turned[2:]).as_rotvec() / (2 * GRID))
    seen = _band(np.column_stack([np.interp(grid[1:-1], rates.time, column) for column in rates.value.T]))
    most = round(LATEST / GRID)
    shifts = np.arange(-most, most + 1)
    found = np.array([correlation(_shifted(true, -k), _shifted(seen, k)) for k in shifts])
    peak = int(found.argmax())
    if peak in (0, len(shifts) - 1):
        return float(shifts[peak] * GRID), float(found[peak])
    left, middle, right = found[peak - 1 : peak + 2]
    bend = left - 2 * middle + right
    part = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return float((shifts[peak] + part) * GRID), float(middle)


def _band(signal: np.ndarray) -> np.ndarray:
    spectrum = np.fft.rfft(signal - signal.mean(0), axis=0)
    frequency = np.fft.rfftfreq(len(signal), GRID)
    spectrum[(frequency < BAND[0]) | (frequency > BAND[1])] = 0
    return np.fft.irfft(spectrum, len(signal), axis=0)


def _shifted(signal: np.ndarray, rows: int) -> np.ndarray:
    return signal[rows:] if rows >= 0 else signal[:rows]


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of two signals about 0: 1 where they are alike; 0 where one of them is 0."""
    norm = np.sqrt((one**2).sum() * (other**2).sum())
    return float((one * other).sum() / norm) if norm > 0 else 0.0
