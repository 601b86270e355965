"""What the literature adds to recipe `td3bc`, one addition at a time: what measures better over the seeds is worth keeping.

Critics: REDQ, TQC, CrossQ, a critic that begins as the guide's. Targets: a proxy that does not spike. Exploration: noisy
and population-coded inputs. Beside them the short-horizon actor-critic, on the model, against the model gradient, whose
segments it shortens.
"""

from typing import Any, NamedTuple

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.sim.action_mapping import at_hover
from spike_ctrl_studies import training_run
from spike_ctrl_studies.figures import Figure, Panel
from spike_ctrl_studies.headline_study import mean_line
from spike_ctrl_studies.study import (
    Lines,
    Report,
    StudyFinding,
    StudyOptions,
    Unit,
    UnitContext,
    UnitResult,
    by_variant,
    higher,
    one,
    plus_minus,
    size_of,
    spread,
)
from spike_ctrl_studies.study_folder import safe

SEEDS = (1, 5)
SHARE = 0.5  # of the recipe's steps: where all have converged, less differs
QUICK_STEPS = 100_000
VALIDATIONS = 16
HERE = "spike_ctrl_studies"


class Addition(NamedTuple):
    """What is changed of a recipe: keys of its YAML. against: the variant that it is compared with."""

    changes: dict[str, Any]
    recipe: str = "td3bc"
    against: str = "td3bc"


TWIN = "twin critics"
ADDITIONS = {
    "td3bc": Addition({}),
    TWIN: Addition({"td3bc": {"critic": "twin"}}),
    "REDQ": Addition({"algorithm": f"{HERE}.other_critics:REDQ", "td3bc": {"critic": "twin"}}, against=TWIN),
    "TQC": Addition({"algorithm": f"{HERE}.other_critics:TQC", "td3bc": {"critic": "twin"}}, against=TWIN),
    "CrossQ": Addition({"algorithm": f"{HERE}.other_critics:CrossQ", "td3bc": {"critic": "twin"}}, against=TWIN),
    "the guide's value first": Addition({"algorithm": f"{HERE}.other_critics:GuidesValue"}),
    "proxy target": Addition({"algorithm": f"{HERE}.proxy_target:ProxyTarget"}),
    "noisy inputs": Addition({"task": {"randomisation": {"noise": 1.0}}}),
    "population-coded inputs": Addition({"network": {"class": f"{HERE}.population_coding:PopulationCoded"}}),
    "model gradient": Addition({}, "default", "model gradient"),
    "short-horizon actor-critic": Addition(
        {"algorithm": f"{HERE}.short_horizon:ShortHorizon", "bptt": {"segment": 32, "episode_segments": 6}},
        "default",
        "model gradient",
    ),
}


def plan(name: str, addition: Addition, craft: airframe.Airframe) -> Recipe:
    """The recipe of a variant. Its own network has no bias to trim, and none of the others is trimmed either."""
    data = {"base": addition.recipe, "name": safe(name), **addition.changes}
    if "network" in data:
        data["network"] = {"slope": {"kind": "fixed", "k": 5.0}, "hover": at_hover(craft)} | data["network"]
    return recipes.from_dict(data | {"schedule": {"hover_trim": False}}, f"variant {name}")


def units(options: StudyOptions) -> list[Unit]:
    """The pieces of this experiment. Raises UsageError."""
    if options.recipe:
        raise UsageError(f"--recipe: found '{options.recipe}', wanted none: each variant has its own")
    craft, plans = airframe.load(options.airframe), {}
    for name, addition in ADDITIONS.items():
        recipe = plan(name, addition, craft)
        share = SHARE if addition.recipe == "td3bc" else 1.0
        recipe = recipe.with_steps(QUICK_STEPS if options.quick else round(share * recipe.schedule.steps))
        plans[name] = training_run.with_evaluations(recipe, VALIDATIONS)
    return training_run.units(plans, options, SEEDS)


def measure(settings: dict[str, Any], context: UnitContext) -> UnitResult:
    """Train once."""
    return training_run.measure_variant(settings, context)


def report(options: StudyOptions, results: dict[str, Lines]) -> Report:
    """The report on the lines of all pieces."""
    groups = by_variant(results, ADDITIONS)
    return Report(
        title=f"What the literature adds to td3bc, {size_of(options, len(next(iter(groups.values()))))}",
        table=[_row(name, runs) for name, runs in groups.items()],
        findings=[
            _finding(name, runs, groups[against])
            for name, runs in groups.items()
            if (against := ADDITIONS[name].against) in groups and against != name
        ],
        figures=[_curves(groups)],
        notes=[
            "Frozen evaluation, 1024 starts, the spiking policy alone, without the hover trim; mean and deviation of seeds.",
            "Half of the steps of td3bc (225 000), and all of the model gradient's recipe.",
            "CPU s: of one process of one thread, without the validations.",
        ],
    )


def _returns(runs: list[Lines]) -> list[float]:
    return [training_run.evaluation_of(lines).headline for lines in runs]


def _finding(name: str, runs: list[Lines], others: list[Lines]) -> StudyFinding:
    mine, its, against = _returns(runs), _returns(others), ADDITIONS[name].against
    measured = f"{spread(mine)[0]:.1f} and {spread(its)[0]:.1f}."
    return StudyFinding(f"{name} is better than {against}.", measured, higher(mine, its), paper=False)


def _row(name: str, runs: list[Lines]) -> dict[str, str]:
    found = [training_run.evaluation_of(lines) for lines in runs]
    columns = [training_run.columns(evaluation) for evaluation in found]
    row = {"variant": name, "survival, lowest": f"{min(e.columns['1.5m_start']['survival'] for e in found):.3f}"}
    row |= {column: plus_minus([one_[column] for one_ in columns]) for column in ("1.5 m start", "1.5 m end", "0.6 m start")}
    return row | {
        "lowest": f"{min(_returns(runs)):.0f}",
        "hover median cm": plus_minus([100 * e.hover_error_m["median"] for e in found]),
        "change of u": plus_minus([e.action_change for e in found], 3),
        "CPU s": plus_minus([one(lines, "result")["seconds"] for lines in runs], 0),
    }


def _curves(groups: dict[str, list[Lines]]) -> Figure:
    lines: dict[str, list] = {"td3bc": [], "default": []}
    for colour, (name, runs) in enumerate(groups.items()):
        curves = [training_run.curve(run) for run in runs]
        xs = [[x / 1e6 for x in curve["steps"]] for curve in curves]
        line = mean_line(name, xs, [curve["return"] for curve in curves], colour)
        lines[ADDITIONS[name].recipe].append(line)
    about = ("environment steps (million)", "validation return")
    panels = [Panel("Additions to td3bc", *about, lines["td3bc"]), Panel("On the model", *about, lines["default"])]
    return Figure("additions", "Return of the spiking policy alone while it learns (1.5 m box, start)", panels)
