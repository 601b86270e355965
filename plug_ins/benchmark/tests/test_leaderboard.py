"""The closed-loop benchmark: entries by name, the result file, and figures that were known before."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from spike_ctrl import airframe, evaluate
from spike_ctrl._files import resources
from spike_ctrl.cli.main import main
from spike_ctrl.policy import checkpoint
from spike_ctrl_benchmark import leaderboard

ROOT = Path(__file__).resolve().parents[3]
CODE = """
from spike_ctrl import load_policy

def again():
    return load_policy("crazyflie")
"""


@pytest.mark.installed
def test_a_checkpoint_code_of_ones_own_and_a_baseline_enter_and_the_file_tells_what_was_flown(tmp_path, monkeypatch, capsys):
    (tmp_path / "my_entry.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    names = ["crazyflie", "my_entry:again", "pid"]
    assert main(["benchmark", *names, "--starts", "32", "-o", "result.json"]) == 0
    found = json.loads((tmp_path / "result.json").read_text())
    assert (found["benchmark"], found["starts"], found["airframe"]["name"]) == ("spike_ctrl/Position-v0", 32, "crazyflie")
    policy, again, pid = (found["entries"][name] for name in names)
    assert policy["nominal"]["columns"] == again["nominal"]["columns"]  # the same policy by another way
    assert again["complexity"] is None and pid["complexity"] is None
    cost = policy["complexity"]
    weights = checkpoint.load(resources.find("models", "crazyflie.safetensors")).weights
    matrices = [weight for name, weight in weights.items() if name.endswith(".weight")]
    assert cost["synaptic_operations"]["dense"] == sum(weight.size for weight in matrices) == 18 * 256 + 256 * 128 + 128 * 4
    assert cost["synaptic_operations"]["effective_macs"] <= 18 * 256
    assert cost["connection_sparsity"] == pytest.approx(np.mean(np.concatenate([w.ravel() for w in matrices]) == 0))
    assert 0.8 < cost["activation_sparsity"] < 1 and "crazyflie" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "nothing"),
        (["my_package.none:Policy"], "POLICY: found no module my_package"),
        (["sih_quadx"], "sih_quadx: airframe: found 'sih_quadx', wanted 'crazyflie'"),
        (["guide", "--starts", "0"], "--starts: found 0, wanted 1 to 1024"),
        (["guide", "--airframe", "sih_quadx"], "action_layout: found 'rates', wanted 'motors'"),
    ],
)
def test_what_cannot_enter_is_refused_in_one_line(tmp_path, capsys, arguments, words):
    assert main(["benchmark", *arguments, "-o", str(tmp_path / "result.json")]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "result.json").exists()


@pytest.mark.parametrize(("library", "model"), [("snntorch", "crazyflie"), ("spikingjelly", "crazyflie_hard_reset")])
def test_a_policy_that_is_written_in_another_library_flies_as_the_model_whose_numbers_it_has(monkeypatch, library, model):
    pytest.importorskip(library)
    pytest.importorskip("spike_ctrl_networks")
    monkeypatch.syspath_prepend(ROOT)
    written = importlib.import_module(f"examples.{library}_policy").policy()
    found, wanted = (evaluate(flown, starts=64).columns["1.5m_start"] for flown in (written, model))
    assert found["return_mean"] == pytest.approx(wanted["return_mean"], rel=0.01) and found["survival"] == wanted["survival"]


def test_neurobench_counts_the_same_of_the_same_flights(monkeypatch):
    pytest.importorskip("neurobench")
    pytest.importorskip("spike_ctrl_networks")
    monkeypatch.syspath_prepend(ROOT)
    from examples import neurobench_task, snntorch_policy

    vehicle = airframe.load("crazyflie")
    wanted = leaderboard.fly_entries(leaderboard.entry("crazyflie", vehicle), vehicle, starts=64)
    found, cost = neurobench_task.measured(snntorch_policy.policy().module), wanted["complexity"]
    ours, theirs = cost["synaptic_operations"], found["SynapticOperations"]
    assert theirs["Dense"] / 500 == ours["dense"]
    assert theirs["Effective_MACs"] / 500 == pytest.approx(ours["effective_macs"], rel=1e-4)
    assert theirs["Effective_ACs"] / 500 == pytest.approx(ours["effective_acs"], rel=0.005)  # two libraries fly, and round
    assert found["ActivationSparsity"] == pytest.approx(cost["activation_sparsity"], abs=0.001)
    assert found["ConnectionSparsity"] == pytest.approx(cost["connection_sparsity"], abs=5e-4)  # theirs has three digits
    column = wanted["nominal"]["columns"]["1.5m_start"]
    assert found["Return"] == pytest.approx(column["return_mean"], rel=0.001) and found["Survival"] == column["survival"]
