"""Fly courses of gates with a policy, and train one.

A race is three rounds, from rest before the first gate. It is completed where every gate is passed in its order and nothing
is touched. The table has a row for each course, or one for all that are drawn. `race train` trains a spiking policy by the
model gradient, as a recipe says, on drawn courses or on those that are named. The same command goes on with a training that
was stopped.
"""

import argparse
import os
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from spike_ctrl._files import output_paths, ranges, resources
from spike_ctrl._files.errors import UsageError, meant

GROUP = "fly"
FIGURES = """figures of the last segment: speed and speed asked for (m/s), gate planes crossed by a vehicle, how far off the
centres (m), share of crossings inside the opening, cost, share of vehicles that touched something (lost)"""
EXAMPLES = """
spike-ctrl race split_s racer_gates
spike-ctrl race racer_gates mine.safetensors --drawn 100 --seed 1
spike-ctrl race split_s my_course.yaml racer_gates --plot race.png --json race.json
spike-ctrl race racer_gates --drawn 100 --spread .2 --noise 1
spike-ctrl race hall racer_gates --rounds 1 --film race.gif
spike-ctrl race racer_gates --drawn 100 --airframe racer_battery
spike-ctrl race racer_gates --drawn 100 --cost                  # spikes and energy of a step, at speed and in a hover
spike-ctrl race split_s --bag bags/mine
spike-ctrl race draw --seed 11 -o course.yaml                   # a drawn course as a file
spike-ctrl race room course.yaml racer_gates --rounds 1         # what a hall must leave free
spike-ctrl race certify course.yaml racer_gates --rounds 1 --flights 500
spike-ctrl race train racer_gates -o mine.safetensors --seed 3
spike-ctrl race train my_recipe.yaml -o mine.safetensors
spike-ctrl race train split_s -o split_s.safetensors --from racer_gates --fast 14
"""
MODELS = Path(__file__).with_name("models")
HELD_OUT = 1_000_000  # added to the seed of drawn courses, which no training draws
RANGES = {
    "drawn": (0, 10000), "rounds": (1, 100), "seconds": (1.0, 1000.0), "spread": (0.0, 0.5), "noise": (0.0, 5.0),
    "late": (0, 4), "updates": (1, 10**6), "fast": (0.5, 30.0), "low": (0.8, 10.0), "flights": (1, 10**6),
    "workers": (1, 1024), "seed": (0, HELD_OUT - 1),
}  # fmt: skip

USED = {  # options of each kind of race command
    "": "drawn seed rounds seconds spread noise late cost airframe plot film json reference",
    "--bag": "bag",
    "train": "seed output updates fast origin airframe",
    "draw": "seed output low",
    "room": "seed rounds",
    "certify": "seed rounds flights folder json workers",
}


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "items", nargs="+", metavar="TRACK|MODEL",
        help="courses (names, .yaml files) and models (names, .safetensors files); `train`, a recipe, courses to train on; "
        "`draw`, `room` or `certify`, a course and a model",
    )  # fmt: skip
    parser.add_argument("--drawn", type=int, default=0, metavar="N", help="also fly N courses that are drawn (default: 0)")
    parser.add_argument("--seed", type=int, default=0, help="of drawn courses and starts; of a training (default: 0)")
    parser.add_argument("--rounds", type=int, default=3, help="of a race (default: 3)")
    parser.add_argument("--seconds", type=float, default=120.0, help="time limit of a race, s (default: 120)")
    parser.add_argument(
        "--spread", type=float, default=0.0, metavar="X",
        help="mass, inertia, thrust and lag of the true vehicles: factors 1 - X to 1 + X (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--noise", type=float, default=0.0, metavar="X",
        help="the policy sees an estimate that errs like PX4's in its own simulation, X times as much (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--late", type=int, default=0, metavar="N", help="commands take effect 0 to N steps of 10 ms later (default: 0)"
    )
    parser.add_argument(
        "--cost", action="store_true",
        help="also spikes, operations and energy of a control step, by the speed, and beside them those of a hover",
    )  # fmt: skip
    parser.add_argument(
        "--airframe",
        help="a name among config/airframes or a path (default: the policy's; of a training the recipe's, or racer)",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="the first four courses from above, and the speed: a PNG, PDF or SVG"
    )
    parser.add_argument(
        "--film", type=Path, metavar="FILE", help="a film of the first race, as GIF (needs the plug-in view)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures of every race")
    parser.add_argument(
        "--bag", type=Path, metavar="BAG", help="judge a recorded flight along the course instead of flying it with a model"
    )
    parser.add_argument(
        "--reference", action="store_true",
        help="also the time-optimal flight of each named course, for a vehicle without lag (needs casadi; minutes)",
    )  # fmt: skip
    halls = parser.add_argument_group("halls, `race draw`, `race room`, `race certify`")
    halls.add_argument("--low", type=float, metavar="H", help="lowest centre of a gate of a drawn course, m (default: 1.3)")
    halls.add_argument("--flights", type=int, default=160, help="certified flights with a fault (default: 160)")
    halls.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: the processors)")
    halls.add_argument(
        "--folder", type=Path, help="where certified flights are kept (default: runs/race_certify/MODEL-COURSE-ROUNDS)"
    )
    training = parser.add_argument_group("training, `race train`")
    training.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where the trained policy or the drawn course is written"
    )
    training.add_argument("--updates", type=int, help="steps of the optimiser, without a recipe (default: 3000)")
    training.add_argument("--fast", type=float, metavar="V", help="speed asked for, m/s, without a recipe (default: 9)")
    training.add_argument("--from", dest="origin", metavar="MODEL", help="go on from this policy")


