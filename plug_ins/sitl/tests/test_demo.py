"""A demonstration flight: what it refuses leaves nothing behind, and what of it is judged."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from refusal import refused

from spike_ctrl._files import resources
from spike_ctrl.cli import main
from spike_ctrl.flight.faults import Rung
from spike_ctrl.policy import checkpoint
from spike_ctrl_sitl import plant_sweep
from spike_ctrl_sitl.path_error import flown_track
from spike_ctrl_sitl.true_states import Truth

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["-o", "/proc/x/y"], "--output /proc/x/y: cannot be written (No such file or directory)"),
        (["--plants", "noise:=loud"], "the value of noise: found 'loud', wanted float"),
        (["--plants", "seed:=-1"], "seed: found -1, wanted 0 to 4294967295"),
        (["--plants", "-o", "figures"], "--output: found figures with --plants, wanted none: it writes no files"),
    ],
)
def test_what_the_demo_cannot_use_is_refused_by_its_option(arguments, message, capsys):
    assert refused(capsys, "demo", *arguments) == message


def test_a_demo_that_the_launch_refuses_says_so_once_and_leaves_no_folder(tmp_path, capfd):
    assert main.main(["demo", "foo:=1", "-o", str(tmp_path / "out")]) == 2
    shown = capfd.readouterr()
    assert shown.out == "" and shown.err.startswith("launch: unknown argument 'foo'") and shown.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_demo_whose_folder_has_too_long_a_name_is_refused(tmp_path, capsys):
    long = tmp_path / ("a" * 300)
    assert refused(capsys, "demo", "--output", str(long)) == f"--output {long}: cannot be written (File name too long)"


def test_a_demo_that_is_ended_ends_its_flight(tmp_path):
    flight = tmp_path / "flight"
    flight.write_text("#!/bin/sh\ntrap 'exit 7' TERM\nsleep 1\nkill $PPID\nfor n in $(seq 100); do sleep .1; done\n")
    flight.chmod(0o755)
    code = "import pathlib, sys; from spike_ctrl_sitl import demo_verb\n"
    code += "sys.executable = sys.argv[1]; print(demo_verb._fly(pathlib.Path('out'), []))"
    ended = subprocess.run([sys.executable, "-c", code, flight], capture_output=True, text=True, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "7\n"), ended.stderr


def test_of_a_recorded_flight_only_the_policys_part_counts_by_the_truth_at_the_vehicles_own_time():
    received = np.arange(5) * 10**7
    rungs = np.array([Rung.GUIDE, Rung.GUIDE, Rung.SNN, Rung.SNN, Rung.LAND])
    position, set_point = np.full((5, 3), 7.0), np.full((5, 3), 1.0)
    stamp = 100 + np.arange(5) * 0.01
    log = SimpleNamespace(received=received, stamp=stamp, position=position, set_point=set_point, rung_at=lambda _: rungs)
    times = np.array([100.0, 100.02, 100.04])
    true = Truth(times, np.array([[0.0, 0, 0], [2.0, 0, 0], [6.0, 0, 0]]), None, None, None)
    found = flown_track(log, true)
    np.testing.assert_allclose(found.time, [0, 0.01], atol=1e-9)
    np.testing.assert_allclose(found.true[:, 0], [2.0, 4.0], atol=1e-9)
    np.testing.assert_allclose(found.error, np.linalg.norm([[1.0, -1, -1], [3.0, -1, -1]], axis=1))
    log.rung_at = lambda _: np.full(5, Rung.GUIDE)
    assert flown_track(log, true) is None


def test_the_plants_of_an_airframe_are_flown_by_its_shipped_model(monkeypatch, capsys):
    flown = []
    monkeypatch.setattr(plant_sweep, "fly_plants", lambda policy, craft, *_: flown.append((policy, craft)) or [])
    assert main.main(["demo", "--plants", "airframe:=x500"]) == 0
    (policy, craft), shipped = flown[0], checkpoint.load(resources.find("models", "x500.safetensors"))
    assert craft.name == "x500"
    for own, wanted in zip(policy.theta, shipped.policy.theta, strict=True):
        np.testing.assert_array_equal(own, wanted)
