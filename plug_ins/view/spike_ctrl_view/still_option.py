"""The option --still of `spike-ctrl report`: pictures in place of interactive charts, for a small page without scripts.

spike-ctrl report models/crazyflie.safetensors --still -o models/crazyflie.html
"""

import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Add the option to the verb's own."""
    parser.add_argument("--still", action="store_true", help="pictures in place of interactive charts: 200 kB, not 6 MB")


def run(options: argparse.Namespace) -> None:
    """Say how charts are drawn; the verb goes on."""
    if options.still:
        from spike_ctrl_view import static_charts

        options.draw = static_charts.image
