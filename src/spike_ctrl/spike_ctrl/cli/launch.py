"""Run a launch file, also where ROS 2's own launch is missing.

The nodes end with Ctrl-C, the last started first.
"""

import argparse
import os
from pathlib import Path

from spike_ctrl._files import provenance, resources
from spike_ctrl._files.errors import UsageError

GROUP = "tools"
EXAMPLES = """
spike-ctrl launch sim_train
spike-ctrl launch sim_train vehicles:=64 steps:=500000 run:=runs/short
spike-ctrl launch sim_train resume:=runs/short
spike-ctrl launch sim_train --show-args
spike-ctrl launch flight vehicle:=embedded auto:=true realtime:=true
spike-ctrl launch flight vehicle:=embedded auto:=true airframe:=crazyflie model:=crazyflie_robust fault:=rotor:2:60
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="a name among launch/ or a path to a .launch.py file")
    parser.add_argument("arguments", nargs="*", metavar="KEY:=VALUE", help="arguments of the launch file")
    parser.add_argument("--show-args", action="store_true", help="show the arguments of the launch file and end")


def run(options: argparse.Namespace) -> int:
    from spike_ctrl import launching

    path = Path(options.name)
    if not options.name.endswith(".py"):
        try:
            path = resources.find("launch", f"{options.name}.launch.py")
        except FileNotFoundError as error:
            raise UsageError(str(error)) from None
    elif not path.is_file():
        raise UsageError(f"launch file {path}: no such file")
    os.environ[provenance.VARIABLE] = provenance.command()
    return int(launching.run(path, options.arguments, show_args=options.show_args))
