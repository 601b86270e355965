"""ros2 launch: our launch files by the name of their package, run by `spike-ctrl launch`."""

import argparse
import os
from pathlib import Path
from typing import Any

from spike_ctrl._files import resources
from spike_ctrl_ros2cli.graph_listener import add_verb


def add(commands: Any) -> None:
    examples = """
ros2 launch spike_ctrl flight.launch.py vehicle:=embedded auto:=true
ros2 launch spike_ctrl sim_train.launch.py --show-args
ros2 launch launch/flight.launch.py vehicle:=embedded
"""
    parser = add_verb(commands, "launch", launch, examples)
    parser.add_argument("package_name", help="package of the launch file, or a path of one")
    parser.add_argument(
        "launch_arguments", nargs="*", metavar="FILE, NAME:=VALUE", help="its name in the package; arguments"
    )
    parser.add_argument("-s", "--show-args", "--show-arguments", action="store_true", help="show its arguments and end")
    parser.add_argument("-n", "--noninteractive", action="store_true", help="taken for the real ros2's sake: it never asks")
    parser.add_argument(
        "-a", "--show-all-subprocesses-output", action="store_true", help="taken for the real ros2's sake: it shows all"
    )


def launch(options: argparse.Namespace) -> int:
    """Run a launch file by `spike-ctrl launch`; the exit code is that of the first node that failed."""
    from spike_ctrl import launching
    from spike_ctrl.cli import launch as verb

    path, words = Path(options.package_name), options.launch_arguments
    if not path.is_file():
        if not words:
            raise RuntimeError("ros2 launch: found a package alone, wanted the name of its launch file, too")
        path, words = find(options.package_name, words[0]), words[1:]
    if options.show_args:
        print("Arguments (pass arguments as '<name>:=<value>'):")
        for one in launching.arguments(path):
            print(f"\n{_shown(one)}")
        return 0
    return verb.run(argparse.Namespace(name=str(path), arguments=words, show_args=False))


def find(package: str, name: str) -> Path:
    """A file in the share folder of a package. Raises RuntimeError in the words of ROS 2's launch."""
    shares = [prefix / "share" / package for prefix in resources.prefixes(os.environ)]
    shares = [share for share in shares if (share / "package.xml").is_file()]
    if package == "spike_ctrl":  # of the checkout, or of an installation without ROS 2's index
        shares.insert(0, resources.folder("launch"))
    if not shares:
        searched = ", ".join(f"'{prefix}'" for prefix in resources.prefixes(os.environ))
        raise RuntimeError(f"Package '{package}' not found: \"package '{package}' not found, searching: [{searched}]\"")
    for share in shares:
        if found := sorted(share.rglob(name)):
            return found[0]
    raise RuntimeError(
        f"file '{name}' was not found in the share directory of package '{package}' which is at '{shares[-1]}'"
    )


def _shown(argument: Any) -> str:
    lines = [f"    '{argument.name}':", f"        {argument.description or 'no description given'}"]
    if argument.choices:
        lines[1] += f" Valid choices are: {argument.choices}"
    if argument.default_value is not None:
        default = "".join(str(getattr(part, "text", None) or "") for part in argument.default_value)
        lines.append(f"        (default: '{default}')")
    return "\n".join(lines)
