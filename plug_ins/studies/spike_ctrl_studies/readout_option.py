"""The option --readout of `spike-ctrl inspect`: the model flies 4096 quadrotors that are drawn, and a linear read-out of its
spiking state says what it knows of them over time.

spike-ctrl inspect models/any_quad.safetensors --readout any_quad_readout.png
spike-ctrl inspect models/any_rates.safetensors --readout any_rates_readout.png
"""

import argparse
from pathlib import Path

from spike_ctrl._files import output_paths
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli._terminal import end_progress, progress_with_time_left


def add(parser: argparse.ArgumentParser) -> None:
    """Add the option to the verb's own."""
    words = "a picture (PNG) of what its state knows of a quadrotor"
    parser.add_argument("--readout", type=Path, metavar="FILE", help=words)


def run(options: argparse.Namespace) -> int | None:
    """Fly drawn quadrotors, draw what the spiking state knows of them, and print it for the end of the flight."""
    if not options.readout:
        return None
    from spike_ctrl import airframe
    from spike_ctrl.evaluation.controllers import require_set_point
    from spike_ctrl.policy import checkpoint
    from spike_ctrl.policy.numpy_runtime import SpikingPolicy
    from spike_ctrl_benchmark.eval_protocols import CARRIERS
    from spike_ctrl_studies import figures, readout_chart, state_readout

    output_paths.require_file("--readout", options.readout)
    loaded = checkpoint.load(options.model)
    require_set_point(loaded, str(options.model))
    if not isinstance(loaded.policy, SpikingPolicy):
        raise UsageError(f"--readout: found {options.model}, a network of another kind, wanted our spiking network")
    carrier = airframe.load(CARRIERS[loaded.manifest.contract.action])
    try:
        figures.require()
    except figures.MissingPackage as error:
        raise UsageError(f"--readout: {error}") from None
    show = progress_with_time_left()

    def shown(share: float) -> None:
        show(f"{state_readout.AIRFRAMES} airframes fly, {100 * share:.0f} %", share)

    found = state_readout.read_state(loaded.policy, carrier, shown=shown)
    end_progress()
    figures.save_png(readout_chart.figure(found), options.readout)
    print("R^2 after 5 s: " + ", ".join(f"{name} {r2[-1]:.2f}" for name, r2 in found.state.items()))
    return 0
