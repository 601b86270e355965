"""The bound on the way of a vehicle that stops, against simulated vehicles whose last commands were bad."""

import math

import pytest
from stopping_flights import fly

from spike_ctrl import airframe
from spike_ctrl_racing.stopping import Stopping


@pytest.fixture(scope="module")
def racer():
    return Stopping.of(airframe.load("racer"))


def test_no_simulated_way_is_longer_than_the_bound():
    ways, bound = fly(2000, seed=1)
    assert (ways <= bound + 1e-6).all()
    assert (ways.max(1) > 0.3 * bound[range(2000), ways.argmax(1)]).any()  # nor is it out of all proportion


def test_the_bound_is_not_shorter_than_the_way_of_a_perfect_brake(racer):
    """At once at the braking axis, without dead time: v^2 / (2 g tan(tilt))."""
    for speed in (1.0, 5.0, 10.0):
        assert racer.ways((speed, 0.0, 0.0), (0.0, 0.0, 1.0))[3] > speed**2 / (2 * 9.81 * math.tan(racer.tilt))


@pytest.mark.parametrize("field", ["dead", "lag", "swing", "strong"])
def test_a_worse_vehicle_gets_farther(racer, field):
    worse = Stopping(**{**vars(racer), field: 1.3 * getattr(racer, field)})
    state = (6.0, -2.0, 1.0), (0.3, 0.0, math.sqrt(1 - 0.09))
    assert all(after >= before for before, after in zip(racer.ways(*state), worse.ways(*state), strict=True))
    assert sum(worse.ways(*state)) > sum(racer.ways(*state))


def test_east_and_west_are_mirror_images(racer):
    up = math.sqrt(1 - 0.26)
    west, south, below, east, north, above = racer.ways((4.0, 1.0, -2.0), (0.5, 0.1, up))
    assert racer.ways((-4.0, 1.0, -2.0), (-0.5, 0.1, up)) == pytest.approx((east, south, below, west, north, above))


def test_faster_means_farther(racer):
    ways = [racer.ways((v, 0.0, 0.0), (0.0, 0.0, 1.0))[3] for v in range(13)]
    assert ways == sorted(ways) and ways[8] < 13
