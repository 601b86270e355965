"""Fits the parameters of an airframe to recorded flight by least squares, with a 95 % interval for each parameter.

The method is output error with single shooting in short windows (Klein and Morelli, Aircraft System Identification, 2006).
Each window has two parts. During the warm-up the simulated vehicle is set to the recorded state at each step, so that
rotors, filters and integrals take the values that the actions gave them. Then it flies freely, and its velocity and body
rates are compared with the recorded ones. The mean error of a window is subtracted: it comes from the state at its start.

A flight tells forces per mass only, so the mass is the prior's. A parameter whose interval is too wide keeps the prior's
value, and the others are fitted again.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from spike_ctrl.airframe import Airframe
from spike_ctrl.recordings.recorded_transitions import throttle
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.dynamics import GYRO, POSITION, RATE_INTEGRAL, RATES, ROTORS
from spike_ctrl.sim.environment import RATE_HZ, Environment, Task
from spike_ctrl.sim.rate_loop import SUBSTEPS
from spike_ctrl_identify import Show, hide
from spike_ctrl_identify.control_ticks import collectives
from spike_ctrl_identify.flight_windows import Windows

FLOOR = np.repeat([0.002, 0.005], 3)  # m/s and rad/s: assumed errors are at least this; no state estimate is better
WIDE = 0.2  # a parameter is not identified if the half-width of its 95 % interval is a larger share of its value
MODEL = 0.03  # error of the method itself as a share of the value, measured on simulated flights
UNKNOWN = 1.0  # with a larger share nothing is known about the parameter
FAR = 1.5  # natural logarithm of the factor by which a parameter may differ from its prior
RELATIVE_STEP = 2e-3  # of the numerical derivatives: the simulation is in float32
ENDLESS = Task(box=1e9, episode_steps=10**6)  # neither the box nor the clock ends it


class Parameter(NamedTuple):
    """One number of an airframe.

    get(airframe) gives its value; put(airframe, value) gives the airframe with another value. scale: the unit of the fit
    if the prior is 0.
    """

    name: str
    unit: str
    get: Callable[[Airframe], float]
    put: Callable[[Airframe, float], Airframe]
    scale: float = 0.0


@dataclass(frozen=True)
class ParameterEstimate:
    """The result for one parameter: its value and the half-width of its 95 % interval.

    identified: the flight determines it. Otherwise the value is the prior's.
    """

    name: str
    unit: str
    prior: float
    value: float
    half_width: float
    scale: float
    identified: bool

    @property
    def share(self) -> float:
        """Half-width as a share of the value; of `scale` if the prior is 0."""
        return self.half_width / (abs(self.value) if self.prior else self.scale)


@dataclass(frozen=True)
class Identification:
    """The identified airframe.

    windows: how many were used. steps: length of the compared part of each. prior_error, error: rms of velocity (m/s) and
    of rates (rad/s), with the prior and with the estimate. judged: what
    was predicted for that, in words. trims: of each flight by
    motor commands, its name and its mean trim torque (3), N m.
    """

    airframe: Airframe
    estimates: tuple[ParameterEstimate, ...]
    windows: int
    steps: int
    prior_error: tuple[float, float]
    error: tuple[float, float]
    judged: str
    trims: tuple[tuple[str, list[float]], ...] = ()

    def estimate(self, name: str) -> ParameterEstimate:
        """The estimate of the parameter `name`. Raises StopIteration if there is none."""
        return next(estimate for estimate in self.estimates if estimate.name == name)


def parameters(prior: Airframe) -> list[Parameter]:
    """The parameters of an airframe that can be fitted. Terms of the thrust curve that the prior lacks are left out."""
    at, curve = prior.hover, np.array(prior.thrust_curve)
    terms = np.flatnonzero(curve)
    # Rows: thrust, slope and curvature at the prior's hover throttle, as functions of the coefficients.
    shape = np.array([[1, at, at * at], [0, 1, 2 * at], [0, 0, 2]])[: len(terms)][:, terms]

    def thrust(row: int, name: str, unit: str) -> Parameter:
        def put(craft: Airframe, value: float) -> Airframe:
            wanted = shape @ np.array(craft.thrust_curve)[terms]
            wanted[row] = value
            found = np.zeros(3)
            found[terms] = np.linalg.solve(shape, wanted)
            return dataclasses.replace(craft, thrust_curve=tuple(found.tolist()))

        return Parameter(name, unit, lambda craft: float((shape @ np.array(craft.thrust_curve)[terms])[row]), put)

    def single(name: str, unit: str, scale: float = 0.0) -> Parameter:
        return Parameter(
            name, unit, lambda craft: getattr(craft, name), lambda craft, v: dataclasses.replace(craft, **{name: v}), scale
        )

    def inertia(axis: int) -> Parameter:
        def put(craft: Airframe, value: float) -> Airframe:
            return dataclasses.replace(craft, inertia=(*craft.inertia[:axis], value, *craft.inertia[axis + 1 :]))

        return Parameter(f"inertia_{'xyz'[axis]}", "kg m^2", lambda craft: craft.inertia[axis], put)

    names = ("hover_thrust", "hover_thrust_slope", "hover_thrust_curvature")
    weight, arm = prior.mass * 9.81, max(prior.rotor_x)
    return [
        *(thrust(row, name, "N") for row, name in enumerate(names[: len(terms)])),
        *(single(name, "s") for name in ("lag_up", "lag_down")),
        *map(inertia, range(3)),
        single("torque_per_thrust", "m"),
        single("linear_drag", "N s/m", 0.1 * weight),  # at 1 m/s
        single("angular_drag", "N m s/rad", 0.01 * weight * arm),  # at 1 rad/s
    ]


def simulate(crafts: Sequence[Airframe], prior: Airframe, found: Windows) -> np.ndarray:
    """Simulate the windows with each of the airframes. Gives velocity and rates (airframes, steps, W, 6) after the warm-up.

    The airframes differ in what `parameters` gives, and are flown at once. The recorded actions were given to the prior's
    airframe: a collective of 0 stands for its hover throttle.
    """
    many, count = len(crafts), found.count
    environment = Environment(crafts[0], many * count, ENDLESS)
    environment.reset(seed=0)
    every = slice(0, dynamics.ROWS)  # a window begins alike with each airframe
    dynamics.write(environment.buffer, every, np.tile(environment.read(every)[:count], (many, 1)))
    # With a rate loop the rates are not set: its derivative term would take the noise of recorded rates for rotation.
    controlled = prior.action_layout == "rates"
    plants, hover = [dynamics.nominal_plant(craft) for craft in crafts], np.array([[craft.hover] for craft in crafts])
    dynamics.write(environment.buffer, dynamics.PLANT_ROWS, np.repeat(plants, count, axis=0))
    for rows in (dynamics.ROTOR_ROWS, slice(dynamics.EARLIER, dynamics.LOST)):
        dynamics.write(environment.buffer, rows, np.tile(np.repeat(hover, count, axis=0), rows.stop - rows.start))
    flown = []
    for step, action in enumerate(np.concatenate([_meant(found.action, craft, prior) for craft in crafts], axis=1)):
        if step <= found.warm:
            held = slice(POSITION, RATES if controlled and step else ROTORS)
            dynamics.write(environment.buffer, held, np.tile(found.state[step][:, held], (many, 1)))
            dynamics.write(environment.buffer, slice(RATE_INTEGRAL, GYRO), np.tile(found.integral[step], (many, 1)))
        environment.step(action)
        if step >= found.warm:
            flown.append(environment.read(slice(7, 13)).reshape(many, count, 6))
    return np.stack(flown, axis=1)


def _meant(action: np.ndarray, craft: Airframe, prior: Airframe) -> np.ndarray:
    """The actions that give `craft` the throttle that the recorded ones gave to the prior's airframe."""
    if craft.action_layout == "motors":
        return action
    wanted, hover = throttle(action.reshape(-1, 4), prior)[:, 0].reshape(action.shape[:2]), craft.hover
    collective = collectives(wanted.astype(float), hover)
    return np.concatenate([collective[..., None], action[..., 1:]], axis=2).astype(np.float32)


