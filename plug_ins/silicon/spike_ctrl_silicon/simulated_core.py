"""The core's Verilog as a program of this computer, by Verilator: steps it through inputs and reads all that it computed."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.errors import UsageError
from spike_ctrl_export import programs, write_files
from spike_ctrl_silicon import verilog
from spike_ctrl_silicon.integer_network import IntegerNetwork

CORE = ("policy.sv", "spike_core.sv")
COMPLAINTS = ("rror", "%Warning")  # of Verilator and the compiler
FRESH, CUT = 1, 2


class CoreSteps(NamedTuple):
    """What the core did in S steps: cycles [S] (-1 where a reset cut the step short), actions [S, out] in 2^-15, spikes and
    membranes [S, N] after the step."""

    cycles: NDArray[np.int32]
    action: NDArray[np.int32]
    spike: NDArray[np.int32]
    membrane: NDArray[np.int32]


def missing() -> str | None:
    """What this computer needs for the simulation and does not have, in words; None if nothing is missing."""
    return programs.absent(("verilator", "g++"), "verilator g++")


def lint(folder: Path, top: str, sources: Sequence[str]) -> None:
    """Check sources in a folder with all warnings of Verilator. Raises UsageError with the first warning."""
    programs.run(["verilator", "--lint-only", "-Wall", "--top-module", top, *sources], folder, marks=COMPLAINTS)


def built(
    folder: Path,
    top: str,
    sources: Sequence[str],
    driver: str,
    place: Path,
    optimise: str = "-O2",
    parameters: Mapping[str, int] | None = None,
) -> Path:
    """Compile sources in a folder with a driver of ours to a program in `place`. Raises UsageError.

    parameters: of the top module, by name.
    Verilator's files are compiled as one: that takes half the time of a program from ten objects.
    """
    place = place.resolve()
    for file in resources.files("spike_ctrl_silicon").joinpath("verilator").iterdir():
        (place / file.name).write_text(file.read_text())
    given = [f"-G{name}={value}" for name, value in (parameters or {}).items()]
    programs.run(
        ["verilator", "--cc", "-O3", "--top-module", top, *given, *sources, "--Mdir", str(place)], folder, marks=COMPLAINTS
    )
    include = Path(programs.run(["verilator", "--getenv", "VERILATOR_ROOT"]).strip()) / "include"
    parts = [*sorted(file.name for file in place.glob("V*.cpp")), driver, "verilated.cpp", "verilated_threads.cpp"]
    (place / "all.cpp").write_text("".join(f'#include "{name}"\n' for name in parts))
    defines = [f"-DVM_{what}=0" for what in ("COVERAGE", "SC", "TIMING", "TRACE", "TRACE_FST", "TRACE_VCD")]
    found = [f"-I{path}" for path in (place, include, include / "vltstd")]
    programs.run(
        ["g++", optimise, "-w", *found, *defines, "-faligned-new", "all.cpp", "-o", "drive", "-pthread"],
        place,
        marks=COMPLAINTS,
    )
    return place / "drive"


class SimulatedCore:
    """The core of a network with a number of lanes, compiled by Verilator. Use it in a `with` statement.

    Raises UsageError where Verilator or a compiler is missing.
    """

    def __init__(self, network: IntegerNetwork, lanes: int = 8, optimise: str = "-O2") -> None:
        if lack := missing():
            raise UsageError(f"simulation of the core: {lack}")
        self.sizes = network.sizes
        self._place = tempfile.TemporaryDirectory()
        folder = Path(self._place.name)
        write_files(folder, verilog.files(network, lanes, "simulated"))
        (folder / "built").mkdir()
        program = built(folder, "policy", CORE, "drive_core.cpp", folder / "built", optimise)
        arguments = [lanes, network.widths.membrane, *self.sizes]
        self._core = subprocess.Popen(
            [program, *map(str, arguments)], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> SimulatedCore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._core.communicate()
        self._place.cleanup()

    def run(self, inputs: NDArray[np.int64], flags: NDArray[np.int32], cut: NDArray[np.int32] | None = None) -> CoreSteps:
        """Step through inputs [S, in] in 2^-12. flags [S]: FRESH, CUT or 0. cut [S]: cycles after which rst cuts a step."""
        steps, outputs, neurons = len(inputs), self.sizes[-1], sum(self.sizes[1:-1])
        cut = np.zeros(steps, np.int32) if cut is None else cut
        requests = np.concatenate([flags[:, None], cut[:, None], inputs], axis=1).astype("<i4")
        answers = np.empty((steps, 1 + outputs + 2 * neurons), "<i4")
        assert self._core.stdin is not None and self._core.stdout is not None
        for start in range(0, steps, 16):  # few enough for the pipes to hold
            part = requests[start : start + 16]
            self._core.stdin.write(part.tobytes())
            self._core.stdin.flush()
            data = self._core.stdout.read(len(part) * answers[0].nbytes)
            if len(data) < len(part) * answers[0].nbytes:
                raise UsageError(f"simulation of the core: it ended in step {start}, wanted {steps} steps")
            answers[start : start + 16] = np.frombuffer(data, "<i4").reshape(len(part), -1)
        return CoreSteps(*np.split(answers, np.cumsum([1, outputs, neurons]), axis=1))._replace(cycles=answers[:, 0])
