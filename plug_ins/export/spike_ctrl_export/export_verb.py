"""Write a policy as C, Crazyflie app, NIR or ONNX, and test it.

The checkpoint's self-test runs through the result. docs/export.md describes the
formats, docs/plug_ins.md how a package of yours adds one.
"""

import argparse
from pathlib import Path
from types import ModuleType

from spike_ctrl import plug_ins
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


def add(parser: argparse.ArgumentParser) -> None:
    found = dict(plug_ins.loaded("exporters"))
    parser.add_argument("model", type=Path, metavar="MODEL", help="a checkpoint")
    parser.add_argument("--to", required=True, metavar="FORMAT", help=f"one of {', '.join(found)}")
    folders = ", ".join(name for name, exporter in found.items() if getattr(exporter, "FOLDER", False))
    parser.add_argument("-o", "--output", type=Path, required=True, help=f"{folders}: the folder; else the file")
    flags: dict[str, dict] = {}
    for name, exporter in found.items():
        for flag, about in getattr(exporter, "OPTIONS", {}).items():
            flags.setdefault(flag, about | {"of": []})["of"].append(name)
    for flag, about in flags.items():
        of = ", ".join(about.pop("of"))
        parser.add_argument(f"--{flag}", **about | {"help": f"{of}: {about.get('help', '')}"})


def run(options: argparse.Namespace) -> int:
    from spike_ctrl.policy import checkpoint

    exporter: ModuleType = plug_ins.load("exporters", options.to, "--to")
    _refuse_options_of_others(options)
    if getattr(exporter, "FOLDER", False):
        output_paths.require_folder("--output", options.output)
    else:
        output_paths.require_file("--output", options.output, replaced=True)
        output_paths.require_no_original("--output", options.output)
    return exporter.write(options, checkpoint.load(options.model))


def _refuse_options_of_others(options: argparse.Namespace) -> None:
    """Raise UsageError for an option that was given and belongs to other formats alone."""
    belongs: dict[str, list[str]] = {}
    for name, exporter in plug_ins.loaded("exporters"):
        for flag, about in getattr(exporter, "OPTIONS", {}).items():
            given = getattr(options, about.get("dest", flag))
            if given is not None and given is not False:  # 0 is given
                belongs.setdefault(flag, []).append(name)
    for flag, formats in belongs.items():
        if options.to not in formats:
            raise UsageError(f"--{flag}: found with --to {options.to}, wanted only with --to {' or '.join(formats)}")
