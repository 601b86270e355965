"""Whether the quantities of a flight agree with each other and with gravity, in scale and in sign.

The gyro must turn as the attitude does, the position move with the velocity, the velocity gain speed where the thrust
tilts, and the rates where the motors push. What contradicts is named with what it probably is. All is compared in samples,
not in seconds, so that a wrong unit of time is seen too. Nothing is said where a flight tells too little.
"""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.spatial.transform import Rotation, Slerp

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import GRAVITY
from spike_ctrl_identify.log_defects import correlation, period
from spike_ctrl_identify.logged_flight import STATE, Declared, LoggedFlight, Series

FACTOR = 2.0  # two measurements of one motion may differ by this
SURE, CERTAIN, NONE = 0.6, 0.75, 0.35  # correlations: that tell a scale, that tell another frame, of a frame that is wrong
TAME = 0.98  # share of the samples that are not wild
SMOOTH, LATEST = 5, 12  # samples: of the moving mean, and of the delays that are tried
LEAST = 300  # samples
FAST, GRID = 5e-4, 0.01  # s: between samples of the fastest logs, and of the comparison
TURN, MOVE, GAIN = 0.05, 0.05, 0.3  # rad/s, m/s, m/s^2 rms: below these nothing is told
FLIES, LEFT, BELOW = 0.15, 0.1, 0.25  # u of the mean motor in flight; m from the ground: it has left it, it flies
AHEAD = 0.3  # a swap of two rotors costs half of the agreement
LAGS = (0.0, 0.02, 0.04, 0.08)  # s, of the rotors
CORNERS = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) / 2  # what a rotor does to roll and pitch, in our order
NAMES = ("front-right", "back-right", "back-left", "front-left")
NED_ENU = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
AXES = "xyz"


class Contradiction(NamedTuple):
    """What is wrong with a quantity, in words. scale: what its values must be multiplied by to agree; None: no matter."""

    quantity: str
    words: str
    scale: float | None = None


def require_physics(flight: LoggedFlight, series: Mapping[str, Series]) -> None:
    """Raises UsageError for the first contradiction, which names file and columns. series: in order of time."""
    for found in contradictions(series):
        raise UsageError(f"{flight.path}: {told(found, flight.declared)}")


def told(found: Contradiction, declared: Mapping[str, Declared]) -> str:
    """A contradiction with the columns that a map declares, and the unit that they probably have."""
    said = declared.get(found.quantity)
    where = f"{found.quantity}, column{'s' * (len(said.columns) > 1)} {', '.join(said.columns)}" if said else found.quantity
    likely = ""
    if said and found.scale and said.unit:
        true = said.units[said.unit] * found.scale
        near = next((unit for unit, factor in said.units.items() if 1 / 1.5 < true / factor < 1.5), None)
        likely = f"; looks like {near}, declared {said.unit}" if near and near != said.unit else f"; declared {said.unit}"
    return f"{where}: {found.words}{likely}"


def contradictions(series: Mapping[str, Series]) -> list[Contradiction]:
    """What contradicts in a flight; the first is the likeliest cause of the others."""
    if any(len(series.get(name, Series(np.zeros(0), np.zeros(0))).time) < LEAST for name in STATE):
        return []
    flight = _common(series)
    if flight is None:
        return []
    step, place, attitude, velocity, rates = flight
    moved, gained = _slope(place, step), _slope(velocity, step)
    turned = (attitude[:-2].inv() * attitude[2:]).as_rotvec() / (2 * step)
    up = attitude.apply([0.0, 0.0, 1.0])
    turning = _compared(_mean(turned), _mean(rates[1:-1]), TURN)
    moving = _compared(moved, _mean(velocity), MOVE)
    tilted = _compared(GRAVITY * _mean(up[:, :2]), gained[:, :2], GAIN)
    found = _time(turning, moving, tilted)
    found += _gyro(turning)
    found += _velocity(moving, moved, _mean(attitude.apply(velocity)), tilted)
    found += _world(tilted, up)
    found += _height(series)
    found += _force(series)
    return found + (_motors(series, step) if not found else [])


class _Comparison(NamedTuple):
    """How two signals (K, n) of one motion go together at their best delay.

    ratio: rms of the second over that of the first. alike: their correlation. axes (n,): that of each axis, NaN where it
    hardly moves. swapped: the correlation with the first from NED to ENU.
    """

    ratio: float
    alike: float
    axes: np.ndarray
    swapped: float

    @property
    def off(self) -> bool:
        """The scale is wrong, surely."""
        return self.alike > SURE and not 1 / FACTOR < self.ratio < FACTOR


