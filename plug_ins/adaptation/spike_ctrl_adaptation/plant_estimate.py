"""What has changed about the vehicle: a least-squares estimate with intervals, from the last seconds of states and commands.

Over blocks of a tenth of a second the change of the velocity v (world) and of the body rates w is

    v(t+h) - v(t) = int k a(t) + f - d v(t) - g z dt         a: specific thrust (m/s^2) that the airframe would give
    w(t+h) - w(t) = int k b(t) + m dt                        b: angular acceleration by its rotors, gyroscopic and drag terms

with k the factor of thrust over mass, f the acceleration by a disturbing force, d the drag over mass and m the trim moment
over inertia. The rotors follow their commands with the airframe's lag times a factor, of which a few are tried and weighed
by their residuals. What is known beforehand is a normal distribution around the airframe, so that a parameter that the data
do not show keeps its width, and is told as not identified. In a hover only the sum of k a and f is seen along the thrust.

With the layout `rates` the autopilot's rate loop removes a trim moment, and only what it does is seen: m is not estimated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.sim import action_mapping
from spike_ctrl_adaptation.flown_window import Floats, FlownWindow

NAMES = ("thrust", "force_x", "force_y", "force_z", "drag", "trim_x", "trim_y", "trim_z")
UNITS = ("1", "m/s^2", "m/s^2", "m/s^2", "1/s", "rad/s^2", "rad/s^2", "rad/s^2")
THRUST, FORCE, DRAG, TRIM = 0, slice(1, 4), 4, slice(5, 8)
BLOCK = 0.1  # s
LEAST = 8  # blocks
WINDOWS = (1.0, 2.0, 4.0, 8.0)  # s
# Known beforehand, as standard deviations. A vertical force is rarer than a load or a weak battery.
PRIOR = (0.3, 3.0, 3.0, 1.0, 0.3, 20.0, 20.0, 5.0)
# What no number of blocks makes better: the estimator's own error of attitude and velocity, for as long as the window lasts.
TILT_ERROR = 0.02  # rad: horizontally this share of the thrust
THRUST_ERROR = 0.01  # share
LAGS = (0.5, 0.7, 1.0, 1.4, 2.0)  # factors of the rotors' lag
TURNS = 0.1  # m/s^2 that a trim of 1 rad/s^2 counts as, where two estimates are compared
WITHIN = 1.96  # standard deviations of an interval of 95 %
SHOWN = 0.25  # a parameter is identified where the data have made its interval so much narrower


class PlantEstimate(NamedTuple):
    """mean (8,) and covariance (8, 8) of the parameters NAMES, in UNITS; thrust: factor of thrust over mass.

    width: standard deviations before any data. lag: factor of the rotors' lag, with the limits of its interval. seconds: of
    the window that it rests on.
    """

    mean: Floats
    covariance: Floats
    width: Floats
    lag: tuple[float, float, float]
    seconds: float

    @property
    def deviation(self) -> Floats:
        """Standard deviations (8,)."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def identified(self) -> tuple[str, ...]:
        """The parameters that the data show. The others are as wide as before, or nearly so."""
        known = [name for name, now, was in zip(NAMES, self.deviation, self.width, strict=True) if now < SHOWN * was]
        low, high = self.lag[1:]
        return tuple(known + (["lag"] if high / low <= math.sqrt(LAGS[-1] / LAGS[0]) else []))

    def interval(self, name: str) -> tuple[float, float]:
        """The limits of 95 %."""
        if name == "lag":
            return self.lag[1:]
        index = NAMES.index(name)
        reach = WITHIN * float(self.deviation[index])
        return float(self.mean[index]) - reach, float(self.mean[index]) + reach

    @property
    def lift(self) -> tuple[float, float]:
        """What a hover shows of thrust and vertical force: the lift (m/s^2) beyond the airframe's, and its deviation."""
        both = np.array([GRAVITY, 1.0])
        value = GRAVITY * (self.mean[THRUST] - 1) + self.mean[3]
        square = both @ self.covariance[np.ix_([THRUST, 3], [THRUST, 3])] @ both
        return float(value), float(math.sqrt(max(square, 0.0)))

    @property
    def figures(self) -> dict[str, float]:
        """What is identified, and the lift: each as NAME, and the limits of its interval as NAME_low and NAME_high."""
        lift, width = self.lift
        known = {name: float(self.mean[NAMES.index(name)]) for name in self.identified if name != "lag"}
        known |= {"lag": self.lag[0]} if "lag" in self.identified else {}
        limits = {name: self.interval(name) for name in known} | {"lift": (lift - WITHIN * width, lift + WITHIN * width)}
        known["lift"] = lift
        return known | {f"{name}_{end}": limits[name][i] for name in known for i, end in enumerate(("low", "high"))}

    def differs(self, other: PlantEstimate) -> float:
        """How far another estimate lies from this one: m/s^2 of acceleration in a hover, beyond both intervals.

        A trim counts, too, by TURNS.
        """
        (mine, my_width), (its, its_width) = self.lift, other.lift
        gaps = [mine - its, *(self.mean[1:3] - other.mean[1:3]), *(TURNS * (self.mean[TRIM] - other.mean[TRIM]))]
        widths = [(my_width, its_width), *zip(self.deviation[1:3], other.deviation[1:3], strict=True)]
        widths += zip(TURNS * self.deviation[TRIM], TURNS * other.deviation[TRIM], strict=True)
        beyond = [max(abs(gap) - WITHIN * math.hypot(*width), 0.0) for gap, width in zip(gaps, widths, strict=True)]
        return math.sqrt(sum(gap * gap for gap in beyond))

    def __str__(self) -> str:
        known = self.identified
        parts = [
            f"{name} {self.mean[i]:.2f} {UNITS[i] if UNITS[i] != '1' else ''}".rstrip()
            + f" ({self.interval(name)[0]:.2f} to {self.interval(name)[1]:.2f})"
            for i, name in enumerate(NAMES)
            if name in known
        ]
        lost = [name for name in (*NAMES, "lag") if name not in known]
        lift, width = self.lift
        parts.append(f"lift {lift:+.2f} +- {WITHIN * width:.2f} m/s^2")
        return f"{', '.join(parts)}; not identified: {', '.join(lost) or 'nothing'}; from {self.seconds:.1f} s"


