"""Write a Gazebo model and world with the physics of an airframe.

Beside them goes a file with the environment in which PX4 flies the model.
"""

import argparse
import re
from pathlib import Path

from spike_ctrl._files.errors import UsageError, refused

GROUP = "fly"
EXAMPLES = """
spike-ctrl gazebo                                   # x500, to build/gazebo
spike-ctrl gazebo my_airframe.yaml -o gazebo --world lab
spike-ctrl px4 gazebo                               # writes them itself, and starts Gazebo and PX4
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("airframe", nargs="?", default="x500", help="a name or a path to a YAML file (default: x500)")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/gazebo"), help="folder (default: build/gazebo)")
    parser.add_argument("--world", default="spike_ctrl", metavar="NAME", help="name of the world (default: spike_ctrl)")


def run(options: argparse.Namespace) -> int:
    from spike_ctrl import airframe
    from spike_ctrl_sitl.gazebo import model_files

    if not re.fullmatch(r"[A-Za-z0-9_]+", options.world):
        raise UsageError(f"--world: found '{options.world}', wanted letters, digits and _")
    with refused(f"--output {options.output}: cannot be written"):
        for path in model_files.write(airframe.load(options.airframe), options.output, options.world):
            print(path)
    return 0
