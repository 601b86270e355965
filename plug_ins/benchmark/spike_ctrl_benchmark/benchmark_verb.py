"""Fly the closed-loop benchmark, and write a result file.

Entries are checkpoints, the baselines guide, pid, mellinger and raptor, or code of yours as module:Name, which is called
without arguments and gives a policy. docs/benchmark.md says what is flown and what the figures mean.
"""

import argparse
from pathlib import Path

from spike_ctrl._files import output_paths
from spike_ctrl._files.errors import UsageError

GROUP = "train"
EXAMPLES = """
spike-ctrl benchmark crazyflie -o result.json
spike-ctrl benchmark crazyflie crazyflie_robust guide pid mellinger raptor -o result.json
spike-ctrl benchmark mypackage.entry:Policy guide -o result.json        # a policy that was written with another library
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("entries", nargs="+", metavar="POLICY", help="a checkpoint, a baseline, or module:Name")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the result, JSON")
    parser.add_argument("--airframe", default="crazyflie", help="a name or a path to a YAML file (default: crazyflie)")
    parser.add_argument("--starts", type=int, help="fewer starts than 1024, for a try; the file says so")


def run(options: argparse.Namespace) -> int:
    from spike_ctrl import airframe
    from spike_ctrl_benchmark import leaderboard

    starts = leaderboard.STARTS if options.starts is None else options.starts
    if not 1 <= starts <= leaderboard.STARTS:
        raise UsageError(f"--starts: found {starts}, wanted 1 to {leaderboard.STARTS}")
    output_paths.require_file("--output", options.output)
    vehicle = airframe.load(options.airframe)
    vehicle.require_layout("motors")
    try:
        entered = {name: leaderboard.entry(name, vehicle) for name in options.entries}
    except (ModuleNotFoundError, TypeError) as error:
        raise UsageError(str(error)) from None
    figures = {}
    for number, (name, one) in enumerate(entered.items(), 1):
        print(f"{number} of {len(entered)}: {name} ...", flush=True)
        figures[name] = leaderboard.fly_entries(one, vehicle, starts)
    print(f"airframe {vehicle.name}, {starts} starts; return (survival)\n{leaderboard.entry_table(figures)}")
    output_paths.write_json("--output", options.output, leaderboard.result(figures, vehicle, starts))
    print(f"written: {options.output}")
    return 0
