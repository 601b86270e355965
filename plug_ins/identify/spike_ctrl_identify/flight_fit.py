"""Fits an airframe to flights by motor commands: the parameters with which it predicts them best, with 95 % intervals.

Output error over short horizons (Klein and Morelli, Aircraft System Identification, 2006): from many starts the simulation
flies on with the recorded commands, and its errors at HORIZONS count. Each kind of error is measured in that of constant
velocity and rates, so no kind can be ignored, and the sum of norms leaves outliers little weight.

The controller that flew answers the state. A fit over long windows, or with one trim for all, therefore likes a plant that
ignores its motors; horizons of at most .2 s from a start whose trim the second before tells do not. Farther ones predict
half a second better, by a longer lag and more angular drag than the vehicle has.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from spike_ctrl.airframe import GRAVITY, JOINT, Airframe, BatteryModel
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl_identify import FIT_AHEAD, Show, hide
from spike_ctrl_identify.accelerometer_drag import drag_by_accelerometer
from spike_ctrl_identify.battery_fit import fit_battery
from spike_ctrl_identify.fit import Identification, Parameter, ParameterEstimate
from spike_ctrl_identify.jackknife import ENOUGH, half_width, jackknife
from spike_ctrl_identify.observed_flight import HISTORY, ObservedFlight, require_starts
from spike_ctrl_identify.open_loop import Starts, difference, norms, predict, starts
from spike_ctrl_identify.thrust_level import ThrustLevel, estimates, levelled, thrust_level

HORIZONS = (2, 5, 10, 20, 30, 50)  # steps
MOST = 1600  # starts that are fitted
LEAST = 40
MODEL = {"body_drag": 0.06, "velocity_moment": 0.06, "angular_drag": 0.1}
MODEL_ELSE = 0.03
"""Error of the method itself as a share of a value, by the beginning of a parameter's name; from simulated flights."""
WIDE = 1.5  # a parameter with a larger share of uncertainty keeps the prior's value
PRIOR = 0.3  # deviation of the prior, as a change: the others are as uncertain as a wrong prior makes them
SMALL = 0.1  # of the scale: errors below count by their square
STEP = 0.01  # of the numerical derivatives
BLOCK = 5  # s; errors further apart are taken to be independent
FORCES = ("hover_thrust_slope", "body_drag")  # what only velocities tell, by the beginning of its name
WIDEST = 0.5  # deviation of a logarithm that `joint_spread` gives at most
ROUNDS, AGAIN = 12, 4
TYPICAL = BatteryModel(full=4.2, empty=3.0, nominal=3.7, sag=0.3, sag_time=0.3, endurance=240.0, exponent=0.75)  # one cell
CELL = 3.7  # V


def parameters(start: Airframe, hover: float) -> list[Parameter]:
    """The parameters of `start` that errors of prediction tell; hover: normalised rotor speed of these flights.

    The thrust curve is c1 r + c2 r^2, given by thrust and slope at `hover`; `thrust_level` tells the thrust. A flight tells
    inertia_z by torque_per_thrust only, and one lag for both directions.
    """

    def curve(craft: Airframe, thrust: float, slope: float) -> Airframe:
        c2 = (slope - thrust / hover) / hover
        return dataclasses.replace(craft, thrust_curve=(0.0, slope - 2 * c2 * hover, c2))

    def slope(craft: Airframe) -> float:
        return craft.thrust_curve[1] + 2 * craft.thrust_curve[2] * hover

    def slope_of(craft: Airframe, value: float) -> Airframe:
        thrust = craft.thrust(hover)
        return curve(craft, thrust, float(np.clip(value * hover / thrust, 1.0, 2.0)) * thrust / hover)

    def entry(key: str, number: int, name: str, unit: str, scale: float = 0.0, low: float = -np.inf) -> Parameter:
        def put(craft: Airframe, value: float) -> Airframe:
            given = list(getattr(craft, key))
            given[number] = max(value, low)
            return dataclasses.replace(craft, **{key: tuple(given)})

        return Parameter(name, unit, lambda craft: getattr(craft, key)[number], put, scale)

    def single(name: str, unit: str, scale: float = 0.0, low: float = 0.0, high: float = np.inf) -> Parameter:
        def put(craft: Airframe, value: float) -> Airframe:
            return dataclasses.replace(craft, **{name: float(np.clip(value, low, high))})

        return Parameter(name, unit, lambda craft: getattr(craft, name), put, scale)

    def lag(craft: Airframe, value: float) -> Airframe:
        both = float(np.clip(value, 4e-3, 0.3))
        return dataclasses.replace(craft, lag_up=both, lag_down=both)

    weight, arm = start.mass * GRAVITY, max(start.rotor_x)
    return [
        Parameter("hover_thrust_slope", "N", slope, slope_of),
        Parameter("lag", "s", lambda craft: craft.lag_up, lag),
        single("dead_time", "s", 0.01, 0.0, 0.04),
        entry("inertia", 0, "inertia_x", "kg m^2", low=1e-8),
        entry("inertia", 1, "inertia_y", "kg m^2", low=1e-8),
        single("torque_per_thrust", "m"),
        *(entry("body_drag", i, f"body_drag_{'xyz'[i]}", "N s/m", 0.03 * weight, 0.0) for i in range(3)),
        *(entry("velocity_moment", i, f"velocity_moment_{'xy'[i]}", "N s", 0.05 * weight * arm) for i in range(2)),
        single("angular_drag", "N m s/rad", 3e-3 * weight * arm),
    ]


