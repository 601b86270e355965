"""Write a policy as C, Crazyflie app, NIR or ONNX, and test it.

C for a microcontroller, an app for the Crazyflie's firmware, a NIR graph or an ONNX model. The checkpoint's self-test runs
through the result. A policy that was trained on many airframes, as any_quad, also as a checkpoint for one of yours.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from spike_ctrl._files import output_paths
from spike_ctrl._files.errors import UsageError

GROUP = "tools"
EXAMPLES = """
spike-ctrl export models/crazyflie.safetensors --to c -o build/policy
spike-ctrl export models/crazyflie.safetensors --to c --weights int8 --evaluate -o build/policy
spike-ctrl export models/crazyflie.safetensors --to c --weights int8 --state int16 -o build/policy
spike-ctrl export models/crazyflie_robust.safetensors --to c --prefix robust -o build/policy  # beside the first
spike-ctrl export models/crazyflie.safetensors --to crazyflie -o build/app
spike-ctrl export models/crazyflie.safetensors --to crazyflie --firmware ../crazyflie-firmware -o build/app
spike-ctrl export models/crazyflie_hard_reset.safetensors --to nir -o policy.nir
spike-ctrl export models/crazyflie_hard_reset.safetensors --to nir --for snntorch --readers -o policy.nir
spike-ctrl export models/crazyflie.safetensors --to onnx -o policy.onnx
spike-ctrl export models/any_quad.safetensors --to checkpoint --airframe my_quad.yaml -o my_quad.safetensors
spike-ctrl export mine.safetensors --to checkpoint --recipe mine.yaml --airframe my_quad.yaml -o my_quad.safetensors
"""
FORMATS = ("c", "checkpoint", "crazyflie", "nir", "onnx")
READERS = ("norse", "sinabs", "snntorch", "spikingjelly")


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="a checkpoint")
    parser.add_argument("--to", required=True, choices=FORMATS, metavar="FORMAT", help=f"one of {', '.join(FORMATS)}")
    parser.add_argument("-o", "--output", type=Path, required=True, help="c, crazyflie: the folder; else the file")
    parser.add_argument("--airframe", help="checkpoint: the airframe that is to be flown, a name or a path to a YAML file")
    parser.add_argument("--recipe", help="checkpoint: it was trained by; a name or a path (default: as the model says)")
    parser.add_argument("--weights", choices=("float32", "int8"), help="in C: type of the weights (default: float32)")
    parser.add_argument("--state", choices=("int16", "int32"), help="int8 weights: type of a membrane (default: int32)")
    parser.add_argument("--prefix", help="c: begins all names of files, functions and constants (default: policy)")
    parser.add_argument("--evaluate", action="store_true", help="c: fly the compiled code in the frozen evaluation, 20 s")
    parser.add_argument(
        "--firmware", type=Path, metavar="DIR", help="crazyflie: a checkout of its firmware, which is built with the app"
    )
    parser.add_argument(
        "--dt", type=float, metavar="S", help="nir: time step of the simulator that reads it (default: the control period)"
    )
    parser.add_argument(
        "--for", dest="reader", choices=READERS, metavar="READER",
        help=f"nir: write it so that this package reads it right: {', '.join(READERS)}",
    )  # fmt: skip
    parser.add_argument("--readers", action="store_true", help="nir: compare how the packages that are installed read it")


def run(options: argparse.Namespace) -> int:
    from spike_ctrl.export import ExportError
    from spike_ctrl.policy import checkpoint

    in_c = ("c", "crazyflie")
    belongs = {
        "airframe": ("checkpoint",),
        "recipe": ("checkpoint",),
        "weights": in_c,
        "state": in_c,
        "prefix": ("c",),
        "evaluate": ("c",),
        "firmware": ("crazyflie",),
        "dt": ("nir",),
        "reader": ("nir",),
        "readers": ("nir",),
    }
    for name, targets in belongs.items():
        if getattr(options, name) not in (None, False) and options.to not in targets:
            flag = "for" if name == "reader" else name
            raise UsageError(f"--{flag}: found with --to {options.to}, wanted only with --to {' or '.join(targets)}")
    if options.state and options.weights != "int8":
        raise UsageError(f"--state: found with {options.weights or 'float32'} weights, wanted only with --weights int8")
    if options.to == "checkpoint" and not options.airframe:
        raise UsageError("--to checkpoint: found no --airframe, wanted the one that is to be flown")
    if options.to in in_c:
        output_paths.require_folder("--output", options.output)
    else:
        output_paths.require_file("--output", options.output, replaced=True)
    found = checkpoint.load(options.model)
    kinds = {"c": _to_c, "checkpoint": _to_checkpoint, "crazyflie": _to_crazyflie, "nir": _to_nir, "onnx": _to_onnx}
    try:
        return kinds[options.to](options, found)
    except ExportError as error:
        raise UsageError(str(error)) from None


def _to_c(options, found) -> int:
    from spike_ctrl.export import c_native, c_source

    form, prefix = _form(options), options.prefix or c_source.PREFIX
    written = c_source.source(found, options.model.name, form, prefix)
    c_source.write(options.output, written)
    print(f"{options.output}: {', '.join(written.files)}; {form.words}, {_contract(found)}")
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
    from spike_ctrl.export import c_emulated

    if not c_emulated.installed():
        return "not counted: arm-none-eabi-gcc or qemu-system-arm was not found"
    count = c_emulated.longest_step(written, found.manifest.contract.sizes)
    return f"{count} instructions in QEMU, {100 * count / c_emulated.PERIOD_INSTRUCTIONS:.1f} % of those in 10 ms at 168 MHz"


def _form(options):
    from spike_ctrl.export.c_source import Form

    return Form(options.weights or "float32", int((options.state or "int32")[3:]))


def _to_crazyflie(options, found) -> int:
    from spike_ctrl import airframe
    from spike_ctrl.export import c_native, crazyflie_app, write_files

    vehicle = airframe.load(found.manifest.contract.airframe)
    made = crazyflie_app.app(found, options.model.name, _form(options), vehicle)
    write_files(options.output, made)
    print(f"{options.output}: {', '.join(sorted(made))}; {_form(options).words}, {_contract(found)}")
    flash = c_native.flash_bytes(options.output / "src")
    print(f"flash of policy.c: {'not measured: arm-none-eabi-gcc was not found' if flash is None else f'{flash} bytes'}")
    print(f"longest step, estimated: {1e3 * crazyflie_app.worst_seconds(found):.2f} ms of 10")
    if options.firmware is None:
        print(f"not built: no --firmware DIR; {options.output}/README.md has the lines that build and flash it")
        return 0
    for line in crazyflie_app.build(options.output, options.firmware, lambda line: print(f"{line} ...", flush=True)):
        print(line)
    return 0


def _show_cost(found) -> None:
    """Estimated cycles: at the spike rates of the evaluation in the manifest, and where every neuron spikes."""
    from spike_ctrl.export import c_cost

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
    from spike_ctrl import airframe
    from spike_ctrl.evaluation.benchmark import evaluate
    from spike_ctrl.evaluation.controllers import PolicyController
    from spike_ctrl.evaluation.evaluation_result import table

    contract = found.manifest.contract
    vehicle = airframe.load(contract.airframe)
    print("evaluating on 1024 starts ...", flush=True)
    policies = {"numpy": found.policy, f"C, {words}": policy}
    flown = {name: evaluate(PolicyController(flies), vehicle) for name, flies in policies.items()}
    print(table(flown))
    numpy, native = (result.headline for result in flown.values())
    print(f"return of the exported policy: {100 * native / numpy:.1f} % of the checkpoint's")
    return 0


def _to_nir(options, found) -> int:
    from spike_ctrl.export import nir

    if options.reader and options.dt is not None:
        raise UsageError(f"--dt: found with --for {options.reader}, wanted without: that reader has a step of its own")
    form = nir.READERS[options.reader] if options.reader else nir.NirForm(dt=options.dt)
    worst = nir.write(options.output, found, options.model.name, form)
    dt = 1 / found.manifest.contract.rate_hz if form.dt is None else form.dt
    step = "exponential step, tau in steps" if form.exponential else f"Euler step of {dt:g} s"
    print(f"{options.output}: {_contract(found)}; one {step} is one control step, output tanh(readout)")
    print(f"self-test through the file: {len(found.self_test)} steps, largest difference {worst:.2g}")
    if options.readers:
        _show_readers(options, found)
    return 0


def _show_readers(options, found) -> None:
    from spike_ctrl.export import nir_readers

    print(f"flying {nir_readers.STEPS} steps of {nir_readers.VEHICLES} vehicles through each reader ...", flush=True)
    for reading in nir_readers.readings(found, options.model.name, options.dt):
        file = "file of --for" if reading.own_form else "plain file"
        print(f"{reading.reader} {reading.version or '-'}, {file}: {reading.words}", flush=True)


def _to_onnx(options, found) -> int:
    from spike_ctrl.export import onnx

    worst = onnx.write(options.output, found)
    step = (
        "observation, state -> action, next_state"
        if found.graph
        else "observation, membrane -> action, next_membrane, spike"
    )
    print(f"{options.output}: {_contract(found)}; {step}")
    if worst is None:
        print("not checked: onnxruntime is not installed (pip install onnxruntime)")
    else:
        print(f"self-test in onnxruntime: {len(found.self_test)} steps, largest difference {worst:.2g}")
    return 0


def _to_checkpoint(options, found) -> int:
    from spike_ctrl import airframe
    from spike_ctrl._files import provenance
    from spike_ctrl.evaluation.benchmark import evaluate
    from spike_ctrl.evaluation.controllers import PolicyController
    from spike_ctrl.evaluation.evaluation_result import table
    from spike_ctrl.export import for_airframe
    from spike_ctrl.learn import recipe as recipes
    from spike_ctrl.policy import checkpoint

    about, craft = found.manifest, airframe.load(options.airframe)
    name = options.recipe or about.recipe
    ranges = recipes.find(name).task.airframes if name else None
    if ranges is None:
        only = f"its task draws no airframes: the policy knows {about.contract.airframe} alone"
        raise UsageError(f"{options.model}: recipe '{name}': {only}, wanted a policy such as any_quad")
    carrier = airframe.load(about.contract.airframe)
    for_airframe.require_drawable(found, craft, carrier, ranges)
    print(f"evaluating on 1024 starts of {craft.name} ...", flush=True)
    flown = evaluate(PolicyController(found.policy), craft)
    print(table({options.model.stem: flown}))
    evaluation = {"frozen": flown.to_dict()}
    for_airframe.write(options.output, found, craft, {"command": provenance.command(), "evaluation": evaluation})
    made = checkpoint.load(options.output)
    print(f"{options.output}: {_contract(made)}; self-test passed, {len(made.self_test)} steps")
    return 0


def _contract(found) -> str:
    contract = found.manifest.contract
    return f"{contract.airframe}, {contract.action}, {contract.rate_hz:g} Hz, {'-'.join(map(str, contract.sizes))}"
