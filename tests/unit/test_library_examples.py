"""The examples that show the library from outside run as their first lines say, here for a shorter time."""

import re
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import spike_ctrl

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs an example as a program, in this process; gives what it prints."""

    def ran(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
        return capsys.readouterr().out

    return ran


def test_the_quick_start_trains_scores_and_flies_in_a_process_of_its_own():
    command = [sys.executable, ROOT / "examples" / "quick_start.py", "--steps", "4000"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "of 500" in told and "cm from the set-point" in told


def test_models_are_scored_beside_a_controller_of_ones_own(run):
    rows = {
        line[:18].strip(): float(line[19:33].split()[0])
        for line in run("evaluate_models.py", "--starts", "64").splitlines()[1:]
    }
    assert rows["crazyflie"] > rows["geometric guide"] > rows["ten lines of numpy"] > 250


def test_a_helix_is_followed(run):
    assert run("custom_trajectory.py").count("passes") == 2


def test_turbulence_and_a_payload_of_ones_own_make_the_policy_hover_less_well(run):
    returns = [float(line.split("returns ")[1].split(",")[0]) for line in run("own_physics.py").splitlines()]
    assert len(returns) == 4 and returns[0] > max(returns[1:3]) and min(returns[1:3]) > returns[3] > 350


def test_a_policy_is_trained_for_an_airframe_of_ones_own(run):
    assert "the policy returns" in run("own_airframe.py", "--steps", "4000")


def test_the_python_of_the_page_about_checkpoints_runs(monkeypatch):
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "checkpoint.md").read_text(), re.DOTALL)
    monkeypatch.chdir(ROOT)
    namespace: dict = {"__name__": "checkpoint_page"}
    exec(block, namespace)
    assert namespace["u"].shape == (4,)


def test_stable_baselines_learns_the_task_within_seconds(monkeypatch, tmp_path):
    pytest.importorskip("stable_baselines3")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # its logger makes a folder there and leaves it
    monkeypatch.syspath_prepend(ROOT / "examples")
    import stable_baselines

    def steps_in_the_box(trained):
        return spike_ctrl.evaluate(stable_baselines.train(trained, seed=0), starts=128).columns["1.5m_start"]["length_mean"]

    assert steps_in_the_box(200_000) > 2 * steps_in_the_box(8192)
