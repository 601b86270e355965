"""A run's folder: what ran, its metrics, its policies, and the state from which it can go on.

recipe.yaml         the recipe as it ran; airframe.yaml what flew; vehicles and seed in run.json
metrics.jsonl       one line per report; the same numbers for TensorBoard beside it, in groups
teacher/            the run that trained the teacher, where the recipe has one that is learned
policy.safetensors  the averaged policy that validated best so far; of equals the latest
stages/             the averaged policy at the shares STAGES of the run, by steps: how it learned, for films
state.safetensors   everything that a resumed run needs
evaluation.json     the frozen evaluation of the policy
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from spike_ctrl import airframe as airframes
from spike_ctrl._files import output_paths
from spike_ctrl._files.errors import UsageError, refused
from spike_ctrl._files.time_left import time_left
from spike_ctrl.airframe import Airframe
from spike_ctrl.evaluation import hover_trim
from spike_ctrl.evaluation.benchmark import evaluate
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.evaluation.evaluation_result import HEADLINE, Evaluation
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn import resumption, teacher, training_state
from spike_ctrl.learn.event_log import EventLog
from spike_ctrl.learn.learner import Learner
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.rollout import training_environment
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.numpy_runtime import SpikingPolicy

SAVE_PERIOD = 60.0  # wall seconds between saves of the resumable state
WIDTH = 70  # characters of a line of progress: with the node's name it fits a terminal of 80
REPORT_PERIOD = 1.0  # wall seconds between lines of metrics
FORETOLD = 0.01  # share of all steps from which on the time left is told
STAGES = (0.0, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)  # of a run's steps; most is learned early
STANDS = "; what was saved before still stands"
# Policies whose scores differ by less are equals. One start of the 256 that ends early is worth nearly a point, and an
# early policy that was lucky with it hovers less exactly than the later one.
TIE = 1.0


class Run:
    """The learner of one run and its folder. `clock` gives wall seconds; the library reads none of its own."""

    def __init__(self, folder: Path, learner: Learner, clock: Callable[[], float], command: str, commit: str):
        self.folder, self.learner, self.clock = folder, learner, clock
        self.policy_path = folder / "policy.safetensors"
        self.command, self.commit = command, commit
        self.bags: tuple[Path, ...] = ()
        self.best: Evaluation | None = None
        self._highest = -math.inf
        self._started, self._earlier = clock(), 0.0
        self.begin()
        plan, craft = recipes.to_dict(learner.recipe), learner.airframe.name
        self._events = EventLog(folder, plan, airframe=craft, vehicles=learner.vehicles, seed=learner.seed)

    @classmethod
    def start(
        cls, folder: Path, recipe: Recipe, airframe: Airframe, vehicles: int, seed: int, bags: Sequence[Path] = (),
        **about: Any,
    ) -> Run:  # fmt: skip
        """A new run in a new folder. bags: what it learns from beside its own flight; such a run cannot be resumed. about:
        clock, command and commit, see `Run`.

        Raises UsageError, also where the folder exists already.
        """
        resumption.require_new(folder)
        recipe.require_fit(airframe)
        learner = Learner(recipe, airframe, vehicles, seed)
        _ = learner.graph  # what no checkpoint can hold, and what cannot fly, is refused before there is a folder
        teacher.require(recipe, airframe)
        training_environment(recipe, airframe, vehicles)
        with refused(f"run {folder}: cannot be written"), resumption.claimed(folder):
            (folder / "recipe.yaml").write_text(yaml.safe_dump(recipes.to_dict(recipe), sort_keys=False))
            (folder / "airframe.yaml").write_text(yaml.safe_dump(airframes.to_dict(airframe), sort_keys=False))
            run = cls(folder, learner, **about)
            run.bags = tuple(bags)
            run.save()  # so that it can be resumed from here on
        return run

    @classmethod
    def resume(cls, folder: Path, given: Mapping[str, Any] = {}, **about: Any) -> Run:
        """The run in a folder, with counters, buffer, optimisers and random state as they were saved.

        given: what the user named of recipe, airframe, vehicles, seed, steps and run. Raises UsageError where one of
        them contradicts the run, or the run is finished. The device, if it is named, may be another.
        """
        before = resumption.read(folder)
        resumption.check(folder, before, given)
        plan = before.recipe.on(given.get("device"))
        learner = Learner(plan, before.airframe, before.vehicles, before.seed)
        arrays, info = training_state.load(folder / "state.safetensors")
        try:
            learner.restore(arrays, info["learner"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"run {folder}: state.safetensors: {error}; wanted the state of this recipe") from None
        resumption.cut_metrics(folder, learner.steps)
        run = cls(folder, learner, **about)
        run.best, run._earlier = _kept(run.policy_path), info["seconds"]
        run._highest = run.best.score if run.best else -math.inf
        return run

    def begin(self) -> None:
        """The time left is judged by the pace from here on."""
        self._begun, self._first_step = self.clock(), self.learner.steps

    @property
    def seconds(self) -> float:
        """Wall time of training, over all sittings."""
        return self._earlier + self.clock() - self._started

    @property
    def remaining(self) -> float:
        """Wall seconds to the end at this sitting's pace; infinite before FORETOLD of all steps: the beginning compiles."""
        done, whole = self.learner.steps - self._first_step, self.learner.recipe.schedule.steps
        left = max(0, whole - self.learner.steps)
        return left * (self.clock() - self._begun) / done if done >= FORETOLD * whole else float("inf")

    def report(self, metrics: dict[str, float]) -> None:
        """Write metrics to JSONL and TensorBoard."""
        plain = {name: float(f"{value:.6g}") if math.isfinite(value) else None for name, value in metrics.items()}
        line = {"seconds": round(self.seconds, 3)} | plain
        with refused(f"run {self.folder}: metrics cannot be written", "; what was saved can be resumed"):
            with open(self.folder / "metrics.jsonl", "a") as file:
                file.write(json.dumps(line) + "\n")
            self._events.add(metrics, self.learner.steps)

    def validate(self) -> Evaluation:
        """Fly the averaged policy on the validation starts and keep it as policy.safetensors if none was better."""
        before = self.clock()
        evaluation = self.learner.validate()
        took = self.clock() - before
        headline = evaluation.columns[HEADLINE]
        self.report(
            {
                "validation_return": headline["return_mean"],
                "validation_survival": headline["survival"],
                "validation_seconds": float(took),
            }
            | self.learner.step_counts()
            | {f"validation_{name}": column["return_mean"] for name, column in evaluation.columns.items()}
        )
        self._highest = max(self._highest, evaluation.score)
        if self.best is None or evaluation.score > self._highest - TIE:
            self.best = evaluation
            self.save_policy({"validation": evaluation.to_dict()})
        return evaluation

    def save_stage(self) -> None:
        """Keep the averaged policy as it is now. Raises CheckpointError."""
        steps, share = self.learner.steps, round(self.learner.progress, 4)
        path = self.folder / "stages" / f"{steps:012d}.safetensors"
        with refused(f"{path.parent}: cannot be written", "; what was saved can be resumed"):
            path.parent.mkdir(exist_ok=True)
        self.save_policy({"stage": {"steps": steps, "share": share}}, path=path)

    def save_policy(
        self, evaluation: dict[str, Any], weights: Mapping[str, np.ndarray] | None = None, path: Path | None = None
    ) -> None:
        learner = self.learner
        checkpoint.save(
            path or self.policy_path,
            learner.averaged_weights() if weights is None else weights,
            learner.contract(),
            graph=learner.graph,
            recipe=learner.recipe.name,
            seed=learner.seed,
            commit=self.commit,
            command=self.command,
            evaluation=evaluation,
        )

    def save(self) -> None:
        """Save the state to resume from. Raises CheckpointError, and then the state saved before still stands."""
        arrays, info = self.learner.state()
        training_state.save(self.folder / "state.safetensors", arrays, {"learner": info, "seconds": self.seconds})
        learner = self.learner
        about = {"airframe": learner.airframe.name, "airframe_hash": learner.airframe.hash, "vehicles": learner.vehicles}
        about |= {"seed": learner.seed} | learner.step_counts()
        about |= {"bags": [str(bag) for bag in self.bags]} if self.bags else {}
        output_paths.write_json("--run", self.folder / "run.json", about, STANDS)

    def finish(self) -> Evaluation:
        """The frozen evaluation of the best policy, which may be trimmed before, written into its checkpoint and to
        evaluation.json.
        """
        self.validate()
        saved = checkpoint.load(self.policy_path)
        weights, policy, neuron = saved.weights, saved.policy, saved.manifest.contract.neuron
        if self.learner.recipe.schedule.hover_trim and neuron is not None:
            weights = hover_trim.trimmed(weights, neuron, self.learner.airframe)
            policy = SpikingPolicy(weights, neuron)
        evaluation = evaluate(PolicyController(policy), self.learner.airframe)
        figures = evaluation.to_dict()
        self.save_policy(
            saved.manifest.evaluation | {"frozen": figures, "training_seconds": round(self.seconds, 1)}, weights
        )
        output_paths.write_json("--run", self.folder / "evaluation.json", figures, STANDS)
        self.save()
        self.close()
        return evaluation

    def close(self) -> None:
        with suppress(OSError):  # a full disk: what matters was saved, or refused aloud, before
            self._events.close()

    def progress_line(self, metrics: dict[str, float], steps_per_second: float) -> str:
        """One line on how it goes, what counts first; at most WIDTH characters."""
        parts = [f"{100 * self.learner.progress:3.0f} %", f"{time_left(self.remaining)} left"]
        if self.best is not None:
            column = self.best.columns[HEADLINE]
            parts.append(f"SNN alone {column['return_mean']:.0f} ({column['survival']:.3f})")
        if "return" in metrics:
            parts.append(f"flown {metrics['return']:.0f} ({metrics['survival']:.2f})")
        if metrics["guide_share"]:
            parts.append(f"guide {100 * metrics['guide_share']:.0f} %")
        parts.append(f"{steps_per_second / 1e3:.{0 if steps_per_second > 1e4 else 1}f}k/s")
        while len(", ".join(parts)) > WIDTH:
            parts.pop()
        return ", ".join(parts)


