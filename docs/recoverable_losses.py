"""Which lost rotors and throws could be survived at all? What a policy keeps of those that something is shown to keep.

python docs/recoverable_losses.py MODEL [MODEL ...] --seed 1 --flights 1024
python docs/recoverable_losses.py MODEL --seed 1 --thrown

The flights are those of `spike-ctrl eval --protocol rotor-loss thrown`. The first model is judged. For each flight that it
loses a witness is sought, which knows all from the failure on and nothing before:

1. another of the models, which flies from the start;
2. commands for the first seconds after the failure, found by gradient descent through the simulator, flight by flight, from
   the actions of the models and from held commands; after them the models fly on, one after the other. In the first `--late`
   steps the judged model's actions stay as they are, since nobody can know a failure before it shows.

A flight with a witness is recoverable: the same simulator has flown it. One without is *not shown* recoverable. The descent
finds local optima, so the share of recoverable flights is a lower bound, and the share that is kept of them an upper bound.
"""

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from spike_ctrl.airframe import Airframe
from spike_ctrl.control.trajectory import PREVIEW, Trajectory
from spike_ctrl.evaluation.benchmark import EVALUATION_SEED
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.evaluation.tracking import hovering
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.block_step import motion
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl_benchmark import rotor_flights, thrown_flights
from spike_ctrl_benchmark.rotor_flights import AFTER, KEPT, LATEST, LOSS, PATHS, fly_path, kept_within
from spike_ctrl_networks.differentiable_step import Vehicles

Search = Callable[["Flights"], NDArray]
Gradient = Callable[[NDArray, "Flights"], NDArray]  # of a cost, with respect to states (T, N, S)

RATE = round(RATE_HZ)
OPEN = 3 * RATE  # steps of the commands that are optimised
HAND_OVERS = range(60, OPEN + 1, 30)  # steps after the failure at which a model takes over
MARGIN = 0.25  # m that the descent keeps from the limit, since the hand-over costs some


@dataclasses.dataclass(frozen=True)
class Flights:
    """N vehicles at their failures, or as they are thrown.

    rows (N, ROWS): of `dynamics`. course (T, N, 3), told (T, N, 3): set-point (m) and the velocity that a policy is told of
    it (m/s), at 0, 1, 2 ... steps after the failure. limits: m, largest distance, largest fall, distance in the last second.
    """

    rows: NDArray
    course: NDArray
    told: NDArray
    limits: tuple[float, float, float]

    def of(self, who: NDArray) -> "Flights":
        """Some of them, by mask or number."""
        return Flights(self.rows[who], self.course[:, who], self.told[:, who], self.limits)

    def buffer(self, craft: Airframe) -> NDArray:
        """Their vehicles at the failure."""
        buffer = dynamics.allocate(len(self.rows), craft)
        dynamics.write(buffer, slice(0, dynamics.ROWS), self.rows)
        return buffer

    def kept(self, error: NDArray) -> NDArray:
        """Who (N,) of errors (T, N, 3), m, was never beyond a limit, and in the last second was near enough."""
        distance, (far, low, place) = np.linalg.norm(error, axis=-1), self.limits
        return ((distance <= far) & (error[..., 2] >= -low)).all(0) & (distance[-RATE:] <= place).all(0)


def failures(controller: PolicyController, craft: Airframe, path: Trajectory, flights: int, seed: int) -> Flights:
    """The vehicles of the protocol at the failure, after a flight of the controller."""
    differ = Randomisation(noise=1.0, rotor_loss=LOSS)
    environment, seen = hovering(craft, flights, RATE * round(LATEST + AFTER), differ, seed=seed)
    first = np.floor(environment.read(dynamics.FAILS_AT) * RATE).astype(int)
    rows = np.zeros((flights, dynamics.ROWS), np.float32)
    controller.begin(flights)
    for step in range(first.max() + 1):
        now = first == step
        rows[now] = environment.read(slice(0, dynamics.ROWS))[now]
        action = controller.act(seen, environment)
        seen, *_ = environment.step(action)
        seen[:, :3] -= offset(path, (step + 1) / RATE)
        seen[:, 12:15] -= path.at((step + 1) / RATE + PREVIEW).velocity
    steps = first + np.arange(RATE * round(AFTER) + 1)[:, None]
    times = np.arange(steps.max() + 1) / RATE
    course, told = np.array([offset(path, t) for t in times]), np.array([path.at(t + PREVIEW).velocity for t in times])
    return Flights(rows, course[steps], told[steps], (KEPT, np.inf, np.inf))


def offset(path: Trajectory, time: float) -> NDArray:
    """The set-point from the path's centre, m."""
    return np.subtract(path.at(time).position, path.centre)