def begin(prior: Airframe, flights: Sequence[ObservedFlight]) -> tuple[Airframe, float]:
    """Where the fit begins, and the normalised rotor speed of the flights: the prior with thrust scaled to their mean."""
    in_air = np.concatenate([flight.command[flight.good] for flight in flights])
    battery = None
    if all(flight.powered for flight in flights):
        volts = np.concatenate([flight.voltage[flight.good] for flight in flights])
        battery = prior.battery or _typical(float(np.mean(volts)))
        in_air = in_air * battery.factor(volts[:, None])
    hover = float(in_air.mean())
    c1, c2 = prior.thrust_curve[1:] if min(prior.thrust_curve[1:]) > 0 else (0.15 * hover, 0.85)
    scale = prior.mass * GRAVITY / 4 / (c1 * hover + c2 * hover * hover)
    craft = dataclasses.replace(
        prior, thrust_curve=(0.0, scale * c1, scale * c2), battery=battery, trim_moment=(0.0, 0.0, 0.0)
    )
    return craft, hover


def _typical(mean: float) -> BatteryModel:
    """Lithium polymer cells in series; nominal: the mean voltage, to a tenth."""
    cells = max(1, round(mean / CELL))
    given = {name: cells * getattr(TYPICAL, name) for name in ("full", "empty", "sag")}
    return dataclasses.replace(TYPICAL, **given, nominal=round(mean, 1))


def fit_flights(
    prior: Airframe,
    flights: Sequence[ObservedFlight],
    show: Show = hide,
    held_out: Sequence[ObservedFlight] = (),
    ahead: float = FIT_AHEAD,
) -> Identification:
    """Fit the airframe to these flights, by errors up to `ahead` (s) after each start.

    What is told to be done is so at least: a round that gains little is the last. The errors in the result are those of
    flights held out, or of the fitted ones where there are none. Raises IdentifyError.
    """
    require_starts(flights, LEAST)
    horizons = tuple(steps for steps in HORIZONS if steps <= round(ahead * RATE_HZ))
    start, hover = begin(prior, flights)
    start, measured = _measured_drag(start, [flight for flight in flights if flight.sensed is not None])
    total = sum(len(flight.starts(1, horizons[-1])) for flight in flights)
    at = starts(flights, max(1, round(total / MOST)), horizons[-1])
    blocks = at.flight if len(np.unique(at.flight)) >= ENOUGH else _blocks(at.flight)
    forces = np.array([flight.forces for flight in flights])
    fit = _Fit(parameters(start, hover), start, at, horizons, forces, blocks, measured)
    level = thrust_level(start, at, blocks)
    craft, before = levelled(start, hover, level), 0
    show("the first round begins", np.nan)  # the simulator is compiled by now
    for rounds in (ROUNDS, AGAIN):

        def told(line: str, share: float, before: int = before, rounds: int = rounds) -> None:
            show(line, (before + share * rounds) / (ROUNDS + AGAIN))

        craft = fit.run(craft, rounds, told)
        level = thrust_level(craft, at, blocks)
        craft, before = levelled(craft, hover, level), before + rounds
    thrust = estimates(start, craft, hover, level)
    battery = None
    if craft.battery:
        craft, battery = fit_battery(craft, [flight for flight in flights if flight.powered])
    told_by, trims = np.unique(at.flight), _trims(craft, at)
    trim = tuple(float(np.round(t, 12)) for t in trims.mean(0))
    craft = dataclasses.replace(craft, trim_moment=trim, joint_spread=fit.joint_spread(craft, level))
    judged = starts(held_out or flights, 10, 25)
    return Identification(
        craft, (*thrust, *fit.estimates(craft), *(battery or ())), at.count, horizons[-1],
        _rms(start, judged), _rms(craft, judged),
        ".25 s of the flights held out" if held_out else ".25 s of the flights that were fitted",
        tuple(zip([flights[number].name for number in told_by], trims.tolist(), strict=True)),
    )  # fmt: skip