class TrainingPace:
    """When to validate, save and tell: validations evenly over the run's progress, stages at STAGES, saves by wall time."""

    def __init__(self, run: Run):
        self.run, self._saved = run, run.clock()
        self._next = run.learner.progress + 1 / run.learner.recipe.schedule.evaluations
        self._stages = [share for share in STAGES if share > run.learner.progress or not run.learner.steps]
        self._keep_stage()
        self._told, self._told_steps = run.clock(), run.learner.steps

    def tell(self, metrics: dict[str, float], show: Callable[[str], None], last: bool = False) -> float | None:
        """Report the metrics and show a line, where the last are REPORT_PERIOD old or these are `last`. Gives steps/s."""
        run = self.run
        elapsed = run.clock() - self._told
        if elapsed < REPORT_PERIOD and not last:
            return None
        speed = (run.learner.steps - self._told_steps) / elapsed
        run.report(metrics | {"steps_per_second": speed})
        show(run.progress_line(metrics, speed))
        self._told, self._told_steps = run.clock(), run.learner.steps
        return speed

    def keep(self) -> None:
        """Validate and save if it is time."""
        run = self.run
        if run.learner.progress >= self._next and not run.learner.finished:
            self._next += 1 / run.learner.recipe.schedule.evaluations
            run.validate()
        self._keep_stage()
        if run.clock() - self._saved >= SAVE_PERIOD:
            run.save()
            self._saved = run.clock()

    def _keep_stage(self) -> None:
        progress, due = self.run.learner.progress, len(self._stages)
        self._stages = [share for share in self._stages if share > progress]
        if len(self._stages) < due:
            self.run.save_stage()


def _kept(policy: Path) -> Evaluation | None:
    """The validation of the policy that a run has kept. It is read from the policy itself: the state that is saved beside
    it may be older, and must not let a worse policy take its place."""
    if not policy.exists():
        return None
    kept = checkpoint.load(policy).manifest.evaluation.get("validation")
    try:
        return Evaluation.from_dict(kept)
    except ValueError as error:
        raise UsageError(f"{policy}: validation: {error}; move the file away to resume without it") from None
