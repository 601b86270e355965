"""Record where a model in Gazebo truly is, or put it back.

Writes CSV until Ctrl-C, with the columns of `spike-ctrl vehicle --truth`.
"""

import argparse
import threading
from pathlib import Path

from spike_ctrl._files import output_paths, ranges
from spike_ctrl._files.errors import UsageError

GROUP = "fly"
EXAMPLES = """
spike-ctrl truth truth.csv                          # x500_0 in the world spike_ctrl
spike-ctrl truth truth.csv --world lab --model my_airframe_0 --seconds 60
spike-ctrl truth --reset                            # x500_0 back into the middle; PX4's estimate follows in seconds
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", type=Path, help="the CSV file")
    parser.add_argument("--world", default="spike_ctrl", metavar="NAME", help="name of the world (default: spike_ctrl)")
    parser.add_argument(
        "--model", default="x500_0", metavar="NAME", help="name of the model, as PX4 gives it (default: x500_0)"
    )
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long (default: until Ctrl-C)")
    parser.add_argument(
        "--reset", action="store_true", help="put the model back into the middle of the world, on the ground; land it first"
    )


def run(options: argparse.Namespace) -> int:
    from spike_ctrl.simulated_px4.ground_truth import Log
    from spike_ctrl_sitl.gazebo.running_world import Pose, World, motion

    ranges.require(vars(options), {"seconds": (0.0, float("inf"))}, "--")
    if not options.file and not options.reset:
        raise UsageError("truth: found neither FILE nor --reset, wanted one of them")
    if options.file:
        output_paths.require_file("FILE", options.file, made=True)
    world = World(options.world)
    if options.reset:
        world.put_back(options.model)
    if not options.file:
        return 0
    log, last, rows = Log(options.file), [], 0

    def see(pose: Pose) -> None:
        nonlocal rows
        if last and pose.time > last[0].time:
            moved = motion(last[0], pose)
            rows += log.row(pose.time, moved.pose.position, moved.pose.quaternion, moved.velocity, moved.rates)
        last[:] = [pose]

    world.follow(options.model, see)
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
