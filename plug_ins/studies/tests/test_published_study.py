"""The recipe as published beside the paper's levels: variants, averages and verdicts."""

import numpy as np
import pytest

from spike_ctrl._files.errors import UsageError
from spike_ctrl.evaluation.evaluation_result import COLUMNS, Evaluation
from spike_ctrl_studies import paper, published_study, training_run
from spike_ctrl_studies.study import AGREES, DIFFERS, StudyOptions

COLUMN = {"return_mean": 300.0, "return_std": 1.0, "survival": 1.0, "length_mean": 500.0}
EVALUATION = Evaluation(dict.fromkeys(COLUMNS, COLUMN), {"median": 0.02, "p95": 0.03}, 0.05, 1024).to_dict()


def lines(name, returns):
    """A run that tells these training returns at even shares of its steps."""
    shares = np.linspace(0, 1, len(returns))
    told = [
        {"kind": "training", "environment_steps": 1000 * share, "progress": share, "return": value, "slope": 1 + share}
        for share, value in zip(shares, returns, strict=True)
    ]
    seen = [
        {
            "kind": "validation",
            "seconds": s,
            "validation_seconds": 0.1,
            "environment_steps": 1000 * s,
            "validation_return": s,
        }
        for s in (0.5, 1.0)
    ]
    result = {"kind": "result", "environment_steps": 1000, "seconds": 9.0, "evaluation": EVALUATION}
    return [line | {"variant": name} for line in (*told, *seen, result)]


def test_the_first_variant_is_the_recipe_itself_and_the_second_differs_in_its_critic_alone():
    plan = training_run.find_recipe("paper")
    same, other = (published_study.variant(plan, name) for name in published_study.VARIANTS)
    assert same == plan and plan.td3bc.critic == "twin" and plan.td3bc.history == 32
    assert other.td3bc.critic == "advantage"
    changed = training_run.changed(other, critic="twin")
    assert changed.td3bc == plan.td3bc and changed.task == plan.task and changed.jump_start == plan.jump_start


def test_the_last_return_is_the_mean_over_the_last_tenth():
    assert published_study.last_return(lines("", [0] * 18 + [100, 200, 300])) == pytest.approx(200)
    assert np.isnan(published_study.last_return([]))


def test_verdicts_follow_from_the_last_returns():
    low, _ = paper.FIGURE["TD3BC + jump start"]
    found = published_study.findings(
        {name: [value] for name, value in zip(published_study.VARIANTS, (low - 1.0, low), strict=True)}
    )
    assert [(finding.verdict, finding.paper) for finding in found] == [(DIFFERS, True), (AGREES, False)]


def test_the_report_has_a_row_for_each_variant_and_the_papers_levels_in_its_figure():
    results = {name: lines(name, [10.0 * i for i in range(21)]) for name in published_study.VARIANTS}
    report = published_study.report(StudyOptions(), results)
    assert [row["variant"] for row in report.table] == list(published_study.VARIANTS)
    assert report.table[0]["last training return"] == "190.0" and report.table[0]["slope k, lowest to highest"] == "1 to 2"
    levels = {mark.name: mark.y for mark in report.figures[0].panels[0].marks if hasattr(mark, "y") and np.isscalar(mark.y)}
    assert paper.RETURN in levels.values() and set(paper.FIGURE["TD3BC + jump start"]) <= set(levels.values())


def test_a_recipe_without_critics_is_refused():
    with pytest.raises(UsageError, match="--recipe default: algorithm: found 'bptt', wanted 'td3bc'"):
        published_study.units(StudyOptions(recipe="default"))