def throws(models: list[PolicyController], craft: Airframe, flights: int, seed: int) -> tuple[Flights, list[NDArray]]:
    """The vehicles of the protocol `thrown`, and which (N,) of them each model catches."""
    environment, _ = thrown_flights.throw(craft, flights, seed)
    still, caught = np.zeros((RATE * round(thrown_flights.SECONDS) + 1, flights, 3)), []
    limits = thrown_flights.WIDE, thrown_flights.GROUND, thrown_flights.PLACE
    who = Flights(environment.read(slice(0, dynamics.ROWS)), still, still, limits)
    for model in models:
        caught.append(who.kept(thrown_flights.thrown_errors(model, *thrown_flights.throw(craft, flights, seed))))
    return who, caught


def flown(who: Flights, craft: Airframe, controller: PolicyController, given: NDArray, until: int) -> NDArray:
    """Errors (T, N, 3), m, of flights with the commands given (OPEN, N, 4) for `until` steps and then a controller.

    The controller sees from the failure on and without noise.
    """
    vehicles, found = Vehicles(who.buffer(craft), motion(craft, 1 / RATE, True), len(who.rows)), []
    controller.begin(len(who.rows))
    for step in range(len(who.course) - 1):
        u = _answer(controller, vehicles, who, step)
        vehicles.advance(torch.from_numpy(given[step] if step < until else u))
        found.append(dynamics.read(vehicles.buffer, slice(0, 3), len(who.rows)) - who.course[step + 1])
    return np.array(found)


def actions(who: Flights, craft: Airframe, controller: PolicyController, steps: int = OPEN) -> NDArray:
    """The commands (steps, N, 4) of a controller in the first steps after the failure."""
    vehicles, found = Vehicles(who.buffer(craft), motion(craft, 1 / RATE, True), len(who.rows)), []
    controller.begin(len(who.rows))
    for step in range(steps):
        found.append(_answer(controller, vehicles, who, step))
        vehicles.advance(torch.from_numpy(found[-1]))
    return np.array(found, np.float32)


def _answer(controller: PolicyController, vehicles: Vehicles, who: Flights, step: int) -> NDArray:
    """The command (N, 4) of a controller, 0 to 1, so many steps after the failure."""
    seen = vehicles.observation().numpy()
    seen[:, :3] -= who.course[step]
    seen[:, 12:15] -= who.told[step]
    return (controller.act(seen.astype(np.float32), None) + 1) / 2


def staying_within(states: NDArray, who: Flights) -> NDArray:
    """The gradient, with respect to states (OPEN, N, S), of a cost of coming near to a limit.

    The cost has three parts: the eighth power of the distance, as a share of its limit; the same of the fall; the squared
    speed in the last half second, since a model takes over then.
    """
    found = np.zeros_like(states)
    error = states[..., :3] - who.course[1 : OPEN + 1]
    far = who.limits[0] - MARGIN
    distance = np.linalg.norm(error, axis=-1, keepdims=True) / far
    found[..., :3] = 8 * np.minimum(distance, 3) ** 6 * error / far**2
    if np.isfinite(who.limits[1]):
        low = who.limits[1] - MARGIN
        found[..., 2] -= 8 * np.clip(-error[..., 2] / low, 0, 3) ** 7 / low
    slow = OPEN - RATE // 2
    found[slow:, :, 7:10] = 2 * 0.1 * (states[slow:, :, 7:10] - who.told[slow + 1 : OPEN + 1])
    return found


def improved(
    who: Flights,
    craft: Airframe,
    given: NDArray,
    rounds: int,
    late: int,
    rate: float = 0.05,
    gradient: Gradient = staying_within,
) -> NDArray:
    """Commands (T, N, 4) that keep the vehicles nearer to their set-points, by `rounds` steps of Adam in each flight.

    given: commands (T, N, 4) to begin from; the first `late` stay as they are. gradient: of the cost.
    """
    u, begin, count = given.copy(), who.buffer(craft), len(who.rows)
    vehicles = Vehicles(begin, motion(craft, 1 / RATE, True), count)
    mean, square = np.zeros_like(u), np.zeros_like(u)
    for number in range(1, rounds + 1):
        vehicles.buffer[:] = begin
        tape, states = [], []
        for step in range(len(u)):
            tape.append(vehicles.advance(torch.from_numpy(u[step])))
            states.append(vehicles.state().numpy())
        by_state = gradient(np.array(states), who)
        by_u, adjoint = np.zeros_like(u), np.zeros_like(vehicles.adjoint(torch.zeros(count, vehicles.size)))
        for step in reversed(range(len(u))):
            adjoint += vehicles.adjoint(torch.from_numpy(by_state[step]))
            by_u[step] = vehicles.step_vjp(*tape[step], adjoint).numpy()
        by_u[:late] = 0
        by_u = np.nan_to_num(by_u / (np.sqrt((by_u**2).mean((0, 2), keepdims=True)) + 1e-12))  # each flight by itself
        mean += 0.1 * (by_u - mean)
        square += 0.02 * (by_u**2 - square)
        corrected = mean / (1 - 0.9**number) / (np.sqrt(square / (1 - 0.98**number)) + 0.1)
        u = np.clip(u - rate * (1 - 0.9 * number / rounds) * corrected, 0, 1).astype(np.float32)
    return u


