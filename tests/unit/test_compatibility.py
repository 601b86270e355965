"""What version 0.1 wrote still works: runs resume, bags replay, checkpoints fly."""

import gzip
import json
import re
import shutil
from pathlib import Path

import pytest

from spike_ctrl import airframe, report
from spike_ctrl._files import resources
from spike_ctrl.cli.main import main
from spike_ctrl.evaluation.benchmark import evaluate
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.policy import checkpoint

pytestmark = pytest.mark.slow

OLD = Path(__file__).parents[1] / "compatibility"


def unpacked(source, target):
    """A folder of old files, with those that gzip packed as they were."""
    shutil.copytree(source, target)
    for packed in target.glob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    return target


def test_an_old_run_is_resumed_to_its_end_and_reported(tmp_path, capsys):
    run, page = unpacked(OLD / "run", tmp_path / "run"), tmp_path / "report.html"
    assert main(["train", "--resume", str(run)]) == 0
    assert f"policy: {run / 'policy.safetensors'}" in capsys.readouterr().out
    assert json.loads((run / "run.json").read_text())["environment_steps"] == 4096
    contract = checkpoint.load(run / "policy.safetensors").manifest.contract
    assert contract == checkpoint.load(OLD / "policy.safetensors").manifest.contract
    report.write(page, [run])
    assert "968119fa8d9c" in page.read_text() and "best validation return" in page.read_text()


def test_an_old_bag_is_replayed_up_to_the_rounding_of_its_processor_and_reported(tmp_path, capsys):
    bag, page = unpacked(OLD / "bag", tmp_path / "bag"), tmp_path / "report.html"
    assert main(["replay", str(bag), "--guard", "--rounding", "1e-6"]) == 0
    out = capsys.readouterr().out
    equal = int(re.search(r"equal bit by bit: (\d+) of 150 actions with a known spiking state", out)[1])
    assert (equal == 150) != ("all 150 actions agree within 1e-06; the largest difference is" in out)
    assert "return as flown: -47.7 over 2 whole episodes" in out
    # Without leave to round, nothing but equal bits will do, and the hint says what helps.
    assert main(["replay", str(bag), "--model", str(OLD / "policy.safetensors")]) == (equal < 150)
    assert ("another kind of processor rounds so, see --rounding" in capsys.readouterr().out) == (equal < 150)
    report.write(page, [bag])
    assert f"{equal} of 150" in page.read_text()


def test_an_old_bag_is_learnt_from_by_an_old_recipe(tmp_path):
    bag, about = unpacked(OLD / "bag", tmp_path / "bag"), ["--vehicles", "8", "--run", str(tmp_path / "run")]
    assert main(["train", str(OLD / "tiny.yaml"), "--from-bag", str(bag), *about]) == 0


def test_an_old_checkpoint_flies_as_its_manifest_says(capsys):
    loaded = checkpoint.load(OLD / "policy.safetensors")
    craft = airframe.load("crazyflie")
    assert loaded.manifest.contract.airframe_hash == craft.hash
    told = loaded.manifest.evaluation["frozen"]["columns"]["1.5m_start"]
    found = evaluate(PolicyController(loaded.policy), craft)
    assert found.headline == pytest.approx(told["return_mean"], abs=0.01)
    assert main(["inspect", str(OLD / "policy.safetensors")]) == 0
    assert f"{'recipe':<16}tiny\n" in capsys.readouterr().out


@pytest.mark.parametrize("model", sorted(resources.folder("models").glob("*.safetensors")), ids=lambda path: path.stem)
def test_each_shipped_model_is_written_today_as_it_was(model):
    loaded = checkpoint.load(model)
    names = ("recipe", "seed", "commit", "command", "evaluation", "tolerance")
    about = {name: getattr(loaded.manifest, name) for name in names}
    assert checkpoint.dumps(loaded.weights, loaded.manifest.contract, **about) == model.read_bytes()
