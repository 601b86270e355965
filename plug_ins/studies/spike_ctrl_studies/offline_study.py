"""What recorded flights of a real vehicle teach, and what flying in its identified plant adds.

    spike-ctrl experiment offline --airframe crazyflie_real --from-bag bags/*

Cloning and TD3BC learn from the bags alone (recipe `offline_real`), with the paper's network and a recurrent one. Then one
goes on by flying in the plant with its rewards, and one by the model's gradient (recipe `real`), beside that gradient alone.
All hover on plants within the identified spread. Those that mostly can follow the references of `spike-ctrl eval --protocol
real-flights`, too.
"""

from math import nan
from pathlib import Path
from typing import Any, NamedTuple

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.evaluation.evaluation_result import HEADLINE
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.run import Run
from spike_ctrl.learn.start_training import learn
from spike_ctrl.policy import checkpoint
from spike_ctrl.recordings import recorded_transitions
from spike_ctrl_benchmark import real_flights
from spike_ctrl_studies import training_run
from spike_ctrl_studies.figures import Bars, Figure, Panel
from spike_ctrl_studies.study import (
    AGREES,
    DIFFERS,
    Lines,
    Report,
    StudyFinding,
    StudyOptions,
    Unit,
    UnitContext,
    UnitResult,
    by_variant,
    higher,
    of_kind,
    plus_minus,
    size_of,
    spread,
)
from spike_ctrl_studies.study_folder import safe

SEEDS = (1, 5)
RECIPE, TUNING = "offline_real", "real"
ONLINE, TUNED = 300_000, 256_000  # steps flown after the bags, with rewards and by the model's gradient
QUICK = 20  # so many times fewer steps
VEHICLES = (256, 32)  # of each reference
HOVERS, FOLLOWS = 0.99, 0.5  # shares of the vehicles not lost in a hover: to call it one, and to fly the references
AT_HOVER, AT_ONCE = "hover at once", Trajectory("hover", lead=0.0)
CLONING, RECURRENT = {"alpha": 0.0, "critic_updates": 0}, {"recurrent": True}


class Variant(NamedTuple):
    """changes: of the offline recipe, None where nothing is learned from bags. Then steps flown with rewards (online), or
    by the model's gradient (tuned)."""

    changes: dict[str, Any] | None
    online: int = 0
    tuned: int = 0


BC, TD3BC, TUNED_BC, ALONE = "BC", "TD3BC", "BC, recurrent, then the model's gradient", "the model's gradient alone"
VARIANTS = {
    BC: Variant(CLONING),
    TD3BC: Variant({}),
    f"{BC}, recurrent": Variant(CLONING | RECURRENT),
    TUNED_BC: Variant(CLONING | RECURRENT, tuned=TUNED),
    ALONE: Variant(None, tuned=TUNED),
    f"{TD3BC}, then flown": Variant({}, online=ONLINE),
}


def units(options: StudyOptions) -> list[Unit]:
    """The pieces of this experiment. Raises UsageError."""
    craft = airframe.load(options.airframe)
    if craft.battery is None:
        raise UsageError(
            f"--airframe: found {craft.name} without a battery, wanted one that was identified, such as crazyflie_real"
        )
    plan, tuning = training_run.find_td3bc(options.recipe or RECIPE), training_run.find_recipe(TUNING)
    found = []
    for name, variant in VARIANTS.items():
        for seed in range(options.seeds or SEEDS[not options.quick]):
            parts = [
                stage | {"bags": list(options.bags) if stage["bags"] else []} for stage in stages(variant, plan, tuning)
            ]
            if options.quick:
                parts = [_shorter(part) for part in parts]
            settings = {"variant": name, "seed": seed, "airframe": options.airframe, "stages": parts}
            settings["vehicles"] = VEHICLES[options.quick]
            weight = sum(part["recipe"]["schedule"]["steps"] for part in parts) / plan.schedule.steps
            found.append(Unit(safe(f"{name} seed {seed}"), settings, weight))
    return found


