"""Proves of a core, with yosys and an SMT solver, that no number overflows its register and that a reset begins anew.

The claims are the assertions of `spike_core.sv` under FORMAL. They hold for any inputs, spikes, registers and memories but
those of the network's numbers, of which neurons and readout are read from their .hex files. The largest sum of each neuron
and output is arithmetic over its weights (`most`), since every event is added at most once.
"""

import tempfile
from pathlib import Path

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl_export import programs, write_files
from spike_ctrl_silicon import verilog
from spike_ctrl_silicon.bounds import bounds, largest_sums, signed_bits
from spike_ctrl_silicon.integer_network import IntegerNetwork

FREE = ("weights", "membranes", "events", "x", "tanh")  # memories whose contents may be anything
KINDS = (["-t", "3"], ["-i", "-t", "2"])  # from a reset; from any state in which the claims hold


def missing() -> str | None:
    """What this computer needs for the proof and does not have, in words; None if nothing is missing."""
    return programs.absent(("yosys", "yosys-smtbmc", "z3"), "yosys z3")


def prove(network: IntegerNetwork, lanes: int, files: dict[str, str] | None = None, timeout: float = 3600.0) -> None:
    """Prove the claims for a network; files: its sources where they are not those of `verilog.files`.

    Raises UsageError with the first claim that does not hold, and where a tool is missing.
    """
    if lack := missing():
        raise UsageError(f"proof: {lack}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder, (files or verilog.files(network, lanes, "proof")) | {"most.hex": most(network, lanes)})
        script = [
            "read_verilog -sv -formal policy.sv spike_core.sv",
            "hierarchy -top policy; proc; flatten; opt_clean; memory_collect",
            f"delete {' '.join(f'*/core.{memory}' for memory in FREE)}",
            "memory_map; setundef -undriven -anyseq; opt -fast; async2sync; dffunmap",
            "write_smt2 -wires core.smt2",
        ]
        smt = [["yosys-smtbmc", "-s", "z3", "--presat", *kind, "core.smt2"] for kind in KINDS]
        for command in (["yosys", "-q", "-p", "; ".join(script)], *smt):
            programs.run(command, folder, timeout, ("ERROR", "ssert failed"))


def most(network: IntegerNetwork, lanes: int) -> str:
    """most.hex: a word for each group of neurons, then one for each output."""
    bits = max(map(signed_bits, bounds(network).sum))
    words = []
    for total in largest_sums(network)[:-1]:
        padded = np.pad(total, (0, -len(total) % lanes)).tolist()
        words += [
            sum(value << bits * lane for lane, value in enumerate(padded[start : start + lanes]))
            for start in range(0, len(padded), lanes)
        ]
    words += largest_sums(network)[-1].tolist()
    return "".join(f"{word:0{-(-bits * lanes // 4)}x}\n" for word in words)
