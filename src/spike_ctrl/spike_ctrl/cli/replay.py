"""Run a policy over a recorded flight: does it act the same?

The actions are compared bit by bit, without ROS.
Another kind of processor rounds differently: --rounding says up to what difference an action counts as the same.
Exit code 0: the checkpoint that flew acts the same, or --model is another one; 1: it acts otherwise; 2: the bag lacks
something that is needed.
"""

import argparse
import time
from pathlib import Path

from spike_ctrl._files import output_paths, ranges

GROUP = "recordings"
ROUNDING = 1e-5  # in the action; as much is put down to the processor by a hint
EXAMPLES = """
spike-ctrl replay bags/20260101-120000                       # the checkpoints in the bag
spike-ctrl replay bags/20260101-120000 --model models/crazyflie.safetensors
spike-ctrl replay bags/20260101-120000 --guard --json replay.json
spike-ctrl replay bags/20260101-120000 --rounding 1e-5       # flown on another kind of processor
spike-ctrl launch replay bag:=bags/20260101-120000 rate:=10  # the same through the ROS graph
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bag", type=Path, help="the bag's folder, or one MCAP file")
    parser.add_argument("--model", type=Path, help="a checkpoint (default: those that the bag holds)")
    parser.add_argument("--guard", action="store_true", help="also run the checks of a flight over vehicle 0")
    parser.add_argument(
        "--rounding", type=float, default=0.0, metavar="D", help="differences that count as none (default 0: bit by bit)"
    )
    parser.add_argument("--namespace", metavar="NAME", help="of the graph, where a bag holds several (default: the first)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")


def run(options: argparse.Namespace) -> int:
    from threadpoolctl import threadpool_limits

    from spike_ctrl.policy import checkpoint
    from spike_ctrl.recordings import guard_replay, replay
    from spike_ctrl.recordings.reader import read

    ranges.require(vars(options), {"rounding": (0.0, 1.0)}, "--")
    if options.json:
        output_paths.require_file("--json", options.json)
    model = checkpoint.read(options.model) if options.model else None
    begun = time.monotonic()
    recording = read(options.bag, (*replay.TOPICS, "guide/action") if options.guard else replay.TOPICS, options.namespace)
    for note in recording.notes:
        print(f"note: {note}")
    with threadpool_limits(1):  # as the nodes compute
        choice, compared, _ = replay.judged(recording, model, str(options.model))
    took = time.monotonic() - begun
    flown = len(recording.states.tick) / choice.contract.rate_hz
    returns = replay.returns(recording, replay.hover(choice.contract))
    for line in replay.summary(recording, choice, compared, returns):
        print(line)
    differs, largest = choice.same and not compared.same, max(compared.largest, default=0.0)
    if differs and 0 < largest <= options.rounding:
        differs = False
        print(f"all {compared.compared} actions agree within {options.rounding:g}; the largest difference is {largest:.1g}")
    elif differs and 0 < largest <= ROUNDING:
        print(f"no action differs by more than {ROUNDING:g}: another kind of processor rounds so, see --rounding")
    print(f"replayed {flown:.1f} s of flight in {took:.2f} s: {flown / took:.0f} times as fast")
    figures = replay.figures(compared, returns) | {"bag": str(options.bag), "checkpoint": choice.words}
    if options.guard:
        judged = guard_replay.judge(recording, choice.contract.rate_hz)
        print(f"guard, vehicle 0: {sum(bool(v.findings) for v in judged)} of {len(judged)} ticks with a finding")
        figures["guard"] = [
            {"fault": fault.name, "meaning": fault.meaning, "ticks": count, "first": tick, "detail": detail}
            for fault, count, tick, detail in guard_replay.fault_rows(judged)
        ]
        for row in figures["guard"]:
            print("  {fault}: {ticks} ticks, first {first}: {detail}".format(**row))
    if options.json:
        output_paths.write_json("--json", options.json, figures)
    return 1 if differs else 0
