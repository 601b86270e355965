"""Fly a policy whose vehicle changes, tuned in flight or not.

In virtual time the vehicle hovers; then it carries 30 % more, its thrust falls by 30 %, a moment turns it, or a wind begins.
Four fly each change: the policy that is tuned in flight, the policy as it is, the guide with its integral action, and one
that measures what disturbs it (indi: incremental nonlinear dynamic inversion). A guide of yours can fly too, by its class.
The error is the distance of the true place from the set-point, less the estimator's own error, which no pilot can see.
Flights that are in the folder are not flown again.
Exit code 1: a flight left the cage, hit the ground, or a tuned policy was kept although the untuned one flies better.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_ctrl._files import json_lines, named_object, output_paths, ranges
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.text_table import text_table
from spike_ctrl._files.time_left import time_left
from spike_ctrl.cli._terminal import end_progress, show_progress

if TYPE_CHECKING:
    from spike_ctrl_adaptation.adapted_flight import ChangedFlight

GROUP = "fly"
EXAMPLES = """
spike-ctrl adapt models/sih_quadx.safetensors
spike-ctrl adapt models/sih_quadx.safetensors --flights 100 --changes payload60 weak40 wind5
spike-ctrl adapt models/crazyflie_robust.safetensors --changes trim trim30
spike-ctrl adapt build/any_rates.safetensors --who policy
spike-ctrl adapt models/crazyflie_robust.safetensors --who guide indi examples.l1_guide:L1Guide
spike-ctrl adapt models/sih_quadx.safetensors --whirl --flights 3
"""
FLIGHTS, WHO = "flights.jsonl", ("adapted", "policy", "guide", "indi")
ASKED, SEVERE = ("payload", "trim", "weak", "wind"), ("payload60", "weak40", "wind5", "trim30")


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", type=Path, help="a checkpoint of a spiking policy")
    parser.add_argument("--flights", type=int, default=5, help="of each change and each who flies it (default: 5)")
    parser.add_argument(
        "--changes",
        nargs="+",
        choices=(*ASKED, *SEVERE),
        metavar="CHANGE",
        help=f"of {', '.join((*ASKED, *SEVERE))} (default: the first four)",
    )
    parser.add_argument(
        "--whirl",
        action="store_true",
        help="fly instead in air that whirls about the set-point; one more policy learns from its transitions",
    )
    parser.add_argument(
        "--who",
        nargs="+",
        type=_pilot,
        metavar="WHO",
        default=list(WHO),
        help=f"of {', '.join(WHO)}, or a guide's class, module:Name (default: the four)",
    )
    parser.add_argument(
        "--noise",
        type=float,
        default=0.5,
        help="factor of the sensors' noise, which cannot be 0: a sensor that repeats itself counts as frozen (default: 0.5)",
    )
    parser.add_argument("--folder", type=Path, help="where the flights are kept (default: runs/adapt/MODEL)")


def _pilot(text: str) -> str:
    if text in WHO or named_object.is_name(text):
        return text
    raise argparse.ArgumentTypeError(f"found {text!r}, wanted {', '.join(WHO)}, or a guide's class as module:Name")


def run(options: argparse.Namespace) -> int:
    if options.whirl and (idle := [name for name in ("changes", "folder") if getattr(options, name) is not None]):
        raise UsageError(f"--{idle[0]}: found with --whirl, wanted without: a whirl is its own change, and is not kept")
    options.who, options.changes = (list(dict.fromkeys(names)) for names in (options.who, options.changes or ASKED))
    ranges.require(vars(options), {"flights": (1, 10**5), "noise": (0.01, 10.0)}, "--")
    folder = options.folder or Path("runs/adapt") / options.model.stem
    output_paths.require_folder("--folder", folder)

    from spike_ctrl.policy import checkpoint

    data = checkpoint.read(options.model)
    checkpoint.about(data, str(options.model))  # no checkpoint is refused before torch is imported

    from spike_ctrl.certification import monte_carlo
    from spike_ctrl.flight.flight_settings import for_adaptation
    from spike_ctrl.learn.training_process import training_process
    from spike_ctrl_adaptation import adapted_flight
    from spike_ctrl_adaptation.fine_tuning import require_tunable

    who, settings = monte_carlo.competitors(options.model)
    if "adapted" in options.who:
        require_tunable(checkpoint.loads(data), who.airframe)
    for name in {*options.who} - {*WHO}:  # a class that cannot fly is told at once
        adapted_flight.make_guide(name, who.airframe, settings)
    if options.whirl:
        return _fly_in_a_whirl(options, who, for_adaptation(settings), data)
    folder.mkdir(parents=True, exist_ok=True)
    with json_lines.alone(folder / FLIGHTS) as file, training_process():
        flown, whole = json_lines.read(folder / FLIGHTS, lambda line: (line.pop("about"), line["flying"], line), "flight")
        base = {"model": checkpoint.about(data).sha256, "noise": options.noise, "error": "less the estimator's"}
        about = {name: base if name in WHO else base | {"code": _sha256(name)} for name in options.who}
        known = {
            (line["change"], line["seed"], flying): adapted_flight.ChangedFlight(**line)
            for its, flying, line in flown
            if its == about.get(flying)
        }
        wanted = [(change, seed) for seed in range(options.flights) for change in options.changes]
        missing = [key for key in wanted if any((*key, name) not in known for name in options.who)]
        begin = time.monotonic()
        file.truncate(whole)
        for number, key in enumerate(missing, 1):
            who_flies = [name for name in options.who if (*key, name) not in known]
            for found in adapted_flight.fly_change(*key, options.noise, who, for_adaptation(settings), data, who_flies):
                known[(*key, found.flying)] = found
                file.write(json.dumps(found._asdict() | {"about": about[found.flying]}) + "\n")
            file.flush()
            left = (len(missing) - number) * (time.monotonic() - begin) / number
            show_progress(f"{len(wanted) - len(missing) + number}/{len(wanted)} changes flown, {time_left(left)} left")
    end_progress()
    return _tell(
        [known[change, seed, name] for change in options.changes for name in options.who for seed in range(options.flights)]
    )


def _fly_in_a_whirl(options: argparse.Namespace, who: Any, settings: Any, data: bytes) -> int:
    """A table of flights in a force that depends on the place. Exit code 1: a flight lost command."""
    from spike_ctrl.learn.training_process import training_process
    from spike_ctrl_adaptation import whirl_flight

    spans = [f"{begin:.0f} s" for begin in range(0, int(whirl_flight.LASTS), int(whirl_flight.SPAN))]
    lines, lost = [["who flies", "seed", "before", *spans, "kept", "back", "lost"]], False
    with training_process():
        for flying in (*(["learning"] if "adapted" in options.who else []), *options.who):
            for seed in range(options.flights):
                show_progress(f"{flying}, flight {seed + 1}/{options.flights}")
                one = whirl_flight.fly_whirl(flying, seed, options.noise, who, settings, data)
                off = (f"{distance:.3f}" for distance in one.off)
                counts = (str(one.kept), str(one.rolled_back), one.lost or "-")
                lines.append([flying, str(seed), f"{one.before:.3f}", *off, *counts])
                lost = lost or bool(one.lost)
    end_progress()
    print(text_table(lines, named=1))
    print(f"in m: mean distance from the set-point before the whirl, and in the {whirl_flight.SPAN:g} s from then on")
    return int(lost)


def _tell(flown: Sequence[ChangedFlight]) -> int:
    """The table: medians over the flights of a row."""
    lines = [["change", "who flies", "flights", "before", "worst", "after", "80 %", "of all", "fell, s", "within 10 s"]]
    lines[0] += ["5 s", "kept", "back", "worse", "lost", "exits", "hits"]
    bad = 0
    for change, flying in dict.fromkeys((one.change, one.flying) for one in flown):
        rows = [one for one in flown if (one.change, one.flying) == (change, flying)]
        before, worst, after, fell = (
            statistics.median_high(getattr(one, name) for one in rows) for name in ("before", "worst", "after", "fell")
        )
        down, all_down = sum(one.down for one in rows), sum(one.all_down for one in rows)
        soon, sooner = (sum(one.fell <= limit for one in rows) for limit in (10.0, 5.0))
        kept, back, worse = (sum(getattr(one, name) for one in rows) for name in ("kept", "rolled_back", "worse"))
        lost, exits, hits = (sum(found) for found in zip(*map(_broken, rows), strict=True))
        bad += worse + exits + hits
        distances = (f"{distance:.3f}" for distance in (before, worst, after))
        counts = map(str, (soon, sooner, kept, back, worse, lost, exits, hits))
        lines.append(
            [change, flying.rpartition(":")[2], str(len(rows)), *distances, str(down), str(all_down), f"{fell:.1f}", *counts]
        )
    print(text_table(lines, named=2))
    print("errors in m, medians: before the change, the largest, and 8 to 10 s after it; less the estimator's own error")
    print("80 %: flights whose added error has fallen by 80 % then; of all: whose total error has")
    print("fell: time until the added error has fallen by 80 % for good")
    return 1 if bad else 0


def _broken(one: ChangedFlight) -> tuple[bool, bool, bool]:
    return bool(one.lost), one.left > 0.0, one.hit > 1.0


def _sha256(name: str) -> str:
    """Of the file of that class, so that what was measured of it is not taken for what it has become."""
    return hashlib.sha256(Path(inspect.getfile(named_object.find(name, "--who"))).read_bytes()).hexdigest()
