"""Ablation: what behaviour cloning (BC), the critics and the jump start each contribute, under the reward curriculum.

All variants are one recipe with some terms removed. The label of BC is the action in the buffer, as in the paper. Without a
jump start this would be the policy's own noisy action, so BC alone learns from flights that the guide flew throughout.
Three more variants use the guide's action at every visited state as the label, which is imitation of a teacher that answers
everywhere (DAgger, Ross et al. 2011); the paper does not do that. The last two learn the reward as this library did before
version 0.2: there a crash ended the costs of living, so that crashing paid.
"""

import math

import numpy as np

from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl_studies import paper, training_run
from spike_ctrl_studies.figures import Bars, Figure, Panel
from spike_ctrl_studies.headline_study import mean_line
from spike_ctrl_studies.study import (
    AGREES,
    DIFFERS,
    OPEN,
    Lines,
    Report,
    StudyFinding,
    StudyOptions,
    Unit,
    by_variant,
    of_kind,
    one,
    plus_minus,
    size_of,
    spread,
)

SEEDS = (1, 5)
RECIPE = "td3bc"
STEPS = 1_200_000  # at most
QUICK_HIDDEN = (64, 64)
VALIDATIONS = 16
COLUMN = "1.5m_start"  # column to compare variants by: in the others a bad flight scores worse the longer it lasts
CLEAR = 20.0  # returns that differ by more than this count as different
LEARNED = 50.0  # with a lower return a variant has learned nothing; an untrained policy has about -50
SHIFTED = {"reward": "shifted", "reward_scale": 0.1, "reward_shift": 1.0, "crash_reward": -1.0}  # as before version 0.2

# bc: weight of the label; q: whether the critics teach; jump: whether the guide flies first; guide: it flies throughout;
# label: what BC is held to; shifted: the reward as before version 0.2.
VARIANTS = {
    "TD3BC + jump start": {"bc": True, "q": True, "jump": True},
    "TD3 + jump start": {"bc": False, "q": True, "jump": True},
    "TD3BC": {"bc": True, "q": True, "jump": False},
    "TD3": {"bc": False, "q": True, "jump": False},
    "BC": {"bc": True, "q": False, "jump": False, "guide": True},
    "TD3BC + jump start, guide's label (DAgger)": {"bc": True, "q": True, "jump": True, "label": "guide"},
    "TD3BC, guide's label (DAgger)": {"bc": True, "q": True, "jump": False, "label": "guide"},
    "BC, guide's label (DAgger)": {"bc": True, "q": False, "jump": False, "label": "guide"},
    "TD3BC + jump start, reward of 0.1": {"bc": True, "q": True, "jump": True, "shifted": True},
    "TD3 + jump start, reward of 0.1": {"bc": False, "q": True, "jump": True, "shifted": True},
}


def units(options: StudyOptions) -> list[Unit]:
    """The pieces of this experiment. Raises UsageError."""
    plan = training_run.find_td3bc(options.recipe or RECIPE)
    plan = training_run.with_evaluations(plan.with_steps(min(plan.schedule.steps, STEPS)), VALIDATIONS)
    if options.quick:
        plan = training_run.changed(plan, hidden=list(QUICK_HIDDEN))
    return training_run.units({name: variant(plan, **parts) for name, parts in VARIANTS.items()}, options, SEEDS)


def variant(
    plan: Recipe, bc: bool, q: bool, jump: bool, guide: bool = False, label: str = "buffer", shifted: bool = False
) -> Recipe:
    """The recipe with some terms removed, under the reward curriculum; arguments as in VARIANTS."""
    steps = plan.task.episode_steps
    values = {"task_reward": "curriculum", "label": label}
    if not bc:
        values |= {"bc": 0.0, "bc_end": 0.0}
    if not q:
        values |= {"alpha": 0.0, "critic_updates": 0}
    if guide:
        values |= {"horizon": steps, "rest": steps, "spread": False}
    elif not jump:
        values |= {"horizon": 0, "rest": 0}
    data = recipes.to_dict(training_run.changed(plan, **values)) | {"name": f"{plan.name}-ablation"}
    return recipes.from_dict(data | {"td3bc": data["td3bc"] | SHIFTED} if shifted else data)


measure = training_run.measure_variant


def report(options: StudyOptions, results: dict[str, Lines]) -> Report:
    """The report on the lines of all pieces."""
    groups = by_variant(results, VARIANTS)
    seeds = len(next(iter(groups.values())))
    scores = {
        name: [training_run.evaluation_of(lines).columns[COLUMN]["return_mean"] for lines in runs]
        for name, runs in groups.items()
    }
    return Report(
        title=f"Ablation of recipe {options.recipe or RECIPE}, {size_of(options, seeds)}",
        table=[_row(name, runs) for name, runs in groups.items()],
        findings=findings({name: spread(values) for name, values in scores.items()}),
        figures=[_bars(groups), _curves(groups)],
        notes=[
            "Every variant is the recipe with some terms removed, trained under the reward curriculum, with the recipe's "
            "exploration and hand-over.",
            "The label of BC is the action in the buffer, as in the paper; three variants have the guide's label at every "
            "visited state instead (`label: guide`): imitation of a teacher that answers everywhere (DAgger). BC alone "
            "learns from flights that the guide flew throughout.",
            f"Findings compare the frozen evaluation's column {COLUMN.replace('_', ' ')}; returns within {CLEAR:.0f} are "
            "called equal, and a gap that the seeds' deviation covers decides nothing. "
            "The paper's returns are of its own curriculum task: compare orders, not sizes.",
        ],
    )


