"""Training in one process: roll out an iteration, learn from it, validate and save now and then."""

import dataclasses
from collections.abc import Callable
from typing import Any

from spike_ctrl.control.guide_protocol import Guide
from spike_ctrl.learn import teacher
from spike_ctrl.learn.recipe_blocks import LearnedGuide
from spike_ctrl.learn.rollout import Rollout, training_environment
from spike_ctrl.learn.run import Run, TrainingPace
from spike_ctrl.policy.voltage_input import complete_of
from spike_ctrl.sim.episode_flags import FIRST


def study(run: Run, until: int, show: Callable[[str], None], stopped: Callable[[], bool]) -> bool:
    """Learn from recorded flight alone until it has stood in for `until` steps (True) or `stopped()` (False)."""
    learner, pace = run.learner, TrainingPace(run)
    while learner.offline_steps < until and not stopped():
        metrics = learner.study()
        pace.keep()
        pace.tell(metrics, show)
    return learner.offline_steps >= until


def train(run: Run, show: Callable[[str], None], stopped: Callable[[], bool]) -> bool:
    """Train until the recipe's steps are flown (True) or `stopped()` (False); `show` gets a progress line each second."""
    learner = run.learner
    guide = _guide(run, show, stopped)
    if guide is None:
        return False
    environment = training_environment(learner.recipe, learner.airframe, learner.vehicles)
    # A resumed run draws other starts than the ones it has flown.
    rollout = Rollout(environment, learner.seed + learner.environment_steps, learner.recipe.jump_start)
    guide_state = guide.initial_state(learner.vehicles)
    state = learner.flying_policy().initial_state(learner.vehicles)
    pace = TrainingPace(run)
    while not learner.finished and not stopped():
        policy, settings = learner.flying_policy(), learner.rollout_settings()
        environment.coefficients = learner.recipe.task.coefficients(settings.curriculum)
        for _ in range(learner.ticks_per_iteration):
            seen = rollout.see()
            first = (seen.flags & FIRST) > 0
            if first.any():
                state = policy.reset_rows(state, first)
                guide_state = guide.reset_rows(guide_state, first)
            action, state = policy.step(complete_of(policy, seen.observation, environment), state)
            if learner.explorer:
                action = learner.explorer.explore(seen.observation, action)
            advice, guide_state = guide.act(seen.observation, guide_state, seen.rotor_speed, seen.disturbance, seen.plant)
            rows = rollout.fly(seen, action, advice, settings.horizon, settings.noise)
            learner.receive(rows)
        metrics = learner.iterate()
        pace.keep()
        pace.tell(metrics, show)
    return learner.finished


def _guide(run: Run, show: Callable[[str], None], stopped: Callable[[], bool]) -> Guide | None:
    """The guide of a run. One that is learned is trained first, in the folder `teacher` of the run; None: `stopped()`."""
    recipe, airframe, folder = run.learner.recipe, run.learner.airframe, run.folder / "teacher"
    if not isinstance(recipe.guide, LearnedGuide):
        return teacher.make(recipe, airframe)
    if not (folder / "evaluation.json").exists():  # which is written last
        about: dict[str, Any] = {"clock": run.clock, "command": run.command, "commit": run.commit}
        if (folder / "state.safetensors").exists():  # it goes on where it was left
            first = Run.resume(folder, **about)
        else:
            plan = teacher.plan(recipe, recipe.guide, airframe)
            first = Run.start(folder, plan, airframe, recipe.guide.vehicles, run.learner.seed, **about)
        if not train(first, lambda line: show(f"teacher: {line}"), stopped):
            first.save()
            first.close()
            return None
        first.finish()
        run.begin()
    recipe = dataclasses.replace(recipe, guide=str(folder / "policy.safetensors"))
    return teacher.make(recipe, airframe)
