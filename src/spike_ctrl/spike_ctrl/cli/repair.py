"""Make a damaged bag readable again.

Its recorder was killed, its disk was full, or its file was cut: all messages that are whole are kept.
"""

import argparse
from pathlib import Path

GROUP = "recordings"
EXAMPLES = """
spike-ctrl repair bags/20260101-120000
spike-ctrl repair flight.mcap
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bag", type=Path, help="the bag's folder, or one MCAP file")


def run(options: argparse.Namespace) -> int:
    from spike_ctrl.recordings.repair import repair

    for found in repair(options.bag):
        lost = f", {found.lost_bytes} bytes at its end were of no use" if found.lost_bytes else ""
        print(f"{found.path.name}: {'whole' if found.whole else 'repaired'}, {found.messages} messages{lost}")
    return 0
