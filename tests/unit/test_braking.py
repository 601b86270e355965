"""The braking invariant bounds what the simulated autopilot needs, and no speed is granted from which it would not stop.

- the way to rest at every speed, after a loss of commands and in HOLD, also with plants that are a fifth off
- the granted speed is the one whose way to rest just fits
- a set-point that is granted reaches the wanted one, as a vehicle could, and never moves faster than that
- a trajectory from which the autopilot could not stop inside is refused
"""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from braking_measurement import stopping_distances

from spike_ctrl import airframe
from spike_ctrl.control.trajectory import SetPoint, Trajectory
from spike_ctrl.flight.braking import Braking
from spike_ctrl.flight.faults import Fault
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.setpoint_limiter import SetPointLimits, at_rest, grant, too_fast
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.flight.wind_estimate import CALM, Wind
from spike_ctrl.px4 import parameter_rules

CRAFT, BRAKING = airframe.load("sih_quadx"), Braking()
LIMITS = SetPointLimits()
PARAMETERS = parameter_rules.simulated(CRAFT)
LOW, HIGH = (-3.0, -3.0, 0.0), (3.0, 3.0, 3.0)
CAGE = Cage().laid((0.0, 0.0, 0.0))
PLANTS = [(1.0, 1.0, 1.0), (1.2, 0.9, 1.2), (0.9, 1.2, 0.8)]


@pytest.mark.parametrize("lost", [True, False], ids=["commands stop", "hold"])
@pytest.mark.parametrize("factors", PLANTS, ids=str)
def test_the_simulated_autopilot_stops_within_the_way_that_is_reckoned_with(factors, lost):
    plant = airframe.altered(CRAFT, *factors)
    for speed, way in stopping_distances(plant, (1.0, 0.0, 0.0), PARAMETERS, lost).items():
        assert way <= BRAKING.end((0.0, 0.0, 0.0), (speed, 0.0, 0.0), asked=not lost)[0] + 0.1, speed


@pytest.mark.parametrize("lost", [True, False], ids=["commands stop", "hold"])
@pytest.mark.parametrize("up", [1.0, -1.0], ids=["up", "down"])
def test_the_vehicle_as_described_stops_within_it_upwards_and_downwards_too(up, lost):
    # One with another weight also sinks or climbs by .4 m until the autopilot has learned its hover thrust.
    for speed, way in stopping_distances(CRAFT, (0.0, 0.0, up), PARAMETERS, lost).items():
        assert way <= BRAKING.end((0.0, 0.0, 0.0), (0.0, 0.0, speed), asked=not lost)[2] + 0.05, speed


@pytest.mark.parametrize("name", ["crazyflie", "crazyflie_l2f", "crazyflie_real", "racer", "x500"])
def test_other_airframes_stop_within_the_way_that_is_reckoned_with_for_them(name):
    craft = airframe.load(name)
    braking, told = Braking.of(craft), PARAMETERS | parameter_rules.hover_changes(craft)
    for lost in (True, False):
        for direction in ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, -1.0)):
            for speed, way in stopping_distances(craft, direction, told, lost, (0.5, 1.0, 2.0, 3.0)).items():
                end = braking.end((0.0, 0.0, 0.0), tuple(speed * d for d in direction), asked=not lost)
                # crazyflie_real begins with a full battery, whose thrust is more than the nominal one, and climbs .1 m
                assert way <= math.hypot(*end) + (0.15 if name == "crazyflie_real" else 0.1), (direction, lost, speed)


def test_the_simulated_vehicle_is_the_one_on_which_the_way_was_measured():
    assert Braking.of(CRAFT) == BRAKING


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
    while point != wanted:
        after = grant(point, wanted, 0.01, CAGE, BRAKING, 4.0, LIMITS)
        moving = tuple((b - a) / 0.01 for a, b in zip(point.position, after.position, strict=True))
        assert BRAKING.beyond(point.position, moving, *CAGE.stopping_box) <= 1e-6 and math.hypot(*moving) <= 4.0 + 1e-6
        point, times = after, times + 1
    assert point == wanted and 200 < times < 900


def test_a_trajectory_is_caught_up_with_and_then_followed_exactly():
    path, point = Trajectory("circle", size=1.0, period=6.0), SetPoint((1.0, -1.0, 1.5))
    for n in range(1, 800):
        point = grant(point, path.at(n * 0.01), 0.01, CAGE, BRAKING, 4.0, LIMITS, on_path=True)
    assert point == path.at(7.99)