def _measured_drag(
    start: Airframe, flights: Sequence[ObservedFlight]
) -> tuple[Airframe, dict[str, tuple[float, float]]]:  # fmt: skip
    """The airframe with the drag that accelerometers measured; prior and half-width of what they did, by name."""
    if not flights:
        return start, {}
    (x, y), widths = drag_by_accelerometer(flights, start.mass)
    told = {f"body_drag_{'xy'[i]}": (start.body_drag[i], float(widths[i])) for i in range(2)}
    return dataclasses.replace(start, body_drag=(max(float(x), 0.0), max(float(y), 0.0), start.body_drag[2])), told


class _Fit:
    """Levenberg-Marquardt on the sum of the norms of errors, each in units of its scale.

    horizons: steps after a start. forces (F,): flights whose velocities tell forces; of the others attitude and rates count
    alone. blocks (W,): the block of each start; blocks are independent. measured: parameters that `start` has right, with
    prior and half-width.
    """

    def __init__(
        self, every: list[Parameter], start: Airframe, at: Starts, horizons: tuple[int, ...], forces: np.ndarray,
        blocks: np.ndarray, measured: dict[str, tuple[float, float]],
    ) -> None:  # fmt: skip
        self.every, self.start, self.at, self.blocks, self.measured = every, start, at, blocks, measured
        self.horizons = horizons
        told = [p for p in every if p.name not in measured]
        self.free = [p for p in told if forces.any() or not p.name.startswith(FORCES)]
        self.kept = [p for p in told if p not in self.free]
        self.counts = np.ones((at.count, 4, 1), np.float32)
        self.counts[~forces[at.flight], :2] = 0
        self.steps = tuple(HISTORY + h for h in horizons)
        seen, first = at.state[list(self.steps)], at.state[HISTORY]
        straight = np.repeat(first[None], len(horizons), 0)
        time = np.array(horizons)[:, None, None] / RATE_HZ
        straight[..., :3] += time * first[:, 7:10]
        naive = difference(straight, seen)
        # The attitude under constant rates: its error is the change of attitude less the rates' share.
        naive[..., 6:9] -= time * first[:, 10:13]
        self.scale = np.maximum(norms(naive).mean(1), 1e-6) / (1, 1, 180 / np.pi, 1)  # (H, 4), rad
        self.widths: dict[str, float] = {}

    def errors(self, craft: Airframe) -> np.ndarray:
        """Errors (H, W, 4, 3) in units of their scale."""
        found = difference(predict(craft, self.at, self.horizons).state, self.at.state[list(self.steps)])
        found = self.counts * found.reshape(*found.shape[:2], 4, 3) / self.scale[:, None, :, None]
        return np.nan_to_num(found, nan=1e3, posinf=1e3, neginf=-1e3)

    def made(self, craft: Airframe, changes: np.ndarray, every: Sequence[Parameter] = ()) -> Airframe:
        """`craft` after changes of the parameters, the free ones by default: of the logarithm, or in their scale."""
        for p, change in zip(every or self.free, changes, strict=True):
            now = p.get(craft)
            craft = p.put(craft, float(now + p.scale * change if p.scale else now * np.exp(change)))
        return craft

    def run(self, craft: Airframe, rounds: int, show: Show) -> Airframe:
        """The airframe that fits best, from `craft`. What the flights do not tell goes back to the start's value."""
        craft, left = self.descend(craft, rounds, show), len(self.free)
        for _ in range(left):
            shares = self.shares(craft)
            shares |= {p.name: np.inf for p in self.free if _at_bound(p, craft)}
            unknown = [p for p in self.free if shares[p.name] > (np.finfo(float).max if p.scale else WIDE)]
            if not unknown:
                break
            widest = max(unknown, key=lambda p: shares[p.name])
            show(f"{widest.name}: not told by these flights, the prior's value is kept", np.nan)
            self.widths[widest.name] = shares[widest.name]
            self.free.remove(widest)
            self.kept.append(widest)
            craft = self.descend(widest.put(craft, widest.get(self.start)), 3, lambda line, share: show(line, np.nan))
        return craft

    def descend(self, craft: Airframe, rounds: int, show: Show) -> Airframe:
        damping, now = 1e-3, self.errors(craft)
        cost = _cost(now)
        for number in range(rounds):
            jacobian, weight = self.jacobian(craft, now), _weight(now)
            curvature = np.einsum("phwgi,hwg,qhwgi->pq", jacobian, weight, jacobian, optimize=True)
            slope = np.einsum("phwgi,hwg,hwgi->p", jacobian, weight, now, optimize=True)
            better = None
            while damping < 1e4:
                step = -np.linalg.solve(curvature + damping * np.diag(np.diag(curvature) + 1e-9), slope)
                tried = self.made(craft, np.clip(step, -1, 1))
                errors = self.errors(tried)
                if _cost(errors) < cost:
                    better = tried, errors
                    break
                damping *= 6
            if better is None:
                break
            damping = max(damping / 6, 1e-5)
            gain, (craft, now) = 1 - _cost(better[1]) / cost, better
            cost = _cost(now)
            line = f"round {number + 1} of at most {rounds}, error {cost:.4f} of that of constant velocity and rates"
            show(line, (number + 1) / rounds)
            if gain < 3e-4:
                break
        return craft

    def jacobian(self, craft: Airframe, now: np.ndarray, every: Sequence[Parameter] = ()) -> np.ndarray:
        """Derivatives (P, H, W, 4, 3) of the errors by the changes of the parameters, the free ones by default."""
        found = []
        for change in STEP * np.eye(len(every or self.free)):
            found.append((self.errors(self.made(craft, change, every)) - now) / STEP)
        return np.array(found)

    def covariance(self, craft: Airframe) -> tuple[np.ndarray, int]:
        """Covariance (P, P) of the changes of the free and then the kept parameters, and of how many blocks.

        The free ones': the jackknife, and what a prior that is off by PRIOR does to them. The curvature is that of the sum
        of norms, which is a third less than that of the weighted squares: a norm is straight along its error.
        """
        every, free = self.free + self.kept, len(self.free)
        now = self.errors(craft)
        jacobian, norm = self.jacobian(craft, now, every), 1 / _weight(now)
        along = np.einsum("phwgi,hwgi->phwg", jacobian, now, optimize=True)
        scores = (along / norm).sum((1, 3))[:free]  # (P, W)
        jacobian, along = jacobian / np.sqrt(norm)[..., None], along / norm**1.5
        groups = [np.flatnonzero(self.blocks == block) for block in np.unique(self.blocks)]
        bent = np.array([_gram(jacobian[:, :, rows]) - _gram(along[:, :, rows]) for rows in groups])
        summed = np.array([scores[:, rows].sum(1) for rows in groups])
        total = bent.sum(0)
        total += 1e-6 * np.diag(np.diag(total) + 1e-9)
        follows = np.vstack([-np.linalg.solve(total[:free, :free], total[:free, free:]), np.eye(len(self.kept))])
        found = PRIOR**2 * follows @ follows.T
        found[:free, :free] += jackknife(bent[:, :free, :free], summed)
        return found, len(groups)

    def model_shares(self, craft: Airframe) -> np.ndarray:
        """Half-widths (P,) of the method's own error, as changes of the parameters of `covariance`."""
        every = self.free + self.kept
        named = [next((m for name, m in MODEL.items() if p.name.startswith(name)), MODEL_ELSE) for p in every]
        return np.array([m * (abs(p.get(craft)) / p.scale if p.scale else 1) for m, p in zip(named, every, strict=True)])

    def shares(self, craft: Airframe) -> dict[str, float]:
        """Half-widths of the 95 % intervals, as changes: shares of a value, or parts of the scale."""
        spread, blocks = self.covariance(craft)
        widths = np.hypot(half_width(blocks) * np.sqrt(np.diag(spread)), self.model_shares(craft))
        return {p.name: float(width) for p, width in zip(self.free, widths, strict=False)}

    def joint_spread(self, craft: Airframe, level: ThrustLevel) -> tuple[float, ...]:
        """The airframe's `joint_spread`: of each of JOINT that was told, in deviations of its logarithm.

        At the slope of the thrust that was found: slope and inertia are told as a ratio, and no recipe draws the slope.
        """
        spread, blocks = self.covariance(craft)
        for row in [n for n, p in enumerate(self.free) if p.name == "hover_thrust_slope"]:
            spread = spread - np.outer(spread[row], spread[row]) / spread[row, row]
        spread = (half_width(blocks) / 1.96) ** 2 * spread + np.diag(self.model_shares(craft) / 1.96) ** 2
        values = np.array([abs(p.get(craft)) / p.scale if p.scale else 1.0 for p in self.free + self.kept])
        told, whole = [p.name for p in self.free + self.kept], np.zeros((len(JOINT), len(JOINT)))
        kept = [(JOINT.index(name), told.index(name)) for name in JOINT if name in told and values[told.index(name)] > 1e-6]
        ours, theirs = np.array(kept, int).reshape(-1, 2).T
        per = 1 / values[theirs]
        whole[np.ix_(ours, ours)] = spread[np.ix_(theirs, theirs)] * np.outer(per, per)
        whole[0, 0] = np.hypot(level.width, MODEL_ELSE) ** 2 / 1.96**2
        for p in self.every:
            if p.name in self.measured and p.get(craft) > 0:
                whole[JOINT.index(p.name), JOINT.index(p.name)] = (self.measured[p.name][1] / p.get(craft) / 1.96) ** 2
        deviation = np.sqrt(np.diag(whole))
        shrunk = np.minimum(1, WIDEST / np.maximum(deviation, 1e-12))
        whole = whole * np.outer(shrunk, shrunk) + np.diag(np.where(deviation, 1e-10, 1e-16))
        factor = np.linalg.cholesky(whole)
        return tuple(float(np.round(factor[i, j], 5)) + 0.0 for i in range(len(JOINT)) for j in range(i + 1))

    def estimates(self, craft: Airframe) -> list[ParameterEstimate]:
        """The estimate of each parameter, with intervals at the airframe that was found."""
        shares, found = self.shares(craft), []
        for p in self.every:
            if p.name in self.measured:
                prior, width = self.measured[p.name]
                found.append(ParameterEstimate(p.name, p.unit, prior, p.get(craft), width, p.scale, True))
                continue
            share = shares.get(p.name, self.widths.get(p.name, np.inf))
            value = p.get(craft)
            width = share * (p.scale or abs(value))
            found.append(ParameterEstimate(p.name, p.unit, p.get(self.start), value, width, p.scale, p in self.free))
        return found


