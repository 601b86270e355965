"""The protocol airframes: quadrotors that a controller was never told about."""

import json
import math

import numpy as np
import pytest

from spike_ctrl import airframe as airframes
from spike_ctrl._files.json_lines import plain
from spike_ctrl.cli.main import main
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.evaluation.controllers import FunctionController, GuideController, PolicyController
from spike_ctrl.policy import checkpoint
from spike_ctrl_benchmark import airframe_flights
from spike_ctrl_benchmark.compensation import BatteryCompensated, HoverTold

pytestmark = pytest.mark.slow

CARRIER, BEHIND_AUTOPILOTS = airframes.load("any_quad"), airframes.load("any_rates")


def test_a_guide_that_knows_each_quadrotor_hovers_where_one_with_the_nominal_plant_is_lost():
    guide = GeometricGuide(CARRIER)
    told = airframe_flights.fly_airframes(BatteryCompensated(GuideController(guide)), CARRIER, airframes=64)
    untold = airframe_flights.fly_airframes(GuideController(guide, privileged=False), CARRIER, airframes=64)
    assert told.recovered > 0.9 and told.hover_median < 0.01 and told.strayed == 0.0
    assert untold.recovered < told.recovered and untold.hover_median > 0.03 and untold.strayed > 0.1


def test_behind_autopilots_too_a_guide_that_knows_each_quadrotor_hovers_where_one_with_the_nominal_plant_is_off():
    guide = GeometricGuide(BEHIND_AUTOPILOTS)
    told = airframe_flights.fly_airframes(HoverTold(GuideController(guide)), BEHIND_AUTOPILOTS, airframes=64)
    unaware = airframe_flights.fly_airframes(
        GuideController(guide), BEHIND_AUTOPILOTS, airframes=64
    )  # of the throttle of the hover
    assert told.recovered > 0.9 and told.hover_median < 0.01 and unaware.hover_median > 0.1
    with pytest.raises(ValueError, match="wanted an airframe with the layout 'rates'"):
        airframe_flights.fly_airframes(HoverTold(GuideController(GeometricGuide(CARRIER))), CARRIER, airframes=2)


def test_a_policy_trained_behind_many_autopilots_flies_new_ones_better_than_one_trained_behind_its_own():
    many, one = (
        airframe_flights.fly_airframes(
            PolicyController(checkpoint.load(f"models/{name}.safetensors").policy), BEHIND_AUTOPILOTS, airframes=96
        )
        for name in ("any_rates", "sih_quadx")
    )
    assert many.survival > one.survival and many.recovered >= one.recovered and many.strayed == 0.0
    assert many.hover_median < 0.6 * one.hover_median and many.figure8 < 0.8 * one.figure8


def test_rotors_that_never_turn_save_nobody_and_leave_no_figures():
    shares = []
    found = airframe_flights.fly_airframes(
        FunctionController(lambda observation: -np.ones((len(observation), 4))), CARRIER, airframes=8, shown=shares.append
    )
    assert (found.survival, found.recovered, found.strayed) == (0.0, 0.0, 1.0)
    assert plain(found)["hover_median"] is None and math.isnan(found.figure8)
    assert shares == sorted(shares) and shares[-1] == 1.0
    lines = airframe_flights.airframe_table({"off": [found, found]}).splitlines()
    assert len(lines) == 3 and lines[1].split() == ["off", "0.000", "0.000", "-", "-", "-", "1.000", "-", "-", "-"]


def test_the_verb_flies_sets_of_airframes_with_models_of_any_airframe_and_writes_their_figures(tmp_path, capsys):
    file = tmp_path / "found.json"
    words = ["models/crazyflie_robust.safetensors", "--protocol", "airframes", "--plants", "16", "--seeds", "2"]
    assert main(["eval", *words, "--json", str(file)]) == 0
    assert "2 sets of 16 airframes, seeds 51024461 to 51024462" in capsys.readouterr().out
    found = json.loads(file.read_text())
    sets = found["airframes"]["models/crazyflie_robust.safetensors"]["sets"]
    assert found["airframe"] == "any_quad" and len(sets) == 2 and sets[0] != sets[1] and sets[0]["spikes"] > 0


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--guide", "--airframe", "crazyflie"], "found airframe crazyflie without a battery, wanted one with a battery"),
        (
            ["--guide", "--plants", "0"],
            "--plants: found 0, wanted 1 to 8192, with --protocol airframes or rotor-loss or rotor-stuck or thrown",
        ),
        (["models/sih_quadx.safetensors", "--airframe", "any_quad"], "action_layout: found 'motors', wanted 'rates'"),
        (["models/sih_quadx.safetensors", "models/any_quad.safetensors"], "action_layout: found 'rates', wanted 'motors'"),
        (["models/sih_quadx.safetensors", "--raptor"], "action_layout: found 'rates', wanted 'motors'"),
        (["--guide", "--seeds", "1"], "--seeds: found 1 with airframes, wanted 2 or more"),
    ],
)
def test_what_does_not_fit_the_protocol_is_refused_in_words(words, error, capsys):
    assert main(["eval", *words, "--protocol", "airframes"]) != 0
    assert error in capsys.readouterr().err
