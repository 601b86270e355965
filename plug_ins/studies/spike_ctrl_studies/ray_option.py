"""The option --ray of `spike-ctrl certify`: a Ray cluster flies in place of this computer's workers, also for --falsify.

spike-ctrl certify models/sih_quadx.safetensors --flights 100000 --ray 192.168.1.5:6379
"""

import argparse
from functools import partial


def add(parser: argparse.ArgumentParser) -> None:
    """Add the option to the verb's own."""
    parser.add_argument("--ray", default="", metavar="ADDRESS", help="fly on this Ray cluster instead")


def run(options: argparse.Namespace) -> None:
    """Name the cluster as where the flights are flown; the verb goes on."""
    if options.ray:
        from spike_ctrl_studies import ray_cluster

        ray_cluster.require()
        options.elsewhere = partial(ray_cluster.results, address=options.ray)
