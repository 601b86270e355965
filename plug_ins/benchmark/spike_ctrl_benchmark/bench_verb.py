"""Measure speed: simulator, networks, graph, flights, training.

All parts together go to build/bench.json. Figures are of this machine and this run; read ratios, not absolute
times, and leave the machine alone while it measures.
"""

import argparse
import importlib.util
import os
import platform
from pathlib import Path
from types import ModuleType

from spike_ctrl._files import output_paths, resources
from spike_ctrl._files.errors import UsageError

GROUP = "tools"
EXAMPLES = """
spike-ctrl bench
spike-ctrl bench simulator snn
spike-ctrl bench flight     # latency of a flight's commands, 5 minutes
"""


def add(parser: argparse.ArgumentParser) -> None:
    parts = "bag, certify, device, flight, graph, module_gradient, simulator, snn, training"
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{parts} (default: all)")


def run(options: argparse.Namespace) -> int:
    return measure_parts(options.parts)


def measure_parts(parts: list[str]) -> int:
    """Measure the named parts, or all. Raises UsageError for an unknown part and outside of a checkout.

    build/bench.json is written only where all were measured, so that all its figures are of one run.
    """
    checkout = resources.folder("config").parent
    files = {file.stem.removeprefix("bench_"): file for file in sorted((checkout / "tests" / "bench").glob("bench_*.py"))}
    if not files:
        raise UsageError("bench: found no tests/bench, wanted a checkout of the repository")
    for part in parts:
        if part not in files:
            raise UsageError(f"bench: found part '{part}', wanted among {', '.join(files)}")
    target, left = checkout / "build" / "bench.json", [part for part in files if parts and part not in parts]
    if not left:
        target.parent.mkdir(exist_ok=True)
        output_paths.require_file("bench", target)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    figures: dict[str, float] = {}
    for part in parts or files:
        print(f"{part}  ({platform.machine()}, {os.cpu_count()} cores)", flush=True)
        found = _module(files[part]).measure()
        for name, value in found.items():
            print(f"  {name:<44}{value:>14.5g}", flush=True)
        figures |= found
    if left:
        print(f"not written to {os.path.relpath(target)}: {', '.join(left)} not measured")
        return 0
    output_paths.write_json("bench", target, figures)
    print(f"written: {os.path.relpath(target)}")
    return 0


def _module(file: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(file.stem, file)
    assert specification is not None and specification.loader is not None  # it ends in .py
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
