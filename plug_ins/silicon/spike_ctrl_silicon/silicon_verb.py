"""Measure policies in integers of few bits, as an FPGA computes.

widths flies a policy in the frozen evaluation at several widths: four columns and
the hover error, beside the float policy. tune trains a policy through its rounding
and writes it as a checkpoint. cost counts the core's cycles over a simulated flight,
and places it for an ECP5 with --place. fly takes the actions from a serial line: a
board with the core, or the core in Verilator behind a pseudo-terminal. loihi flies a
policy under Loihi's arithmetic, and tells its energy on that chip with --energy.
docs/silicon.md says what the figures mean.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_ctrl._files import ranges
from spike_ctrl._files.errors import UsageError

if TYPE_CHECKING:
    from spike_ctrl.policy.checkpoint import Checkpoint
    from spike_ctrl_silicon.integer_network import NumberWidths

GROUP = "tools"
RANGES = {"starts": (1, 10**6), "updates": (1, 10**6), "flights": (1, 10**6), "seed": (0, 2**32 - 1)}
PRUNING_SECONDS = 10.0  # of flight that decides which neurons stay
EXAMPLES = """
spike-ctrl silicon widths models/crazyflie.safetensors
spike-ctrl silicon widths models/any_quad.safetensors --bits 8 4 3 --json widths.json
spike-ctrl silicon tune models/crazyflie_robust.safetensors --bits 4 -o robust_int4.safetensors
spike-ctrl silicon tune models/crazyflie.safetensors --bits 8 --neurons 64 48 -o crazyflie_small.safetensors
spike-ctrl silicon cost models/crazyflie_robust.safetensors
spike-ctrl silicon cost models/crazyflie_robust.safetensors --bits 4 --place
spike-ctrl silicon fly models/crazyflie_robust.safetensors
spike-ctrl silicon loihi models/crazyflie_hard_reset.safetensors
spike-ctrl silicon loihi models/crazyflie.safetensors --any-reset --energy
spike-ctrl silicon fly models/crazyflie_robust.safetensors --port /dev/ttyUSB0 --flights 20
"""


def add(parser: argparse.ArgumentParser) -> None:
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    widths = what.add_parser("widths", help="fly a policy at several widths in the frozen evaluation")
    widths.add_argument("model", type=Path, metavar="MODEL", help="a checkpoint")
    widths.add_argument("--bits", type=int, nargs="+", default=[8, 4], help="of a weight (default: 8 4)")
    widths.add_argument("--starts", type=int, default=1024, help="starts of the evaluation (default: 1024)")
    widths.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    cost = what.add_parser("cost", help="cycles, time, energy and, with --place, size of the core")
    cost.add_argument("model", type=Path, metavar="MODEL", help="a checkpoint")
    cost.add_argument("--bits", type=int, default=8, help="of a weight, 2 to 8 (default: 8)")
    cost.add_argument("--lanes", type=int, default=8, help="neurons computed at once (default: 8)")
    cost.add_argument("--seconds", type=float, default=20.0, help="of simulated flight (default: 20)")
    cost.add_argument("--place", action="store_true", help="place and route it with nextpnr-ecp5; takes minutes")
    tune = what.add_parser("tune", help="train a policy through its rounding to few bits")
    tune.add_argument("model", type=Path, metavar="MODEL", help="a checkpoint")
    tune.add_argument("--bits", type=int, default=4, help="of a weight, 2 to 8 (default: 4)")
    tune.add_argument(
        "--neurons", type=int, nargs="+", metavar="N", help="neurons to keep in each hidden layer (default: all)"
    )
    tune.add_argument("-o", "--output", type=Path, required=True, help="the new checkpoint")
    tune.add_argument("--updates", type=int, default=150, help="of the weights (default: 150, some minutes)")
    tune.add_argument("--seed", type=int, default=0, help="of the plants and starts (default: 0)")
    fly = what.add_parser("fly", help="fly in simulation with the actions of a serial line")
    fly.add_argument("model", type=Path, metavar="MODEL", help="the checkpoint that the line's core was written from")
    fly.add_argument("--port", type=Path, help="of a board (default: the core in Verilator, behind a pseudo-terminal)")
    fly.add_argument("--bits", type=int, default=8, help="of a weight (default: 8)")
    fly.add_argument("--flights", type=int, default=1, help="of 5 s (default: 1)")
    loihi = what.add_parser("loihi", help="fly a policy under Loihi's arithmetic in the frozen evaluation")
    loihi.add_argument("model", type=Path, metavar="MODEL", help="a checkpoint")
    loihi.add_argument("--starts", type=int, help="starts of the evaluation (default: 1024)")
    loihi.add_argument("--any-reset", action="store_true", help="also a policy whose neurons subtract their threshold")
    loihi.add_argument("--energy", action="store_true", help="instead: energy and time on the chip, by SANA-FE")
    loihi.add_argument("--seconds", type=float, help="of each flight for --energy (default: 20)")
    for part in (widths, tune, cost, fly):
        part.add_argument(
            "--leak", choices=("12 bit", "shift"), default="12 bit", help="form of the leaks (default: 12 bit)"
        )
        part.add_argument("--membrane", type=int, default=16, help="bits of a membrane (default: 16)")


def run(options: argparse.Namespace) -> int:
    ranges.require(vars(options), RANGES, "--")
    return {"widths": _widths, "tune": _tune, "cost": _cost, "fly": _fly, "loihi": _loihi}[options.what](options)


def _widths(options: argparse.Namespace) -> int:
    from spike_ctrl._files import output_paths
    from spike_ctrl.evaluation.benchmark import evaluate
    from spike_ctrl.evaluation.controllers import PolicyController
    from spike_ctrl.evaluation.evaluation_result import COLUMNS, evaluation_table
    from spike_ctrl_silicon import verilog
    from spike_ctrl_silicon.integer_network import IntegerRuntime
    from spike_ctrl_silicon.quantise import quantised

    if options.json:
        output_paths.require_file("--json", options.json)
    found = _loaded(options.model)
    craft = found.airframe()
    policies: dict[str, Any] = {"float32": found.policy}
    size = {"float32": 32 * (sum(part.size for part in found.weights.values()) + sum(found.manifest.contract.sizes[1:-1]))}
    for bits in options.bits:
        network = quantised(found, _chosen(options, bits), options.model.name)
        policies[network.widths.words], size[network.widths.words] = IntegerRuntime(network), verilog.stored_bits(network)
    flown = {}
    for name, policy in policies.items():
        print(f"{name}: {options.starts} starts ...", flush=True)
        flown[name] = evaluate(PolicyController(policy), craft, starts=options.starts)
    print(evaluation_table(flown))
    first = flown["float32"]
    for name, one in flown.items():
        shares = [100 * one.columns[column]["return_mean"] / first.columns[column]["return_mean"] for column in COLUMNS]
        rates = ", ".join(f"{100 * rate:.1f}" for rate in one.spike_rates)
        said = f"{', '.join(f'{share:.1f}' for share in shares)} % of float32's returns; {rates} % of neurons spike"
        print(f"{name}: {said}; {size[name] / 8e3:.1f} kB with its membranes")
    if options.json:
        output_paths.write_json("--json", options.json, {name: one.to_dict() for name, one in flown.items()})
    return 0


def _tune(options: argparse.Namespace) -> int:
    from spike_ctrl._files import output_paths, provenance
    from spike_ctrl.evaluation.benchmark import evaluate
    from spike_ctrl.evaluation.controllers import PolicyController
    from spike_ctrl.evaluation.evaluation_result import evaluation_table
    from spike_ctrl.policy import checkpoint
    from spike_ctrl_export import c_cost
    from spike_ctrl_silicon import flown_cost, pruning, width_tuning
    from spike_ctrl_silicon.integer_network import IntegerRuntime
    from spike_ctrl_silicon.quantise import quantised, rounded

    output_paths.require_file("--output", options.output, replaced=True)
    output_paths.require_no_original("--output", options.output)
    found, widths = _loaded(options.model), _chosen(options, options.bits)
    whole = found.manifest.contract.sizes
    if options.neurons:
        network = quantised(found, widths, options.model.name)
        observations, _ = flown_cost.flight(found, network, PRUNING_SECONDS)
        found = pruning.pruned(found, options.neurons, observations, options.model.name)
    network, contract = quantised(found, widths, options.model.name), found.manifest.contract
    craft = found.airframe()

    def tell(update: int, loss: float) -> None:
        if update == 1 or update % 10 == 0 or update == options.updates:
            print(f"update {update} of {options.updates}: mean squared difference of an action {loss:.5f}", flush=True)

    settings = width_tuning.Tuning(updates=options.updates)
    weights = width_tuning.tuned(found, widths, options.seed, options.model.name, settings, tell)
    after = rounded(weights, network.neuron, widths, found.self_test, contract.voltage)
    print("evaluating on 1024 starts ...", flush=True)
    policies = {"float32": found.policy, "rounded": IntegerRuntime(network), "tuned": IntegerRuntime(after)}
    flown = {name: evaluate(PolicyController(policy), craft) for name, policy in policies.items()}
    print(evaluation_table(flown))
    for name, one in flown.items():
        sizes = whole if name == "float32" else contract.sizes
        each = c_cost.operations(sizes, one.spike_rates, network.neuron.recurrent)
        print(f"{name}: {each.multiplied:.0f} multiplications and {each.added:.0f} additions per step")
    evaluation = {"frozen": flown["tuned"].to_dict()}
    about = {"recipe": found.manifest.recipe, "seed": options.seed, "commit": provenance.commit()}
    checkpoint.save(options.output, weights, contract, **about, command=provenance.command(), evaluation=evaluation)
    print(f"{options.output}: {widths.words}; its float32 weights lie on their grid")
    return 0


def _cost(options: argparse.Namespace) -> int:
    from spike_ctrl_silicon import flown_cost

    found = _loaded(options.model)
    widths = _chosen(options, options.bits)
    if not 0.1 <= options.seconds <= 3600:
        raise UsageError(f"--seconds: found {options.seconds:g}, wanted .1 to 3600")
    return flown_cost.tell(found, options.model.name, widths, options.lanes, options.seconds, options.place)


def _fly(options: argparse.Namespace) -> int:
    from contextlib import nullcontext

    from spike_ctrl_silicon import serial_policy, simulated_line
    from spike_ctrl_silicon.quantise import quantised

    found = _loaded(options.model)
    network = quantised(found, _chosen(options, options.bits), options.model.name)
    simulated = nullcontext() if options.port else simulated_line.SimulatedLine(network)
    with simulated as line:
        port = options.port if line is None else line.port
        print(f"{port}: {options.flights} flights of 5 s ...", flush=True)
        with serial_policy.SerialPolicy(port, network.sizes[0], network.sizes[-1]) as policy:
            return _tell_flights(found, network, policy, options.flights)


def _tell_flights(found: Any, network: Any, policy: Any, flights: int) -> int:
    import time

    import numpy as np

    from spike_ctrl_silicon import line_flight

    flown = line_flight.fly_line(found, network, policy, flights, time.perf_counter)
    took = 1e3 * np.concatenate([one.took for one in flown])
    hover = 100 * np.array([one.hover for one in flown])
    print(f"{len(took)} actions equal to the integer network bit by bit")
    print(f"hover error: median {np.median(hover):.1f} cm, most {hover.max():.1f} cm")
    print(f"from request to reply: median {np.median(took):.2f} ms, p99 {np.percentile(took, 99):.2f} ms")
    return 0


def _loihi(options: argparse.Namespace) -> int:
    from spike_ctrl.evaluation.benchmark import evaluate
    from spike_ctrl.evaluation.controllers import PolicyController
    from spike_ctrl.evaluation.evaluation_result import evaluation_table
    from spike_ctrl_silicon import loihi_network, sana_fe
    from spike_ctrl_silicon.loihi_runtime import LoihiRuntime

    idle, without = ("starts", "with") if options.energy else ("seconds", "without")
    if getattr(options, idle) is not None:
        raise UsageError(f"--{idle}: found {without} --energy, wanted only {'without' if options.energy else 'with'} it")
    starts, seconds = options.starts or 1024, 20.0 if options.seconds is None else options.seconds
    if not 5 <= seconds <= 600:
        raise UsageError(f"--seconds: found {seconds:g}, wanted 5 to 600")
    found = _loaded(options.model)
    craft, sizes = found.airframe(), found.manifest.contract.sizes
    network = loihi_network.converted(found, options.model.name, options.any_reset or options.energy)
    print("\n".join(loihi_network.told(network)))
    if options.energy:
        for kind in ("hover", "figure8"):
            spikes = sana_fe.flown(found.policy, craft, kind, seconds)
            print(f"{kind}: {sana_fe.cost(spikes, sizes[1:-1], network.recurrent).words}", flush=True)
        return 0
    print(f"{starts} starts ...", flush=True)
    policies: dict[str, Any] = {"float32": found.policy, "Loihi": LoihiRuntime(network)}
    print(evaluation_table({name: evaluate(PolicyController(one), craft, starts=starts) for name, one in policies.items()}))
    return 0


def _loaded(model: Path) -> Checkpoint:
    """A model that flies to a set-point, as all flights here do. Raises CheckpointError."""
    from spike_ctrl.evaluation.controllers import require_set_point
    from spike_ctrl.policy import checkpoint

    found = checkpoint.load(model)
    require_set_point(found, str(model))
    return found


def _chosen(options: argparse.Namespace, bits: int) -> NumberWidths:
    from spike_ctrl_silicon.integer_network import NumberWidths

    return NumberWidths(bits, options.leak, options.membrane)
