"""What of the error in predicted body rates could be known: python tests/bench/rates_left_over.py AIRFRAME BAG...

A linear regression learns the errors after .1 s from what was measured in the .25 s before a start: rates, commands, turns
of the attitude, velocity in the body. Each flight is judged by a regression over the others. Then it is also given the
commands after the start. The first of them act before the horizon. The last hardly do, but they answer the gyro, and so
tell the rates that are to be predicted: what they explain is no defect of the plant.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from spike_ctrl import airframe
from spike_ctrl_identify.observed_flight import AHEAD, EVERY, HISTORY, observed_flights
from spike_ctrl_identify.open_loop import Starts, difference, predict, starts

STEPS, BEFORE, RIDGE = 10, 25, 100.0  # the horizon; steps that the regression sees; weight of its coefficients
MIXES = np.array([[-1, -1, 1, 1], [-1, 1, 1, -1], [1, -1, 1, -1], [1, 1, 1, 1]]) / 4  # roll, pitch, yaw, thrust


def seen(at: Starts, after: int) -> np.ndarray:
    """What the regression sees of each start (W, n), each number in its deviation; `after`: steps of later commands."""
    now = at.state[HISTORY]
    parts = [at.state[step][:, 10:13] - now[:, 10:13] for step in range(HISTORY - BEFORE, HISTORY)] + [now[:, 10:13]]
    parts += [at.command[step] @ MIXES.T for step in range(HISTORY - BEFORE, HISTORY + after)]
    attitudes = [Rotation.from_quat(at.state[step][:, 3:7]) for step in range(HISTORY - BEFORE + 1, HISTORY + 1, 2)]
    parts += [(one.inv() * two).as_rotvec() for one, two in itertools.pairwise(attitudes)]
    parts.append(attitudes[-1].inv().apply(now[:, 7:10]))
    found = np.concatenate(parts, axis=1)
    return (found - found.mean(0)) / found.std(0)


def left(errors: np.ndarray, x: np.ndarray, flight: np.ndarray) -> np.ndarray:
    """What each flight's errors (W, 3) are less the regression over the other flights."""
    found = np.empty_like(errors)
    for which in np.unique(flight):
        others, own = flight != which, flight == which
        mean, square = errors[others].mean(0), x[others].T @ x[others]
        weights = np.linalg.solve(square + RIDGE * np.eye(x.shape[1]), x[others].T @ (errors[others] - mean))
        found[own] = errors[own] - mean - x[own] @ weights
    return found


def mean_norm(errors: np.ndarray, flight: np.ndarray) -> float:
    """Mean over flights of the mean norm, as `spike-ctrl fidelity` has it."""
    norms = np.linalg.norm(errors, axis=1)
    return float(np.mean([norms[flight == which].mean() for which in np.unique(flight)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("airframe", help="such as crazyflie_real")
    parser.add_argument("bags", nargs="+", type=Path, help="flights by motor commands, as `spike-ctrl import` writes them")
    options = parser.parse_args()
    craft = airframe.load(options.airframe)
    at = starts(observed_flights(options.bags, craft), EVERY, AHEAD)
    errors = difference(predict(craft, at, (STEPS,)).state[0], at.state[HISTORY + STEPS])[:, 9:12]
    print(f"error in rates after {STEPS / 100:g} s: {mean_norm(errors, at.flight):.3f} rad/s, {at.count} starts")
    for after in range(0, STEPS + 1, 2):
        rest = mean_norm(left(errors, seen(at, after), at.flight), at.flight)
        print(f"  less what {BEFORE / 100:g} s before and {after} commands after the start tell: {rest:.3f} rad/s")


if __name__ == "__main__":
    main()
