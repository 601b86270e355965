"""Runs side by side: what differs by the seed alone is one curve, with the interval of its mean."""

import json

import numpy as np
import pytest
import yaml

from spike_ctrl import report
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli.main import main
from spike_ctrl.report import told_run
from spike_ctrl.report.flight_charts import logarithmic_axis
from spike_ctrl.report.page import Chart, Table
from spike_ctrl_studies.runs_section import common, frozen, grouped, interval, section


def a_run(path, seed, noise=0.1, returns=(10.0, 20.0, 30.0), loss=0.1):
    path.mkdir(parents=True)
    lines = [
        {"seconds": 5.0 * i, "environment_steps": 1000.0 * i, "validation_return": value, "validation_survival": 0.9,
         "critic_loss": loss / i, "actor_loss": 1.0 - i}
        for i, value in enumerate(returns, 1)
    ]  # fmt: skip
    (path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    (path / "run.json").write_text(json.dumps({"airframe": "crazyflie", "airframe_hash": "x", "vehicles": 64, "seed": seed}))
    recipe = {"name": "td3bc", "jump_start": {"noise": noise}, "network": {"hidden": [256, 128]}}
    (path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return path


@pytest.fixture
def runs(tmp_path):
    """Three seeds of one recipe, and one of another."""
    folder = tmp_path / "runs"
    for seed in range(3):
        a_run(folder / f"a{seed}", seed, returns=(10.0 + seed, 20.0 + seed, 30.0 + seed), loss=10.0**seed)
    a_run(folder / "b", 0, noise=0.4)
    a_run(folder / "a0" / "teacher", 0)
    return folder


def test_the_interval_of_a_mean_is_students():
    mean, half = interval(np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]))
    assert mean == pytest.approx([2, 5]) and half == pytest.approx(
        [4.302653 * 1 / 3**0.5, 0]
    )  # t of .975 and 2, from a table
    assert np.isnan(interval(np.array([[1.0]]))[1]).all()


def test_curves_are_averaged_where_all_of_them_are_known():
    x, y = common([([0.0, 2.0, 4.0], [0.0, 2.0, 4.0]), ([1.0, 3.0], [10.0, 30.0])])
    assert x.tolist() == [1, 2, 3] and y.tolist() == [[1, 2, 3], [10, 20, 30]]
    assert not len(common([([0.0, 1.0], [0.0, 0.0]), ([2.0], [1.0])])[0])


def test_seeds_make_a_group_and_other_settings_another_that_is_named_by_them(runs):
    found = grouped([told_run.read(path) for path in told_run.inside(runs)])
    assert {name: [run.name for run in members] for name, members in found.items()} == {
        "td3bc, jump_start.noise 0.1": ["a0", "a1", "a2"],
        "td3bc, jump_start.noise 0.4": ["b"],
    }


def test_charts_show_the_mean_its_band_and_the_seeds_and_losses_on_a_log_axis(runs):
    parts = section([told_run.read(path) for path in told_run.inside(runs)]).parts
    charts = {part.title: part.figure for part in parts if isinstance(part, Chart)}
    lines = [trace for trace in charts["Return of the policy alone"].data if trace.showlegend]
    assert [trace.name for trace in lines] == ["td3bc, jump_start.noise 0.1, 3 seeds", "td3bc, jump_start.noise 0.4"]
    assert list(lines[0].y) == pytest.approx([11, 21, 31]) and list(lines[0].x) == [1000, 2000, 3000]
    band = charts["Return of the policy alone"].data[0]
    assert max(band.y) == pytest.approx(31 + 4.302653 / 3**0.5) and band.fill == "toself"
    critic = charts["Loss of the critic"]
    assert critic.layout.yaxis.type == "log" and charts["Loss of the actor"].layout.yaxis.type is None
    assert next(trace for trace in critic.data if trace.showlegend).y[0] == pytest.approx(10)  # the middle of 1, 10, 100
    assert "Survival of the policy alone" not in charts  # it never changed
    assert all(figure.layout.xaxis.title.text and figure.layout.yaxis.title.text for figure in charts.values())


def test_the_tables_tell_figures_with_units_and_intervals_and_what_each_run_was(runs):
    summary, each = (part for part in section([told_run.read(path) for path in told_run.inside(runs)]).parts
                     if isinstance(part, Table))  # fmt: skip
    row = dict(zip(summary.head, summary.rows[0], strict=True))
    assert row["best validation return"] == "31.0 ± 2.5" and row["seeds"] == "0, 1, 2" and row["wall time (s)"] == "15"
    assert row["environment steps"] == "3\u00a0000" and row["hover error (cm)"] == "none"
    assert [cells[1] for cells in each.rows] == ["0", "1", "2", "0"] and each.rows[0][5] == "256 - 128"


def test_a_run_whose_policy_always_crashes_has_a_return_and_no_hover_error(runs):
    figures = {"columns": {"1.5m_start": {"return_mean": 12.5}}, "hover_error_m": {"median": None}}
    (runs / "b" / "evaluation.json").write_text(json.dumps(figures))
    assert frozen(told_run.read(runs / "b")) == {"return": 12.5}


def test_a_report_on_a_folder_of_runs_names_the_runs_in_it(runs, tmp_path, capsys):
    target = tmp_path / "page.html"
    assert main(["report", str(runs), "-o", str(target)]) == 0
    page = target.read_text()
    assert all(str(runs / name) in page for name in ("a0", "a1", "a2", "b")) and "teacher" not in page
    assert report.kind(runs.parent) == "runs"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty: found a folder, wanted a model .*, a folder of runs, or a bag"):
        report.kind(tmp_path / "empty")


def test_a_run_counts_once_though_it_is_given_beside_its_folder(runs, tmp_path):
    target = tmp_path / "page.html"
    assert main(["report", str(runs), f"{runs}/../runs", str(runs / "a0"), "-o", str(target)]) == 0
    assert "Run a0" in target.read_text() and ", 3 seeds" in target.read_text()
    assert main(["report", str(runs / "b"), str(runs / "a0"), "-o", str(target)]) == 0
    assert ", 2 seeds" not in target.read_text()


@pytest.mark.parametrize(("values", "step"), [((0.02, 0.07), None), ((0.02, 0.7), 1)])
def test_a_log_axis_has_numbers_where_the_values_do_not_reach_the_next_decade(values, step):
    assert logarithmic_axis(values).get("dtick") == step