def stages(variant: Variant, plan: Recipe, tuning: Recipe) -> list[dict[str, Any]]:
    """The trainings of a variant, each from the weights of the one before. online: the steps flown of one with bags."""
    found = []
    if variant.changes is not None:
        offline = training_run.changed(plan, **variant.changes).with_steps(plan.schedule.steps + variant.online)
        found.append({"recipe": recipes.to_dict(offline), "bags": True, "online": variant.online})
    if variant.tuned:
        found.append({"recipe": recipes.to_dict(tuning.with_steps(variant.tuned)), "bags": False, "online": 0})
    return found


def _shorter(stage: dict[str, Any]) -> dict[str, Any]:
    schedule = stage["recipe"]["schedule"]
    recipe = stage["recipe"] | {"schedule": schedule | {"steps": schedule["steps"] // QUICK}}
    return stage | {"recipe": recipe, "online": stage["online"] // QUICK}


def measure(settings: dict[str, Any], context: UnitContext) -> UnitResult:
    """Train one stage after the other, then fly. Lines of kind "flight" tell of the hover, and of the references where
    most hover; "result" holds the evaluation."""
    craft, weights, run = airframe.load(settings["airframe"]), None, None
    whole = len(settings["stages"]) + 1
    for number, stage in enumerate(settings["stages"]):
        run = _begun(stage, craft, settings["seed"], context, number, weights)

        def show(_: str, learner=run.learner, number: int = number) -> None:
            context.progress((number + learner.progress) / whole, f"stage {number + 1}, {100 * learner.progress:.0f} %")

        offline_steps = run.learner.recipe.schedule.steps - stage["online"] if stage["bags"] else 0
        learn(run, offline_steps, show, lambda: False)
        evaluation = run.finish()
        weights = checkpoint.load(run.policy_path).weights
    policy = checkpoint.load(run.policy_path).policy
    context.progress(1 - 1 / whole, "flying")
    about = {"variant": settings["variant"], "seed": settings["seed"]}
    lines = [{"kind": "flight"} | about | line for line in _flights(PolicyController(policy), craft, settings["vehicles"])]
    lines.append({"kind": "result", "commit": context.commit, "evaluation": evaluation.to_dict()} | about)
    return UnitResult(lines, {name: (run.folder / name).read_bytes() for name in training_run.KEPT})


def _flights(controller: PolicyController, craft: Airframe, vehicles: int) -> Lines:
    hover = real_flights.follow(controller, craft, real_flights.SPREAD, vehicles, AT_ONCE)
    flown = real_flights.fly_references(controller, craft, vehicles=vehicles) if hover.survival >= FOLLOWS else {}
    return [{"reference": name} | flight.to_dict() for name, flight in ({AT_HOVER: hover} | flown).items()]


def _begun(stage: dict[str, Any], craft: Airframe, seed: int, context: UnitContext, number: int, weights) -> Run:
    """The run of a stage, with the weights it begins from and the flights it learns from."""
    plan, bags = recipes.from_dict(stage["recipe"]), tuple(Path(bag) for bag in stage["bags"])
    about = {"clock": context.clock, "command": context.command, "commit": context.commit}
    run = Run.start(context.scratch / f"stage-{number}", plan, craft, training_run.VEHICLES, seed, bags, **about)
    if weights is not None:
        run.learner.start_from(weights)
    if bags:
        recorded = recorded_transitions.gather_for(plan, bags, craft)
        held = recorded_transitions.buffer(recorded, plan.replay.window, plan.td3bc.history)
        run.learner.method.learn_from(held, recorded.blind)
    return run


def report(options: StudyOptions, results: dict[str, Lines]) -> Report:
    """The report on the lines of all pieces."""
    groups = by_variant(results, VARIANTS)
    return Report(
        title=f"What {len(options.bags)} flights teach, {size_of(options, len(next(iter(groups.values()))))}",
        table=[_row(name, runs) for name, runs in groups.items()],
        findings=findings(groups),
        figures=[_bars(groups)],
        notes=[
            "Frozen: 1024 starts on the identified airframe without its spread, 1.5 m box, start coefficients; mean and "
            "deviation of seeds.",
            "Hover and references: plants within the identified spread, batteries from full to empty, "
            f"{real_flights.SECONDS:g} s. A vehicle that is ever {real_flights.LOST:g} m off is lost; RMSE: of the others.",
            f"References: all of the protocol real-flights, where at least {FOLLOWS:g} of the vehicles hover.",
        ],
    )


def _survival(runs: list[Lines]) -> list[float]:
    """Of the frozen evaluation, of each run."""
    return [training_run.evaluation_of(lines).columns[HEADLINE]["survival"] for lines in runs]


def _hover(runs: list[Lines], figure: str) -> list[float]:
    return [flight[figure] for lines in runs for flight in of_kind(lines, "flight") if flight["reference"] == AT_HOVER]


def findings(groups: dict[str, list[Lines]]) -> list[StudyFinding]:
    """What the runs of the variants, as far as there are any, say about our own questions."""
    from_flights = {
        name: spread(_hover(runs, "survival"))[0]
        for name, runs in groups.items()
        if not VARIANTS[name].online and not VARIANTS[name].tuned
    }
    found = []
    if from_flights:
        best = max(from_flights, key=lambda name: from_flights[name])
        claim = f"The flights alone teach a hover (taken as: {HOVERS:g} of the vehicles are not lost)."
        verdict = AGREES if from_flights[best] >= HOVERS else DIFFERS
        found.append(StudyFinding(claim, f"{from_flights[best]:.3f} by {best}, the best.", verdict, paper=False))
    questions = [
        ("TD3BC learns more from them than cloning.", TD3BC, BC),
        ("A recurrent network clones them better.", f"{BC}, recurrent", BC),
        ("Flying with rewards adds to them.", f"{TD3BC}, then flown", TD3BC),
        ("The model's gradient is better where it begins from a clone.", TUNED_BC, ALONE),
    ]
    return found + [
        _compared(claim, better, worse, groups) for claim, better, worse in questions if {better, worse} <= set(groups)
    ]


def _compared(claim: str, better: str, worse: str, groups: dict[str, list[Lines]]) -> StudyFinding:
    """By the survivals of the frozen evaluation."""
    mine, its = _survival(groups[better]), _survival(groups[worse])
    measured = f"survival {spread(mine)[0]:.3f} and {spread(its)[0]:.3f}."
    return StudyFinding(claim, measured, higher(mine, its), paper=False)


def _row(name: str, runs: list[Lines]) -> dict[str, str]:
    evaluations = [training_run.evaluation_of(lines) for lines in runs]
    flights = [[f for f in of_kind(lines, "flight") if f["reference"] != AT_HOVER] for lines in runs]
    return {
        "variant": name,
        "1.5 m start": plus_minus([evaluation.headline for evaluation in evaluations]),
        "survival": plus_minus(_survival(runs), 3),
        "hover: not lost": plus_minus(_hover(runs, "survival"), 3),
        "half lost after s": plus_minus(_hover(runs, "half_lost_after_s")),
        "hover: cm": plus_minus(_hover(runs, "rmse_m"), scale=100),
        "references: not lost, least": plus_minus(
            [min((f["survival"] for f in those), default=nan) for those in flights], 3
        ),
        "cm, most": plus_minus([max((f["rmse_m"] or nan for f in those), default=nan) for those in flights], scale=100),
    }


def _bars(groups: dict[str, list[Lines]]) -> Figure:
    shown = {"frozen starts": _survival, "hover": lambda runs: _hover(runs, "survival")}
    bars = []
    for colour, (label, of) in enumerate(shown.items()):
        means = [spread(of(runs)) for runs in groups.values()]
        bars.append(Bars(label, [mean for mean, _ in means], [deviation for _, deviation in means], colour=colour))
    panel = Panel("Not lost", "", "share of the vehicles", bars, list(groups), format=".2f", low=0.0)
    return Figure("offline", "What the flights teach, and what flying in simulation adds", [panel])
