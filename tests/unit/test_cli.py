"""The command line: what is wrong is one line and exit code 2, and leaves nothing behind."""

import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from recorded import fly
from refusal import refused

from spike_ctrl import airframe, report
from spike_ctrl._files import resources
from spike_ctrl.cli import main
from spike_ctrl.evaluation.evaluation_result import Evaluation
from spike_ctrl.learn import recipe
from spike_ctrl.learn.run import Run
from spike_ctrl.learn.training_loop import train
from spike_ctrl.policy import checkpoint

pytestmark = pytest.mark.slow

MODEL = str(resources.folder("models") / "crazyflie.safetensors")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["train", "--seed", "-1"], "--seed: found -1, wanted 0 to 4294967295"),
        (["train", "--steps", "-1"], "--steps: found -1, wanted 0 or 1000 to 10000000000"),
        (["train", "--steps", "999"], "--steps: found 999, wanted 0 or 1000 to 10000000000"),
        (
            ["train", "rates"],
            "recipe rates: layout: found 'rates', wanted 'motors' for airframe crazyflie; made for it: recipe default",
        ),
        (
            ["train", "robust", "--airframe", "sih_quadx"],
            "recipe robust: layout: found 'motors', wanted 'rates' for airframe sih_quadx; made for it: recipe rates",
        ),
        (["train", "--vehicles", "0"], "--vehicles: found 0, wanted 1 to 8192"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_a_run_folder_is_made(arguments, message, capsys, tmp_path):
    assert refused(capsys, *arguments, "--run", str(tmp_path / "run")) == message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--seconds", "0.5"], "--seconds: found 0.5, wanted 1 to 600"),
        (["--seconds", "nan"], "--seconds: found nan, wanted 1 to 600"),
        (["--rate", "0"], "--rate: found 0, wanted 50 to 125"),
        (["--height", "nan"], "--height: found nan, wanted 0.5 to 50"),
    ],
)
def test_a_preflight_that_could_tell_nothing_is_refused(arguments, message, capsys):
    assert refused(capsys, "preflight", *arguments) == message


def test_without_an_autopilot_the_preflight_bars_the_flight_however_short_it_listens(capsys):
    assert main.main(["preflight", "--connection", "udpin:127.0.0.1:0", "--seconds", "1"]) == 1
    shown = capsys.readouterr().out
    assert "unmet: autopilot: never heard" in shown and "ready to fly" not in shown


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["experiment", "headline", "--recipe", "rates"],
            "recipe rates: layout: found 'rates', wanted 'motors' for airframe crazyflie; made for it: recipe default",
        ),
        (["gazebo", "-o", "/proc/x"], "--output /proc/x: cannot be written (No such file or directory)"),
        (["truth", "x.csv", "--seconds", "nan"], "--seconds: found nan, wanted 0 to inf"),
        (["gazebo", "--world", "a b/c"], "--world: found 'a b/c', wanted letters, digits and _"),
        (["ask", "take_off", "--setpoint", "0,0,1"], "--setpoint: found with take_off, wanted only with set_target"),
        (["ask", "land", "--period", "nan"], "--period: found with land, wanted only with set_target"),
        (["vehicle", "--rate", "500"], "--rate: found without --px4-hil, wanted with it"),
        (["vehicle", "--home", "47,8,400"], "--home: found without --px4-hil, wanted with it"),
        (["vehicle", "--px4-environment"], "--px4-environment: found without --px4-hil, wanted with it"),
        (
            ["ask", "set_target", "--trajectory", "foo"],
            "--trajectory: found 'foo', wanted one of hover, step, circle, figure8, square, lissajous",
        ),
    ],
)
@pytest.mark.plug_ins
def test_what_a_verb_cannot_use_is_refused_by_its_option(arguments, message, capsys):
    assert refused(capsys, *arguments) == message


@pytest.mark.parametrize("verb, option", [("ask", "--setpoint"), ("preflight", "--cage")])
def test_a_value_that_begins_with_a_minus_is_no_option(verb, option):
    given = ["set_target"] if verb == "ask" else []
    found = main.parser(verb, main.find(verb)).parse_args([*given, option, "-1,0,1.2"])
    assert getattr(found, option[2:]) == "-1,0,1.2"


def test_a_shipped_model_is_found_from_any_folder(tmp_path, monkeypatch, capsys):
    fly(tmp_path / "bag", MODEL, ticks=20)
    monkeypatch.chdir(tmp_path)
    shipped = "models/crazyflie.safetensors"
    assert main.main(["inspect", shipped]) == 0
    assert f"{hashlib.sha256(Path(MODEL).read_bytes()).hexdigest()} of the file" in capsys.readouterr().out
    assert main.main(["replay", "bag", "--model", shipped]) == 0
    assert f"checkpoint: {shipped}, the same by the hash" in capsys.readouterr().out
    assert report.kind(Path(shipped)) == "model"
    assert refused(capsys, "inspect", "models/none.safetensors").startswith(
        "model 'models/none.safetensors' not found; known: "
    )


@pytest.mark.parametrize("verb", ["identify", "retrain"])
@pytest.mark.plug_ins
def test_a_recipe_that_does_not_fit_is_refused_before_the_bag_is_read(verb, capsys):
    assert refused(capsys, verb, "nowhere", "--recipe", "nope").startswith("recipe 'nope' not found; known: ")
    message = "recipe rates: layout: found 'rates', wanted 'motors' for airframe crazyflie; made for it: recipe default"
    assert refused(capsys, verb, "nowhere", "--recipe", "rates") == message