def _compared(first: np.ndarray, second: np.ndarray, least: float) -> _Comparison | None:
    """None where neither moves by `least`."""
    first, second = _clipped(first), _clipped(second)
    if max(_rms(first), _rms(second)) < least or min(_rms(first), _rms(second)) < 1e-9:
        return None
    best, size = None, first.shape[1]
    turned = first @ NED_ENU[:size, :size].T
    for late in range(-LATEST, LATEST + 1):
        a, b, c = (_late(x, y) for x, y in ((first, -late), (second, late), (turned, -late)))
        count = min(len(a), len(b))
        a, b, c = a[:count], b[:count], c[:count]
        axes = np.array([correlation(a[:, i], b[:, i]) for i in range(size)])
        score = max(abs(correlation(a, b)), abs(correlation(c, b)), float(np.abs(axes).max()))
        if best is None or score > best[0]:
            small = np.array([_rms(a[:, i]) < 0.2 * _rms(a) for i in range(size)])
            best = score, correlation(a, b), np.where(small, np.nan, axes), correlation(c, b)
    return _Comparison(_rms(second) / _rms(first), *best[1:])


def _time(turning: _Comparison | None, moving: _Comparison | None, tilted: _Comparison | None) -> list[Contradiction]:
    """Position and attitude both change by another factor than velocity and gyro say: the time runs at a wrong rate."""
    if not (turning and moving and turning.off and moving.off):
        return []
    if not 1 / FACTOR < turning.ratio / moving.ratio < FACTOR:
        return []
    rate = float(np.sqrt(turning.ratio * moving.ratio))
    words = f"over this time velocity and gyro add up to {rate:.3g} times the motion of position and attitude"
    return [Contradiction("time", words, 1 / rate)]


def _gyro(turning: _Comparison | None) -> list[Contradiction]:
    if turning is None:
        return []
    found = []
    flipped = [AXES[i] for i in range(3) if turning.axes[i] < -SURE]
    if flipped:
        hint = {"yz": ": looks like the other of FLU and FRD", "xyz": ": the attitude looks like world to body"}
        words = f"turns against the attitude about {', '.join(flipped)}{hint.get(''.join(flipped), '')}"
        found.append(Contradiction("rates", words))
    elif turning.off:
        words = f"turned {turning.ratio:.3g} times as far as the attitude says"
        found.append(Contradiction("rates", words, 1 / turning.ratio))
    return found


def _velocity(
    moving: _Comparison | None, moved: np.ndarray, turned: np.ndarray, tilted: _Comparison | None
) -> list[Contradiction]:
    """Position against velocity. turned: the velocity as if it were the body's."""
    if moving is None:
        return []
    if moving.alike < NONE and moving.swapped > CERTAIN:
        return [Contradiction("velocity", "moves as the position does in the other of ENU and NED")]
    body = _compared(moved, turned, MOVE)
    if moving.alike < CERTAIN and body and body.alike > max(0.9, moving.alike + 0.2):
        words = "moves as the position does once it is turned by the attitude: looks like the body's"
        return [Contradiction("velocity", words)]
    flipped = [AXES[i] for i in range(3) if moving.axes[i] < -SURE]
    if flipped:
        return [Contradiction("position", f"moves against the velocity along {', '.join(flipped)}")]
    if not moving.off:
        return []
    if tilted and tilted.off:
        return [Contradiction("velocity", f"is {moving.ratio:.3g} times that of the position", 1 / moving.ratio)]
    return [Contradiction("position", f"moves {1 / moving.ratio:.3g} times as far as the velocity says", moving.ratio)]


def _world(tilted: _Comparison | None, up: np.ndarray) -> list[Contradiction]:
    """The thrust points up, and the vehicle gains speed where it tilts."""
    if np.median(up[:, 2]) < -0.5:
        return [Contradiction("quaternion", "is upside down: looks like the other of ENU with FLU and NED with FRD")]
    if tilted is None:
        return []
    if tilted.alike < -SURE:
        words = "gains speed against the tilt: position, velocity and attitude look like the other of ENU and NED"
        return [Contradiction("velocity", words)]
    if tilted.alike < NONE and tilted.swapped > CERTAIN:
        return [Contradiction("velocity", "gains speed across the tilt: looks like the other of ENU and NED")]
    return []


def _height(series: Mapping[str, Series]) -> list[Contradiction]:
    """With its motors on, a vehicle leaves the ground upward, and is not below where it stood with its motors off."""
    motors, place = series.get("motors"), series["position"]
    if motors is None or len(motors.time) < LEAST:
        return []
    mean = np.interp(place.time, motors.time, motors.value.mean(1))
    height, rests, flies = place.value[:, 2], mean < 0.05, mean > FLIES
    if rests.sum() < 20 or flies.sum() < LEAST:
        return []
    ground = float(np.median(height[rests]))
    below, above = (height[flies] < ground - BELOW).mean(), (height[flies] > ground + BELOW).mean()
    left = np.flatnonzero(flies & (np.abs(height - ground) > LEFT))
    if below < 0.5 or above > 0.1 or height[left[0]] > ground:  # from a table it rises first
        return []
    words = f"flies {ground - np.median(height[flies]):.2f} m below where it stood"
    return [Contradiction("position", f"{words}: its height looks upward, declared downward")]


