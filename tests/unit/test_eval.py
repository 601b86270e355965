"""`spike-ctrl eval`: protocols of other packages, airframes of one's own, and those that answer late."""

import dataclasses
import json
from importlib import metadata

import pytest
import small_checkpoint
import yaml
from refusal import refused

from spike_ctrl import airframe
from spike_ctrl.cli.main import main
from spike_ctrl.evaluation.benchmark import randomised
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim.environment import require_short_delays

PROTOCOL = """
from spike_ctrl._files.errors import UsageError
from spike_ctrl.evaluation.protocols import EvalProtocol


def require(airframe, options):
    if airframe.action_layout != "motors":
        raise UsageError("--protocol stillness: wanted motors")


def fly(controllers, airframe, options):
    print(f"{len(controllers)} controllers do nothing")
    return {label: {"error": 0.5, "corrected": controller == "corrected"} for label, controller in controllers.items()}


def add(parser):
    parser.add_argument("--correct", dest="corrections", action="append_const", const=correct)


def run(options):
    pass


def correct(controllers, airframe):
    return dict.fromkeys(controllers, "corrected")


stillness = EvalProtocol(fly, lambda airframe: {f"guide of {airframe.name}": None}, require=require)
"""


@pytest.fixture
def stillness(monkeypatch, tmp_path):
    """A package adds the protocol `stillness`, and an option for all protocols."""
    (tmp_path / "still_protocol.py").write_text(PROTOCOL)
    monkeypatch.syspath_prepend(tmp_path)
    added = [
        metadata.EntryPoint("stillness", "still_protocol:stillness", "spike_ctrl.protocols"),
        metadata.EntryPoint("eval.still", "still_protocol", "spike_ctrl.verb_options"),
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda: metadata.EntryPoints(added))


def late(seconds):
    return dataclasses.replace(airframe.load("crazyflie"), name="late", dead_time=seconds)


@pytest.fixture
def late_file(tmp_path):
    """An airframe whose commands come 30 ms late."""
    path = tmp_path / "late.yaml"
    path.write_text(yaml.safe_dump(airframe.to_dict(late(0.03))))
    return str(path)


def test_a_package_adds_a_protocol_that_chooses_its_guides_and_gives_its_figures(stillness, tmp_path, capsys):
    file = tmp_path / "found.json"
    assert main(["eval", "--guide", "--protocol", "stillness", "--json", str(file)]) == 0
    assert capsys.readouterr().out == "1 controllers do nothing\n"
    figures = {"guide of crazyflie": {"error": 0.5, "corrected": False}}
    assert json.loads(file.read_text()) == {"stillness": figures, "airframe": "crazyflie"}


def test_an_option_of_a_package_corrects_what_flies(stillness, tmp_path):
    file = tmp_path / "found.json"
    assert main(["eval", "--guide", "--protocol", "stillness", "--correct", "--json", str(file)]) == 0
    assert json.loads(file.read_text())["stillness"]["guide of crazyflie"]["corrected"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--airframe", "sih_quadx"], "--protocol stillness: wanted motors"),
        (
            ["--seeds", "3"],
            "--seeds: found 3 with stillness, wanted 2 or more, with one of the protocols frozen, randomised",
        ),
        (["--insert", "wind=a:b"], "--insert: found with --protocol stillness, wanted our simulator and another protocol"),
    ],
)
def test_what_does_not_go_with_a_protocol_of_a_package_is_refused(stillness, words, message, capsys):
    assert refused(capsys, "eval", "--guide", *words, "--protocol", "stillness") == message


def test_an_unknown_protocol_is_refused_with_all_that_there_are(stillness, capsys):
    assert ", rotor-loss, rotor-stuck, stillness, thrown, or randomised-NAME, such as randomised-figure8" in refused(
        capsys, "eval", "--guide", "--protocol", "stilness"
    )


def test_an_airframe_that_answers_late_flies_on_random_plants(late_file, capsys):
    assert main(["eval", "--guide", "--airframe", late_file, "--protocol", "randomised-figure8"]) == 0
    assert "airframe late, 64 vehicles, 13 s, span +-1 m, randomised plants" in capsys.readouterr().out


@pytest.mark.parametrize(("dead_time", "delay"), [(0.0, 2), (0.02, 2), (0.025, 1), (0.03, 1), (0.04, 0)])
def test_random_plants_answer_at_most_forty_milliseconds_late(dead_time, delay):
    craft = late(dead_time)
    assert randomised(craft).delay == delay
    require_short_delays(craft, randomised(craft))


def test_a_model_of_an_airframe_of_ones_own_is_refused_with_the_option_that_names_its_file(tmp_path, capsys):
    path = tmp_path / "mine.safetensors"
    contract = dataclasses.replace(small_checkpoint.CONTRACT, airframe="mine")
    checkpoint.save(path, small_checkpoint.make_weights(), contract)
    message = refused(capsys, "eval", str(path))
    assert message.startswith(f"{path}: airframe 'mine' not found; known: ") and "--airframe FILE" in message


def test_two_policies_of_one_file_name_both_stand_in_the_table_beside_the_guide(tmp_path):
    models, written = [tmp_path / name / "policy.safetensors" for name in "ab"], tmp_path / "figures.json"
    contract = dataclasses.replace(small_checkpoint.CONTRACT, airframe_hash=airframe.load("crazyflie").hash)
    for seed, model in enumerate(models):
        model.parent.mkdir()
        checkpoint.save(model, small_checkpoint.make_weights(seed), contract)
    assert main(["eval", *map(str, models), "--guide", "--json", str(written), "--protocol", "frozen"]) == 0
    names = list(json.loads(written.read_text())["frozen"])
    assert [name for name in names if "after 50" in name] == [f"  {model} after 50 guide-flown steps" for model in models]
