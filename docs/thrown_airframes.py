"""Which thrown quadrotors are lost? The share that stays within 6 m, by thrust/weight and by the lag of the rotors.

python docs/thrown_airframes.py models/any_quad.safetensors models/any_quad_thrown.safetensors --seed 7002

The throws are those of `spike-ctrl eval --airframe any_quad --protocol thrown`, with another seed.
"""

import argparse
import itertools

import numpy as np

from spike_ctrl._files.text_table import text_table
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.evaluation.controllers import Controller, GuideController, PolicyController
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim.dynamics import LAG_UP, MASS, THRUST, TORQUE
from spike_ctrl_benchmark.any_airframe import ANY
from spike_ctrl_benchmark.thrown_flights import WIDE, throw, thrown_errors

RATIOS, LAGS = (1.5, 2.0, 3.0, 5.1), (0.01, 0.03, 0.07, 0.16)


def thrown(controller: Controller, seed: int, vehicles: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each vehicle: whether it stayed within WIDE m, its thrust/weight with a full battery, its rotors' lag (s)."""
    environment, seen = throw(Airframe.load("any_quad"), vehicles, seed, ANY["motors"])
    mass, lag = (environment.read(slice(row, row + 1))[:, 0].copy() for row in (MASS, LAG_UP))
    ratio = 4 * environment.read(slice(THRUST, TORQUE)).sum(1) / (mass * GRAVITY)
    error = thrown_errors(controller, environment, seen)
    return (np.linalg.norm(error, axis=-1) <= WIDE).all(0), ratio, lag


def main() -> None:
    """Print a table for each model, and for the guide that knows each plant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--seed", type=int, default=7002)
    parser.add_argument("--vehicles", type=int, default=1024)
    options = parser.parse_args()
    flown: dict[str, Controller] = {path: PolicyController(checkpoint.load(path).compiled()) for path in options.models}
    flown["guide, told the plant"] = GuideController(GeometricGuide(Airframe.load("any_quad")))
    any_of_them = np.zeros(options.vehicles, bool)
    for name, controller in flown.items():
        kept, ratio, lag = thrown(controller, options.seed, options.vehicles)
        rows = [[f"{name}: {kept.mean():.3f}", *(f"lag {low} to {high} s" for low, high in itertools.pairwise(LAGS))]]
        for least, most in itertools.pairwise(RATIOS):
            row = [f"thrust/weight {least} to {most}"]
            for low, high in itertools.pairwise(LAGS):
                some = (ratio >= least) & (ratio < most) & (lag >= low) & (lag < high)
                row.append(f"{kept[some].mean():.3f} of {some.sum()}")
            rows.append(row)
        print(text_table(rows))
        any_of_them |= kept
    print(f"kept by any of them: {any_of_them.mean():.3f}")


if __name__ == "__main__":
    main()
