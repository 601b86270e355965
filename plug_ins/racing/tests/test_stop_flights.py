"""The predicted stops of a race, against vehicles of the training's environment whose last commands were anything."""

import math

import numpy as np
import pytest
from race_stops import fly

from spike_ctrl import airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl_racing.stop_flights import StopFlights, StopLimits

LEVEL = (0.0, 0.0, 0.0, 1.0)


@pytest.fixture(scope="module")
def stops():
    racer = airframe.load("racer")
    return StopFlights(racer, GeometricGuide(racer))


def test_hardly_a_way_is_longer_than_predicted():
    ways, told = fly(200, seed=9)
    beyond = np.concatenate([told[:, :3] - ways[:, :3], ways[:, 3:] - told[:, 3:]], 1)
    assert (beyond.max(1) > 0.02).mean() < 0.1 and beyond.max() < 0.5
    assert np.abs(ways[:, [0, 1, 3, 4]]).max(1).sum() > 0.6 * np.abs(told[:, [0, 1, 3, 4]]).max(1).sum()


def test_a_stop_is_far_shorter_than_the_proved_bound_and_longer_than_a_perfect_brake(stops):
    for speed in (4.0, 8.0, 10.0):
        low, high = stops.reach((speed, 0.0, 0.0), LEVEL, (0.0, 0.0, 0.0), None)
        assert speed**2 / (2 * 9.81 * math.tan(math.radians(60))) < high[0] < 0.08 * speed**2 + 1.5
        assert low[0] > -0.5


def test_a_stop_does_not_depend_on_the_direction(stops):
    _, east = stops.reach((8.0, 0.0, 0.0), LEVEL, (0.0, 0.0, 0.0), None)
    half = math.sqrt(0.5)
    _, north = stops.reach((0.0, 8.0, 0.0), (0.0, 0.0, half, half), (0.0, 0.0, 0.0), None)
    assert north[1] == pytest.approx(east[0], rel=1e-3)


def test_longer_dead_time_and_weaker_plants_get_farther():
    racer = airframe.load("racer")
    ways = [
        StopFlights(racer, GeometricGuide(racer), limits=limits).reach((8.0, 0.0, 0.0), LEVEL, (0.0, 0.0, 0.0), None)[1][0]
        for limits in (StopLimits(), StopLimits(dead=0.15), StopLimits(spread=0.3))
    ]
    assert ways[1] > ways[0] + 0.5 and ways[2] > ways[0]