def run(options: argparse.Namespace) -> int:
    ranges.require(vars(options), RANGES, "--")
    _refuse_options_of_others(options)
    if options.items[0] == "train":
        return _train(options)
    if options.items[0] in ("draw", "room", "certify"):
        from spike_ctrl_racing import race_hall

        return int(getattr(race_hall, options.items[0])(options))
    return _judge(options) if options.bag else _race(options)


def _refuse_options_of_others(options: argparse.Namespace) -> None:
    """Raise UsageError for an option that was given and does nothing here."""
    kind = options.items[0] if options.items[0] in USED else "--bag" if options.bag else ""
    parser = argparse.ArgumentParser()
    add(parser)
    for name, default in vars(parser.parse_args(["-"])).items():
        if name not in ("items", *USED[kind].split()) and getattr(options, name) != default:
            flag = {"origin": "from"}.get(name, name)
            raise UsageError(f"--{flag}: found it with race {kind}".rstrip() + ", where it does nothing: leave it out")
    if options.reference and not _items(options.items)[0]:
        raise UsageError("--reference: found no named course, wanted one: drawn ones are flown without")


def shipped() -> list[str]:
    """The names of the racing models of this package."""
    return sorted(file.stem for file in MODELS.glob("*.safetensors"))


def find_model(name: str) -> Path:
    """The checkpoint of a name among `models`, or a path. Raises UsageError."""
    if name.endswith(".safetensors"):
        return Path(name)
    known = shipped()
    if name not in known:
        raise UsageError(f"MODEL: found '{name}', wanted a .safetensors file or one of {', '.join(known) or 'none: none'}")
    return MODELS / f"{name}.safetensors"


def require_ending(what: str, path: Path, *endings: str) -> None:
    """Raise UsageError for a file whose name does not end so: no command would find it again by its path."""
    if path.suffix not in endings:
        raise UsageError(f"{what}: found {path}, wanted a name that ends in {' or '.join(endings)}")


def _items(items: list[str], first: str = "model") -> tuple[list[str], list[str]]:
    """Courses and models among the words of a command line. Raises UsageError for a word that is neither.

    first: what its message offers beside courses: a model, or for the first word of a training a recipe; empty: nothing.
    """
    from spike_ctrl_racing.race_recipe import RECIPES
    from spike_ctrl_racing.track import COURSES

    courses, models = sorted(file.stem for file in COURSES.glob("*.yaml")), shipped()
    found: tuple[list[str], list[str]] = ([], [])
    for place, item in enumerate(items):
        if item in courses or item.endswith((".yaml", ".yml")):
            found[0].append(item)
        elif item in models or item.endswith(".safetensors"):
            found[1].append(item)
        else:
            kind = "" if first == "recipe" and place else first
            wanted = f"a course ({', '.join(courses)}, a .yaml file)"
            if kind == "recipe":
                wanted += f" or a recipe ({', '.join(sorted(file.stem for file in RECIPES.glob('*.yaml')))}, a .yaml file)"
            elif kind:
                wanted += f" or a model ({', '.join(models)}, a .safetensors file)"
            if kind == "model" and (resources.folder("models") / f"{item}.safetensors").is_file():
                raise UsageError(f"'{item}' is a model that sees no gates: wanted {wanted}")
            known = courses + (models if kind == "model" else [])
            raise UsageError(f"'{item}' is no course{kind and f' and no {kind}'}: wanted {wanted}{meant(item, known)}")
    return found


