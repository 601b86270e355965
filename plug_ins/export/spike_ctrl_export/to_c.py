"""The format c: C code for a microcontroller, with a self-test, sizes and times."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl_export import contract_words

if TYPE_CHECKING:
    from spike_ctrl_export.c_source import Form

WEIGHTS = {
    "weights": {"choices": ("float32", "int8"), "help": "type of the weights (default: float32)"},
    "state": {"choices": ("int16", "int32"), "help": "int8 weights: type of a membrane (default: int32)"},
}
"""Options of the formats in C."""
FOLDER = True
OPTIONS = WEIGHTS | {
    "prefix": {"help": "begins all names of files, functions and constants (default: policy)"},
    "evaluate": {"action": "store_true", "help": "fly the compiled code in the frozen evaluation, 20 s"},
}


def form_of(options: argparse.Namespace) -> Form:
    """The form that the options name. Raises UsageError for a type of the state without integers."""
    from spike_ctrl_export.c_source import Form

    if options.state and options.weights != "int8":
        raise UsageError(f"--state: found with {options.weights or 'float32'} weights, wanted only with --weights int8")
    return Form(options.weights or "float32", int((options.state or "int32")[3:]))


def write(options: argparse.Namespace, found: Checkpoint) -> int:
    """Write and check the C code, print its sizes and times; the exit code. Raises UsageError."""
    from spike_ctrl_export import c_native, c_source

    form, prefix = form_of(options), c_source.PREFIX if options.prefix is None else options.prefix
    written = c_source.source(found, options.model.name, form, prefix)
    c_source.write(options.output, written)
    print(f"{options.output}: {', '.join(written.files)}; {form.words}, {contract_words(found)}")
    stack = written.stack_bytes + 64
    print(f"constants {written.constant_bytes} bytes; RAM: state {written.state_bytes} bytes, stack some {stack}")
    if c_native.compiler() is None:
        if options.evaluate:
            raise UsageError("--evaluate: found no C compiler, wanted gcc, cc or clang: apt-get install gcc")
        print("not checked: no C compiler was found (gcc, cc or clang)")
        return 0
    print(c_native.self_test(options.output, prefix))
    flash = c_native.flash_bytes(options.output, prefix)
    words = "not measured: arm-none-eabi-gcc was not found" if flash is None else f"{flash} bytes of code and constants"
    print(f"flash of a Cortex-M4: {words}")
    if prefix == c_source.PREFIX:
        print(f"longest step on a Cortex-M4, every neuron spikes: {_longest(written, found)}")
    policy = c_native.NativePolicy(options.output, written)
    print(f"step {1e6 * policy.seconds(found.self_test, time.perf_counter):.1f} us on this computer")
    _show_cost(found)
    return _evaluate(found, policy, form.words) if options.evaluate else 0


def _longest(written, found) -> str:
    from spike_ctrl_export import c_emulated

    if not c_emulated.installed():
        return "not counted: arm-none-eabi-gcc or qemu-system-arm was not found"
    count = c_emulated.longest_step(written, found.manifest.contract.sizes)
    return f"{count} instructions in QEMU, {100 * count / c_emulated.PERIOD_INSTRUCTIONS:.1f} % of those in 10 ms at 168 MHz"


def _show_cost(found) -> None:
    """Estimated cycles: at the spike rates of the evaluation in the manifest, and where every neuron spikes."""
    from spike_ctrl_export import c_cost

    sizes, recurrent = found.manifest.contract.sizes, found.manifest.contract.neuron.recurrent
    most = c_cost.longest(sizes, recurrent)
    rates = found.manifest.evaluation.get("frozen", {}).get("spike_rates")
    usual = c_cost.operations(sizes, rates, recurrent) if rates else most
    for name, cycles in c_cost.PROCESSORS.items():
        in_flight, at_most, clock = usual.times(cycles), most.times(cycles), c_cost.CLOCK_HZ[name]
        print(
            f"{name}, estimated: {in_flight:.0f} cycles per step in flight, {at_most:.0f} at most; "
            f"at {clock / 1e6:.0f} MHz {1e3 * in_flight / clock:.2f} and {1e3 * at_most / clock:.2f} ms"
        )


def _evaluate(found, policy, words: str) -> int:
    from spike_ctrl.evaluation.benchmark import evaluate
    from spike_ctrl.evaluation.controllers import PolicyController
    from spike_ctrl.evaluation.evaluation_result import evaluation_table

    vehicle = found.airframe()
    print("evaluating on 1024 starts ...", flush=True)
    policies = {"numpy": found.policy, f"C, {words}": policy}
    flown = {name: evaluate(PolicyController(flies), vehicle) for name, flies in policies.items()}
    print(evaluation_table(flown))
    numpy, native = (result.headline for result in flown.values())
    print(f"return of the exported policy: {100 * native / numpy:.1f} % of the checkpoint's")
    return 0