def test_whatever_the_wanted_set_point_does_the_granted_one_moves_as_a_vehicle_can():
    dice, point, wanted = np.random.default_rng(4), SetPoint((0.0, 0.0, 1.0)), SetPoint((0.0, 0.0, 1.0))
    for n in range(4000):
        if n % 50 == 0:  # each half second another place and another velocity
            place, speed = dice.uniform(*CAGE.box), dice.uniform(-3, 3, 3)
            wanted = SetPoint(tuple(place.tolist()), tuple(speed.tolist()), float(dice.uniform(-3, 3)))
        after = grant(point, wanted, 0.01, CAGE, BRAKING, 4.0, LIMITS)
        moved = tuple((b - a) / 0.01 for a, b in zip(point.position, after.position, strict=True))
        assert moved == pytest.approx(after.velocity, abs=0.11) and math.hypot(*after.velocity) <= 4.0
        assert abs(math.remainder(after.yaw - point.yaw, 2 * math.pi)) <= LIMITS.turn * 0.01 + 1e-9
        assert math.dist(CAGE.clamp(after.position), after.position) < 0.01
        assert BRAKING.beyond(point.position, after.velocity, *CAGE.stopping_box) <= 1e-6
        # It gains speed no faster than it may; towards a wall it may have to lose some faster.
        assert math.hypot(*after.velocity) - math.hypot(*point.velocity) <= LIMITS.acceleration * 0.01 + 1e-9
        point = after


def test_a_set_point_that_moves_comes_to_rest_no_nearer_than_it_can():
    point = SetPoint((0.0, 0.0, 1.5), (1.2, 0.0, 0.0))
    rest = at_rest(point, LIMITS.acceleration)
    while point.position != rest:
        point = grant(point, SetPoint(rest), 0.01, CAGE, BRAKING, 4.0, LIMITS)
        assert point.position[0] <= rest[0] + 1e-9
    assert point.velocity == (0.0, 0.0, 0.0)


def test_a_trajectory_that_the_autopilot_could_not_brake_is_refused_by_place_and_speed():
    assert too_fast(Trajectory("circle"), CAGE, BRAKING, LIMITS) is None
    assert too_fast(Trajectory("figure8", (0.0, 0.0, 1.0)), CAGE, BRAKING, LIMITS) is None
    # one of the flights with a false alarm: it passes the wall at 1.98 m/s
    near = Trajectory("square", (-0.41, -0.14, 2.15), size=1.02, period=4.0)
    words = too_fast(near, CAGE, BRAKING, LIMITS)
    assert words.startswith("at (") and "m/s, wanted at most" in words and "make it smaller, slower" in words
    # slow enough later, but too fast while it grows: 2.3 m within 2 s
    assert "it flies at" in too_fast(Trajectory("circle", (0.0, 0.0, 1.5), size=2.3, period=60.0), CAGE, BRAKING, LIMITS)


