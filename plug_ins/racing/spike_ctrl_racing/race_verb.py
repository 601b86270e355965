"""Fly courses of gates with a policy, and train one.

A race is three rounds, from rest before the first gate. It is completed where every gate is passed in its order and nothing
is touched. The table has a row for each course, or one for all that are drawn. `race train` trains a spiking policy on drawn
courses, or on those that are named, by the model gradient.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spike_ctrl._files import output_paths, provenance, ranges
from spike_ctrl._files.errors import UsageError

GROUP = "fly"
EXAMPLES = """
spike-ctrl race split_s racer_gates
spike-ctrl race racer_gates mine.safetensors --drawn 100 --seed 1
spike-ctrl race split_s my_course.yaml racer_gates --plot race.png --json race.json
spike-ctrl race racer_gates --drawn 100 --spread .2
spike-ctrl race train -o mine.safetensors --seed 3
spike-ctrl race train split_s -o split_s.safetensors --from racer_gates --fast 14
"""
MODELS = Path(__file__).with_name("models")
RANGES = {
    "drawn": (0, 10000), "rounds": (1, 100), "seconds": (1.0, 1000.0), "spread": (0.0, 0.5), "updates": (1, 10**6),
    "fast": (0.5, 30.0), "seed": (0, 2**31 - 1),
}  # fmt: skip
HELD_OUT = 1_000_000  # added to the seed of drawn courses, which no training draws


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "items", nargs="+", metavar="TRACK|MODEL",
        help="courses (names, .yaml files) and models (names, .safetensors files); `train` and courses to train on",
    )  # fmt: skip
    parser.add_argument("--drawn", type=int, default=0, metavar="N", help="also fly N courses that are drawn (default: 0)")
    parser.add_argument("--seed", type=int, default=0, help="of drawn courses and starts; of a training (default: 0)")
    parser.add_argument("--rounds", type=int, default=3, help="of a race (default: 3)")
    parser.add_argument("--seconds", type=float, default=120.0, help="after which a race is late (default: 120)")
    parser.add_argument(
        "--spread", type=float, default=0.0, metavar="X",
        help="mass, inertia, thrust and lag of the true vehicles: factors 1 - X to 1 + X (default: 0)",
    )  # fmt: skip
    parser.add_argument("--plot", type=Path, metavar="FILE", help="the first four courses from above and the speed, as PNG")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures of every race")
    training = parser.add_argument_group("training, `race train`")
    training.add_argument("-o", "--output", type=Path, metavar="FILE", help="where the trained policy is written")
    training.add_argument("--airframe", default="racer", help="a name among config/airframes or a path (default: racer)")
    training.add_argument("--updates", type=int, default=3000, help="steps of the optimiser (default: 3000)")
    training.add_argument("--fast", type=float, default=9.0, metavar="V", help="speed that is asked for, m/s (default: 9)")
    training.add_argument("--from", dest="origin", metavar="MODEL", help="go on from this policy")


def run(options: argparse.Namespace) -> int:
    ranges.require(vars(options), RANGES, "--")
    if options.items[0] == "train":
        return _train(options)
    return _race(options)


def find_model(name: str) -> Path:
    """The checkpoint of a name among `models`, or a path. Raises UsageError."""
    if name.endswith(".safetensors"):
        return Path(name)
    known = sorted(file.stem for file in MODELS.glob("*.safetensors"))
    if name not in known:
        raise UsageError(f"MODEL: found '{name}', wanted a .safetensors file or one of {', '.join(known) or 'none: none'}")
    return MODELS / f"{name}.safetensors"


def _items(items: list[str]) -> tuple[list[str], list[str]]:
    """Courses and models among the words of a command line. Raises UsageError for a word that is neither."""
    from spike_ctrl_racing.track import COURSES

    courses, models = {file.stem for file in COURSES.glob("*.yaml")}, {file.stem for file in MODELS.glob("*.safetensors")}
    found: tuple[list[str], list[str]] = ([], [])
    for item in items:
        if item in courses or item.endswith((".yaml", ".yml")):
            found[0].append(item)
        elif item in models or item.endswith(".safetensors"):
            found[1].append(item)
        else:
            known = f"a course ({', '.join(sorted(courses))}, a .yaml file) or a model"
            raise UsageError(f"'{item}': found neither, wanted {known} ({', '.join(sorted(models))}, a .safetensors file)")
    return found


def _race(options: argparse.Namespace) -> int:
    from spike_ctrl import airframe as airframes
    from spike_ctrl.cli._terminal import end_progress, show_progress
    from spike_ctrl.policy import checkpoint
    from spike_ctrl_racing import race_chart, race_flights, track, track_sampler

    names, models = _items(options.items)
    if not models:
        raise UsageError("MODEL: found none, wanted a model")
    if not names and not options.drawn:
        raise UsageError("TRACK: found none, wanted a course or --drawn N")
    for what, path in (("--plot", options.plot), ("--json", options.json)):
        if path is not None:
            output_paths.require_file(what, path)
    if options.plot:
        race_chart.require()
    courses = [track.load(name) for name in names]
    courses += [track_sampler.draw(HELD_OUT + options.seed, number) for number in range(options.drawn)]
    rows: list[list[str]] = []
    figures: list[dict[str, Any]] = []
    for name in models:
        loaded = checkpoint.load(find_model(name))
        contract = loaded.manifest.contract
        race_flights.require(loaded.policy, contract.observation, name)
        craft = airframes.load(contract.airframe)
        checkpoint.require(contract, {"airframe_hash": craft.hash, "action": craft.action_layout}, name)
        flown = race_flights.fly(
            loaded.policy, courses, craft, rounds=options.rounds, seed=options.seed, seconds=options.seconds,
            spread=options.spread, show=lambda share: show_progress(f"{share:.0%} of the races", aside=True),
        )  # fmt: skip
        races = [race for race, _ in flown]
        named = races[: len(names)]
        rows += [[Path(name).stem, race.track, *_row(race)] for race in named]
        if options.drawn:
            s = race_flights.summary(races[len(names) :])
            speed = f"{s.speed:.2f}" if s.completed else "-"
            rows.append(
                [Path(name).stem, f"{s.races} drawn", f"{s.completed:.2f}", f"{s.passed:.0%}", "-", speed,
                 f"{s.fastest:.1f}", f"{s.off_centre:.2f}"]
            )  # fmt: skip
        figures.append({"model": name, "spread": options.spread, "seed": options.seed, "races": [asdict(r) for r in races]})
        if options.drawn:
            figures[-1]["drawn"] = race_flights.summary(races[len(names) :])._asdict()
        if options.plot:
            path = options.plot
            if len(models) > 1:
                path = path.with_stem(f"{path.stem}_{Path(name).stem}")
            race_chart.save(path, courses, flown, f"{Path(name).stem}, {options.rounds} rounds")
    end_progress()
    head = ["model", "course", "completed", "gates", "time, s", "mean, m/s", "top, m/s", "off centre, m"]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        print("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())
    if options.json:
        output_paths.write_json("--json", options.json, figures)
    return 0


def _row(race: Any) -> list[str]:
    done = "yes" if race.complete else f"no: {race.outcome}"
    gates = f"{race.passed} of {race.gates}"
    return [done, gates, f"{race.time:.2f}", f"{race.speed:.2f}", f"{race.fastest:.1f}", f"{race.off_centre:.2f}"]


def _train(options: argparse.Namespace) -> int:
    import torch

    from spike_ctrl import airframe as airframes
    from spike_ctrl._files.time_left import time_left
    from spike_ctrl.cli._terminal import end_progress, show_progress, stop_signals
    from spike_ctrl.policy import checkpoint
    from spike_ctrl_racing import race_training, track
    from spike_ctrl_racing.track_sampler import TrackRanges

    if options.output is None:
        raise UsageError("-o: found none, wanted the file of the trained policy")
    output_paths.require_file("--output", options.output)
    names, models = _items(options.items[1:])
    if models:
        raise UsageError(f"'{models[0]}': found a model, wanted courses after `train`; --from goes on from a model")
    craft = airframes.load(options.airframe)
    courses = tuple(track.load(name) for name in names)
    torch.set_num_threads(1)
    settings = race_training.RaceTraining(updates=options.updates, fast=options.fast)
    origin = None
    if options.origin:
        loaded = checkpoint.load(find_model(options.origin), expect={"airframe_hash": craft.hash})
        origin = race_training.network_of(loaded.weights, options.seed)
    begun, received = time.monotonic(), stop_signals()

    def show(update: int, figures: dict[str, float]) -> None:
        left = (time.monotonic() - begun) / (update + 1) * (options.updates - update - 1)
        told = ", ".join(f"{name} {value:.2f}" for name, value in figures.items())
        show_progress(f"{time_left(left)} left, {told}")

    trained = race_training.train(
        settings, craft, options.seed, courses or TrackRanges(), start=origin, show=show, stopped=lambda: bool(received)
    )
    end_progress()
    if received:
        print("stopped; nothing was written")
        return 130
    race_training.save(options.output, trained, craft, options.seed, provenance.command(), provenance.commit())
    print(f"{options.output}: trained in {time.monotonic() - begun:.0f} s")
    return 0
