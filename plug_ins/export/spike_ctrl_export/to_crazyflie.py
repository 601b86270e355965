"""The format crazyflie: an app for the Crazyflie's firmware."""

import argparse
import shutil
from pathlib import Path

from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl_export import contract_words
from spike_ctrl_export.to_c import WEIGHTS, form_of

FOLDER = True
OPTIONS = WEIGHTS | {
    "firmware": {"type": Path, "metavar": "DIR", "help": "a checkout of its firmware, which is built with the app"}
}


def write(options: argparse.Namespace, found: Checkpoint) -> int:
    """Write the app and, with a firmware, build it; the exit code. Raises UsageError."""
    from spike_ctrl_export import c_native, crazyflie_app, write_files

    if options.firmware is not None:
        crazyflie_app.require_firmware(options.firmware)
        crazyflie_app.require_compiler(shutil.which)
    vehicle = found.airframe()
    made = crazyflie_app.app(found, options.model.name, form_of(options), vehicle)
    write_files(options.output, made)
    print(f"{options.output}: {', '.join(sorted(made))}; {form_of(options).words}, {contract_words(found)}")
    flash = c_native.flash_bytes(options.output / "src")
    print(f"flash of policy.c: {'not measured: arm-none-eabi-gcc was not found' if flash is None else f'{flash} bytes'}")
    print(f"longest step, estimated: {1e3 * crazyflie_app.worst_seconds(found):.2f} ms of 10")
    if options.firmware is None:
        print(f"not built: no --firmware DIR; {options.output}/README.md has the lines that build and flash it")
        return 0
    for line in crazyflie_app.build(options.output, options.firmware, lambda line: print(f"{line} ...", flush=True)):
        print(line)
    return 0