def test_a_former_name_in_a_recipe_is_told_in_a_line_without_code(tmp_path):
    (tmp_path / "old.yaml").write_text("name: old\nalgorithm: model_gradient\nmodel_gradient: {foo: 2}\n")
    command = [sys.executable, "-m", "spike_ctrl.cli.main", "train", "old.yaml"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stderr.splitlines()
    assert told[0] == "warning: recipe old.yaml: model_gradient is now called bptt; the next version refuses model_gradient"
    assert all(line.startswith("warning: ") for line in told[:-1]) and "unknown key 'bptt.foo'" in told[-1]


@pytest.mark.plug_ins
def test_raptor_does_not_fly_an_airframe_that_takes_rates(capsys):
    message = "airframe sih_quadx: action_layout: found 'rates', wanted 'motors'"
    assert refused(capsys, "eval", "--raptor", "--airframe", "sih_quadx") == message


def test_a_model_of_another_airframe_is_refused_by_both_names(capsys):
    message = refused(capsys, "eval", MODEL, "--airframe", "crazyflie_l2f")
    assert message == f"{MODEL}: airframe: found 'crazyflie', wanted 'crazyflie_l2f'"


def test_a_changed_airframe_of_the_same_name_is_refused_by_its_hash(capsys, tmp_path):
    path = tmp_path / "crazyflie.yaml"
    data = yaml.safe_load((resources.folder("config") / "airframes" / "crazyflie.yaml").read_text())
    path.write_text(yaml.safe_dump(data | {"mass": "0.04 kg"}))
    changed = airframe.load(path)
    message = refused(capsys, "eval", MODEL, "--airframe", str(path))
    assert message == f"{MODEL}: airframe_hash: found '{airframe.load('crazyflie').hash}', wanted '{changed.hash}'"


@pytest.mark.installed
def test_inspect_shows_the_flights_as_a_table_and_the_rest_as_before(capsys):
    assert main.main(["inspect", MODEL]) == 0
    shown = capsys.readouterr().out
    lines, manifest = shown.splitlines(), checkpoint.load(MODEL).manifest
    frozen = manifest.evaluation["frozen"]["columns"]["1.5m_start"]
    row = next(line for line in lines if line.startswith("frozen "))
    assert f"{frozen['return_mean']:.1f} ({frozen['survival']:.3f})" in row
    assert max(map(len, lines)) < 125
    for name in [field.name for field in dataclasses.fields(manifest) if field.name != "contract"]:
        assert any(line.startswith(f"{name:<16}") for line in lines)


def test_inspect_shows_an_evaluation_that_is_none_of_ours_as_it_stands(capsys, tmp_path):
    loaded = checkpoint.load(MODEL)
    path = tmp_path / "other.safetensors"
    checkpoint.save(path, loaded.weights, loaded.manifest.contract, evaluation={"frozen": {"columns": [1]}})
    assert main.main(["inspect", str(path)]) == 0
    assert '{"frozen": {"columns": [1]}}' in capsys.readouterr().out


def test_an_evaluation_comes_back_from_what_it_saved():
    figures = checkpoint.load(MODEL).manifest.evaluation["frozen"]
    assert Evaluation.from_dict(figures).to_dict() == figures
    none = figures | {"hover_error_m": {"median": None, "p95": None}}
    assert Evaluation.from_dict(none).to_dict() == none
    with pytest.raises(ValueError, match=r"evaluation: found \{\}, wanted what an evaluation saves"):
        Evaluation.from_dict({})


def test_a_run_is_resumed_with_nothing_but_its_folder_and_a_contradiction_is_refused(tmp_path, monkeypatch, capsys):
    plan = {
        "name": "tiny",
        "task": {"episode_steps": 20, "reward": "start"},
        "network": {"hidden": [8, 8], "slope": {"kind": "fixed", "k": 5}},
        "replay": {"capacity": 4096, "window": 10, "critic_batch": 2, "actor_batch": 2},
        "td3bc": {"burn_in": 2, "critic_updates": 1, "actor_updates": 1},
        "critic_width": 8,
        "schedule": {"steps": 1600, "iteration_steps": 160, "evaluations": 1},
    }
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    about = {"clock": time.monotonic, "command": "", "commit": ""}
    run = Run.start(folder, recipe.from_dict(plan), airframe.load("crazyflie_l2f"), 8, 5, **about)
    looks = iter(range(3))
    assert not train(run, lambda line: None, lambda: next(looks, None) is None)
    run.save()
    run.close()
    assert main.main(["train", "--resume", str(folder), "--vehicles", "16"]) == 2
    assert capsys.readouterr().err == (
        f"error: run {folder}: vehicles: found 16, wanted 8 as when it was started; leave it out to resume\n"
    )
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert main.main(["train", "--resume", str(folder)]) == 0
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    loaded = checkpoint.load(folder / "policy.safetensors", expect={"airframe": "crazyflie_l2f"})
    assert (loaded.manifest.seed, loaded.manifest.recipe) == (5, "tiny")


@pytest.mark.plug_ins
def test_output_that_nobody_reads_any_more_is_no_error(monkeypatch, capfd):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as unread:
        monkeypatch.setattr(sys, "stdout", unread)
        assert main.main(["launch", "flight", "--show-args"]) == 128 + signal.SIGPIPE
    assert capfd.readouterr().err == ""
