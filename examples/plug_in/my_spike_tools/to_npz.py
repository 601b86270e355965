"""The format npz: the weights as a compressed NumPy archive."""

import argparse

import numpy as np

from spike_ctrl.policy.checkpoint import Checkpoint

OPTIONS = {"half": {"action": "store_true", "help": "16-bit floating point numbers"}}


def write(options: argparse.Namespace, found: Checkpoint) -> int:
    """Write the weights of a policy to `options.output`; the exit code."""
    kind = np.float16 if options.half else np.float32
    with options.output.open("wb") as file:
        np.savez_compressed(file, **{name: values.astype(kind) for name, values in found.weights.items()})
    print(f"{options.output}: {len(found.weights)} arrays, {options.output.stat().st_size / 1000:.0f} kB")
    return 0
