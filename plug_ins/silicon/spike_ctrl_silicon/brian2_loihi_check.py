"""Runs network.npz of this folder in brian2-loihi, and compares each spike with those that the runtime computed.

    pip install brian2-loihi "numpy<2"      # in an environment of its own
    python brian2_loihi_check.py [STEPS]

This file is written with the network by `spike-ctrl export --to loihi`. It needs nothing of spike_ctrl.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from brian2 import prefs
from brian2_loihi import LoihiNetwork, LoihiNeuronGroup, LoihiSpikeGeneratorGroup, LoihiSpikeMonitor, LoihiSynapses

MIXED = 1  # sign mode of weights


def spikes(numbers: Any, lines: Any) -> set[tuple[int, int, int]]:
    """Spikes (time step, layer, neuron) of the network upon lines [control steps, input lines] of 0 and 1."""
    steps, layers = len(lines), int(numbers["layers"])
    when, which = np.nonzero(lines)
    inputs = LoihiSpikeGeneratorGroup(lines.shape[1], which, layers * when)
    parts: list[Any] = [inputs]
    monitors: list[Any] = []
    below: list[Any] = [(inputs, np.arange(lines.shape[1]))]
    for index in range(layers):
        mantissa, exponent = (numbers[f"layer{index}.{name}"] for name in ("mantissa", "exponent"))
        kinds = np.stack([numbers[f"layer{index}.{name}"] for name in ("decay", "threshold")], axis=1)
        on = LoihiSpikeGeneratorGroup(1, np.zeros(steps, int), layers * np.arange(steps) + index)
        groups = []
        for decay, threshold in np.unique(kinds, axis=0):
            members = np.flatnonzero((kinds == (decay, threshold)).all(axis=1))
            group = LoihiNeuronGroup(len(members), threshold_v_mant=int(threshold), decay_v=int(decay), decay_I=4096)
            groups.append((group, members))
            monitors.append((index, members, LoihiSpikeMonitor(group)))
        own = groups if bool(numbers["recurrent"]) and index == layers - 1 else []
        sources = [(part, rows, 0) for part, rows in below]
        start = 1 + max(int(rows.max()) for _, rows in below)
        sources += [(part, start + rows, layers - 1) for part, rows in own]
        sources += [(on, np.array([len(mantissa) - 1]), 0)]
        parts += [on, *(group for group, _ in groups), *(one for *_, one in monitors[-len(groups) :])]
        for part, rows, delay in sources:
            for group, members in groups:
                for power in np.unique(exponent[rows]):
                    chosen = np.flatnonzero(exponent[rows] == power)
                    pre, post = (grid.ravel() for grid in np.meshgrid(chosen, np.arange(len(members)), indexing="ij"))
                    synapses = LoihiSynapses(part, group, delay=delay, w_exp=int(power), sign_mode=MIXED)
                    synapses.connect(i=pre, j=post)
                    synapses.w = mantissa[np.ix_(rows[chosen], members)].ravel()
                    parts.append(synapses)
        below = groups
    LoihiNetwork(*parts).run(layers * steps)
    found: set[tuple[int, int, int]] = set()
    for index, members, monitor in monitors:
        moments = np.rint(np.asarray(monitor.t_) * 1000).astype(int)  # its t rounds 3 ms down to 2
        found |= {(int(t), index, int(members[n])) for t, n in zip(moments, np.asarray(monitor.i), strict=True)}
    return found


def wanted(numbers: Any, steps: int) -> set[tuple[int, int, int]]:
    """The spikes of network.npz as `spikes` gives them."""
    layers, start = int(numbers["layers"]), 0
    found: set[tuple[int, int, int]] = set()
    for index in range(layers):
        width = len(numbers[f"layer{index}.decay"])
        part = numbers["spikes"][:steps, start : start + width]
        found |= {(layers * int(t) + index, index, int(n)) for t, n in zip(*np.nonzero(part), strict=True)}
        start += width
    return found


def main() -> int:
    prefs.codegen.target = "numpy"
    numbers = np.load(Path(__file__).parent / "network.npz")
    steps = min(int(sys.argv[1]) if len(sys.argv) > 1 else 20, len(numbers["lines"]))
    one, other = spikes(numbers, numbers["lines"][:steps]), wanted(numbers, steps)
    print(f"{steps} control steps: {len(other)} spikes, {len(one ^ other)} of them different in brian2-loihi")
    return 0 if one == other else 1


if __name__ == "__main__":
    sys.exit(main())
