"""The core and its UART in Verilator behind a pseudo-terminal: a program that a host talks to as to a board."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from spike_ctrl._files.errors import UsageError
from spike_ctrl_export import write_files
from spike_ctrl_silicon import cycle_count, simulated_core, verilog
from spike_ctrl_silicon.integer_network import IntegerNetwork
from spike_ctrl_silicon.to_fpga import LANES, PORTS

CLOCK_HZ, DIVISOR = 4_000_000, 4  # the simulated UART is faster than a real one, in cycles
WATCHDOG_MS = 25  # of spike_link
TOP, DRIVER = "spike_serial", "serve_line.cpp"


class LineFaults(NamedTuple):
    """What goes wrong on a simulated line. flips: share of bytes with a flipped bit. watchdog: whether real time counts."""

    flips: float = 0.0
    seed: int = 0
    watchdog: bool = False


def command(network: IntegerNetwork, link: Path, faults: LineFaults = LineFaults(), lanes: int = LANES) -> list[str]:
    """The command line of the program, which is built where it has not been. Raises UsageError.

    link: a path that will lead to the pseudo-terminal. SIGUSR1 resets the core, SIGUSR2 stops and starts its clock.
    """
    if lack := simulated_core.missing():
        raise UsageError(f"simulation of the core: {lack}")
    folder = _built(network, lanes)
    words = [DIVISOR, 6 + 4 * network.sizes[0], 6 + 4 * network.sizes[-1], cycle_count.longest(network, lanes)]
    words += [WATCHDOG_MS if faults.watchdog else 0, CLOCK_HZ // 1000 * WATCHDOG_MS]
    return [*map(str, (folder / "built" / "drive", folder, link, *words, f"{faults.flips:.9f}", faults.seed))]


def _built(network: IntegerNetwork, lanes: int) -> Path:
    """The folder of the program for a network, kept in the user's cache by the contents of its sources."""
    files = verilog.files(network, lanes, "simulated")
    drivers = {file.name: file.read_text() for file in resources.files("spike_ctrl_silicon").joinpath("verilator").iterdir()}
    digest = hashlib.sha256()
    for name, text in sorted((files | drivers).items()):
        digest.update(f"{name}\0{text}\0".encode())
    home = Path.home() / ".cache" / "spike_ctrl_silicon"
    kept = home / digest.hexdigest()[:16]
    if kept.exists():
        return kept
    home.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=home))
    try:
        write_files(made, files)
        (made / "built").mkdir()
        simulated_core.built(made, TOP, PORTS[TOP], DRIVER, made / "built", parameters={"CLOCK_HZ": CLOCK_HZ})
        made.rename(kept)
    except OSError:
        if not kept.exists():  # another process was first
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return kept


class SimulatedLine:
    """The program while it runs; its pseudo-terminal is at `port`. Use it in a `with` statement. Raises UsageError."""

    def __init__(self, network: IntegerNetwork, faults: LineFaults = LineFaults(), lanes: int = LANES) -> None:
        self._place = tempfile.TemporaryDirectory()
        self.port = Path(self._place.name) / "core"
        self.process = subprocess.Popen(command(network, self.port, faults, lanes), stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> SimulatedLine:
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            raise UsageError(f"simulation of the core: it ended with {self.process.wait()} before it answered")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.terminate()
        self.process.communicate()
        self._place.cleanup()
