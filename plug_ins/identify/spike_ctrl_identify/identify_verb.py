"""Fit an airframe's parameters to recorded flight.

They come with 95 % intervals, and with ranges to train with: an airframe and a recipe are written.
From a flight: thrust per mass, motor lag, inertia per mass, yaw torque, drag, and the delay of a rate loop.
From flights by motor commands, such as imported ones, many at once, also: battery, dead time, drag and torque of the
velocity, and each flight's trim torque.
"""

import argparse
import shlex
from pathlib import Path

from spike_ctrl._files import output_paths, provenance
from spike_ctrl._files.errors import UsageError, refused
from spike_ctrl.cli._terminal import end_progress, progress_with_time_left, show_line
from spike_ctrl.recordings import segment
from spike_ctrl_identify import FIT_AHEAD, Show

GROUP = "recordings"
EXAMPLES = """
spike-ctrl identify bags/20260101-120000 --airframe sih_quadx -o mine.yaml
spike-ctrl identify bags/* --airframe crazyflie --hold-out flight7 -o mine.yaml       # imported flights
spike-ctrl identify bags/* --airframe crazyflie --ahead 0.5 -o forecast.yaml           # to predict, not to train
spike-ctrl train mine_recipe.yaml --airframe mine.yaml
"""


def add(parser: argparse.ArgumentParser) -> None:
    add_bags(parser)
    parser.add_argument("-o", "--output", type=Path, default=Path("airframe.yaml"), help="file (default: airframe.yaml)")
    parser.add_argument(
        "--hold-out",
        nargs="+",
        default=[],
        metavar="NAME",
        help="bags that only judge the result, of flights by motor commands",
    )
    add_ahead(parser)


def add_ahead(parser: argparse.ArgumentParser) -> None:
    """How far ahead a fit to flights by motor commands predicts, for `identify` and `fidelity`."""
    parser.add_argument(
        "--ahead",
        type=float,
        default=FIT_AHEAD,
        choices=(0.1, 0.2, 0.3, 0.5),
        help="with motor commands: s ahead that the fit predicts (default: 0.2); with 0.5 it predicts half a second "
        "better, but finds too much lag and angular drag and too narrow intervals",
    )


def add_bags(parser: argparse.ArgumentParser) -> None:
    """The arguments that `identify` and `retrain` share."""
    parser.add_argument("bags", nargs="+", metavar="BAG", type=Path, help="flights of one vehicle, or runs of sim_train")
    parser.add_argument(
        "--airframe",
        default="crazyflie",
        help="the airframe that it was flown as, a name or a path to a YAML file (default: crazyflie)",
    )
    parser.add_argument(
        "--recipe",
        help="recipe to train with, a name or a path (default: real for flights by motor commands, robust for simulated "
        "ones, rates for rates)",
    )


def run(options: argparse.Namespace) -> int:
    require_names(options)
    output_paths.require_file("--output", options.output)
    require_bags(options)
    from spike_ctrl_identify import identified_airframe as identification

    output_paths.require_file("--output", identification.recipe_path(options.output))
    found, plan = identified(options, options.output.stem)
    with refused(f"--output {options.output}: cannot be written"):
        recipe = identification.write(options.output, found, options.bags, plan, provenance.command())
    print(f"airframe: {options.output}\nrecipe: {recipe}")
    print(f"train with: {shlex.join(['spike-ctrl', 'train', str(recipe), '--airframe', str(options.output)])}")
    return 0


def require_names(options: argparse.Namespace) -> None:
    """Refuse a wrong recipe or airframe before anything slow is imported. Raises UsageError."""
    from spike_ctrl import airframe as airframes
    from spike_ctrl.learn import recipe as recipes

    prior = airframes.load(options.airframe)
    if options.recipe:
        recipes.find(options.recipe).require_fit(prior)


def require_bags(options: argparse.Namespace) -> None:
    """Refuse what is no bag before anything slow is imported. Raises UsageError."""
    for bag in options.bags:
        if not bag.exists():
            raise UsageError(f"{bag}: no such bag")
        if bag.is_dir() and not (segment.finished(bag) or segment.unfinished(bag) or (bag / "metadata.yaml").exists()):
            raise UsageError(f"{bag}: found no .mcap file, wanted a bag")


def identified(options: argparse.Namespace, name: str):
    """What the bags tell of an airframe, to be called `name`, and the recipe that trains for it; the table is printed."""
    from spike_ctrl import airframe as airframes
    from spike_ctrl.learn import recipe as recipes
    from spike_ctrl_identify import IdentifyError
    from spike_ctrl_identify import identified_airframe as identification

    prior = airframes.load(options.airframe)
    print(f"comparing the flight with simulations of {prior.name} ...", flush=True)
    try:
        hold_out, ahead = getattr(options, "hold_out", ()), getattr(options, "ahead", FIT_AHEAD)
        found = identification.identify(options.bags, prior, name, _progress(), hold_out, _note, ahead)
        end_progress()
    except IdentifyError as error:
        raise UsageError(f"{', '.join(map(str, options.bags))}: {error}") from None
    print(f"airframe {prior.name}: {found.windows} windows of {found.steps / 100:g} s are compared")
    print(identification.parameter_table(found, prior))
    base = recipes.find(options.recipe or identification.base_of(found))
    base.require_fit(prior)
    return found, identification.recipe(found, base)


def _progress() -> Show:
    """Progress whose time left counts from its first line: before that the bags are read, which no round repeats."""
    shown: list[Show] = []

    def show(line: str, share: float) -> None:
        if not shown:
            shown.append(progress_with_time_left(most=True))
        shown[0](line, share)

    return show


def _note(line: str) -> None:
    show_line(f"  {line}", aside=True)
