"""Show what a checkpoint holds, after all its checks.

Its self-test runs first. Flights that its evaluation recorded are shown as a table.
"""

import argparse
import hashlib
import json
from enum import Enum
from pathlib import Path
from typing import Any

from spike_ctrl._files.text_table import folded

GROUP = "tools"
EXAMPLES = """
spike-ctrl inspect models/crazyflie.safetensors
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a checkpoint")


def run(options: argparse.Namespace) -> int:
    import dataclasses

    from spike_ctrl.evaluation.evaluation_result import Evaluation, evaluation_table
    from spike_ctrl.policy import checkpoint

    data = checkpoint.read(options.model)
    loaded = checkpoint.loads(data, name=str(options.model))
    about = dataclasses.asdict(loaded.manifest)
    contract, weights_sum = about.pop("contract"), about.pop("sha256")
    flown = {}
    for name, figures in loaded.manifest.evaluation.items():
        try:
            flown[name] = Evaluation.from_dict(figures)
        except ValueError:
            continue  # not a flight: it stays among the other fields
    about["evaluation"] = {name: value for name, value in about["evaluation"].items() if name not in flown}
    of_network = {name: value for name, value in contract.items() if value not in (None, "")}  # a neuron, or a module's name
    for name, value in {**of_network, **about}.items():
        print(folded(f"{name:<16}{_words(value)}", 16))
    if loaded.graph:
        print(folded(f"{'graph':<16}{len(loaded.graph)} bytes of {loaded.policy}", 16))
    print(f"{'parameters':<16}{sum(weight.size for weight in loaded.weights.values())}")
    print(f"{'bytes':<16}{len(data)}")
    print(folded(f"{'sha256':<16}{weights_sum} of the weights", 16))
    print(folded(f"{'':<16}{hashlib.sha256(data).hexdigest()} of the file, as sha256sum", 16))
    if flown:
        print(f"\n{evaluation_table(flown)}")
    return 0


def _words(value: Any) -> str:
    """A field of the manifest as a person reads it; what holds deeper data stays JSON."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict) and not any(isinstance(part, dict | list | tuple) for part in value.values()):
        return ", ".join(f"{name} {_words(part)}" for name, part in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value)) or "none"
    if isinstance(value, dict):
        return json.dumps(value, default=str)
    return str(value.value if isinstance(value, Enum) else value)
