"""`export --to checkpoint`: a policy that knows many airframes, for one of them. All others are refused in words."""

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.cli.main import main
from spike_ctrl.policy import checkpoint

ANY, ANY_RATES = (str(resources.folder("models") / f"{name}.safetensors") for name in ("any_quad", "any_rates"))


def test_the_same_weights_are_admitted_for_the_airframe_and_for_no_other(tmp_path, capsys):
    made, craft = tmp_path / "mine.safetensors", airframe.load("crazyflie")
    assert main(["export", ANY, "--to", "checkpoint", "--airframe", "crazyflie", "-o", str(made)]) == 0
    assert "crazyflie, motors, 100 Hz, 18-256-128-4" in capsys.readouterr().out
    before, after = checkpoint.load(ANY), checkpoint.load(made, expect={"airframe_hash": craft.hash})
    assert all(np.array_equal(after.weights[name], weight) for name, weight in before.weights.items())
    assert after.manifest.evaluation["frozen"]["columns"]["1.5m_start"]["survival"] > 0.98
    assert after.manifest.recipe == "any_quad" and after.manifest.seed == before.manifest.seed
    with pytest.raises(checkpoint.CheckpointError, match="airframe_hash: found"):
        checkpoint.load(made, expect={"airframe_hash": airframe.load("any_quad").hash})


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([ANY, "--airframe", "laden.yaml"], "airframe crazyflie: thrust_to_weight: found 1.18, wanted 1.3 to 5"),
        (
            [ANY, "--airframe", "crazyflie", "--recipe", "strong.yaml"],
            "airframe crazyflie: thrust_to_weight: found 1.97, wanted 3 to 5",
        ),
        ([ANY, "--airframe", "crazyflie", "--recipe", "default"], "recipe 'default': its task draws no airframes"),
        ([ANY, "--airframe", "sih_quadx"], "airframe sih_quadx: action_layout: found 'rates', wanted 'motors'"),
        (
            [ANY, "--airframe", "turned.yaml"],
            "airframe crazyflie: rotor_spin: found signs [1, -1, 1, -1], wanted [-1, 1, -1, 1]",
        ),
        ([ANY_RATES, "--airframe", "crazyflie"], "airframe crazyflie: action_layout: found 'motors', wanted 'rates'"),
        (
            [ANY_RATES, "--airframe", "quick.yaml"],
            "airframe racer: max_rates: found 27 27 17 rad/s, wanted 3.84 3.84 3.49, as any_rates has",
        ),
        ([ANY], "--to checkpoint: found no --airframe, wanted the one that is to be flown"),
        (["crazyflie", "--airframe", "crazyflie"], "its task draws no airframes: the policy knows crazyflie alone"),
    ],
)
def test_what_it_does_not_know_is_refused_in_words_and_nothing_is_written(
    arguments, complaint, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    plain = resources.find("config", "airframes/crazyflie.yaml").read_text()
    (tmp_path / "laden.yaml").write_text(plain.replace("mass: 0.027 kg", "mass: 0.045 kg"))
    (tmp_path / "strong.yaml").write_text("name: mine\nbase: any_quad\ntask: {airframes: {thrust_to_weight: [3, 5]}}\n")
    (tmp_path / "turned.yaml").write_text(plain.replace("rotor_spin: -1 1 -1 1 1", "rotor_spin: 1 -1 1 -1 1"))
    quick = resources.find("config", "airframes/racer.yaml").read_text()
    (tmp_path / "quick.yaml").write_text(quick.replace("max_rates: 3.84 3.84 3.49", "max_rates: 27 27 17"))
    assert main(["export", *arguments, "--to", "checkpoint", "-o", "made.safetensors"]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "made.safetensors").exists()


@pytest.mark.parametrize("form", ["nir", "onnx"])
def test_another_format_does_not_take_the_place_of_a_model(form, tmp_path, capsys):
    model = resources.folder("models") / "crazyflie_hard_reset.safetensors"
    (copy := tmp_path / "copy.safetensors").write_bytes(model.read_bytes())
    assert main(["export", str(copy), "--to", form, "-o", str(copy)]) == 2
    assert f"--output: found the model {copy}" in capsys.readouterr().err
    assert copy.read_bytes() == model.read_bytes()
