"""Show how many parameters a policy has.

One line for each array of weights, and their sum.
"""

import argparse
from pathlib import Path

GROUP = "tools"
EXAMPLES = """
spike-ctrl size models/crazyflie.safetensors
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="a checkpoint")


def run(options: argparse.Namespace) -> int:
    """Print the sizes; the exit code. Raises CheckpointError, which the command line shows in one line."""
    from spike_ctrl.policy import checkpoint  # here, so that `spike-ctrl --help` does not wait for it

    weights = checkpoint.load(options.model).weights
    for name, values in weights.items():
        print(f"{name:<24}{values.size:>8}")
    print(f"{'all':<24}{sum(values.size for values in weights.values()):>8}")
    return 0