def _force(series: Mapping[str, Series]) -> list[Contradiction]:
    """What an accelerometer measures is one g upward, on the mean."""
    if "acceleration" not in series or len(series["acceleration"].time) < LEAST:
        return []
    mean = series["acceleration"].value.mean(0)
    size = float(np.linalg.norm(mean)) / GRAVITY
    if not 1 / FACTOR < size < FACTOR:
        words = f"is {size:.3g} g on the mean" if size > 1e-3 else "is 0 on the mean: gravity was taken off it"
        return [Contradiction("acceleration", words, 1 / size if size > 1e-3 else None)]
    if mean[2] < -0.5 * GRAVITY:
        return [Contradiction("acceleration", "points down on the mean: looks like the other of FLU and FRD")]
    return []


def _motors(series: Mapping[str, Series], step: float) -> list[Contradiction]:
    """Which rotor a command moves, by regression of the angular acceleration about roll and pitch on the commands."""
    motors, rates = series.get("motors"), series["rates"]
    if motors is None or len(motors.time) < LEAST:
        return []
    time = np.arange(max(motors.time[0], rates.time[0]), min(motors.time[-1], rates.time[-1]), step)
    if len(time) < LEAST:
        return []
    command, turning = _on(time, motors), _on(time, rates)[:, :2]
    flies = command.mean(1) > FLIES
    push = _fast(_slope(turning, step), step)
    best = None
    for lag in LAGS:
        x = _fast(_mean(_lagged(command, lag / step)), step)[flies]
        if len(x) < LEAST or min(_rms(x), _rms(push[flies])) < 1e-4:
            return []
        normal = x.T @ x
        effect = np.linalg.solve(normal + 0.02 * np.trace(normal) / 4 * np.eye(4), x.T @ push[flies])
        told = 1 - ((push[flies] - x @ effect) ** 2).sum() / (push[flies] ** 2).sum()
        if best is None or told > best[0]:
            best = told, effect / np.maximum(np.linalg.norm(effect, axis=0), 1e-12)
    share, effect = best
    scores = {order: float((effect * CORNERS[list(order)]).sum() / 2) for order in itertools.permutations(range(4))}
    order = max(scores, key=lambda key: scores[key])
    if share < 0.1 or scores[order] < max(CERTAIN, scores[0, 1, 2, 3] + AHEAD):
        return []
    wrong = [number for number in range(4) if order[number] != number]
    pairs = ", ".join(f"that of {NAMES[number]} turns the vehicle as {NAMES[order[number]]} would" for number in wrong)
    swap = f"{NAMES[wrong[0]]} and {NAMES[wrong[1]]} look swapped: " if len(wrong) == 2 else "the order looks wrong: "
    return [Contradiction("motors", swap + pairs)]


def _common(series: Mapping[str, Series]) -> tuple[float, np.ndarray, Rotation, np.ndarray, np.ndarray] | None:
    """The step of a grid on which all of the state is known, s, and the state on it; None where there is too little."""
    step = max(period(series[name]) for name in STATE)
    step = GRID if FAST < step < GRID else step  # derivatives of faster samples are noise
    begin, end = max(series[n].time[0] for n in STATE), min(series[n].time[-1] for n in STATE)
    if not (step > 0 and (end - begin) / step > LEAST):
        return None
    time = np.arange(begin, end, step)
    time = time[time <= end]
    place, velocity, rates = (_on(time, series[name]) for name in ("position", "velocity", "rates"))
    turned = series["quaternion"]
    return step, place, Slerp(turned.time, Rotation.from_quat(turned.value))(time), velocity, rates


def _on(time: np.ndarray, series: Series) -> np.ndarray:
    return np.column_stack([np.interp(time, series.time, column) for column in series.value.T])


def _mean(signal: np.ndarray) -> np.ndarray:
    return uniform_filter1d(signal, SMOOTH, axis=0, mode="nearest")


def _slope(signal: np.ndarray, step: float) -> np.ndarray:
    return np.gradient(_mean(signal), step, axis=0)


def _fast(signal: np.ndarray, step: float) -> np.ndarray:
    """The signal without what changes slower than within half a second."""
    return signal - uniform_filter1d(signal, max(3, round(0.5 / step)), axis=0, mode="nearest")


def _lagged(signal: np.ndarray, steps: float) -> np.ndarray:
    """The signal behind a first-order lag of so many steps."""
    if steps <= 0:
        return signal
    share, found = -np.expm1(-1 / steps), signal.copy()
    for row in range(1, len(found)):
        found[row] = found[row - 1] + share * (signal[row] - found[row - 1])
    return found


def _late(signal: np.ndarray, rows: int) -> np.ndarray:
    return signal[rows:] if rows > 0 else signal


def _clipped(signal: np.ndarray) -> np.ndarray:
    """The signal without what a few wild samples would add."""
    most = np.quantile(np.abs(signal), TAME)
    return np.clip(signal, -most, most)


def _rms(signal: np.ndarray) -> float:
    return float(np.sqrt((signal**2).sum() / len(signal)))