def error(craft: Airframe, prior: Airframe, found: Windows) -> np.ndarray:
    """Simulated minus recorded velocity and rates (steps, W, 6), minus the mean of each window."""
    return errors([craft], prior, found)[0]


def errors(crafts: Sequence[Airframe], prior: Airframe, found: Windows) -> list[np.ndarray]:
    """`error` of each airframe."""
    wanted = found.state[found.warm + 1 :, :, 7:13]
    differences = [flown.astype(float) - wanted for flown in simulate(crafts, prior, found)]
    return [difference - difference.mean(axis=0) for difference in differences]


def fit(prior: Airframe, found: Windows, show: Show = hide) -> Identification:
    """Fit all parameters that the windows determine.

    Every fourth window is not fitted but used to judge the result. Raises ValueError.
    """
    apart = np.arange(found.count) % 4 == 3
    fitted, judged = found.subset(~apart), found.subset(apart)
    best = _over_delays(prior, fitted, show)
    return dataclasses.replace(
        best, prior_error=_rms(error(prior, prior, judged)), error=_rms(error(best.airframe, prior, judged))
    )


def _over_delays(prior: Airframe, found: Windows, show: Show) -> Identification:
    """With the layout `rates`, try each delay of the rate loop: the simulation allows whole substeps only."""
    if prior.rate_loop is None or prior.action_layout != "rates":
        return _narrowed(prior, prior, found, show)
    step, costs, spread = (
        0.01 / SUBSTEPS,
        {},
        _spread(prior, prior, found),
    )  # one spread for all delays
    for count in range(SUBSTEPS + 1):
        loop = dataclasses.replace(prior.rate_loop, delay=count * step)
        start = dataclasses.replace(prior, rate_loop=loop)
        craft, residual, _ = _solve(start, prior, parameters(prior), found, spread, 6)
        costs[count] = float((residual**2).sum()), craft
        show(f"delay {1e3 * count * step:.1f} ms: error {costs[count][0]:.0f}", np.nan)
    count = min(costs, key=lambda key: costs[key][0])
    start = dataclasses.replace(prior, rate_loop=dataclasses.replace(prior.rate_loop, delay=count * step))
    best = _narrowed(start, prior, found, show)
    about = ParameterEstimate("rate_loop.delay", "s", prior.rate_loop.delay, count * step, step, step, True)
    return dataclasses.replace(best, estimates=(*best.estimates, about))


