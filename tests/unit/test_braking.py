"""The braking invariant bounds what the simulated autopilot needs, and no speed is granted from which it would not stop.

- the way to rest at every speed, after a loss of commands and in HOLD, also with plants that are a fifth off
- the granted speed is the one whose way to rest just fits
- a set-point that is granted reaches the wanted one and never moves faster than that
"""

import math

import pytest

from spike_ctrl import airframe
from spike_ctrl.certification.flight_core import PARAMETERS
from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.braking import Braking
from spike_ctrl.flight.faults import Fault
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.granted_setpoint import grant
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.simulated_px4 import braking_measurement

CRAFT, BRAKING = airframe.load("sih_quadx"), Braking()
LOW, HIGH = (-3.0, -3.0, 0.0), (3.0, 3.0, 3.0)
PLANTS = [(1.0, 1.0, 1.0), (1.2, 0.9, 1.2), (0.9, 1.2, 0.8)]


@pytest.mark.parametrize("lost", [True, False], ids=["commands stop", "hold"])
@pytest.mark.parametrize("factors", PLANTS, ids=str)
def test_the_simulated_autopilot_stops_within_the_way_that_is_reckoned_with(factors, lost):
    plant = airframe.altered(CRAFT, *factors)
    for speed, way in braking_measurement.measure(plant, (1.0, 0.0, 0.0), PARAMETERS, lost).items():
        assert way <= BRAKING.end((0.0, 0.0, 0.0), (speed, 0.0, 0.0))[0] + 0.1, speed


@pytest.mark.parametrize("lost", [True, False], ids=["commands stop", "hold"])
@pytest.mark.parametrize("up", [1.0, -1.0], ids=["up", "down"])
def test_the_vehicle_as_described_stops_within_it_upwards_and_downwards_too(up, lost):
    # One with another weight also sinks or climbs by .4 m until the autopilot has learned its hover thrust.
    for speed, way in braking_measurement.measure(CRAFT, (0.0, 0.0, up), PARAMETERS, lost).items():
        assert way <= BRAKING.end((0.0, 0.0, 0.0), (0.0, 0.0, speed))[2] + 0.05, speed


@pytest.mark.parametrize("direction", [(1.0, 0.0, 0.0), (0.6, 0.0, -0.8), (-0.6, 0.64, 0.48)])
def test_from_the_granted_speed_the_way_to_rest_just_fits(direction):
    position = (0.5, -1.0, 1.0)
    speed = BRAKING.speed(position, direction, LOW, HIGH)
    assert BRAKING.beyond(position, tuple(speed * d for d in direction), LOW, HIGH) <= 1e-9
    assert BRAKING.beyond(position, tuple(1.3 * speed * d for d in direction), LOW, HIGH) > 0


def test_at_the_wall_no_speed_towards_it_is_granted_and_any_away_from_it():
    assert BRAKING.speed((3.0, 0.0, 1.0), (1.0, 0.0, 0.0), LOW, HIGH) == 0.0
    assert BRAKING.speed((3.0, 0.0, 1.0), (-1.0, 0.0, 0.0), LOW, HIGH) > 2.0


def test_a_granted_set_point_reaches_the_wanted_one_and_braking_from_its_speed_ends_inside():
    point, wanted, times = SetPoint((-2.0, 0.0, 1.0)), SetPoint((2.5, 1.0, 2.0), yaw=0.4), 0
    while point.position != wanted.position:
        after = grant(point, wanted, 0.01, LOW, HIGH, BRAKING, 4.0)
        moving = tuple((b - a) / 0.01 for a, b in zip(point.position, after.position, strict=True))
        assert BRAKING.beyond(point.position, moving, LOW, HIGH) <= 1e-6 and math.hypot(*moving) <= 4.0 + 1e-6
        point, times = after, times + 1
    assert point == wanted and 200 < times < 900


def test_a_set_point_that_moves_is_followed_exactly_where_its_speed_is_granted():
    point = SetPoint((0.0, 0.0, 1.0))
    wanted = SetPoint((0.01, 0.0, 1.0), (1.0, 0.0, 0.0))
    assert grant(point, wanted, 0.01, LOW, HIGH, BRAKING, 4.0) == wanted


def test_a_vehicle_that_could_not_be_stopped_inside_is_named_before_it_leaves():
    cage, state = Cage(), Sample(1, 0.0, 0.0, (1.5, 0.0, 1.0), (0.0, 0.0, 0.0, 1.0), (2.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    (near,) = cage.check_braking(state, BRAKING, guided=False)
    assert near.fault is Fault.CAGE_NEAR and not cage.check(state.position)
    (closing,) = cage.check_braking(state, BRAKING, guided=True)  # the guide has had its time
    assert closing.fault is Fault.CAGE_CLOSING
    assert not cage.check_braking(state._replace(velocity=(-2.0, 0.0, 0.0)), BRAKING, guided=False)
