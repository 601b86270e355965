"""How near to the set-point could a vehicle stay after a whole loss in a hover? An upper bound on the least RMSE.

python docs/nearest_after_loss.py MODEL --flights 1024

Commands for the first 5 s are sought by gradient descent, flight by flight, from the policy's own; then the policy flies
on. They know all from the failure on; the first `--late` steps stay the policy's. The cost is the squared distance from 2 s
on, and a fiftieth of it before. The RMSE is from 2 s after the failure to 10 s. The policy's spikes begin anew at the
failure, without noise. The descent finds local optima, so something nearer may exist.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from recoverable_losses import RATE, Flights, PolicyController, actions, failures, flown, improved, kinds_of

from spike_ctrl.airframe import Airframe
from spike_ctrl.evaluation.benchmark import EVALUATION_SEED
from spike_ctrl.policy import checkpoint
from spike_ctrl_benchmark.rotor_flights import PATHS, SETTLED

SECONDS = 5  # that are optimised
SETTLED_STEP = round(SETTLED) * RATE


def nearness(states: NDArray, who: Flights) -> NDArray:
    """The gradient of the cost with respect to states (T, N, S)."""
    found, weight = np.zeros_like(states), np.where(np.arange(len(states)) < SETTLED_STEP, 0.02, 1.0)
    found[..., :3] = 2 * weight[:, None, None] * (states[..., :3] - who.course[1 : len(states) + 1])
    found[-RATE // 2 :, :, 7:10] = states[-RATE // 2 :, :, 7:10]
    return found


def tell(name: str, who: Flights, error: NDArray) -> tuple[NDArray, NDArray]:
    """Print the figures of errors (T, N, 3), m; returns who is kept (N,), and the RMSE (N,) of each flight, m."""
    kept = who.kept(error)
    rmse = np.sqrt((error[SETTLED_STEP:] ** 2).sum(-1).mean(0))
    print(f"{name}: {kept.mean():.3f} kept; {figures(rmse[kept])}", flush=True)
    return kept, rmse


def figures(rmse: NDArray) -> str:
    """RMSE over all flights, mean and median of the flights' own."""
    return f"RMSE over all {np.sqrt((rmse**2).mean()):.3f} m, mean {rmse.mean():.3f}, median {np.median(rmse):.3f}"


def run(options: argparse.Namespace) -> None:
    """The policy, descents with several rates, and the nearest of them."""
    craft, policy = Airframe.load(options.airframe), PolicyController(checkpoint.load(options.model).policy)
    who = failures(policy, craft, PATHS["hover"], options.flights, EVALUATION_SEED)
    who = who.of(np.flatnonzero(kinds_of(who, craft)["whole"]))
    start = actions(who, craft, policy, SECONDS * RATE)
    kept, own = tell(f"the policy, {len(who.rows)} whole losses", who, flown(who, craft, policy, start, 0))
    nearest = np.where(kept, own, np.inf)
    for rate in options.rates:
        found = improved(who, craft, start, options.rounds, options.late, rate, nearness)
        near, rmse = tell(f"descent, rate {rate:g}", who, flown(who, craft, policy, found, len(found)))
        nearest = np.minimum(nearest, np.where(near, rmse, np.inf))
    some = np.isfinite(nearest)
    print(f"nearest of each, where any is kept ({some.mean():.3f}): {figures(nearest[some])}")
    print(f"nearest of each, where the policy is kept: {figures(nearest[kept])}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--airframe", default="crazyflie_drag", help="default: %(default)s")
    parser.add_argument("--flights", type=int, default=1024, help="a quarter are whole losses; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=600, help="steps of each descent; default: %(default)s")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.001, 0.003, 0.01, 0.02], help="default: %(default)s")
    parser.add_argument("--late", type=int, default=2, help="steps before anybody knows of a failure; default: %(default)s")
    torch.set_num_threads(1)
    run(parser.parse_args())
