"""The format loihi: the policy in Loihi's integers, with its self-test and a script that runs it in brian2-loihi."""

from __future__ import annotations

import argparse
import io
from importlib import resources
from typing import TYPE_CHECKING

from spike_ctrl._files import atomic_file
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl_export import contract_words, write_files, writing

if TYPE_CHECKING:
    import numpy as np

    from spike_ctrl_silicon.loihi_network import LoihiNetwork

FOLDER = True
OPTIONS: dict[str, dict[str, object]] = {}
CHECK = "brian2_loihi_check.py"


def write(options: argparse.Namespace, found: Checkpoint) -> int:
    """Tell what the chip makes of the policy, and write it; the exit code. Raises UsageError where it does not fit."""
    from spike_ctrl_silicon import loihi_network

    network = loihi_network.converted(found, options.model.name)
    words = loihi_network.told(network)
    print("\n".join(words))
    write_files(options.output, {CHECK: check_script(), "README.md": _readme(options.model.name, words)})
    with writing(options.output):
        atomic_file.write(options.output / "network.npz", arrays(network, found.self_test))
    print(f"{options.output}: {contract_words(found)}; compare it with brian2-loihi: python {options.output / CHECK}")
    return 0


def check_script() -> str:
    """The script that a folder has."""
    return resources.files("spike_ctrl_silicon").joinpath(CHECK).read_text()


def arrays(network: LoihiNetwork, observations: np.ndarray) -> bytes:
    """The bytes of network.npz: all numbers, and the input lines and spikes of a flight of observations [S, in]."""
    import numpy as np

    from spike_ctrl_silicon.loihi_network import bits_of
    from spike_ctrl_silicon.loihi_runtime import LoihiRuntime

    runtime = LoihiRuntime(network)
    state, spikes = runtime.initial_state(), []
    for observation in observations:
        state = runtime.advance(observation, state)
        spikes.append(state.spike.astype(np.uint8))
    numbers: dict[str, object] = {
        "layers": len(network.layers),
        "recurrent": network.recurrent,
        "output.weight": network.output_weight,
        "output.bias": network.output_bias,
        "lines": bits_of(observations).T.astype(np.uint8),
        "spikes": np.stack(spikes),
    }
    for index, layer in enumerate(network.layers):
        numbers |= {
            f"layer{index}.mantissa": layer.mantissa.astype(np.int16),
            f"layer{index}.exponent": layer.exponent.astype(np.int8),
            f"layer{index}.decay": layer.decay.astype(np.int16),
            f"layer{index}.threshold": layer.threshold.astype(np.int32),
        }
    kept = io.BytesIO()
    np.savez_compressed(kept, **numbers)  # type: ignore[arg-type]
    return kept.getvalue()


def _readme(name: str, words: list[str]) -> str:
    lines = "\n".join(f"- {line}" for line in words)
    return f"""# {name} for Loihi

Written by `spike-ctrl export --to loihi`. **It has not run on a chip.** `python {CHECK} 128` runs the self-test in
brian2-loihi, spike by spike.

{lines}

`network.npz` has, of each layer, the mantissas [lines, neurons], the exponent of each line, the decays and the thresholds.
The lines are those of the layer below (of layer 0: the bits of the observation), then the layer's own spikes where it is
recurrent, then one that is always on. Layer l gets its inputs in time step l of each control step. `lines` and `spikes` are
the self-test: input lines and the spikes of all neurons per control step.
"""