def unchanged(craft: Airframe) -> PlantEstimate:
    """The prior: the airframe."""
    mean = np.zeros(len(NAMES))
    mean[THRUST], mean[DRAG] = 1.0, craft.linear_drag / craft.mass
    mean[TRIM] = np.divide(craft.trim_moment, craft.inertia)
    width = np.array(PRIOR)
    width[DRAG] = max(PRIOR[DRAG] * mean[DRAG], 0.05)
    return PlantEstimate(mean, np.diag(width**2), width, (1.0, LAGS[0], LAGS[-1]), 0.0)


def newest(flown: FlownWindow, craft: Airframe) -> PlantEstimate:
    """The estimate from the longest of WINDOWS whose older part does not contradict its newest part.

    So a change some seconds ago is not averaged with what was before it. Without enough data: `unchanged`.
    """
    found = estimate(flown.last(WINDOWS[0]), craft)
    for span in WINDOWS[1:]:
        if flown.seconds < span - BLOCK:
            break
        older = estimate(flown.last(span - found.seconds, found.seconds), craft)
        if found.differs(older) > 0:
            break
        found = estimate(flown.last(span), craft)
    return found


def estimate(flown: FlownWindow, craft: Airframe) -> PlantEstimate:
    """The estimate from the whole window, see the module. `unchanged` where there are fewer than LEAST blocks."""
    before = unchanged(craft)
    blocks = _blocks(flown)
    if len(blocks) < LEAST:
        return before
    motors = craft.action_layout == "motors"
    equations = _equations(flown, craft, blocks)
    tried = [_fit(*equations(factor), before, motors) for factor in LAGS]
    weight = np.array([score for _, _, score in tried]) - 0.5 * (np.log(LAGS) / math.log(1.5)) ** 2
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    mean, covariance, _ = tried[int(weight.argmax())]
    covariance = covariance + _limits_of_the_estimator(motors)
    lag = float(np.exp(weight @ np.log(LAGS)))
    likely = [factor for factor, w in zip(LAGS, weight, strict=True) if w > 0.025]
    low, high = (LAGS[max(LAGS.index(likely[0]) - 1, 0)], LAGS[min(LAGS.index(likely[-1]) + 1, len(LAGS) - 1)])
    step = math.sqrt(LAGS[2] / LAGS[1])  # the grid's own
    limits = (max(likely[0] / step, low), min(likely[-1] * step, high))
    return PlantEstimate(mean, covariance, before.width, (lag, *limits), flown.seconds)


def _limits_of_the_estimator(motors: bool) -> Floats:
    """Covariance of what does not average out within a window."""
    floor = np.zeros(len(NAMES))
    floor[1:3] = TILT_ERROR * GRAVITY
    floor[THRUST] = THRUST_ERROR
    floor[TRIM] = 0.2 if motors else 0.0
    return np.diag(floor**2)


def _blocks(flown: FlownWindow) -> list[tuple[int, int]]:
    """First and last state of each block without a gap."""
    if len(flown.time) < 3:
        return []
    period = float(np.median(np.diff(flown.time)))
    steps = max(round(BLOCK / period), 1)
    found = [(at, at + steps) for at in range(0, len(flown.time) - steps, steps)]
    return [(a, b) for a, b in found if flown.time[b] - flown.time[a] < 1.5 * BLOCK]