def _narrowed(start: Airframe, prior: Airframe, found: Windows, show: Show) -> Identification:
    """Fit. While an interval is too wide, set the least certain parameter to its prior and fit again."""
    every = parameters(prior)
    free, widths = list(every), {}
    while True:
        spread = _spread(start, prior, found)
        for _ in range(2):  # the second time weighted by the errors that remain
            craft, residual, jacobian = _solve(start, prior, free, found, spread, 30)
            spread = np.maximum(error(craft, prior, found).std(axis=(0, 1)), FLOOR)
        shares = dict(zip([p.name for p in free], _half_widths(residual, jacobian, found), strict=True))
        words = ", ".join(f"{name} {100 * share:.1f} %" for name, share in shares.items())
        show(f"{len(free)} parameters: {words}", np.nan)
        widest = max(shares.values())
        if widest <= WIDE or len(free) == 1:
            break
        for p in [p for p in free if shares[p.name] >= min(widest, UNKNOWN)]:
            widths[p.name] = shares[p.name]
            free.remove(p)
    estimates = []
    for p in every:
        prior_value, share = p.get(prior), float(shares.get(p.name, widths.get(p.name, np.inf)))
        if not prior_value and p.get(craft) < share * p.scale:  # a drag that cannot be distinguished from 0
            craft = p.put(craft, 0.0)
        value, told = p.get(craft), bool(p in free and share <= WIDE)
        width = share * (abs(value) if prior_value else p.scale)
        estimates.append(ParameterEstimate(p.name, p.unit, prior_value, value, width, p.scale, told))
    steps = len(found.action) - found.warm
    judged = f"{steps / RATE_HZ:g} s of the windows that were not fitted"
    return Identification(craft, tuple(estimates), found.count, steps, (0.0, 0.0), (0.0, 0.0), judged)


