"""Drawn airframes in l2f, by what it was told of them: the same flight as in our simulator, and what cannot be told."""

import dataclasses
import json
import math
import sys

import l2f_quads
import numpy as np
import pytest

from spike_ctrl.airframe import GRAVITY
from spike_ctrl.cli.main import main
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.evaluation.controllers import FunctionController
from spike_ctrl.sim.airframe_sampler import AirframeRanges, draw_vehicle
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl_benchmark import airframe_flights, l2f_airframes
from spike_ctrl_benchmark.l2f_environment import L2fEnvironment

SHORT = Trajectory("figure8", lead=0.2, period=1.0)
FAR = np.repeat([1e-5, 1e-4, 3e-5, 1e-3], [3, 9, 3, 3])  # m, 1, m/s, rad/s after .6 s of tumbling


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setitem(sys.modules, "l2f", l2f_quads.StandIn)
    monkeypatch.setattr(airframe_flights, "EPISODE_STEPS", 120)
    monkeypatch.setattr(airframe_flights, "PATH", SHORT)


def test_what_was_drawn_flies_in_our_simulator_as_it_did_in_l2f():
    theirs, ours = l2f_quads.load(), l2f_quads.fly(Environment)
    assert np.array_equal(theirs["start"], ours["start"]), "other airframes are drawn: run tests/oracles/l2f_quads.py"
    assert np.linalg.norm(ours["last"][:, :3] - ours["start"][:, :3], axis=1).min() > 0.05  # each has moved
    assert (np.abs(theirs["last"] - ours["last"]) < FAR).all()
    assert np.abs(theirs["rotors"] - ours["rotors"]).max() < 1e-5


def test_the_adapter_flies_the_equations_of_l2f_as_l2f_did(stand_in):
    theirs, told = l2f_quads.load(), l2f_quads.fly(L2fEnvironment)
    assert (np.abs(theirs["last"] - told["last"]) < FAR).all()


def test_what_was_recorded_of_drawn_airframes_is_what_l2f_does():
    pytest.importorskip("l2f", reason="compiles for minutes: make .venv/done/l2f")
    now = l2f_quads.fly(L2fEnvironment)
    assert all(np.allclose(now[name], kept, atol=1e-5) for name, kept in l2f_quads.load().items())


def test_a_steady_force_and_a_trim_torque_are_told_as_gravity_and_as_thrust_that_adds_up_to_nothing():
    ranges = l2f_airframes.without_air(AirframeRanges())
    vehicle = draw_vehicle(ranges, l2f_quads.CARRIER, 1, 0, 1)
    craft, told = vehicle.airframe, l2f_airframes.dynamics(vehicle)
    gravity = np.array(told["gravity"])
    assert gravity * craft.mass == pytest.approx(np.array(vehicle.force) - (0, 0, craft.mass * GRAVITY))
    more = np.array(told["rotor_thrust_coefficients"])[:, 0] - craft.thrust_curve[0]
    places, spin = np.array(told["rotor_positions"]), np.array(told["rotor_torque_directions"])[:, 2]
    torque = (places[:, 1] * more).sum(), -(places[:, 0] * more).sum(), craft.torque_per_thrust * (spin * more).sum()
    assert more.sum() == pytest.approx(0, abs=1e-9 * craft.mass)
    assert torque == pytest.approx(craft.trim_moment) and max(map(abs, craft.trim_moment)) > 0


def test_an_airframe_without_air_is_the_one_that_is_drawn_with_it_but_for_its_drag():
    bare, whole = (
        draw_vehicle(ranges, l2f_quads.CARRIER, 1, 5, 1)
        for ranges in (l2f_airframes.without_air(AirframeRanges()), AirframeRanges())
    )
    none = {"angular_drag": 0.0, "body_drag": (0.0, 0.0, 0.0), "velocity_moment": (0.0, 0.0)}
    assert dataclasses.replace(whole.airframe, **none) == bare.airframe and whole.airframe != bare.airframe
    with pytest.raises(ValueError, match="airframe drawn: found drag, wanted none: l2f has no air"):
        l2f_airframes.dynamics(whole)


def test_raptors_airframes_keep_the_ranges_that_its_training_names():
    drawn = [l2f_airframes.draw_as_raptor(4, number, 1).airframe for number in range(400)]
    ratio, mass = (np.array([getattr(craft, name) for craft in drawn]) for name in ("thrust_to_weight", "mass"))
    most = ratio * mass * GRAVITY / 4
    angular = math.sqrt(2) * np.array([c.rotor_x[0] for c in drawn]) * most / [c.inertia[0] for c in drawn]
    up, down, yaw = (np.array([getattr(c, name) for c in drawn]) for name in ("lag_up", "lag_down", "torque_per_thrust"))
    for values, low, high in (
        (ratio, 1.5, 5), (np.cbrt(mass), 0.02 ** (1 / 3), 5 ** (1 / 3)), (angular, 40, 1200), (up, 0.03, 0.1),
        (down, 0.03, 0.3), (yaw, 0.005, 0.05),
    ):  # fmt: skip
        share = (values - low) / (high - low)
        assert share.min() > -1e-6 and share.max() < 1 + 1e-6 and share.min() < 0.02 and share.max() > 0.98
        assert abs(share.mean() - 0.5) < 0.06  # uniform
    low, high = AirframeRanges().lag_down
    assert sum((down / up < low) | (down / up > high)) > 200  # most are not of ours


