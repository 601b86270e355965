"""Where the time of a training run goes: `spike-ctrl bench training` profiles the recipes in one process, one thread.

Shares are of the profiled time between two validations; the functions are those named below, with all that they call. The
geometric guide takes the place of a teacher that would have to be trained first.
"""

import cProfile
import dataclasses
import pstats
import tempfile
import time
from pathlib import Path

from spike_ctrl import airframe
from spike_ctrl.control.geometric_guide import Gains
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.recipe_blocks import LearnedGuide
from spike_ctrl.learn.run import Run
from spike_ctrl.learn.training_loop import train

RECIPES = ("td3bc", "td3_jump_start", "td3", "dagger", "paper", "ppo", "teacher", "learned_teacher", "default", "robust")
VEHICLES, ITERATIONS = 256, 12  # of the learner
# The parts of a run by the file and name of the function that is all of it.
PARTS = {
    "simulator": ("rollout.py", "fly"),
    "policy": ("numpy_runtime.py", "step"),
    "guide": ("geometric_guide.py", "act"),
    "account": ("learner.py", "receive"),
    "windows": ("replay_buffer.py", "sample"),
    "critics": ("td3bc.py", "update_critics"),
    "actor": ("td3bc.py", "update_actor"),
    "ppo": ("ppo.py", "update"),
    "dagger": ("dagger.py", "update"),
    "bptt": ("bptt.py", "update"),
}


def measure() -> dict[str, float]:
    """Shares of each part, and environment steps per second, of some recipes."""
    figures = {}
    for name in RECIPES:
        profile, seconds = _profiled(name)
        steps = ITERATIONS * recipes.find(name).schedule.iteration_steps
        figures[f"training_{name}_steps_per_s"] = steps / seconds
        spent = _cumulative(profile)
        total = spent[("trainer.py", "train")]
        shares = {part: spent.get(place, 0.0) / total for part, place in PARTS.items()}
        figures |= {f"training_{name}_{part}": share for part, share in shares.items() if share > 0}
        figures[f"training_{name}_rest"] = 1 - sum(shares.values())
    return figures


def _profiled(name: str) -> tuple[cProfile.Profile, float]:
    """A profile of some iterations of a run in its full swing, and their CPU seconds."""
    plan = recipes.find(name)
    plan = dataclasses.replace(plan, schedule=dataclasses.replace(plan.schedule, evaluations=1))
    plan = dataclasses.replace(plan, td3bc=dataclasses.replace(plan.td3bc, at_once=False))  # a profile sees one thread
    if isinstance(plan.guide, LearnedGuide):
        plan = dataclasses.replace(plan, guide=Gains())
    with tempfile.TemporaryDirectory() as folder:
        run = Run.start(
            Path(folder) / "run", plan, airframe.load("crazyflie"), VEHICLES, 0, clock=lambda: 0.0, command="", commit=""
        )
        # From here on critics and actor learn as they do for most of the run.
        run.learner.environment_steps = int(0.5 * plan.schedule.steps)
        train(run, lambda line: None, lambda: run.learner.actor_updates > 0)
        until = run.learner.iterations + ITERATIONS
        profile, began = cProfile.Profile(), time.process_time()
        profile.runcall(train, run, lambda line: None, lambda: run.learner.iterations >= until)
        seconds = time.process_time() - began
        run.close()
    return profile, seconds


def _cumulative(profile: cProfile.Profile) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for (file, _, function), (_, _, _, cumulative, _) in pstats.Stats(profile).stats.items():
        place = (Path(file).name, function)
        found[place] = found.get(place, 0.0) + cumulative
    return found
