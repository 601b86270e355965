"""Places and routes the core of a folder for a ULX3S board with an ECP5-25F: yosys, then nextpnr-ecp5."""

import json
from pathlib import Path
from typing import NamedTuple

from spike_ctrl._files.errors import UsageError
from spike_ctrl_export import programs
from spike_ctrl_silicon.to_fpga import PORTS

CLOCK = "clk"
PARTS = {"TRELLIS_COMB": "LUT4", "TRELLIS_FF": "flip-flops", "DP16KD": "block RAMs", "MULT18X18D": "multipliers"}


class Placed(NamedTuple):
    """fmax (MHz), and of each kind of part: how many are used and how many the device has."""

    fmax: float
    used: dict[str, tuple[int, int]]

    @property
    def words(self) -> str:
        """Both for the user."""
        parts = ", ".join(f"{used} of {there} {PARTS[name]}" for name, (used, there) in self.used.items())
        return f"ECP5-25F: fmax {self.fmax:.1f} MHz; {parts}"


def place(folder: Path, seed: int = 1, timeout: float = 3600.0) -> Placed:
    """Place and route the board's top in a folder at 50 MHz. Raises UsageError where a tool is missing or fails."""
    if lack := programs.absent(("yosys", "nextpnr-ecp5"), "yosys nextpnr-ecp5"):
        raise UsageError(f"--place: {lack}")
    sources = " ".join(("ulx3s.sv", *PORTS["spike_serial"]))
    script = f"read_verilog -sv {sources}; synth_ecp5 -top ulx3s -json ulx3s.json"
    programs.run(["yosys", "-q", "-p", script], folder, timeout, ("ERROR",))
    target = ["--25k", "--package", "CABGA381", "--lpf", "ulx3s.lpf", "--seed", str(seed)]
    made = ["--json", "ulx3s.json", "--textcfg", "ulx3s.config", "--report", "ulx3s.report.json", "--timing-allow-fail"]
    programs.run(["nextpnr-ecp5", "-q", *target, *made], folder, timeout, ("ERROR",))
    return read(folder / "ulx3s.report.json")


def read(report: Path) -> Placed:
    """What a report of nextpnr says. Raises UsageError for another file."""
    try:
        found = json.loads(report.read_text())
        clocks = {name: figures["achieved"] for name, figures in found["fmax"].items()}
        parts = {name: (found["utilization"][name]["used"], found["utilization"][name]["available"]) for name in PARTS}
        fast = next(value for name, value in clocks.items() if CLOCK in name and "25mhz" not in name)
    except (OSError, ValueError, KeyError, StopIteration) as error:
        raise UsageError(f"{report}: found {error!r}, wanted a report of nextpnr-ecp5") from None
    return Placed(float(fast), parts)
