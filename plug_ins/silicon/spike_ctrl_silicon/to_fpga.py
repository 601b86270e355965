"""The format fpga: the policy as a core in Verilog, with memories, constraints for a board, a testbench and a README."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl_export import contract_words, write_files

if TYPE_CHECKING:
    from spike_ctrl_silicon.integer_network import IntegerNetwork, NumberWidths

FOLDER = True
WIDTHS = {
    "bits": {"type": int, "help": "of a weight, 2 to 8 (default: 8)"},
    "leak": {"choices": ("12 bit", "shift"), "help": "leaks: multiples of 2^-12, or 0, 2^-k and 1 - 2^-k (default: 12 bit)"},
    "membrane": {"type": int, "help": "bits of a membrane, 8 to 24, or 32 (default: 16)"},
}
"""Options that state the widths of an integer network."""
OPTIONS = WIDTHS | {
    "lanes": {"type": int, "help": "neurons computed at once: 1, 2, 4, 8, 16 or 32 (default: 8)"},
    "place": {"action": "store_true", "help": "also place and route it for an ECP5 with nextpnr; takes minutes"},
}
LANES = 8
LINK = ("spike_link.sv", "policy.sv", "spike_core.sv")
PORTS = {
    "spike_serial": ("spike_serial.sv", "uart_receiver.sv", "uart_transmitter.sv", *LINK),
    "spike_spi": ("spike_spi.sv", "spi_device.sv", *LINK),
}
"""The sources of the core with each of its ports, by the top module, as Verilator and yosys read them."""


def widths_of(options: argparse.Namespace) -> NumberWidths:
    """The widths that options name."""
    from spike_ctrl_silicon.integer_network import NumberWidths

    asked = zip(NumberWidths._fields, (options.bits, options.leak, options.membrane), strict=True)
    return NumberWidths(**{name: width for name, width in asked if width is not None})


def write(options: argparse.Namespace, found: Checkpoint) -> int:
    """Write and check the core, print its sizes and cycles; the exit code. Raises UsageError."""
    from spike_ctrl_silicon import core_folder, simulated_core
    from spike_ctrl_silicon.quantise import quantised

    network = quantised(found, widths_of(options), options.model.name)
    lanes = LANES if options.lanes is None else options.lanes
    files = core_folder.files(found, network, lanes, options.model.name)
    write_files(options.output, files)
    print(f"{options.output}: {len(files)} files; {network.widths.words}, {lanes} lanes, {contract_words(found)}")
    if lack := simulated_core.missing():
        print(f"not checked: {lack}")
    else:
        print(_checked(options, found, network, lanes))
    if options.place:
        from spike_ctrl_silicon import placed_core

        print("placing for an ECP5-25F at 50 MHz ...", flush=True)
        print(placed_core.place(options.output).words)
    return 0


def _checked(options: argparse.Namespace, found: Checkpoint, network: IntegerNetwork, lanes: int) -> str:
    from spike_ctrl_silicon import cycle_count, simulated_core

    for top, sources in PORTS.items():
        simulated_core.lint(options.output, top, sources)
    steps = cycle_count.flown(network, lanes, found.self_test)
    worst = cycle_count.longest(network, lanes)
    return (
        f"self-test: {len(found.self_test)} steps in Verilator, equal to the integer network bit by bit; lint clean\n"
        f"cycles per step: median {steps.median:.0f}, most {steps.most}, longest possible {worst}; "
        f"at 50 MHz {steps.median / 50:.0f}, {steps.most / 50:.0f}, {worst / 50:.0f} us"
    )