def _at_bound(p: Parameter, craft: Airframe) -> bool:
    """Whether the parameter can be changed in one direction only: then its value is the bound's, not the flights'."""
    value = p.get(craft)
    step = STEP * (p.scale or abs(value))
    moved = [abs(p.get(p.put(craft, value + change)) - value) for change in (step, -step)]
    return min(moved) < 0.5 * step


def _gram(parts: np.ndarray) -> np.ndarray:
    """Products (P, P) of the rows of `parts` (P, ...)."""
    flat = parts.reshape(len(parts), -1).astype(float)
    return flat @ flat.T


def _cost(errors: np.ndarray) -> float:
    """Mean over starts, horizons and kinds of the norms of the errors, smoothed near 0."""
    return float(np.sqrt((errors**2).sum(-1) + SMALL**2).mean() - SMALL)


def _weight(errors: np.ndarray) -> np.ndarray:
    return 1 / np.sqrt((errors**2).sum(-1) + SMALL**2)


def _blocks(flight: np.ndarray) -> np.ndarray:
    """Number of the block of each start: at least eight in a flight, none longer than BLOCK seconds of starts in a row."""
    found, number = np.zeros(len(flight), int), 0
    for which in np.unique(flight):
        rows = np.flatnonzero(flight == which)
        for part in np.array_split(rows, max(8, min(len(rows) // 8, 8))):
            found[part] = number
            number += 1
    return found


def _trims(craft: Airframe, at: Starts) -> np.ndarray:
    """The mean trim torque of each flight that has starts (F, 3), N m."""
    trim = predict(dataclasses.replace(craft, trim_moment=(0.0, 0.0, 0.0)), at, (1,)).push[:, 3:] * np.array(craft.inertia)
    return np.array([np.median(trim[at.flight == number], axis=0) for number in np.unique(at.flight)])


def _rms(craft: Airframe, at: Starts) -> tuple[float, float]:
    """Root mean square of the errors in velocity and rates, half a window of a fit by other commands ahead: .25 s."""
    found = difference(predict(craft, at, (25,)).state[0], at.state[HISTORY + 25])
    return tuple(float(np.sqrt((found[:, part] ** 2).mean())) for part in (slice(3, 6), slice(9, 12)))
