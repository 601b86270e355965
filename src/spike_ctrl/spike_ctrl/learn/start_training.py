"""A training from its arguments to its policy: what `spike_ctrl.train` and the verb `spike-ctrl train` share."""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spike_ctrl import airframe as airframes
from spike_ctrl._files import provenance
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.evaluation.evaluation_result import Evaluation
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.recipe_blocks import require_run
from spike_ctrl.learn.run import Run
from spike_ctrl.learn.training_loop import study
from spike_ctrl.learn.training_loop import train as fly_and_learn
from spike_ctrl.learn.training_process import training_process
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.policy_protocol import Policy


class Trained(NamedTuple):
    """The policy that validated best in a training, and its frozen evaluation."""

    policy: Policy
    evaluation: Evaluation


def train(
    recipe: str | Path | Recipe = "default",
    airframe: str | Path | Airframe = "crazyflie",
    *,
    vehicles: int = 256,
    steps: int = 0,
    seed: int = 0,
    run: str | Path | None = None,
    device: str | None = None,
    progress: Callable[[str], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Trained:
    """Train a policy in this process and fly its frozen evaluation.

    recipe, airframe: a name among config/, the path of a YAML file, or an object. vehicles: that fly at once. steps: of all
    vehicles together, all schedules stretch with them; 0: those of the recipe. seed: of everything random. run: a new
    folder for policy, metrics, evaluation and the state to go on from; None: only what is returned is kept. device: where it
    learns, such as "cuda"; None: where the recipe says. progress: is called with a line of text each second, as `print` is.
    clock: gives seconds.

    Raises UsageError where recipe, airframe or folder cannot be used, or a number is out of range.

    >>> policy, evaluation = train("default", steps=4_000, vehicles=64)
    >>> policy.outputs, evaluation.starts
    (4, 1024)
    """
    require_run(vehicles, steps, seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run" if run is None else Path(run)
        begun = start(folder, recipe, airframe, vehicles, steps, seed, device=device, clock=clock)
        learn(begun, 0, progress or (lambda line: None), lambda: False)
        evaluation = begun.finish()
        return Trained(checkpoint.load(begun.policy_path).policy, evaluation)


def start(
    run: Path | None = None,
    recipe: str | Path | Recipe = "default",
    airframe: str | Path | Airframe = "crazyflie",
    vehicles: int = 256,
    steps: int = 0,
    seed: int = 0,
    bags: Sequence[Path] = (),
    *,
    device: str | None = None,
    clock: Callable[[], float] = time.monotonic,
    date: Callable[[str], str] = time.strftime,
) -> Run:
    """A new run of the command that was typed, see `train`. run: its folder; None: runs/RECIPE-TIME. bags: see `Run.start`.
    date: the time now, in a format of strftime. Raises what `train` raises.
    """
    craft = airframes.load(airframe)
    plan = (recipe if isinstance(recipe, Recipe) else recipes.find(str(recipe))).with_steps(steps).on(device)
    if run is None and ("/" in plan.name or not plan.name.isprintable()):
        raise UsageError(f"recipe: name: found {plan.name!r}, wanted one that a folder can have, or a folder for the run")
    folder = run or Path("runs") / f"{plan.name}-{date('%Y%m%d-%H%M%S')}"
    about: dict[str, Any] = {"clock": clock, "command": provenance.command(), "commit": provenance.commit()}
    return Run.start(folder, plan, craft, vehicles, seed, bags, **about)


def learn(run: Run, offline_steps: int, show: Callable[[str], None], stopped: Callable[[], bool]) -> bool:
    """Learn from recordings for the offline steps, then fly and learn to the recipe's end (True) or `stopped()` (False).

    show: gets a line on how it goes each second. A run that was stopped is saved and closed. Raises UsageError.
    """
    with training_process():
        finished = study(run, offline_steps, show, stopped) and fly_and_learn(run, show, stopped)
    if not finished:
        run.save()
        run.close()
    return finished
