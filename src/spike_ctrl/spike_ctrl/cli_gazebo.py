"""The verb of spike-ctrl that has to do with Gazebo."""

from __future__ import annotations

from pathlib import Path

from spike_ctrl.usage import UsageError


def add_gazebo(verbs, verb) -> None:
    parser = verb(
        verbs,
        "gazebo",
        "Write a Gazebo model and world with the physics of an airframe, and how PX4 flies it.",
        "  spike-ctrl gazebo                                   # x500, to build/gazebo\n"
        "  spike-ctrl gazebo my_airframe.yaml -o gazebo --world lab\n"
        "  . build/gazebo/px4.env && make -C PX4-Autopilot px4_sitl gz_x500\n",
    )
    parser.add_argument("airframe", nargs="?", default="x500", help="a name or a path to a YAML file (default: x500)")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/gazebo"), help="folder (default: build/gazebo)")
    parser.add_argument("--world", default="spike_ctrl", metavar="NAME", help="of the world (default: spike_ctrl)")
    parser.set_defaults(do=_gazebo)


def _gazebo(options) -> int:
    from spike_ctrl import airframe, gazebo

    try:
        for path in gazebo.write(airframe.find(options.airframe), options.output, options.world):
            print(path)
    except (gazebo.GazeboError, OSError) as error:
        raise UsageError(str(error)) from None
    return 0