def witnessed(who: Flights, craft: Airframe, models: list[PolicyController], rounds: int, late: int) -> NDArray:
    """For which flights (N,) commands were found that keep them."""
    shown = np.zeros(len(who.rows), bool)
    starts = [actions(who, craft, model) for model in models]
    for start in [*starts, np.full_like(starts[0], craft.hover)]:
        start[:late] = starts[0][:late]
        open_ = np.flatnonzero(~shown)
        if not len(open_):
            break
        some = who.of(open_)
        found = improved(some, craft, start[:, open_], rounds, late)
        for model in models:
            for until in HAND_OVERS:
                left = open_[~shown[open_]]
                if len(left):
                    part, at = who.of(left), np.searchsorted(open_, left)
                    error = flown(part, craft, model, found[:, at], until)
                    shown[left] = part.kept(error)
        print(f"  of {len(open_)} flights {int(shown[open_].sum())} are shown recoverable", flush=True)
    return shown


def judge(name: str, who: Flights, kinds: dict[str, NDArray], kept: list[NDArray], search: Search) -> NDArray:
    """Print a line per kind of failure; returns who is kept by the first model, and who is shown recoverable (2, N)."""
    some = np.any(kept, axis=0)
    shown = some.copy()
    if not some.all():
        shown[~some] = search(who.of(~some))
    for kind, members in kinds.items():
        if members.any():
            mine, models, all_ = (one[members].mean() for one in (kept[0], some, shown))
            shares = f"{mine:.3f} | {models:.3f} | {all_:.3f} | {mine / max(all_, 1e-9):.3f}"
            print(f"{name} | {kind} | {int(members.sum())} | {shares}", flush=True)
    return np.array([kept[0], shown])


def kinds_of(who: Flights, craft: Airframe) -> dict[str, NDArray]:
    """Masks of the kinds of loss, and of the whole ones by the time in which the thrust falls."""
    share, over = who.rows[:, dynamics.LOST : dynamics.STUCK].max(1), who.rows[:, dynamics.FALLS_OVER]
    least = rotor_flights.level_share(craft)
    found = {"all": share >= 0, "level": share <= least, "turning": (share > least) & (share < 1), "whole": share >= 1}
    times = np.arange(5) / 10
    return found | {f"whole within {t + 0.1:.1f} s": (share >= 1) & (over >= t) & (over < t + 0.1) for t in times}


def run(options: argparse.Namespace) -> None:
    """Judge the first model on all flights that are asked for."""
    craft = Airframe.load(options.airframe)
    models = [PolicyController(checkpoint.load(path).policy) for path in options.models]

    def search(who: Flights) -> NDArray:
        return witnessed(who, craft, models, options.rounds, options.late)

    print("flight | kind | flights | kept | by any model | shown recoverable | kept of these")
    if options.thrown:
        who, kept = throws(models, craft, options.flights, options.seed)
        judge("thrown", who, {"all": np.ones(options.flights, bool)}, kept, search)
        return
    sums = []
    for index, (name, path) in enumerate(PATHS.items()):
        seed, kept = options.seed + index, []
        for model in models:
            flown = fly_path(model, craft, path, options.flights, seed)
            kept.append(kept_within(flown.error, flown.begun))
        who = failures(models[0], craft, path, options.flights, seed)
        sums.append(judge(name, who, kinds_of(who, craft), kept, search))
    mine, shown = np.concatenate(sums, axis=1).mean(1)
    print(f"all paths: kept {mine:.4f}, shown recoverable {shown:.4f}, kept of these {mine / shown:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, help="the first is judged; all look for witnesses")
    parser.add_argument("--airframe", default="crazyflie_drag", help="default: %(default)s")
    parser.add_argument("--flights", type=int, default=1024, help="of each path; default: %(default)s")
    parser.add_argument("--seed", type=int, default=EVALUATION_SEED, help="of the failures; default: that of the protocol")
    parser.add_argument("--rounds", type=int, default=300, help="steps of the descent; default: %(default)s")
    parser.add_argument("--late", type=int, default=2, help="steps before anybody knows of a failure; default: %(default)s")
    parser.add_argument("--thrown", action="store_true", help="throws instead of failures")
    torch.set_num_threads(1)
    run(parser.parse_args())
