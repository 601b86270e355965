"""From a bag to a policy: lines that a good policy meets and a bad one does not, and an exit code that says which."""

import dataclasses
import json

import numpy as np
import pytest
import yaml
from recorded import fly, write_flight

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.cli import main
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl_identify import acceptance
from spike_ctrl_identify.acceptance import Check

MODEL = resources.folder("models") / "crazyflie.safetensors"
CRAZYFLIE = airframe.load("crazyflie")
TINY = {
    "name": "tiny", "algorithm": "bptt", "task": {"box": 1.5, "episode_steps": 100, "reward": "end"},
    "network": {"hidden": [16, 8], "slope": {"kind": "fixed", "k": 2}}, "jump_start": {"horizon": 0, "rest": 0},
    "bptt": {"updates": 1, "vehicles": 32, "pool": 32, "segment": 20},
    "schedule": {"steps": 4096, "iteration_steps": 2048, "evaluations": 1, "averaging": 1},
}  # fmt: skip


def test_a_good_policy_meets_all_lines_on_its_own_airframe_and_a_heavier_one_is_another_matter():
    policy = checkpoint.load(MODEL).policy
    assert all(check.passed for check in acceptance.checks(policy, CRAZYFLIE, Randomisation(), 64))
    heavy = dataclasses.replace(CRAZYFLIE, mass=1.3 * CRAZYFLIE.mass)
    failed = {check.what for check in acceptance.checks(policy, heavy, Randomisation(), 64) if not check.passed}
    assert {"hover", "figure8", "step"} <= failed


def test_an_untrained_policy_meets_none():
    loaded = checkpoint.load(MODEL)
    silent = SpikingPolicy({name: np.zeros_like(w) for name, w in loaded.weights.items()}, loaded.manifest.contract.neuron)
    assert not any(check.passed for check in acceptance.checks(silent, CRAZYFLIE, Randomisation(), 64))


def test_a_line_is_met_at_its_limit_and_the_table_counts_those_that_are_not():
    checks = [
        Check("hover", "identified", "share", 0.05, 0.05),
        Check("1024 starts", "around it", "survival", 0.9, 0.9, True),
    ]
    assert "all lines are met" in acceptance.check_table(checks)
    text = acceptance.check_table([*checks, Check("step", "identified", "seconds", float("inf"), 3.0)])
    assert text.splitlines()[-2].split() == ["step", "identified", "seconds", "inf", "<=", "3", "FAIL"]
    assert text.endswith("1 of 3 lines are not met")


def test_the_verb_goes_from_a_bag_to_a_judged_policy_of_the_airframe_it_found(tmp_path, capsys):
    fly(tmp_path / "bag", MODEL, vehicles=8, ticks=300)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    run = tmp_path / "run"
    assert main.main(["retrain", str(tmp_path / "bag"), "--recipe", str(tmp_path / "tiny.yaml"), "--run", str(run)]) == 1
    shown = capsys.readouterr().out
    assert "95 % interval" in shown and "FAIL" in shown and "lines are not met" in shown
    found = airframe.load(run / "airframe.yaml")
    loaded = checkpoint.load(run / "policy.safetensors", expect={"airframe_hash": found.hash})
    assert loaded.manifest.contract.airframe == "crazyflie_identified"
    assert found.hover == pytest.approx(CRAZYFLIE.hover, rel=0.01) and found.hash != CRAZYFLIE.hash
    plants = yaml.safe_load((run / "recipe.yaml").read_text())["task"]["randomisation"]
    assert 0.05 <= plants["thrust"] <= 0.2 and 0.05 <= plants["lag"] <= 0.2
    assert json.loads((run / "evaluation.json").read_text())["starts"] == 1024


def test_a_bag_that_cannot_be_identified_leaves_no_run_behind(tmp_path, capsys):
    state, action = np.zeros((50, 13)), np.zeros((49, 4))
    state[:, 6] = 1
    write_flight(tmp_path / "bag", state, action, action, "rates")
    run = tmp_path / "run"
    assert main.main(["retrain", str(tmp_path / "bag"), "--airframe", "sih_quadx", "--run", str(run)]) == 2
    error = capsys.readouterr().err
    assert "found 0.5 s of flight without a gap, in 0 windows of 1.20 s, wanted at least 20 of them" in error
    assert error.count("\n") == 1 and not run.exists()


def test_a_seed_that_no_training_takes_is_refused_before_the_identification(tmp_path, capsys):
    assert main.main(["retrain", str(tmp_path / "bag"), "--seed", "-1", "--run", str(tmp_path / "run")]) == 2
    assert "--seed: found -1" in capsys.readouterr().err