def _race(options: argparse.Namespace) -> int:
    from spike_ctrl import airframe as airframes
    from spike_ctrl.cli._terminal import end_progress, show_progress
    from spike_ctrl.policy import checkpoint
    from spike_ctrl_racing import race_chart, race_cost, race_film, race_flights, track, track_sampler

    names, models = _items(options.items)
    if not models:
        raise UsageError(f"MODEL: found none, wanted {', '.join(shipped())} or a .safetensors file")
    if not names and not options.drawn:
        raise UsageError("TRACK: found none, wanted a course or --drawn N")
    for what, path in (("--plot", options.plot), ("--json", options.json)):
        if path is not None:
            output_paths.require_file(what, path)
    if options.plot:
        race_chart.require(options.plot)
        if len({Path(name).stem for name in models}) < len(models):
            raise UsageError(
                f"--plot: found {', '.join(models)}, wanted models of different names: pictures are named after them"
            )
    if options.film:
        race_film.require(options.film)
    courses = [track.load(name) for name in names]
    courses += [track_sampler.draw(HELD_OUT + options.seed, number) for number in range(options.drawn)]
    rows = [_reference(course, options) for course in courses[: len(names)] if options.reference]
    figures: list[dict[str, Any]] = []
    costs: list[race_cost.StepCost] = []
    for name in models:
        loaded = checkpoint.load(find_model(name))
        contract = loaded.manifest.contract
        race_flights.require(loaded.policy, contract.observation, name)
        craft = airframes.load(options.airframe) if options.airframe else loaded.airframe()
        checkpoint.require(contract, {"action": craft.action_layout}, name)
        count = race_cost.RaceCount(loaded.policy, Path(name).stem) if options.cost else None
        flown = race_flights.fly_race(
            loaded.policy, courses, craft, rounds=options.rounds, seed=options.seed, seconds=options.seconds,
            spread=options.spread, noise=options.noise, late=options.late,
            show=lambda share: show_progress(f"{share:.0%} of the races", aside=True), watch=count.watch if count else None,
        )  # fmt: skip
        if count:
            costs += [*count.costs(loaded.weights), race_cost.hover(craft)]
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
        told = {key: getattr(options, key) for key in ("spread", "noise", "late", "seed")}
        figures.append({"model": name, "airframe": craft.name} | told | {"races": [asdict(race) for race in races]})
        if options.drawn:
            figures[-1]["drawn"] = race_flights.summary(races[len(names) :])._asdict()
        if count:
            figures[-1]["cost"] = [one._asdict() for one in count.costs(loaded.weights)]
        if options.plot:
            path = options.plot
            if len(models) > 1:
                path = path.with_stem(f"{path.stem}_{Path(name).stem}")
            rounds = "1 round" if options.rounds == 1 else f"{options.rounds} rounds"
            race_chart.save(path, courses, flown, f"{Path(name).stem}, {rounds}")
        if options.film and name == models[0]:
            race_film.save(options.film, courses[0], *flown[0], Path(name).stem)
    end_progress()
    head = ["model", "course", "completed", "gates", "time, s", "mean, m/s", "top, m/s", "off centre, m"]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        print("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())
    if costs:
        print(race_cost.table(list(dict.fromkeys(costs))))
    if options.json:
        output_paths.write_json("--json", options.json, figures)
    return 0


def _reference(course: Any, options: argparse.Namespace) -> list[str]:
    from spike_ctrl import airframe as airframes
    from spike_ctrl_racing import time_optimal

    found = time_optimal.solve(course, airframes.load(options.airframe or "racer"), options.rounds)
    gates, mean = options.rounds * len(course.gates), found.way / found.time
    row = [f"{gates} of {gates}", f"{found.time:.2f}", f"{mean:.2f}", f"{found.speed.max():.1f}", "-"]
    return ["time-optimal", course.name, "-", *row]


def _judge(options: argparse.Namespace) -> int:
    """What a recorded flight made of a course: gates, frames, time, speed."""
    from spike_ctrl.recordings.flight_log import read_log
    from spike_ctrl_racing import flown_course, track

    names, models = _items(options.items)
    if len(names) != 1 or models:
        raise UsageError(f"--bag: found {' '.join(options.items)}, wanted the one course that was flown")
    log = read_log(options.bag)
    if log is None:
        raise UsageError(f"--bag {options.bag}: found no flight beside an autopilot, wanted one")
    print(found := flown_course.judge(log, track.load(names[0])))
    return 0 if found.complete else 1


def _row(race: Any) -> list[str]:
    done = "yes" if race.complete else f"no: {race.outcome}"
    gates = f"{race.passed} of {race.gates}"
    return [done, gates, f"{race.time:.2f}", f"{race.speed:.2f}", f"{race.fastest:.1f}", f"{race.off_centre:.2f}"]


def _train(options: argparse.Namespace) -> int:
    import torch

    from spike_ctrl._files.time_left import time_left
    from spike_ctrl.cli._terminal import end_progress, show_progress, stop_signals
    from spike_ctrl_racing.staged_training import StagedTraining

    if options.output is None:
        raise UsageError("-o: found none, wanted the file of the trained policy")
    require_ending("--output", options.output, ".safetensors")
    output_paths.require_file("--output", options.output, replaced=True)
    torch.set_num_threads(1)
    recipe, origin = _recipe(options)
    training = StagedTraining(recipe, options.seed, options.output, origin)
    if not training.kept.exists():  # else it goes on
        output_paths.require_no_original("--output", options.output)
    print(FIGURES)
    begun, received, updates = time.monotonic(), stop_signals(), training.updates
    first: list[int] = []

    def show(done: int, figures: dict[str, float]) -> None:
        first.append(done - 1) if not first else None
        left = (time.monotonic() - begun) / (done - first[0]) * (updates - done)
        told = ", ".join(f"{name} {value:.2f}" for name, value in figures.items())
        show_progress(f"{time_left(left)} left, {told}")

    complete = training.run(show, lambda: bool(received))
    end_progress()
    if not complete:
        print(f"stopped; the same command goes on, from {training.kept}")
        return 130
    again = " since it went on" if first and first[0] else ""
    print(f"{options.output}: trained in {time.monotonic() - begun:.0f} s{again}")
    print(f"how well it flies: spike-ctrl race {options.output} {' '.join(recipe.courses) or '--drawn 100'}")
    return 0


def _recipe(options: argparse.Namespace) -> tuple[Any, Any]:
    """The recipe of a training's words, and the network that it begins with; None: a random one. Raises UsageError."""
    from spike_ctrl import airframe as airframes
    from spike_ctrl.policy import checkpoint
    from spike_ctrl_racing import race_recipe, race_training

    words = options.items[1:]
    given = {name: getattr(options, name) for name in ("updates", "fast") if getattr(options, name) is not None}
    first = "recipe"
    if words and race_recipe.is_recipe(words[0]):
        if given:
            name = next(iter(given))
            raise UsageError(f"--{name}: found it beside the recipe {words[0]}, wanted {name} in its stages, or no recipe")
        recipe, words, first = race_recipe.load(words[0]), words[1:], ""
    else:
        stage = replace(race_training.RaceTraining(), **given)
        recipe = race_recipe.RaceRecipe("race train", stages=(stage,))
    names, models = _items(words, first)
    if models:
        raise UsageError(f"'{models[0]}': found a model, wanted courses after `train`; --from goes on from a model")
    changes: dict[str, Any] = {"courses": tuple(names)} if names else {}
    changes |= {"airframe": options.airframe} if options.airframe else {}
    recipe = replace(recipe, **changes)
    if not options.origin:
        return recipe, None
    expect = {"airframe_hash": airframes.load(recipe.airframe).hash}
    loaded = checkpoint.load(find_model(options.origin), expect=expect)
    origin = race_training.network_of(loaded.weights, options.seed, loaded.manifest.contract.neuron)
    if recipe.recurrent and not origin.neuron.recurrent:
        raise UsageError(f"--from {options.origin}: found a plain network, wanted a recurrent one, as {recipe.name} says")
    return recipe, origin
