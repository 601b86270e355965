"""The format nir: a graph for neuromorphic tool chains."""

import argparse

from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl_export import contract_words

READERS = ("norse", "sinabs", "snntorch", "spikingjelly")
OPTIONS = {
    "dt": {
        "type": float, "metavar": "S", "help": "time step of the simulator that reads it (default: the control period)",
    },
    "for": {
        "dest": "reader", "choices": READERS, "metavar": "READER",
        "help": f"write it so that this package reads it right: {', '.join(READERS)}",
    },
    "readers": {"action": "store_true", "help": "compare how the packages that are installed read it"},
}  # fmt: skip


def write(options: argparse.Namespace, found: Checkpoint) -> int:
    """Write the graph and run the self-test through it; the exit code. Raises UsageError."""
    from spike_ctrl_export import nir

    if options.reader and options.dt is not None:
        raise UsageError(f"--dt: found with --for {options.reader}, wanted without: that reader has a step of its own")
    form = nir.READERS[options.reader] if options.reader else nir.NirForm(dt=options.dt)
    worst = nir.write(options.output, found, options.model.name, form)
    dt = 1 / found.manifest.contract.rate_hz if form.dt is None else form.dt
    step = "exponential step, tau in steps" if form.exponential else f"Euler step of {dt:g} s"
    print(f"{options.output}: {contract_words(found)}; one {step} is one control step, output tanh(readout)")
    print(f"self-test through the file: {len(found.self_test)} steps, largest difference {worst:.2g}")
    if options.readers:
        _show_readers(options, found)
    return 0


def _show_readers(options, found) -> None:
    from spike_ctrl_export import nir_readers

    print(f"flying {nir_readers.STEPS} steps of {nir_readers.VEHICLES} vehicles through each reader ...", flush=True)
    for reading in nir_readers.readings(found, options.model.name, options.dt):
        file = "file of --for" if reading.own_form else "plain file"
        print(f"{reading.reader} {reading.version or '-'}, {file}: {reading.words}", flush=True)
