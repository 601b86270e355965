"""A training run as a unit: it trains as `spike-ctrl train` does, gives its metrics as lines, and keeps its policy."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.control.geometric_guide import Gains
from spike_ctrl.evaluation.evaluation_result import HEADLINE, Evaluation
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.recipe_blocks import LearnedGuide
from spike_ctrl.learn.run import Run
from spike_ctrl.learn.training_loop import train
from spike_ctrl_studies.study import Lines, StudyOptions, Unit, UnitContext, UnitResult, of_kind, one
from spike_ctrl_studies.study_folder import safe

VEHICLES = 256
KEPT = ("recipe.yaml", "policy.safetensors", "evaluation.json")


def find_recipe(name: str) -> Recipe:
    """The recipe `name`, from config/recipes or a path. Raises UsageError."""
    return recipes.find(name)


def find_td3bc(name: str) -> Recipe:
    """The recipe `name`, which must be one for TD3BC. Raises UsageError."""
    plan = find_recipe(name)
    if plan.algorithm != "td3bc":
        raise UsageError(f"--recipe {plan.name}: algorithm: found '{plan.algorithm}', wanted 'td3bc'")
    return plan


def changed(recipe: Recipe, **values: Any) -> Recipe:
    """The recipe with some fields changed: `changed(plan, hidden=[64, 64], jump_start_noise=0.0)`.

    If several sections have the field, its name is SECTION_FIELD. Raises UsageError.
    """
    data = recipes.to_dict(recipe)
    for key, value in values.items():
        section, field = _place(data, key, recipe.name)
        data[section][field] = value
    return recipes.from_dict(data, f"recipe {recipe.name}")


def _place(data: dict[str, Any], key: str, name: str) -> tuple[str, str]:
    sections = {section: part for section, part in data.items() if isinstance(part, dict)}
    for section, part in sections.items():
        if key.startswith(f"{section}_") and (field := key.removeprefix(f"{section}_")) in part:
            return section, field
    places = [(section, key) for section, part in sections.items() if key in part]
    if len(places) != 1:
        raise UsageError(f"recipe {name}: {key}: found in {len(places)} sections, wanted one")
    return places[0]


def settings(recipe: Recipe, airframe_name: str, seed: int, **more: Any) -> dict[str, Any]:
    """The settings of a unit that trains. more: further settings."""
    return {"recipe": recipes.to_dict(recipe), "airframe": airframe_name, "seed": seed, **more}


def units(plans: Mapping[str, Recipe], options: StudyOptions, seeds: tuple[int, int], **more: Any) -> list[Unit]:
    """Units that train each variant's recipe with each seed. seeds: how many in quick and in full size. more: as above."""
    return [
        Unit(safe(f"{name} seed {seed}"), settings(plan, options.airframe, seed, variant=name, **more))
        for seed in range(options.seeds or seeds[not options.quick])
        for name, plan in plans.items()
    ]


def measure(settings: dict[str, Any], context: UnitContext) -> UnitResult:
    """Train once and fly the frozen evaluation.

    Kinds of lines: "training" each second, "validation", and one "result" with the evaluation and the CPU time of the
    training. Kernels are compiled before the clock starts.
    """
    plan = recipes.from_dict(settings["recipe"])
    vehicle = airframe.load(settings["airframe"])
    about = {"clock": context.clock, "command": context.command, "commit": context.commit}
    context.progress(0.0, "compiling")
    _warm_up(plan, vehicle, context.scratch / "warm", about)
    run = Run.start(context.scratch / "run", plan, vehicle, VEHICLES, settings["seed"], **about)

    def show(_: str) -> None:
        best = "" if run.best is None else f", SNN alone {run.best.headline:.0f}"
        context.progress(0.97 * run.learner.progress, f"{100 * run.learner.progress:.0f} %{best}")

    train(run, show, lambda: False)
    seconds = run.seconds
    context.progress(0.97, "evaluating")
    evaluation = run.finish()
    lines = [_kind(line) for line in map(json.loads, (run.folder / "metrics.jsonl").read_text().splitlines())]
    lines.append(
        {
            "kind": "result",
            "seed": settings["seed"],
            "seconds": seconds,
            "environment_steps": run.learner.environment_steps,
            "commit": context.commit,
            "evaluation": evaluation.to_dict(),
        }
    )
    return UnitResult(lines, {name: (run.folder / name).read_bytes() for name in KEPT})


def measure_variant(settings: dict[str, Any], context: UnitContext) -> UnitResult:
    """As `measure`, with the name of the variant in each line."""
    found = measure(settings, context)
    return UnitResult([line | {"variant": settings["variant"]} for line in found.lines], found.files)


def _kind(line: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "validation" if "validation_return" in line else "training"} | line


def _warm_up(plan: Recipe, vehicle, folder: Path, about: dict) -> None:
    """Train until the actor has been updated, and validate it: then every kernel is compiled or loaded from its cache."""
    if isinstance(plan.guide, LearnedGuide):
        plan = dataclasses.replace(plan, guide=Gains())
    run = Run.start(folder, plan, vehicle, VEHICLES, 0, **about)
    train(run, lambda line: None, lambda: run.learner.actor_updates > 0)
    run.validate()
    run.close()


def evaluation_of(lines: Lines) -> Evaluation:
    """The frozen evaluation of a run."""
    return Evaluation.from_dict(one(lines, "result")["evaluation"])


def curve(lines: Lines) -> dict[str, list[float]]:
    """The validations of a run: "steps", "cpu" (s of CPU), "training" (the same without the validations) and "return".

    Both times are when the validated weights came to be, before their validation.
    """
    found: dict[str, list[float]] = {"steps": [], "cpu": [], "training": [], "return": []}
    spent = 0.0
    for line in of_kind(lines, "validation"):
        spent += line["validation_seconds"]
        found["steps"].append(line["environment_steps"])
        found["cpu"].append(line["seconds"] - line["validation_seconds"])
        found["training"].append(line["seconds"] - spent)
        found["return"].append(line["validation_return"])
    return found


def reached(lines: Lines, level: float, by: str) -> float | None:
    """When a run first reached the return `level`, by "cpu", "training" (s of CPU) or "steps"; None if it never did."""
    points = curve(lines)
    return next((at for at, value in zip(points[by], points["return"], strict=True) if value >= level), None)


def columns(evaluation: Evaluation) -> dict[str, float]:
    """Mean returns by column, named for a table: "1.5 m start"."""
    return {name.replace("m_", " m "): found["return_mean"] for name, found in evaluation.columns.items()}


def fields(evaluation: Evaluation) -> dict[str, float]:
    """The other figures of an evaluation, named for a table."""
    return {
        "survival 1.5 m": evaluation.columns[HEADLINE]["survival"],
        "survival 0.6 m": evaluation.columns["0.6m_start"]["survival"],
        "hover median cm": 100 * evaluation.hover_error_m["median"],
        "hover p95 cm": 100 * evaluation.hover_error_m["p95"],
        "action change": evaluation.action_change,
    }


def with_evaluations(plan: Recipe, count: int) -> Recipe:
    """The recipe with so many validations."""
    return dataclasses.replace(plan, schedule=dataclasses.replace(plan.schedule, evaluations=count))
