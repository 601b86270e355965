"""A policy for an airframe of one's own, as a run leaves it: every verb finds that airframe beside it."""

import dataclasses

import pytest
import yaml

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.certification import monte_carlo
from spike_ctrl.cli import main
from spike_ctrl.evaluation.controllers import controller
from spike_ctrl.policy import checkpoint


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run for a heavier Crazyflie of the name `mine`."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    known = airframe.load("crazyflie")
    mine = dataclasses.replace(known, name="mine", mass=1.02 * known.mass)
    (folder / "stages").mkdir(parents=True)
    (folder / "airframe.yaml").write_text(yaml.safe_dump(airframe.to_dict(mine), sort_keys=False))
    found = checkpoint.load("crazyflie")
    contract = dataclasses.replace(found.manifest.contract, airframe="mine", airframe_hash=mine.hash)
    for file in ("policy.safetensors", "stages/1.safetensors"):
        checkpoint.save(folder / file, found.weights, contract, recipe="debug")
    return folder


@pytest.mark.parametrize("file", ["policy.safetensors", "stages/1.safetensors"])
def test_a_checkpoint_of_a_run_finds_the_airframe_of_the_run(run, file):
    loaded = checkpoint.load(run / file)
    assert loaded.airframe().hash == loaded.manifest.contract.airframe_hash
    assert controller(run / file)[1].name == monte_carlo.competitors(run / file)[0].airframe.name == "mine"


def test_report_and_eval_need_no_airframe_for_the_policy_of_a_run(run, tmp_path, capsys):
    policy = str(run / "policy.safetensors")
    assert main.main(["report", policy, "-o", str(tmp_path / "page.html")]) == 0
    assert main.main(["eval", policy, "--protocol", "hover"]) == 0
    assert "hover" in capsys.readouterr().out


def test_without_that_file_the_error_names_the_policy_and_the_file_that_is_missing(run, tmp_path):
    alone = tmp_path / "policy.safetensors"
    alone.write_bytes((run / "policy.safetensors").read_bytes())
    with pytest.raises(UsageError, match=r"policy\.safetensors: airframe 'mine'.*its folder has no airframe\.yaml for it"):
        checkpoint.load(alone).airframe()


@pytest.mark.parametrize("other", [yaml.safe_dump(airframe.to_dict(airframe.load("crazyflie_drag"))), "mass: heavy"])
def test_the_airframe_of_another_policy_in_the_folder_is_not_taken(tmp_path, other):
    (tmp_path / "airframe.yaml").write_text(other)
    copied = tmp_path / "policy.safetensors"
    copied.write_bytes(checkpoint.read("crazyflie"))
    assert checkpoint.load(copied).airframe() == airframe.load("crazyflie")