def _equations(
    flown: FlownWindow, craft: Airframe, blocks: list[tuple[int, int]]
) -> Callable[[float], tuple[Floats, Floats, Floats, Floats]]:
    """By the factor of the lag: regressors and right-hand sides of the blocks, per second.

    (n, 3, 8) and (n, 3) for v, the same for w.
    """
    x, y, z, w = flown.quaternion.T
    down_body = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], axis=1)  # R z
    begin, end = np.array(blocks).T
    span = (flown.time[end] - flown.time[begin])[:, None]

    def mean(values: Floats) -> Floats:
        total = np.concatenate([np.zeros((1, 3)), np.cumsum(0.5 * (values[1:] + values[:-1]) * steps, axis=0)])
        return (total[end] - total[begin]) / span

    n, steps, command = len(blocks), np.diff(flown.time)[:, None], _command(flown, craft)
    of_v, of_w = np.zeros((n, 3, len(NAMES))), np.zeros((n, 3, len(NAMES)))
    of_v[:, :, FORCE], of_v[:, :, DRAG], of_w[:, :, TRIM] = np.eye(3), -mean(flown.velocity), np.eye(3)
    change_v = (flown.velocity[end] - flown.velocity[begin]) / span + [0.0, 0.0, GRAVITY]
    change_w = (flown.rates[end] - flown.rates[begin]) / span - mean(_carried(flown, craft))

    def of(factor: float) -> tuple[Floats, Floats, Floats, Floats]:
        thrusts = _thrusts(flown, craft, command, factor)
        with_v, with_w = of_v.copy(), of_w.copy()
        with_v[:, :, THRUST] = mean(thrusts.sum(1, keepdims=True) / craft.mass * down_body)
        with_w[:, :, THRUST] = mean(_turned(craft, thrusts))
        return with_v, change_v, with_w, change_w

    return of


def _command(flown: FlownWindow, craft: Airframe) -> Floats:
    """Command (T, 4) of each rotor."""
    if craft.action_layout == "motors":
        return action_mapping.command(flown.action)
    share = np.array([action_mapping.thrust(a, craft.hover) for a in flown.action[:, 0]])
    return np.repeat(np.clip(share, 0.0, 1.0)[:, None], 4, axis=1)


def _thrusts(flown: FlownWindow, craft: Airframe, command: Floats, factor: float) -> Floats:
    """Thrust (T, 4) in N of each rotor as the airframe's curve has it, after its lag times a factor."""
    from scipy.signal import lfilter  # not at the top: it takes a second to load

    period = float(np.median(np.diff(flown.time)))
    keep = math.exp(-period / (factor * 0.5 * (craft.lag_up + craft.lag_down)))
    speed = lfilter([0.0, 1 - keep], [1.0, -keep], command, axis=0, zi=command[:1].copy())[0]
    c0, c1, c2 = craft.thrust_curve
    return c0 + c1 * speed + c2 * speed**2


def _turned(craft: Airframe, thrusts: Floats) -> Floats:
    """Angular acceleration (T, 3) by the rotors, which scales with the thrust."""
    moment = np.stack(
        [
            thrusts @ np.array(craft.rotor_y),
            -thrusts @ np.array(craft.rotor_x),
            craft.torque_per_thrust * thrusts @ np.array(craft.rotor_spin),
        ],
        axis=1,
    )
    return moment / np.array(craft.inertia)


def _carried(flown: FlownWindow, craft: Airframe) -> Floats:
    """Angular acceleration (T, 3) by everything but the rotors."""
    inertia = np.array(craft.inertia)
    return (-np.cross(flown.rates, inertia * flown.rates) - craft.angular_drag * flown.rates) / inertia


def _fit(
    of_v: Floats, v: Floats, of_w: Floats, w: Floats, before: PlantEstimate, motors: bool
) -> tuple[Floats, Floats, float]:
    """Mean, covariance and logarithm of the likelihood. The noise of an equation is that of its residuals."""
    precision = np.diag(1 / before.width**2)
    rows, right = [of_v], [v]
    if motors:
        rows, right = [of_v, of_w], [v, w]
    noise = [np.full(3, 1.0) for _ in rows]
    mean, covariance = before.mean, before.covariance
    for _ in range(3):  # noise and parameters in turn
        information, pull = precision.copy(), precision @ before.mean
        for a, b, deviation in zip(rows, right, noise, strict=True):
            for axis in range(3):
                scaled = a[:, axis] / deviation[axis]
                information += scaled.T @ scaled
                pull += scaled.T @ (b[:, axis] / deviation[axis])
        covariance = np.linalg.inv(information)
        mean = covariance @ pull
        residual = [b - a @ mean for a, b in zip(rows, right, strict=True)]
        noise = [np.maximum(np.sqrt((r**2).mean(0)), 0.02) for r in residual]
    score = -sum(len(b) * float(np.log(deviation).sum()) for b, deviation in zip(right, noise, strict=True))
    return mean, covariance, score