def _solve(start: Airframe, prior: Airframe, free: Sequence[Parameter], found: Windows, spread, evaluations: int):
    """The fitted airframe, the weighted errors (steps, W, 6) and their Jacobian by the logarithm of each free parameter."""

    def made(x: np.ndarray) -> Airframe:
        craft = start
        for p, change in zip(free, x, strict=True):
            value = p.get(prior) * np.exp(change) if p.get(prior) else p.scale * change
            craft = p.put(craft, float(value))
        return craft

    def residuals(xs: Sequence[np.ndarray]) -> list[np.ndarray]:
        # The change itself counts as an error of deviation 1: what the flight does not determine stays.
        found_errors = errors([made(x) for x in xs], prior, found)
        return [np.append(np.nan_to_num(error, nan=1e3) / spread, x) for error, x in zip(found_errors, xs, strict=True)]

    found_ = least_squares(
        lambda x: residuals([x])[0], np.zeros(len(free)), bounds=(-FAR, FAR), loss="soft_l1", f_scale=3.0,
        max_nfev=evaluations, jac=lambda x: _jacobian(residuals, x),
    )  # fmt: skip
    size, (residual,) = len(free), residuals([found_.x])
    return made(found_.x), residual[:-size].reshape(-1, found.count, 6), _jacobian(residuals, found_.x)[:-size]


def _jacobian(residuals, x: np.ndarray) -> np.ndarray:
    """The Jacobian by central differences."""
    steps = RELATIVE_STEP * np.eye(len(x))
    up, down = np.split(np.array(residuals([*(x + steps), *(x - steps)])), 2)
    return np.ascontiguousarray(((up - down) / (2 * RELATIVE_STEP)).T)


def _spread(craft: Airframe, prior: Airframe, found: Windows) -> np.ndarray:
    """Standard deviation (6,) of the errors, from their median, so that outlying windows do not count."""
    difference = error(craft, prior, found)
    return np.maximum(1.4826 * np.median(np.abs(np.nan_to_num(difference, nan=1e3)), axis=(0, 1)), FLOOR)


def _half_widths(residual: np.ndarray, jacobian: np.ndarray, found: Windows) -> np.ndarray:
    """Half-width of the 95 % interval of each free parameter, as a share of its value.

    It is the larger of two: from white errors with the assumed spread, and from how the windows differ, because errors
    within a window are correlated (Huber's sandwich estimator). MODEL is added in quadrature.
    """
    weight = 1 / np.sqrt(1 + (residual / 3) ** 2)  # of the robust loss
    steps = jacobian.reshape(*residual.shape, -1)
    information = np.einsum("twci,twc,twcj->ij", steps, weight, steps)
    inverse = np.linalg.inv(information + np.eye(len(information)))
    scores = np.einsum("twci,twc->wi", steps, weight * residual)
    apart = sandwich(inverse, scores)
    return np.hypot(1.96 * np.sqrt(np.maximum(np.diag(inverse), np.diag(apart))), MODEL)


def sandwich(inverse: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Huber's covariance (n, n) of estimates: inverse (n, n) of the information, scores (W, n) of independent parts."""
    return inverse @ (scores.T @ scores) @ inverse


def _rms(difference: np.ndarray) -> tuple[float, float]:
    """Root mean square of the errors in velocity and of those in rates."""
    return tuple(float(np.sqrt((difference[..., part] ** 2).mean())) for part in (slice(0, 3), slice(3, 6)))
