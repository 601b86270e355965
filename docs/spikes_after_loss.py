"""What do a policy's neurons do when a rotor fails in a hover? Spike rates before and after, and who tells the rotors apart.

python docs/spikes_after_loss.py models/crazyflie_any_rotor.safetensors

256 vehicles hover, and one rotor of each fails 4 s later, within .3 s. A neuron's rate is the share of steps in which it
spikes. Vehicles that are lost (farther than 3 m) do not count.
"""

import argparse

import numpy as np

from spike_ctrl._files.text_table import text_table
from spike_ctrl.airframe import Airframe
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.evaluation.tracking import hovering
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.sim.rotor_loss import RotorLoss

VEHICLES, FAILS_AT, OVER, SECONDS, KEPT = 256, 4.0, 0.3, 12.0, 3.0
SPANS = {
    "1 s before": (-1, 0),
    "0 to .1 s after": (0, 0.1),
    ".1 to .5 s": (0.1, 0.5),
    ".5 to 2 s": (0.5, 2),
    "6 to 8 s": (6, 8),
}
CHANGED = 0.2  # of a rate, from which on a neuron counts as another one


def fly(path: str, craft: Airframe, share: float, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray, list[int]]:
    """Rates (N, neurons) of the vehicles that are kept, by span; the rotor that failed (N,); the layers' sizes."""
    policy = checkpoint.load(path).compiled()
    controller = PolicyController(policy)
    loss = RotorLoss(chance=1.0, least=share, most=share, earliest=FAILS_AT, latest=FAILS_AT, over=OVER)
    steps = int(SECONDS * RATE_HZ)
    environment, seen = hovering(craft, VEHICLES, steps + 1, Randomisation(noise=1.0, rotor_loss=loss), seed=seed)
    controller.begin(VEHICLES)
    spikes, kept = [], np.ones(VEHICLES, bool)
    for _ in range(steps):
        seen, *_ = environment.step(controller.act(seen, environment))
        spikes.append(controller._state.spike.T.copy())  # (N, neurons)
        kept &= np.linalg.norm(environment.true_observation[:, :3], axis=1) < KEPT
    rotor = environment.read(slice(dynamics.LOST, dynamics.LOST + 4)).argmax(1)
    all_spikes = np.array(spikes)[:, kept]
    spans = {
        name: all_spikes[round((FAILS_AT + low) * RATE_HZ) : round((FAILS_AT + high) * RATE_HZ)].mean(0)
        for name, (low, high) in SPANS.items()
    }
    return spans, rotor[kept], list(policy.sizes[1:-1])


def main() -> None:
    """Print a table for each share that is lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--airframe", default="crazyflie_drag")
    parser.add_argument("--losses", type=float, nargs="+", default=[0.3, 0.7, 1.0])
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    for share in options.losses:
        spans, rotor, sizes = fly(options.model, Airframe.load(options.airframe), share, options.seed)
        before, after = spans["1 s before"], spans["6 to 8 s"]
        layers = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
        rows = [["", *(f"layer {i + 1} of {size}" for i, size in enumerate(sizes))]]
        rows += [[name, *(f"{found[:, layer].mean():.3f}" for layer in layers)] for name, found in spans.items()]
        change = np.abs(after - before).mean(0)
        rows.append(
            [f"neurons whose rate changes by {CHANGED}", *(str((change[layer] > CHANGED).sum()) for layer in layers)]
        )
        for name in (".1 to .5 s", "6 to 8 s"):
            by_rotor = np.array([spans[name][rotor == r].mean(0) for r in range(4)])
            apart = by_rotor.max(0) - by_rotor.min(0)
            rows.append(
                [
                    f"that differ by {CHANGED} by the rotor, {name}",
                    *(str((apart[layer] > CHANGED).sum()) for layer in layers),
                ]
            )
        print(f"{share:.0%} lost, {len(rotor)} of {VEHICLES} vehicles kept\n{text_table(rows)}\n")


if __name__ == "__main__":
    main()
