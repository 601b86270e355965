"""The references of real flights, and what is counted: survivors, error, lag, change of the command."""

import math
from dataclasses import replace

import numpy as np
import pytest

from spike_ctrl.airframe import Airframe
from spike_ctrl.cli.main import main
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.evaluation.controllers import FunctionController, GuideController
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl_benchmark import real_flights


@pytest.fixture(scope="module")
def craft():
    return Airframe.load("crazyflie")


def test_a_circle_of_one_metre_at_half_a_metre_per_second_takes_four_pi_seconds():
    circle = real_flights.references()["circle slow"]
    assert circle.period == pytest.approx(4 * math.pi, rel=1e-3)
    assert circle.fastest == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("name", ["trefoil slow", "trefoil medium", "trefoil fast"])
def test_the_velocity_of_a_trefoil_is_the_slope_of_its_position_and_its_mean_is_the_speed(name):
    path = replace(real_flights.references()[name], lead=0.0)
    times = np.linspace(0, path.period, 200)
    ahead, before = (np.array([path.shape(t + dt)[0] for t in times]) for dt in (1e-4, -1e-4))
    velocity = np.array([path.shape(t)[1] for t in times])
    np.testing.assert_allclose((ahead - before) / 2e-4, velocity, atol=1e-6)
    speed = real_flights.SPEEDS[name.split()[1]]
    assert np.linalg.norm(velocity[:-1], axis=1).mean() == pytest.approx(speed, rel=0.01)
    reach = np.abs([path.shape(t)[0] for t in times]).max(0)
    assert (reach <= [1.0, 1.0, 0.15 + 1e-9]).all()


def test_a_guide_that_knows_its_vehicle_loses_none_and_a_motor_that_stands_still_loses_all(craft):
    flown = real_flights.follow(
        GuideController(GeometricGuide(craft)), craft, Randomisation(), 16, real_flights.references()["circle slow"]
    )
    assert flown.survival == 1.0
    assert flown.rmse_lagged <= flown.rmse < 0.1 and flown.change < 0.05
    assert flown.lost_after == math.inf and flown.to_dict()["half_lost_after_s"] is None
    fallen = real_flights.follow(
        FunctionController(lambda seen: -np.ones((len(seen), 4))), craft, Randomisation(), 16,
        Trajectory("hover", lead=0.0),
    )  # fmt: skip
    assert fallen.survival == 0.0 and math.isnan(fallen.rmse)
    assert math.sqrt(2 / 9.80665) < fallen.lost_after < 0.65  # a fall of LOST, while the rotors run down


def test_a_vehicle_that_follows_a_third_of_a_second_late_has_that_lag_and_no_other_error(monkeypatch, craft):
    path = real_flights.references()["circle fast"]
    count = int(100 * real_flights.SECONDS)
    times = path.lead + (1 + np.arange(count)) / 100
    centre = np.array(path.centre)
    where, late = (np.array([path.at(t - dt).position for t in times]) - centre for dt in (0, 0.33))
    flown = real_flights.FollowedErrors((late - where)[:, None], np.array([0.0]))
    monkeypatch.setattr(real_flights, "errors", lambda *_: flown)
    found = real_flights.follow(None, craft, Randomisation(), 1, path)
    assert found.lag == pytest.approx(0.33, abs=0.02)
    assert found.rmse_lagged < 0.01 < 0.2 < found.rmse


def test_the_table_of_three_controllers_fits_eighty_columns():
    flights = {name: real_flights.RealFlight(0.99, 0.051, 0.043, 0.2, 0.02, math.inf) for name in real_flights.references()}
    lines = real_flights.reference_table(
        {"models/crazyflie.safetensors": flights, "PID": flights, "RAPTOR": flights}
    ).splitlines()
    assert max(map(len, lines)) <= 80 and sum("circle fast" in line for line in lines) == 3


@pytest.mark.parametrize("protocols", [["real-flights"], ["hover", "real-flights"]])
def test_an_airframe_without_a_battery_is_refused_also_beside_other_protocols(protocols, capsys):
    assert main(["eval", "models/crazyflie.safetensors", "--protocol", *protocols]) == 2
    assert "found airframe crazyflie without a battery, wanted one that was identified" in capsys.readouterr().err