def test_a_vehicle_that_could_not_be_stopped_inside_is_named_before_it_leaves():
    cage, state = Cage(), Sample(1, 0.0, 0.0, (1.5, 0.0, 1.0), (0.0, 0.0, 0.0, 1.0), (2.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    (near,) = cage.check_braking(state, BRAKING, None, CALM)
    assert near.fault is Fault.CAGE_NEAR and not cage.check(state.position)
    (closing,) = cage.check_braking(state, BRAKING, cage, CALM)  # the guide has had its time
    assert closing.fault is Fault.CAGE_CLOSING
    assert not cage.check_braking(state._replace(velocity=(-2.0, 0.0, 0.0)), BRAKING, None, CALM)


def _leaning(tilt, velocity=(1.5, 0.0, 0.0)):
    """1 m from the wall to the east; tilt: rad, to the west."""
    attitude = (0.0, -math.sin(tilt / 2), 0.0, math.cos(tilt / 2))
    return Sample(1, 0.0, 0.0, (2.0, 0.0, 1.0), attitude, velocity, (0.0, 0.0, 0.0))


def _fault(sample, wind=CALM):
    (found,) = Cage().check_braking(sample, BRAKING, Cage(), wind)
    return found.fault


@pytest.mark.parametrize(
    ("tilt", "wind", "closes"),
    [
        *((-0.4, 0.0, True), (0.0, 0.0, True), (0.1, 0.0, True), (0.3, 0.0, False), (0.7, 0.0, False)),
        *((0.2, 2.0, True), (0.3, 2.0, True), (0.5, 2.0, False), (0.1, -2.0, False)),
    ],
)
def test_a_guide_whose_tilt_stops_the_vehicle_inside_goes_on_against_the_wind_too(tilt, wind, closes):
    assert (_fault(_leaning(tilt), Wind(wind, 0.0, 2.0)) is Fault.CAGE_CLOSING) is closes
    # By small steps: the tilt, but for what holds the vehicle against the wind, falls as the speed does.
    speed, place, step = 1.5, 2.0, 1e-3
    slowed = (9.80665 * math.tan(tilt) - wind) / 1.5
    while slowed > 0 and speed > 1e-4:
        place, speed = place + speed * step, speed - slowed * speed * step
    assert (place > 3.0 + BRAKING.closing or slowed <= 0) is closes


def test_a_guide_that_brakes_along_one_axis_is_not_excused_along_another():
    assert _fault(_leaning(0.7, (1.5, 0.0, 2.5))._replace(position=(2.0, 0.0, 2.5))) is Fault.CAGE_CLOSING  # it climbs
    beside = _leaning(0.4, (1.5, 1.0, 0.0))._replace(position=(1.0, 2.2, 1.0))
    assert _fault(beside) is Fault.CAGE_CLOSING
    assert _fault(beside, Wind(0.0, -4.0, 2.0)) is Fault.CAGE_NEAR


def test_a_vehicle_on_its_side_is_not_braked_by_its_lift():
    assert _fault(_leaning(1.4)) is Fault.CAGE_CLOSING


def _granted(wanted, velocity=(0.0, 0.0, 0.0), streamed=False, time=6.0, cage=CAGE):
    """Set-points every 10 ms, from the middle of the cage on."""
    points = [SetPoint((0.0, 0.0, 1.25), velocity)]
    for _ in range(round(time * 100)):
        points.append(grant(points[-1], wanted, 0.01, cage, BRAKING, 5.0, LIMITS, streamed=streamed))
    return points


def test_a_stream_gains_speed_by_less_in_a_narrow_cage_and_by_as_much_as_before_in_the_default_one():
    narrow = replace(CAGE, low=(-1.3, -1.3, -0.5), high=(1.3, 1.3, 2.5))
    for cage, gained in ((CAGE, 2.0), (narrow, 1.25)):
        points = _granted(SetPoint((0.6, 0.0, 1.25)), streamed=True, time=0.2, cage=cage)
        assert math.hypot(*points[-1].velocity) == pytest.approx(gained * 0.2, rel=0.02)


def test_a_step_nears_its_speed_slowly_and_may_be_faster_than_a_stream_which_gains_it_at_once():
    wanted, along = SetPoint((2.0, 0.0, 1.25)), (1.0, 0.0, 0.0)
    stopped = BRAKING.speed((0.0, 0.0, 1.25), along, *CAGE.stopping_box)
    step, stream = ([math.hypot(*point.velocity) for point in _granted(wanted, streamed=kind)] for kind in (False, True))
    assert stream[50] == pytest.approx(0.5 * stopped, rel=0.1) and stream[20] == pytest.approx(0.4, abs=0.01)
    assert step[40] < 0.85 * stream[40] and max(step) > 1.02 * max(stream)


def test_a_set_point_that_a_stream_takes_over_near_the_ceiling_of_a_narrow_cage_does_not_jump():
    narrow = replace(CAGE, low=(-1.3, -1.3, -0.5), high=(1.3, 1.3, 2.5))
    for switched in range(60, 200, 10):
        points = [SetPoint((0.0, 0.0, 0.6))]
        for n in range(260):
            wanted = SetPoint((0.0, 0.0, 2.0), (0.0, 0.0, 2.0 if n > switched else 0.0))
            points.append(grant(points[-1], wanted, 0.01, narrow, BRAKING, 5.0, LIMITS, streamed=n > switched))
        changed = [math.dist(a.velocity, b.velocity) for a, b in itertools.pairwise(points)]
        assert max(changed) <= LIMITS.acceleration * 0.01 + 1e-9


@pytest.mark.parametrize("speed, aside", [(0.3, 0.1), (0.6, 0.2), (0.9, 0.3)])
def test_a_set_point_that_turns_aside_comes_to_rest_where_it_is_wanted_and_hardly_beyond(speed, aside):
    points = _granted(SetPoint((0.0, aside, 1.25)), (speed, 0.0, 0.0), time=1.6)
    assert max(point.position[1] for point in points) < aside + 0.02
    assert math.dist(points[-1].position, (0.0, aside, 1.25)) < 0.02


@pytest.mark.parametrize("streamed", [False, True])
def test_a_set_point_in_motion_never_jumps_in_velocity_whatever_comes_next(streamed):
    fast = 0.72 * BRAKING.speed((0.0, 0.0, 1.25), (1.0, 0.0, 0.0), *CAGE.stopping_box)
    points = _granted(SetPoint((2.4, 0.0, 1.25)), (fast, 0.0, 0.0), streamed)
    changed = [math.dist(a.velocity, b.velocity) for a, b in itertools.pairwise(points)]
    assert max(changed) <= LIMITS.acceleration * 0.01 + 1e-9