def findings(scores: dict[str, tuple[float, float]]) -> list[StudyFinding]:
    """The orderings that the paper claims, checked with mean and standard deviation of the return of each variant."""
    mean = {name: value for name, (value, _) in scores.items()}

    def orders(claim: str, better: str, worse: str, theirs: bool = True) -> StudyFinding:
        learned = max(mean[better], mean[worse]) >= LEARNED
        gap = mean[better] - mean[worse]
        scatter = math.hypot(*(np.nan_to_num(scores[name][1]) for name in (better, worse)))
        unsure = scatter > CLEAR and abs(gap) <= scatter
        verdict = OPEN if unsure or not learned else AGREES if gap > CLEAR else DIFFERS
        why = "; neither has learned" if not learned else f"; seeds scatter by {scatter:.0f}" if unsure else ""
        return StudyFinding(claim, f"{better} {mean[better]:.0f}, {worse} {mean[worse]:.0f}{why}.", verdict, theirs)

    found = [
        orders("With a jump start, BC adds to TD3 (412 against 334).", "TD3BC + jump start", "TD3 + jump start"),
        orders("The jump start is what makes TD3BC work (412 against 32).", "TD3BC + jump start", "TD3BC"),
        orders("The jump start is what makes TD3 work (334 against 36).", "TD3 + jump start", "TD3"),
    ]
    rest = ("BC", "TD3BC", "TD3")
    best = max(mean[name] for name in rest)
    gap = mean["TD3BC + jump start"] - best
    found.append(
        StudyFinding(
            "BC, TD3BC and TD3 without a jump start fail (at most -200) where TD3BC with it reaches 400.",
            ", ".join(f"{name} {mean[name]:.0f}" for name in (*rest, "TD3BC + jump start")) + ".",
            OPEN if max(mean["TD3BC + jump start"], best) < LEARNED else AGREES if gap > max(CLEAR, best) else DIFFERS,
        )
    )
    found.append(
        orders(
            "With the guide's label at every state the jump start still decides.",
            "TD3BC + jump start, guide's label (DAgger)",
            "TD3BC, guide's label (DAgger)",
            theirs=False,
        )
    )
    for method in ("TD3BC", "TD3"):
        better, worse = f"{method} + jump start", f"{method} + jump start, reward of 0.1"
        claim = f"{method} + jump start needs a reward under which living on pays."
        found.append(orders(claim, better, worse, theirs=False))
    found.append(
        orders(
            "With the guide's label the critics add to BC.",
            "TD3BC, guide's label (DAgger)",
            "BC, guide's label (DAgger)",
            theirs=False,
        )
    )
    return found


def _row(name: str, runs: list[Lines]) -> dict:
    evaluations = [training_run.evaluation_of(lines) for lines in runs]
    value, deviation = paper.ABLATION.get(name, (None, None))
    every = [training_run.columns(evaluation) for evaluation in evaluations]
    last = [
        next((line["return"] for line in reversed(of_kind(lines, "training")) if "return" in line), np.nan) for lines in runs
    ]
    return (
        {"variant": name}
        | {column: plus_minus([found[column] for found in every]) for column in every[0]}
        | {
            "survival 1.5 m": plus_minus([e.columns["1.5m_start"]["survival"] for e in evaluations], 3),
            "last training return": plus_minus(last),
            "paper": value if deviation is None else f"{value} ± {deviation}",
            "seconds": plus_minus([one(lines, "result")["seconds"] for lines in runs]),
        }
    )


def _bars(groups: dict[str, list[Lines]]) -> Figure:
    names = list(groups)
    marks = []
    for index, column in enumerate((COLUMN, "0.6m_start")):
        values = [
            spread([training_run.evaluation_of(lines).columns[column]["return_mean"] for lines in groups[n]]) for n in names
        ]
        deviations = [] if np.isnan(values[0][1]) else [deviation for _, deviation in values]
        marks.append(Bars(f"here, {column.replace('m_', ' m, ')}", [mean for mean, _ in values], deviations, colour=index))
    marks.append(Bars("paper, on its reward", [paper.ABLATION.get(name, (np.nan,))[0] for name in names], paper=True))
    return Figure("returns", "Return by variant", [Panel("Frozen evaluation", "", "return", marks, names, format=".0f")])


def _curves(groups: dict[str, list[Lines]]) -> Figure:
    marks = []
    for index, (name, runs) in enumerate(groups.items()):
        found = [training_run.curve(lines) for lines in runs]
        marks.append(mean_line(name, [[s / 1e6 for s in c["steps"]] for c in found], [c["return"] for c in found], index))
    panel = Panel("1.5 m box, start coefficients", "environment steps (million)", "validation return", marks)
    return Figure("learning", "Validation return while it learns", [panel])
