"""One step of a policy on each kind of hardware, beside how well it then flies: a table in the report on a model."""

import time
from typing import Any

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.evaluation.benchmark import evaluate
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.evaluation.energy import spiking_energy_pj
from spike_ctrl.evaluation.evaluation_result import Evaluation
from spike_ctrl.report.model_section import FlownModel
from spike_ctrl.report.page import Table
from spike_ctrl_export import c_cost
from spike_ctrl_silicon import cycle_count, flown_cost, loihi_network, power, sana_fe, verilog
from spike_ctrl_silicon.integer_network import IntegerRuntime, NumberWidths
from spike_ctrl_silicon.loihi_runtime import LoihiRuntime
from spike_ctrl_silicon.quantise import quantised

HEAD = (
    "one step in flight",
    "numbers",
    "area",
    "time (us)",
    "energy (uJ)",
    "return, 1.5m start",
    "hover error (cm)",
    "how it is known",
)
LANES, SECONDS = 8, 5.0
M4_WATT = 0.040 * 3.3  # assumed of an STM32F405 at 168 MHz without peripherals
PLACED = (18, 256, 128, 4), power.Parts(28, 26, 9864, 1907)  # sizes and parts of `silicon cost crazyflie_robust --place`
NOT_MEASURED = "not measured"

Row = tuple[object, ...]


def tables(found: FlownModel) -> list[Table]:
    """The table, or nothing for a policy that does not spike. Takes some seconds: the integer network is evaluated."""
    if found.cost is None:
        return []
    floats = _flies(found.evaluation)
    contract = found.loaded.manifest.contract
    recurrent = contract.neuron is not None and contract.neuron.recurrent
    formula = spiking_energy_pj(contract.sizes, found.cost.layer_sparsity, recurrent) * 1e-6
    usual = c_cost.operations(contract.sizes, [1 - share for share in found.cost.layer_sparsity], recurrent)
    cycles = usual.times(c_cost.PROCESSORS["Cortex-M4"])
    took = cycles / c_cost.CLOCK_HZ["Cortex-M4"]
    kept = f"{4e-3 * sum(part.size for part in found.loaded.weights.values()):.0f} kB of weights"
    return [
        Table(
            HEAD,
            [
                (
                    "this computer, compiled", "float32", kept, _here(found), NOT_MEASURED, *floats,
                    "median over 500 steps, now",
                ),
                (
                    "Cortex-M4 at 168 MHz, exported C", "float32", kept, 1e6 * took, 1e6 * took * M4_WATT, *floats,
                    "cycles estimated from the spikes; 40 mA at 3.3 V assumed",
                ),
                _fpga(found),
                _loihi(found, recurrent),
                ("formula of arXiv 2510.24461", "", "", "", formula, *floats, "counts of operations"),
            ],
        )
    ]  # fmt: skip


def _flies(evaluation: Evaluation) -> tuple[float, float]:
    return evaluation.headline, 100 * evaluation.hover_error_m["median"]


def _here(found: FlownModel) -> float:
    """Median time of a step, us."""
    policy, took = found.loaded.compiled(), []
    state = policy.initial_state()
    for observation in found.flights[0].observation.astype(np.float32):
        begun = time.perf_counter()
        _, state = policy.step(np.nan_to_num(observation), state)
        took.append(time.perf_counter() - begun)
    return 1e6 * float(np.median(took))


def _flown(found: FlownModel, policy: Any) -> tuple[float, float]:
    craft = found.loaded.airframe()
    return _flies(evaluate(PolicyController(policy), craft, starts=found.evaluation.starts))


def _fpga(found: FlownModel) -> Row:
    """By the cycles that the core needs for the spikes of a flight; Verilator counts the same (`silicon cost`)."""
    name = f"FPGA core, {LANES} lanes, 50 MHz"
    try:
        network = quantised(found.loaded, NumberWidths(), found.name)
    except UsageError as error:
        return (name, "", "", "", "", "", "", f"none: {error}")
    runtime = IntegerRuntime(network)
    observations, starts = flown_cost.flight(found.loaded, network, SECONDS)
    state, counted = runtime.initial_state(), []
    for step, observation in enumerate(observations):
        before = runtime.initial_state() if step in starts else state
        state = runtime.advance(observation, before)
        counted.append(cycle_count.expected(network, LANES, state.spike, before.spike))
    cycles = float(np.median(counted))
    sizes, parts = PLACED
    energy: object = "not placed"
    area = f"{verilog.stored_bits(network) / 8e3:.0f} kB"
    if network.sizes == sizes:
        energy = power.estimate(parts, cycles, 100.0).step_uj
        luts = parts.nets - parts.flip_flops
        area = f"ECP5: {parts.rams} block RAMs, {parts.multipliers} multipliers, {luts} LUTs, {parts.flip_flops} flip-flops"
    how = f"cycles exact; energy within a factor of {power.FACTOR:g}, without the clock that always runs"
    return (name, "int8", area, cycles / flown_cost.CLOCK_MHZ, energy, *_flown(found, runtime), how)


def _loihi(found: FlownModel, recurrent: bool) -> Row:
    craft, name = found.loaded.airframe(), "Loihi's model"
    try:
        spikes = sana_fe.flown(found.loaded.policy, craft, "hover", SECONDS)
        cost = sana_fe.cost(spikes, found.loaded.manifest.contract.sizes[1:-1], recurrent)
    except UsageError as error:
        return (name, "", "", "", "", "", "", f"none: {error}")
    try:
        flies: Row = _flown(found, LoihiRuntime(loihi_network.converted(found.loaded, found.name)))
    except UsageError:  # a reset that the chip has not: the row tells what its spikes cost there
        flies = ("cannot fly there", "")
    cores = f"{len(found.loaded.manifest.contract.sizes) - 1} of 128 cores, one of them for the inputs"
    return (
        name, "int8, 12-bit decays", cores, 1e6 * cost.time, 1e6 * cost.energy, *flies,
        "SANA-FE, from the spikes of a hover",
    )  # fmt: skip
