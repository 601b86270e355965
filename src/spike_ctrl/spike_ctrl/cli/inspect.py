"""Show what a checkpoint holds, after all its checks.

Its self-test runs first. Flights that its evaluation recorded are shown as a table. With --readout the model flies 4096
quadrotors that are drawn, and a linear read-out of its spiking state says what it knows of them over time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from spike_ctrl._files import output_paths
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.text_table import folded
from spike_ctrl._files.time_left import time_left
from spike_ctrl.cli._eval_airframes import CARRIERS
from spike_ctrl.cli._terminal import end_progress, show_progress

if TYPE_CHECKING:
    from spike_ctrl.policy.checkpoint import Checkpoint

GROUP = "tools"
EXAMPLES = """
spike-ctrl inspect models/crazyflie.safetensors
spike-ctrl inspect models/any_quad.safetensors --readout any_quad_readout.png
spike-ctrl inspect models/any_rates.safetensors --readout any_rates_readout.png
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a checkpoint")
    parser.add_argument(
        "--readout", type=Path, metavar="FILE", help="a picture (PNG) of what its state knows of a quadrotor"
    )


def run(options: argparse.Namespace) -> int:
    import dataclasses

    from spike_ctrl.evaluation.evaluation_result import Evaluation, evaluation_table
    from spike_ctrl.policy import checkpoint
    from spike_ctrl.policy.onnx_runtime import OnnxPolicy

    if options.readout:
        output_paths.require_file("--readout", options.readout)
    data = checkpoint.read(options.model)
    loaded = checkpoint.loads(data, name=str(options.model))
    if options.readout:
        return _read_state(options, loaded)
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
        print(folded(f"{name:<16}{json.dumps(value, default=str)}", 16))
    if isinstance(loaded.policy, OnnxPolicy):
        about_graph = f"{len(loaded.graph)} bytes of ONNX, {loaded.policy.graph.nodes} operators; flown by onnxruntime"
        print(folded(f"{'graph':<16}{about_graph}", 16))
    print(f"{'parameters':<16}{sum(weight.size for weight in loaded.weights.values())}")
    print(f"{'bytes':<16}{len(data)}")
    print(folded(f"{'sha256':<16}{weights_sum} of the weights", 16))
    print(folded(f"{'':<16}{hashlib.sha256(data).hexdigest()} of the file, as sha256sum", 16))
    if flown:
        print(f"\n{evaluation_table(flown)}")
    return 0


def _read_state(options: argparse.Namespace, loaded: Checkpoint) -> int:
    """Fly drawn quadrotors, draw what the spiking state knows of them, and print it for the end of the flight."""
    from spike_ctrl import airframe
    from spike_ctrl.evaluation import state_readout
    from spike_ctrl.policy.numpy_runtime import SpikingPolicy
    from spike_ctrl.report import figures, readout_chart

    if not isinstance(loaded.policy, SpikingPolicy):
        raise UsageError(f"--readout: found {options.model}, a network of another kind, wanted our spiking network")
    carrier = airframe.load(CARRIERS[loaded.manifest.contract.action])
    try:
        figures.require()
    except figures.MissingPackage as error:
        raise UsageError(f"--readout: {error}") from None
    begun = time.monotonic()

    def shown(share: float) -> None:
        show_progress(f"{100 * share:.0f} %, {time_left(_left(begun, share))} left, {state_readout.AIRFRAMES} airframes fly")

    found = state_readout.read_state(loaded.policy, carrier, shown=shown)
    end_progress()
    figures.save_png(readout_chart.figure(found), options.readout)
    print("R^2 after 5 s: " + ", ".join(f"{name} {r2[-1]:.2f}" for name, r2 in found.state.items()))
    return 0


def _left(begun: float, share: float) -> float:
    return (time.monotonic() - begun) * (1 - share) / share
