"""Why does a policy's command change in a hover? The change of u, its spectrum, and what a low-pass of it would leave.

python docs/command_changes.py models/any_quad.safetensors --seed 7005

256 drawn airframes start in a hover and are watched from 4 to 6 s, without sensor noise. The low-pass is applied to what was
flown, so it tells how fast the changes are, not how a policy with a low-pass would fly.
"""

import argparse
import itertools

import numpy as np

from spike_ctrl.airframe import Airframe
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.evaluation.tracking import hovering
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl_benchmark.any_airframe import ANY

AIRFRAMES, FROM, TO = 256, 400, 600  # vehicles; control steps that are watched
BANDS = (0, 5, 10, 20, 51)  # Hz
LEAKS = (0.5, 0.7, 0.85)


def watched(path: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Commands u (T, N, 4) and how many neurons of each hidden layer change between spike and silence (T - 1, layers)."""
    policy = checkpoint.load(path).compiled()
    controller = PolicyController(policy)
    environment, seen = hovering(Airframe.load("any_quad"), AIRFRAMES, TO + 1, Randomisation(), ANY["motors"], seed)
    controller.begin(AIRFRAMES)
    command, spikes = [], []
    for step in range(TO):
        action = controller.act(seen, environment)
        seen, *_ = environment.step(action)
        if step >= FROM:
            command.append((action + 1) / 2)
            spikes.append(controller._state.spike.copy())
    turned = np.abs(np.diff(np.array(spikes), axis=0)).mean(2)
    layers = np.split(turned, np.cumsum(policy.sizes[1:-2]), axis=1)
    return np.array(command), np.stack([layer.sum(1) for layer in layers], axis=1)


def low_passed(command: np.ndarray, leak: float) -> np.ndarray:
    """The same commands, of which each step takes a share 1 - leak."""
    after = command.copy()
    for step in range(1, len(command)):
        after[step] = leak * after[step - 1] + (1 - leak) * command[step]
    return after


def change(command: np.ndarray) -> np.ndarray:
    """Mean |change of u| a step of each vehicle (N,)."""
    found: np.ndarray = np.abs(np.diff(command, axis=0)).mean((0, 2))
    return found


def main() -> None:
    """Print a few lines for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--seed", type=int, default=7005)
    options = parser.parse_args()
    for path in options.models:
        command, turned = watched(path, options.seed)
        steps = change(command)
        tenth, half, most = np.quantile(steps, (0.1, 0.5, 0.9))
        print(f"{path}: change of u {steps.mean():.4f}, of the vehicles {tenth:.4f}, {half:.4f}, {most:.4f} (10, 50, 90 %)")
        print(f"  neurons that turn on or off in a step, by layer: {turned.mean(0).round(1)}")
        swing = command - command.mean(0)
        window = np.hanning(len(swing))[:, None, None]
        power = (np.abs(np.fft.rfft(swing * window, axis=0)) ** 2).mean((1, 2))
        hertz = np.fft.rfftfreq(len(swing), 1 / RATE_HZ)
        shares = [power[(hertz >= low) & (hertz < high)].sum() / power.sum() for low, high in itertools.pairwise(BANDS)]
        print(f"  deviation of u {swing.std():.3f}; share of its power in the bands {BANDS} Hz: {np.round(shares, 2)}")
        left = {leak: round(float(change(low_passed(command, leak)[50:]).mean()), 4) for leak in LEAKS}
        print("  change of u behind a low-pass, by its leak:", left)


if __name__ == "__main__":
    main()
