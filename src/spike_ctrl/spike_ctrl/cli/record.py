"""The verbs of spike-ctrl that work on recordings."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

from spike_ctrl._files import output_paths


def add_repair(verbs, verb) -> None:
    parser = verb(
        verbs,
        "repair",
        "Make a bag readable again whose recorder was killed, whose disk was full, or that was cut.",
        "  spike-ctrl repair bags/20260101-120000\n  spike-ctrl repair flight.mcap\n",
    )
    parser.add_argument("bag", type=Path, help="the bag's folder, or one MCAP file")
    parser.set_defaults(do=_repair)


def _repair(options) -> int:
    from spike_ctrl.recordings.repair import repair

    for found in repair(options.bag):
        lost = f", {found.lost_bytes} bytes at its end were of no use" if found.lost_bytes else ""
        print(f"{found.path.name}: {'whole' if found.whole else 'repaired'}, {found.messages} messages{lost}")
    return 0


def add_replay(verbs, verb) -> None:
    parser = verb(
        verbs,
        "replay",
        "Run a policy over a recorded flight, without ROS: are its actions the recorded ones, bit by bit?\n\n"
        "Exit code 0; 1 where the checkpoint that flew answers differently now; 2 where the bag lacks what is needed.",
        "  spike-ctrl replay bags/20260101-120000                       # the checkpoints in the bag\n"
        "  spike-ctrl replay bags/20260101-120000 --model models/crazyflie.safetensors\n"
        "  spike-ctrl launch replay bag:=bags/20260101-120000 rate:=10   # the same through the ROS graph\n",
    )
    parser.add_argument("bag", type=Path, help="the bag's folder, or one MCAP file")
    parser.add_argument("--model", type=Path, help="a checkpoint (default: those that the bag holds)")
    parser.add_argument("--guard", action="store_true", help="also what the guard would have said to vehicle 0")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.set_defaults(do=_replay)


def _replay(options) -> int:
    from threadpoolctl import threadpool_limits

    from spike_ctrl.policy import checkpoint
    from spike_ctrl.recordings import BagError, guard_replay, replay
    from spike_ctrl.recordings.reader import read

    if options.json:
        output_paths.require_file("--json", options.json)
    data = checkpoint.read(options.model) if options.model else b""
    model = checkpoint.loads(data, name=str(options.model)) if options.model else None
    sha256 = hashlib.sha256(data).hexdigest()
    begun = time.monotonic()
    recording = read(options.bag, (*replay.TOPICS, "guide/action") if options.guard else replay.TOPICS)
    for note in recording.notes:
        print(f"note: {note}")
    with threadpool_limits(1):  # as the nodes compute
        choice, compared = replay.judged(recording, model, str(options.model), sha256)
    took = time.monotonic() - begun
    flown = len(recording.states.tick) / choice.contract.rate_hz
    returns = replay.returns(recording, replay.hover(choice.contract))
    for line in replay.summary(recording, choice, compared, returns):
        print(line)
    print(f"replayed {flown:.1f} s of flight in {took:.2f} s: {flown / took:.0f} times as fast")
    judged = guard_replay.judge(recording, choice.contract.rate_hz) if options.guard else []
    faults = [
        {"fault": fault.name, "meaning": fault.meaning, "ticks": count, "first": tick, "detail": detail}
        for fault, count, tick, detail in guard_replay.table(judged)
    ]
    if options.guard:
        print(f"guard, vehicle 0: {sum(bool(v.findings) for v in judged)} of {len(judged)} ticks with a finding")
    for row in faults:
        print("  {fault}: {ticks} ticks, first {first}: {detail}".format(**row))
    if options.json:
        figures = {"guard": faults} if options.guard else {}
        figures |= replay.figures(compared, returns) | {"bag": str(options.bag), "checkpoint": choice.words}
        try:
            options.json.write_text(json.dumps(figures, indent=2) + "\n")
        except OSError as error:
            raise BagError(f"--json {options.json}: cannot be written ({error.strerror})") from None
    return 0 if compared.same or not choice.same else 1


def add_report(verbs, verb) -> None:
    parser = verb(
        verbs,
        "report",
        "Write one HTML page on models, runs and bags: figures, tables, several models side by side. It needs no network.",
        "  spike-ctrl report models/crazyflie.safetensors\n"
        "  spike-ctrl report runs/short bags/20260101-120000 models/*.safetensors -o all.html\n"
        "  spike-ctrl report models/crazyflie.safetensors --still -o models/crazyflie.html    # pictures: a small page\n",
    )
    parser.add_argument("paths", nargs="+", metavar="RUN|BAG|MODEL", type=Path, help="what to report on")
    parser.add_argument("-o", "--output", type=Path, default=Path("report.html"), help="file (default: report.html)")
    parser.add_argument("--still", action="store_true", help="pictures in place of interactive charts: 200 kB, not 6 MB")
    parser.set_defaults(do=_report)


def _report(options) -> int:
    from threadpoolctl import threadpool_limits

    from spike_ctrl import report

    output_paths.require_file("--output", options.output)
    with threadpool_limits(1):  # as the nodes compute: a replay is to be equal bit by bit
        report.write(options.output, options.paths, options.still)
    print(f"report: {options.output}, {options.output.stat().st_size / 1e6:.1f} MB")
    return 0
