"""The verbs of spike-ctrl that have to do with Gazebo."""

from __future__ import annotations

import re
import threading
from pathlib import Path

from spike_ctrl._files import output_paths
from spike_ctrl._files.errors import UsageError


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
    from spike_ctrl import airframe
    from spike_ctrl.gazebo import model_files

    if not re.fullmatch(r"[A-Za-z0-9_]+", options.world):
        raise UsageError(f"--world: found '{options.world}', wanted letters, digits and _")
    try:
        for path in model_files.write(airframe.load(options.airframe), options.output, options.world):
            print(path)
    except model_files.GazeboError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"--output {options.output}: cannot be written ({error.strerror})") from None
    return 0


def add_truth(verbs, verb) -> None:
    parser = verb(
        verbs,
        "truth",
        "Write where a model in a running Gazebo truly is, as CSV, until Ctrl-C; or reset its world.",
        "  spike-ctrl truth truth.csv                          # x500_0 in the world spike_ctrl\n"
        "  spike-ctrl truth truth.csv --world lab --model my_airframe_0 --seconds 60\n"
        "  spike-ctrl truth --reset --world lab\n",
    )
    parser.add_argument("file", nargs="?", type=Path, help="CSV with the columns of spike-ctrl vehicle --truth")
    parser.add_argument("--world", default="spike_ctrl", metavar="NAME", help="of the world (default: spike_ctrl)")
    parser.add_argument("--model", default="x500_0", metavar="NAME", help="as PX4 names it (default: x500_0)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long; default: until Ctrl-C")
    parser.add_argument("--reset", action="store_true", help="put everything back to where it began")
    parser.set_defaults(do=_truth)


def _truth(options) -> int:
    from spike_ctrl.gazebo.model_files import GazeboError
    from spike_ctrl.gazebo.running_world import Pose, World, motion
    from spike_ctrl.simulated_px4.ground_truth import Log, TruthError

    if not options.file and not options.reset:
        raise UsageError("truth: wanted a FILE to write, or --reset")
    if options.file:
        output_paths.require_file("FILE", options.file, made=True)
    try:
        world = World(options.world)
        if options.reset:
            world.reset()
        if not options.file:
            return 0
        log, last, rows = Log(options.file), [], 0

        def see(pose: Pose) -> None:
            nonlocal rows
            if last and pose.time > last[0].time:
                rows += log.row(pose.time, motion(last[0], pose))
            last[:] = [pose]

        world.follow(options.model, see)
    except (GazeboError, TruthError) as error:
        raise UsageError(str(error)) from None
    try:
        threading.Event().wait(min(options.seconds, threading.TIMEOUT_MAX))
    except KeyboardInterrupt:
        pass
    del world  # no more poses
    log.close()
    print(f"{options.file}: {rows} rows")
    if not last:
        raise UsageError(f"model {options.model}: no pose came in the world {options.world}; its models: gz model --list")
    return 0
