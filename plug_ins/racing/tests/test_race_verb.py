"""`spike-ctrl race` from the command line."""

import argparse
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from spike_ctrl import airframe
from spike_ctrl._files import json_lines
from spike_ctrl._files.errors import UsageError
from spike_ctrl.certification.flight_outcome import FlightOutcome
from spike_ctrl.cli import main
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import CheckpointError
from spike_ctrl_racing import race_flights, race_training, race_verb, track_sampler
from spike_ctrl_racing.race_certificate import CertifiedRace


def _run(*words):
    parser = argparse.ArgumentParser()
    race_verb.add(parser)
    return race_verb.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A policy at its random start, which soon falls."""
    path, racer = tmp_path_factory.mktemp("model") / "fresh.safetensors", airframe.load("racer")
    race_training.save(path, race_training.network((16, 16), racer, 0), racer, "", 0, "", "")
    return path


def test_a_race_gives_a_table_figures_and_a_picture(model, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert _run("split_s", model, "--drawn", 3, "--json", tmp_path / "f.json", "--plot", tmp_path / "p.png") == 0
    table = capsys.readouterr().out.splitlines()
    assert table[-3].split()[:3] == ["model", "course", "completed"]
    assert table[-2].split()[:2] == ["fresh", "split_s"] and table[-1].split()[:3] == ["fresh", "3", "drawn"]
    (figures,) = json.loads((tmp_path / "f.json").read_text())
    assert [race["track"] for race in figures["races"]] == ["split_s", *(f"drawn-1000000-{n}" for n in range(3))]
    assert figures["drawn"]["completed"] == 0
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_noise_and_late_commands_change_the_flight_and_stand_in_the_figures(model, tmp_path):
    told = []
    for words in ([], ["--noise", 1], ["--late", 4]):
        assert _run("split_s", model, "--rounds", 1, "--json", tmp_path / "f.json", *words) == 0
        told += json.loads((tmp_path / "f.json").read_text())
    assert [(one["noise"], one["late"]) for one in told] == [(0, 0), (1, 0), (0, 4)]
    assert len({one["races"][0]["speed"] for one in told}) == 3


def test_the_checkpoint_says_that_it_sees_gates(model):
    contract = checkpoint.load(model).manifest.contract
    assert (contract.observation, contract.sizes[0], contract.airframe) == ("racing_30", 30, "racer")


@pytest.mark.parametrize("recurrent", [False, True])
def test_a_checkpoint_goes_back_to_the_network_it_came_from(recurrent, tmp_path):
    racer, model = airframe.load("racer"), tmp_path / "any.safetensors"
    network = race_training.network((16, 12), racer, 0, recurrent=recurrent)
    race_training.save(model, network, racer, "", 0, "", "")
    loaded = checkpoint.load(model)
    again = race_training.network_of(loaded.weights, 1, loaded.manifest.contract.neuron)
    assert again.neuron.recurrent is recurrent
    for name, value in network.weights().items():
        assert again.weights()[name] == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["split_s"], "MODEL: found none"),
        (["models/crazyflie.safetensors", "split_s"], "observation: found setpoint_frame_18"),
        (["split", "x.safetensors"], "'split' is no course and no model: wanted a course"),
        (["x.safetensors"], "TRACK: found none, wanted a course or --drawn N"),
        (["split_s", "x.safetensors", "--rounds", "0"], "--rounds: found 0, wanted 1 to 100"),
        (["train"], "-o: found none"),
        (["train", "nope", "-o", "x.safetensors"], r"'nope' is no course and no recipe: wanted .*, racer_gates_calm, "),
        (["train", "split_s", "racer_gates_calm", "-o", "x.safetensors"], "'racer_gates_calm' is no course: wanted a "),
        (["train", "split_s", "-o", "x.txt"], "--output: found x.txt, wanted a name that ends in .safetensors"),
        (
            ["train", "split_s", "-o", "models/x500.safetensors"],
            "found the model models/x500.safetensors, wanted a file",
        ),
        (["split_s", "x.safetensors", "--plot", "picture"], "--plot: found picture, wanted a name that ends in .png"),
        (["split_s", "x.safetensors", "--plot", "x.foo"], "--plot: found x.foo, wanted a name that ends in .png"),
        (["split_s", "a/x.safetensors", "b/x.safetensors", "--plot", "x.png"], "--plot: found a/x.safetensors, b/x"),
        (["split_s", "x.safetensors", "--film", "x.txt"], "--film: found x.txt, wanted a name that ends in .gif"),
        (["room"], "race room: found none, wanted a course and a model"),
        (["draw", "-o", "x.txt"], "--output: found x.txt, wanted a name that ends in .yaml or .yml"),
    ],
)
def test_what_is_refused(words, message, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[3])
    with pytest.raises(UsageError, match=message):
        _run(*words)


def test_a_training_writes_a_policy_that_races(tmp_path, capsys):
    out = tmp_path / "mine.safetensors"
    assert _run("train", "lemniscate", "-o", out, "--updates", 1) == 0
    assert _run("lemniscate", out, "--rounds", 1) == 0
    assert "lemniscate" in capsys.readouterr().out


def test_the_shipped_policy_flies_courses_that_it_has_never_seen():
    loaded = checkpoint.load(race_verb.find_model("racer_gates"))
    courses = [track_sampler.draw(race_verb.HELD_OUT, number) for number in range(24)]
    races = [race for race, _ in race_flights.fly_race(loaded.policy, courses, airframe.load("racer"), rounds=1)]
    found = race_flights.summary(races)
    assert found.completed > 0.85 and found.speed > 7.0


def test_the_shipped_policy_is_small():
    assert race_verb.find_model("racer_gates").stat().st_size < 300_000


def test_a_policy_races_another_vehicle_if_its_commands_are_the_same(tmp_path):
    speeds = []
    for words in ([], ["--airframe", "racer_battery"], ["--airframe", "sih_quadx"]):
        assert _run("hall", "racer_gates", "--rounds", 1, "--seconds", 1, "--json", tmp_path / "f.json", *words) == 0
        (told,) = json.loads((tmp_path / "f.json").read_text())
        speeds.append((told["airframe"], told["races"][0]["fastest"]))
    assert [name for name, _ in speeds] == ["racer", "racer_battery", "sih_quadx"]
    assert speeds[1][1] > speeds[0][1] > speeds[2][1]  # a full battery is stronger, a heavy vehicle slower
    with pytest.raises(CheckpointError, match="action"):
        _run("hall", "racer_gates", "--airframe", "crazyflie")


def test_the_racer_with_a_battery_is_the_racer_otherwise():
    plain, weighed = airframe.load("racer"), airframe.load("racer_battery")
    assert replace(weighed, name="racer", battery=None) == plain
    empties = weighed.battery.endurance / 60
    assert 1 < empties < 2  # minutes at full thrust


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["split_s", "--bag", "flown", "--json", "f.json"], "--json: found it with race --bag, where it does nothing"),
        (["train", "racer_gates", "-o", "mine.safetensors", "--noise", 1], "--noise: found it with race train"),
        (["certify", "hall", "racer_gates", "--airframe", "racer_battery"], "--airframe: found it with race certify"),
        (
            ["train", "racer_gates_robust", "--from", "racer_gates", "-o", "mine.safetensors"],
            "found a plain network, wanted a recurrent one",
        ),
        (["hall", "racer_gates", "--from", "racer_gates"], "--from: found it with race, where it does nothing"),
        (["racer_gates", "--drawn", 1, "--reference"], "--reference: found no named course"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(words, message):
    with pytest.raises(UsageError, match=message):
        _run(*words)


def test_a_certificate_of_a_policy_that_begins_no_race_ends(model, tmp_path, monkeypatch):
    monkeypatch.setattr("spike_ctrl_racing.race_certificate.RaceCertificate.faulty", lambda self, seed: ([], True))
    with pytest.raises(UsageError, match="began none of 10 races without a fault"):
        _run("certify", "hall", "racer_gates", "--rounds", 1, "--folder", tmp_path, "--workers", 1)


def test_ctrl_c_ends_a_certificate_within_its_race_and_tells_the_races_before(tmp_path, monkeypatch, capsys):
    outcome = FlightOutcome(0, "frozen", "race", "", "frozen at 3 s", -0.5, 0.2, 0.1, "", "LAND", 12.0)

    races = tmp_path / "races.jsonl"

    def faulty(self, seed):
        if seed == 2:
            with pytest.raises(UsageError, match="another process is writing to it"), json_lines.alone(races):
                pass
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("the race goes on")
        return [CertifiedRace(outcome, "fastest", 9.5, -0.5)], False

    monkeypatch.setattr("spike_ctrl_racing.race_certificate.RaceCertificate.faulty", faulty)
    assert _run("certify", "hall", "racer_gates", "--rounds", 1, "--folder", tmp_path, "--workers", 1) == 130
    shown = capsys.readouterr()
    assert "races without a fault: 2, ended early by the guide: 0" in shown.out and "stopped: 2 of " in shown.err
    with json_lines.alone(races):
        pass


@pytest.mark.parametrize(
    "words",
    [
        "eval {}", "eval {} --protocol circle", "eval {} --protocol thrown", "report {}", "silicon widths {}",
        "silicon cost {}", "silicon loihi {}", "inspect {} --readout readout.png",
    ],
)  # fmt: skip
def test_a_verb_that_flies_to_a_set_point_refuses_a_policy_of_a_race(words, capsys):
    model = Path(race_verb.__file__).parent / "models" / "racer_gates.safetensors"
    assert main.main([str(model) if word == "{}" else word for word in words.split()]) == 2
    told = f"error: {model}: observation: found 'racing_30', wanted 'setpoint_frame_18'"
    assert capsys.readouterr().err.startswith(told)
