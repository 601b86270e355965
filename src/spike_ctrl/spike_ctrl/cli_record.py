"""The verbs of spike-ctrl that work on recordings."""

from __future__ import annotations

from pathlib import Path


def add_repair(verbs, verb) -> None:
    parser = verb(
        verbs,
        "repair",
        "Make a bag readable again whose recorder was killed, whose disk was full, or that was cut.",
        "  spike-ctrl repair bags/20260101-120000\n  spike-ctrl repair flight.mcap\n",
    )
    parser.add_argument("bag", type=Path, help="the bag's folder, or one MCAP file")
    parser.set_defaults(do=_repair)


def _repair(options) -> int:
    from spike_ctrl.bag.repair import repair

    for found in repair(options.bag):
        lost = f", {found.lost_bytes} bytes at its end were of no use" if found.lost_bytes else ""
        print(f"{found.path.name}: {'whole' if found.whole else 'repaired'}, {found.messages} messages{lost}")
    return 0