def test_raptors_airframes_are_distributed_as_its_own_sampler_gives_them():
    """Quantiles .05, .5, .95 of 20 000 draws by `sample_initial_parameters` of l2f 2.0.18, compiled with those ranges."""
    theirs = {
        "mass": (0.03929, 0.9478, 4.399), "x": (0.02777, 0.08007, 0.1372), "jx": (2.1e-5, 1.561e-3, 2.22e-2),
        "jz": (3.8e-5, 2.895e-3, 4.116e-2), "ratio": (1.688, 3.280, 4.829), "force": (0.00608, 0.2765, 4.440),
    }  # fmt: skip
    drawn = [l2f_airframes.draw_as_raptor(4, number, 1) for number in range(3000)]
    crafts = [one.airframe for one in drawn]
    ours = {
        "mass": [c.mass for c in crafts], "x": [c.rotor_x[0] for c in crafts], "jx": [c.inertia[0] for c in crafts],
        "jz": [c.inertia[2] for c in crafts], "ratio": [c.thrust_to_weight for c in crafts],
        "force": [np.linalg.norm(one.force) for one in drawn],
    }  # fmt: skip
    for name, wanted in theirs.items():
        assert np.quantile(ours[name], (0.05, 0.5, 0.95)) == pytest.approx(wanted, rel=0.2), name
        assert np.median(ours[name]) == pytest.approx(wanted[1], rel=0.1), name


def test_a_controller_flies_raptors_airframes_in_l2f_without_a_battery(stand_in):
    def simulator(carrier, vehicles, task):
        return L2fEnvironment(carrier, vehicles, task, l2f_airframes.draw_as_raptor)

    environment = simulator(l2f_quads.CARRIER, 3, l2f_quads.TASK)
    environment.reset(seed=1)
    environment.step(np.ones((3, 4)))
    with pytest.raises(ValueError, match="insert wind: found with vehicles that l2f moves, wanted none"):
        environment.insert("wind", lambda step: step.force)
    assert (environment.voltage == np.float32(l2f_quads.CARRIER.battery.nominal)).all()
    fall = FunctionController(lambda observation: -np.ones((len(observation), 4)))
    found = airframe_flights.fly_airframes(
        fall, l2f_quads.CARRIER, ranges=l2f_quads.TASK.airframes, airframes=2, simulator=simulator
    )  # fmt: skip
    assert (found.survival, found.strayed) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (
            ["--simulator", "l2f"],
            "--simulator: found l2f with --protocol frozen, wanted l2f alone with --protocol airframes",
        ),
        (["--simulator", "l2f", "crazyflow", "--protocol", "airframes"], "l2f alone with --protocol airframes alone"),
        (["--protocol", "airframes", "--drawn-by", "raptor"], "--drawn-by: found raptor, wanted it with --simulator l2f"),
    ],
)
def test_what_does_not_go_with_l2f_is_refused_in_words(words, error, capsys):
    assert main(["eval", "--guide", *words]) != 0
    assert error in capsys.readouterr().err


def test_without_l2f_the_verb_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "l2f", None)
    assert main(["eval", "--guide", "--protocol", "airframes", "--simulator", "l2f"]) != 0
    assert "the package l2f is missing: pip install -r requirements/l2f.txt" in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError, match="package l2f is missing"):
        L2fEnvironment(l2f_quads.CARRIER, 1, l2f_quads.TASK)


def test_the_verb_flies_in_ours_and_in_l2f_and_writes_both(stand_in, tmp_path, capsys):
    file = tmp_path / "found.json"
    words = ["--protocol", "airframes", "--simulator", "l2f", "--plants", "2", "--json", str(file)]
    assert main(["eval", "--guide", *words]) == 0
    told = capsys.readouterr().out
    assert "without drag, in our simulator: 1 set of 2" in told and "without drag, in l2f: 1 set of 2" in told
    both = json.loads(file.read_text())["airframes"]["guide, told each plant"]
    assert both["sets"][0]["hover_median"] == pytest.approx(both["without_l2f"]["sets"][0]["hover_median"], rel=0.05)


def test_a_task_that_draws_nothing_is_refused(stand_in):
    with pytest.raises(ValueError, match="wanted airframes and no noise"):
        L2fEnvironment(l2f_quads.CARRIER, 1, Task())
