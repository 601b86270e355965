"""From bags to an airframe: fits it, prints it with its intervals, and writes it with a recipe to train for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from spike_ctrl import airframe as airframes
from spike_ctrl.airframe import Airframe
from spike_ctrl.evaluation.benchmark import randomised
from spike_ctrl.identify.fit import Identification, ParameterEstimate, fit
from spike_ctrl.identify.flight_windows import TOPICS, segments, windows
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.recordings.bag_origin import require_separate_bags
from spike_ctrl.recordings.reader import read
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl.sim.randomisation import Randomisation

BASE = {"motors": "robust", "rates": "rates"}  # recipe to start from, by action layout
MAX_WINDOWS = 400
LAGS, MAX_WARM_UP = 8, 120  # warm-up of the rotors: this many times the slower lag, and steps at most
RATE_LOOP_WARM_UP = 80  # steps
STEPS = {"motors": 25, "rates": 40}  # compared in each window: without a rate loop the attitude diverges sooner
MIN_SHARE, KEPT_SHARE = 0.05, 0.2  # randomisation: at least, and for a parameter that kept its prior

GROUPS = {
    "thrust": ("hover_thrust", "hover_thrust_slope"),
    "inertia": ("inertia_x", "inertia_y", "inertia_z"),
    "torque": ("torque_per_thrust",),
    "lag": ("lag_up", "lag_down"),
}
"""The parameters that each factor of the randomisation varies."""


def identify(
    bags: Sequence[Path], prior: Airframe, name: str, show: Callable[[str], None] = lambda line: None
) -> Identification:  # fmt: skip
    """Identify the airframe that flew these bags.

    prior: the airframe to start from. name: of the airframe found. show: takes lines of progress. Raises BagError if a bag
    lacks what is needed, and IdentifyError.
    """
    require_separate_bags(bags)
    pieces = [piece for bag in bags for piece in segments(read(bag, TOPICS), prior)]
    lag = int(LAGS * RATE_HZ * max(prior.lag_up, prior.lag_down))
    warm = RATE_LOOP_WARM_UP if prior.action_layout == "rates" else min(MAX_WARM_UP, lag)
    found = windows(pieces, prior, warm, STEPS[prior.action_layout], MAX_WINDOWS)
    best = fit(prior, found, show)
    return dataclasses.replace(best, airframe=dataclasses.replace(best.airframe, name=name))


def table(found: Identification, prior: Airframe) -> str:
    """A table for the user: the parameters with their intervals, what was not identified, and the error of prediction."""
    lines = [f"{'parameter':<24}{'prior':>12}{'found':>12}{'95 % interval':>38}"]
    for e in found.estimates:
        interval = f"{e.value - e.half_width:.4g} to {e.value + e.half_width:.4g} {e.unit}"
        if not e.identified:
            interval = "not identifiable"
        lines.append(f"{e.name:<24}{e.prior:>12.4g}{e.value:>12.4g}{interval:>38}")
    craft = found.airframe
    lines.append(
        f"hover throttle {prior.hover:.3f} -> {craft.hover:.3f}, thrust/weight {prior.thrust_to_weight:.2f} -> "
        f"{craft.thrust_to_weight:.2f}"
    )
    lines.append(f"mass: a flight tells forces per mass only; {craft.mass:g} kg is the prior's: weigh the vehicle")
    for e in found.estimates:
        if not e.identified:
            width = "anything" if e.share > 1 else f"+-{100 * e.share:.0f} %"
            lines.append(f"{e.name}: the flight hardly depends on it (it could be {width}), so the prior's value is kept")
    seconds = found.steps / RATE_HZ
    (v0, w0), (v1, w1) = found.prior_error, found.error
    lines.append(
        f"predicting {seconds:g} s of the windows that were not fitted: velocity {100 * v0:.1f} -> {100 * v1:.1f} cm/s rms, "
        f"rates {w0:.3f} -> {w1:.3f} rad/s rms"
    )
    return "\n".join(lines)


def ranges(found: Identification) -> Randomisation:
    """The randomisation around an estimate: twice each interval, at least 5 %, and 20 % for a parameter that kept its prior.

    Force, moment, delay and noise are those of the randomised evaluation.
    """
    named = {e.name: e for e in found.estimates}

    def share(e: ParameterEstimate) -> float:
        return max(MIN_SHARE, min(KEPT_SHARE, 2 * e.share)) if e.identified else KEPT_SHARE

    spread = {group: round(float(max(share(named[n]) for n in names if n in named)), 3) for group, names in GROUPS.items()}
    return dataclasses.replace(randomised(found.airframe), mass=0.0, **spread)


def recipe(found: Identification, base: Recipe) -> Recipe:
    """A recipe that trains for this airframe on plants around it.

    It keeps delay and noise of `base`, and force and moment of 0 if `base` has none.
    """
    around, before = ranges(found), base.task.randomisation
    kept = {name: getattr(before, name) for name in ("delay", "noise")}
    if not before.force:
        kept |= {"force": 0.0, "moment": 0.0}
    task = dataclasses.replace(base.task, randomisation=dataclasses.replace(around, **kept))
    return dataclasses.replace(base, name=f"{base.name}_{found.airframe.name}", task=task)


def write(path: Path, found: Identification, bags: Sequence[Path], plan: Recipe) -> Path:
    """Write the airframe to `path`, and the recipe `plan` beside it. Gives the path of the recipe. Raises OSError."""
    about = [f"# Identified from {', '.join(str(bag) for bag in bags)}, {found.windows} windows of flight; 95 % intervals:"]
    for e in found.estimates:
        told = f"+-{e.half_width:.2g} {e.unit} (+-{100 * e.share:.1f} %)" if e.identified else "not identifiable, prior kept"
        about.append(f"#   {e.name:<24}{e.value:<12.5g}{told}")
    data = airframes.to_dict(found.airframe)
    airframes.from_dict(data, f"airframe {path}")
    path.write_text("\n".join(about) + "\n" + yaml.safe_dump(data, sort_keys=False))
    recipe = recipe_path(path)
    recipe.write_text(
        f"# Recipe {plan.name}: plants differ from the estimate by twice its intervals, at least {MIN_SHARE:.0%}; "
        f"by {KEPT_SHARE:.0%} where the prior was kept.\n" + yaml.safe_dump(recipes.to_dict(plan), sort_keys=False)
    )
    return recipe


def recipe_path(path: Path) -> Path:
    """The path of the recipe that belongs to the airframe's file `path`."""
    return path.with_name(f"{path.stem}_recipe.yaml")
