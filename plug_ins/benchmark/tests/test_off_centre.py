"""A centre of mass beside the middle: as a vehicle whose rotors lie so; and the options that draw such vehicles."""

import json
from dataclasses import replace

import numpy as np
import pytest

from spike_ctrl import airframe as airframes
from spike_ctrl.cli.main import main
from spike_ctrl.sim.airframe_sampler import AirframeRanges
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl_benchmark import any_airframe, off_centre

CRAFT, SHARE = airframes.load("crazyflie"), 0.2


def test_the_torque_is_that_of_rotors_that_lie_aside():
    angle, arm = 2.1, np.hypot(CRAFT.rotor_x[0], CRAFT.rotor_y[0])
    x, y = SHARE * arm * np.cos(angle), SHARE * arm * np.sin(angle)
    aside = replace(CRAFT, rotor_x=tuple(r - x for r in CRAFT.rotor_x), rotor_y=tuple(r - y for r in CRAFT.rotor_y))
    true, told, plain = (Environment(craft, 1, Task(box=1e3)) for craft in (aside, CRAFT, CRAFT))

    def at_angle(step):
        step.memory["angle"] = np.array([angle])
        return {"torque": step.torque + off_centre.torque(step, SHARE)}

    told.insert("wind", at_angle)
    for environment in (true, told, plain):
        environment.reset(seed=3)
        for action in np.random.default_rng(1).uniform(-0.3, 0.6, (12, 1, 4)):
            environment.step(action)
    theirs, ours, none = (environment.read(slice(10, 13))[0] for environment in (true, told, plain))
    turned = np.linalg.norm(theirs - none)
    assert turned > 5 and np.linalg.norm(ours - theirs) < 0.05 * turned


def test_each_vehicle_is_off_centre_in_a_direction_of_its_own_and_the_same_one_again():
    first, again, other = (off_centre.displaced(SHARE)(CRAFT, 8, Task(box=1e3)) for _ in range(3))
    for environment, seed in ((first, 1), (again, 1), (other, 2)):
        environment.reset(seed=seed)
        environment.step(np.zeros((8, 4)))
    rates = [environment.read(slice(10, 13)) for environment in (first, again, other)]
    assert np.array_equal(rates[0], rates[1]) and not np.array_equal(rates[0], rates[2])


def test_ranges_that_are_given_take_the_place_of_the_layouts_own():
    found = any_airframe.ranges("rates", "late: [0, 1], force: 0")
    assert (found.late, found.force) == ((0.0, 1.0), 0.0) and found.mass == any_airframe.RATES.mass
    assert any_airframe.ranges("motors", None) == AirframeRanges()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--ranges", "tirm: 0"], "--ranges: unknown key 'tirm'; did you mean 'trim'?"),
        (["--ranges", "trim: ["], "--ranges: found 'trim: [', wanted YAML such as"),
        (["--ranges", "trim: 0, trim: 1"], "key 'trim' is given twice"),
        (["--ranges", "trim: 2001-99-99"], "--ranges: found 'trim: 2001-99-99', wanted YAML such as"),
        (["--ranges", "lag: [0.2, 0.1]"], "--ranges: lag: found (0.2, 0.1)"),
        (["--off-centre", "2"], "--off-centre: found 2, wanted 0 to 1"),
        (["--off-centre", "0.1", "--simulator", "l2f"], "wanted it in our simulator with --protocol airframes"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words(words, error, capsys):
    assert main(["eval", "--guide", "--protocol", "airframes", "--plants", "2", *words]) != 0
    assert error in capsys.readouterr().err


@pytest.mark.parametrize(
    ("protocol", "words", "error"),
    [
        ("thrown", ["--off-centre", "0.1"], "--off-centre: found 0.1, wanted it in our simulator with --protocol airframes"),
        ("thrown", ["--airframe", "crazyflie", "--ranges", "trim: 0"], "--ranges: found it with airframe crazyflie"),
        ("hover", ["--ranges", "trim: 0"], "--ranges: found trim: 0, wanted it in our simulator with --protocol"),
    ],
)
def test_where_nothing_is_drawn_or_moved_aside_the_options_are_refused(protocol, words, error, capsys):
    assert main(["eval", "--guide", "--protocol", protocol, *words]) != 0
    assert error in capsys.readouterr().err


@pytest.mark.slow
def test_the_verb_flies_them(tmp_path, capsys):
    file = tmp_path / "found.json"
    drawn = [
        "--protocol",
        "airframes",
        "--plants",
        "16",
        "--off-centre",
        "0.3",
        "--ranges",
        "trim: 0, thrust_to_weight: [1.5, 2]",
    ]
    assert main(["eval", "models/any_quad.safetensors", *drawn, "--json", str(file)]) == 0
    assert "centre of mass 0.3 of an arm beside the middle, 1 set of 16 airframes" in capsys.readouterr().out
    (one,) = json.loads(file.read_text())["airframes"]["models/any_quad.safetensors"]["sets"]
    assert one["recovered"] < 0.9  # weak ones have no thrust to spare on the heavy side
