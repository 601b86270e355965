"""From bags to an airframe: fits it, prints it with its intervals, and writes it with a recipe to train for it."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from spike_ctrl import airframe as airframes
from spike_ctrl._files import atomic_file
from spike_ctrl._files.text_table import text_table
from spike_ctrl.airframe import MAX_DEAD_TIME, Airframe
from spike_ctrl.evaluation.benchmark import randomised
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.recordings.bag_origin import require_separate_origins
from spike_ctrl.recordings.reader import read
from spike_ctrl.recordings.recording import Recording
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl_identify import FIT_AHEAD, IdentifyError, Show, flight_choice, hide, observed_flight
from spike_ctrl_identify.fit import Identification, ParameterEstimate, fit
from spike_ctrl_identify.flight_fit import fit_flights
from spike_ctrl_identify.flight_windows import TOPICS, segments, windows

BASE = {"motors": "robust", "rates": "rates"}  # recipe to start from, by action layout
OF_FLIGHTS = "real"  # recipe to start from, of flights by motor commands
CRAZYFLIE_FORCE, CRAZYFLIE_MOMENT = 0.03, 1e-4  # N, N m: the randomised evaluation's; recipes have values for a Crazyflie
MAX_WINDOWS = 400
LAGS, MAX_WARM_UP = 8, 120  # warm-up of the rotors: this many times the slower lag, and steps at most
RATE_LOOP_WARM_UP = 80  # steps
STEPS = {"motors": 25, "rates": 40}  # compared in each window: without a rate loop the attitude diverges sooner
MIN_SHARE, KEPT_SHARE = 0.05, 0.2  # randomisation: at least, and for a parameter that kept its prior

NO_VOLTAGE = "battery: not fitted, for a flight lacks its voltage; thrust/weight holds at the mean voltage of the flights"

GROUPS = {
    "thrust": ("hover_thrust", "hover_thrust_slope"),
    "inertia": ("inertia_x", "inertia_y", "inertia_z"),
    "torque": ("torque_per_thrust",),
    "lag": ("lag_up", "lag_down", "lag"),
}
"""The parameters that each factor of the randomisation varies."""
AIR = {
    "body_drag": ("body_drag_x", "body_drag_y", "body_drag_z"),
    "velocity_moment": ("velocity_moment_x", "velocity_moment_y"),
}
"""The same for those of the air, which most airframes lack."""


def identify(
    bags: Sequence[Path],
    prior: Airframe,
    name: str,
    show: Show = hide,
    hold_out: Sequence[str] = (),
    note: Callable[[str], None] = lambda line: None,
    ahead: float = FIT_AHEAD,
) -> Identification:
    """Identify the airframe that flew these bags.

    prior: the airframe to start from. name: of the airframe found. hold_out: names of bags that only judge the result, for
    flights by motor commands. note: takes a line for each thing that a bag lacks. ahead: s, as of `fit_flights`, for the
    same flights. Raises BagError if a bag lacks too much, and IdentifyError.
    """
    if unknown := set(hold_out) - {bag.name for bag in bags}:
        raise IdentifyError(f"hold-out {', '.join(sorted(unknown))}: found no such bag, wanted names of the bags given")
    if len(set(hold_out)) >= len(bags):
        raise IdentifyError("hold-out: found all flights held out, wanted at least one to fit")
    recordings = [read(bag, (*TOPICS, *observed_flight.TOPICS)) for bag in bags]
    require_separate_origins([(recording.path, recording.origin) for recording in recordings])
    by_motors = [observed_flight.flown_by_motors(recording) for recording in recordings]
    if any(by_motors) and not all(by_motors):
        raise IdentifyError(
            "found flights by motor commands with other bags, wanted one kind: each kind identifies other parameters"
        )
    if all(by_motors):
        best = _of_flights(recordings, prior, show, hold_out, note, ahead)
    elif hold_out:
        raise IdentifyError(
            "hold-out: found bags without motor commands, wanted no hold-out: a fourth of their windows is held out"
        )
    elif ahead != FIT_AHEAD:
        raise IdentifyError(
            "ahead: found bags without motor commands, wanted the default: their fit has windows of one length"
        )
    else:
        best = _of_windows(recordings, prior, show)
    return dataclasses.replace(best, airframe=dataclasses.replace(best.airframe, name=name))


def _of_flights(
    recordings: Sequence[Recording],
    prior: Airframe,
    show: Show,
    hold_out: Sequence[str],
    note: Callable[[str], None],
    ahead: float,
) -> Identification:
    flights = []
    for recording in recordings:
        flight = observed_flight.observed(recording, prior)
        if flight_choice.usable(flight, note):
            flight_choice.require_physics(recording.path, flight, recording.origin)
            flights.append(flight)
    if not flights:
        raise IdentifyError(f"found no flight that can be used, wanted one; the last: {flight_choice.unfit(flight)}")
    kept, judged = ([f for f in flights if (f.name in hold_out) is apart] for apart in (False, True))
    if not kept:
        raise IdentifyError("hold-out: found all flights held out, wanted at least one to fit")
    found = fit_flights(prior, kept, show, judged, ahead)
    flight_choice.require_use(found.airframe, judged or kept)
    return found


def _of_windows(recordings: Sequence[Recording], prior: Airframe, show: Show) -> Identification:
    pieces = [piece for recording in recordings for piece in segments(recording, prior)]
    lag = int(LAGS * RATE_HZ * max(prior.lag_up, prior.lag_down))
    warm = RATE_LOOP_WARM_UP if prior.action_layout == "rates" else min(MAX_WARM_UP, lag)
    cut = windows(pieces, prior, warm, STEPS[prior.action_layout], MAX_WINDOWS)
    found = fit(prior, cut, show)
    flight_choice.require_use_of_windows(found, cut)
    return found


def parameter_table(found: Identification, prior: Airframe) -> str:
    """A table for the user: the parameters with their intervals, what was not identified, and the error of prediction."""
    rows = [["parameter", "prior", "found", "95 % interval"]]
    for e in found.estimates:
        interval = f"{e.value - e.half_width:.4g} to {e.value + e.half_width:.4g} {e.unit}"
        if not e.identified:
            interval = "not identifiable"
        rows.append([e.name, f"{e.prior:.4g}", f"{e.value:.4g}", interval])
    craft = found.airframe
    lines = [
        text_table(rows),
        f"hover throttle {prior.hover:.3f} -> {craft.hover:.3f}, thrust/weight {prior.thrust_to_weight:.2f} -> "
        f"{craft.thrust_to_weight:.2f}",
    ]
    lines.append(f"mass: a flight tells forces per mass only; {craft.mass:g} kg is the prior's: weigh the vehicle")
    for e in found.estimates:
        if not e.identified:
            width = "anything" if e.share > 1 else f"+-{100 * e.share:.0f} %"
            kept = "so the prior's value is kept" if e.value == e.prior else "and what was found is no more than a guess"
            lines.append(f"{e.name}: the flight hardly depends on it (it could be {width}), {kept}")
    if found.trims and craft.battery is None:
        lines.append(NO_VOLTAGE)
    (v0, w0), (v1, w1) = found.prior_error, found.error
    lines.append(
        f"predicting {found.judged}: velocity {100 * v0:.1f} -> {100 * v1:.1f} cm/s rms, "
        f"rates {w0:.3f} -> {w1:.3f} rad/s rms"
    )
    if found.trims:
        heads = ["trim torque, 1e-6 N m", "x", "y", "z"]
        lines.append(text_table([heads, *([name, *(f"{1e6 * t:.1f}" for t in trim)] for name, trim in found.trims)]))
    return "\n".join(lines)


def ranges(found: Identification) -> Randomisation:
    """The randomisation around an estimate: twice each interval, at least 5 %, and 20 % for a parameter that kept its prior.

    Force, delay and noise are those of the randomised evaluation; so is the moment, but for flights whose trims differ: then
    it is twice the deviation of these. A dead time leaves less for the delay. A battery starts at any charge.
    """
    named = {e.name: e for e in found.estimates}

    def share(e: ParameterEstimate) -> float:
        return max(MIN_SHARE, min(KEPT_SHARE, 2 * e.share)) if e.identified else KEPT_SHARE

    spread = {group: round(float(max(share(named[n]) for n in names if n in named)), 3) for group, names in GROUPS.items()}
    craft = found.airframe
    for group, names in AIR.items():
        if told := [named[name].half_width / max(abs(named[name].value), 1e-12) for name in names if name in named]:
            spread[group] = round(float(np.clip(2 * max(told), MIN_SHARE, KEPT_SHARE)), 3)
    if craft.battery:
        spread |= {"charge_low": 0.0, "charge_high": 1.0}
    if craft.dead_time:
        spread["delay"] = int((MAX_DEAD_TIME - craft.dead_time) * RATE_HZ)
    if len(found.trims) > 1:
        trims = np.array([trim for _, trim in found.trims])
        spread["moment"] = float(f"{2 * np.std(trims[:, :2], axis=0).max():.2g}")
        yaw = np.abs(
            trims[:, 2] - trims[:, 2].mean()
        ).max()  # which little authority opposes: the largest, not twice the usual
        spread["moment_z"] = float(f"{min(1.0, yaw / max(spread['moment'], 1e-12)):.2g}")
    return dataclasses.replace(randomised(found.airframe), mass=0.0, **spread)


def base_of(found: Identification) -> str:
    """The name of the recipe that what was found is trained upon where the user names none."""
    return OF_FLIGHTS if found.trims else BASE[found.airframe.action_layout]


def recipe(found: Identification, base: Recipe) -> Recipe:
    """A recipe that trains for this airframe on plants around it.

    It keeps delay and noise of `base`, and force and moment of 0 if `base` has none. For flights by motor commands it also
    keeps what such a recipe knows beside the plant: sensors, charges, force and moment at this vehicle's scale.
    """
    around, before = ranges(found), base.task.randomisation
    delay = min(before.delay, around.delay) if found.airframe.dead_time else before.delay
    kept = {"noise": before.noise, "delay": delay}
    if found.trims:
        kept |= _beside_the_plant(found, before, around)
    if not before.force:
        kept |= {"force": 0.0, "moment": 0.0}
    task = dataclasses.replace(base.task, randomisation=dataclasses.replace(around, **kept))
    return dataclasses.replace(base, name=f"{base.name}_{found.airframe.name}", task=task)


def _beside_the_plant(found: Identification, before: Randomisation, around: Randomisation) -> dict[str, Any]:
    craft, usual = found.airframe, randomised(found.airframe)
    kept = {name: getattr(before, name) for name in ("sensors", "moment_z")}
    kept["dead_time"] = max(0.0, min(before.dead_time, MAX_DEAD_TIME - craft.dead_time))
    kept["force"] = usual.force * (before.force / CRAZYFLIE_FORCE)
    kept["moment"] = max(around.moment, usual.moment * (before.moment / CRAZYFLIE_MOMENT))
    if craft.battery and before.charge_low < 1:
        kept |= {"charge_low": before.charge_low, "charge_high": before.charge_high}
    return kept


def write(path: Path, found: Identification, bags: Sequence[Path], plan: Recipe, command: str = "") -> Path:
    """Write the airframe to `path`, and the recipe `plan` beside it. Gives the path of the recipe. Raises OSError.

    command: the command line that made it, told in the head of the file.
    """
    about = [f"# Identified from {', '.join(bag.name for bag in bags)}; {found.windows} windows of flight; 95 % intervals:"]
    if command:
        about.insert(0, f"# Made by: {command}")
    for e in found.estimates:
        share = f" (+-{100 * e.half_width / abs(e.value):.1f} %)" if e.value else ""
        kept = "prior kept" if e.value == e.prior else "a guess"
        told = f"+-{e.half_width:.2g} {e.unit}{share}" if e.identified else f"not identifiable, {kept}"
        about.append(f"#   {e.name:<24}{e.value:<12.5g}{told}")
    about += [f"# {NO_VOLTAGE}"] if found.trims and found.airframe.battery is None else []
    about += [f"#   trim torque of {name}: {' '.join(f'{t:.3g}' for t in trim)} N m" for name, trim in found.trims]
    data = airframes.to_dict(found.airframe)
    airframes.from_dict(data, f"airframe {path}")
    atomic_file.write_text(path, "\n".join(about) + "\n" + yaml.safe_dump(data, sort_keys=False))
    recipe = recipe_path(path)
    head = (
        f"# Recipe {plan.name}: plants differ from the estimate by twice its intervals, at least {MIN_SHARE:.0%}; "
        f"by {KEPT_SHARE:.0%} where the prior was kept.\n"
    )
    atomic_file.write_text(recipe, head + yaml.safe_dump(recipes.to_dict(plan), sort_keys=False))
    return recipe


def recipe_path(path: Path) -> Path:
    """The path of the recipe that belongs to the airframe's file `path`."""
    return path.with_name(f"{path.stem}_recipe.yaml")
