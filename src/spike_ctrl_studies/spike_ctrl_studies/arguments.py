"""The command line of `spike-ctrl experiment`."""

from __future__ import annotations

import argparse
from pathlib import Path

from spike_ctrl_studies import SUMMARIES

SUMMARY = "Measure the numbers of the paper anew, beside its own: table, figures and findings in a folder."
EXAMPLES = (
    "  spike-ctrl experiment headline --seeds 5\n"
    "  spike-ctrl experiment headline --recipe td3bc --quick\n"
    "  spike-ctrl experiment gradients --workers 2\n"
    "  spike-ctrl experiment slopes --quick -o runs/experiments/slopes-first\n"
    "  spike-ctrl experiment ablation --seeds 3 --ray auto\n"
    "  spike-ctrl experiment energy\n\n"
    "experiments:\n" + "".join(f"  {name:<11}{summary}\n" for name, summary in SUMMARIES.items()) + "\n"
    "An experiment that was stopped goes on with the same command: what is finished is not measured again.\n"
)
RANGES = {"seeds": (0, 1000), "workers": (1, 1024)}


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=SUMMARIES, metavar="NAME", help=", ".join(SUMMARIES))
    parser.add_argument("--quick", action="store_true", help="a small size that ends within 5 minutes")
    parser.add_argument(
        "--seeds", type=int, default=0, help="how often training is repeated (default, and 0: the experiment's)"
    )
    parser.add_argument("--recipe", default="", help="a name among config/recipes or a path (default: the experiment's)")
    parser.add_argument("--airframe", default="crazyflie", help="a name among config/airframes or a path to a YAML file")
    parser.add_argument(
        "-o", "--output", type=Path, help="folder (default: runs/experiments/NAME-TIME, or the unfinished one)"
    )
    parser.add_argument("--workers", type=int, default=1, help="local processes of one thread each (default: 1)")
    parser.add_argument("--ray", default="", metavar="ADDRESS", help="measure on the Ray cluster at this address instead")


def check(options: argparse.Namespace) -> None:
    """Raises ExperimentError for a number out of its range."""
    from spike_ctrl_studies.study import ExperimentError  # not above: --help shall not wait for the rest

    for name, (low, high) in RANGES.items():
        if not low <= getattr(options, name) <= high:
            raise ExperimentError(f"--{name}: found {getattr(options, name)}, wanted {low} to {high}")
