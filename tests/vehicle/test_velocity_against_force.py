"""A velocity that lies is found by the accelerometer, over the link and in the flight core.

- a state that is right agrees with HIGHRES_IMU, also in a turn and with strong noise
- a velocity that jumps by more than the force explains is told as a negative innovation, with which the autopilot must land
- position and velocity that drift together are seen by nothing else
- without HIGHRES_IMU, by an old or a broken one nothing is known
- how much is too much, and how long it is remembered and told, are settings of the flight
"""

import math

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import GRAVITY
from spike_ctrl.certification import flight_outcome, monte_carlo
from spike_ctrl.certification.injected_fault import InjectedFault
from spike_ctrl.flight.estimate_quality import STILL, EstimateLimits, EstimateQuality, Sign, doubt
from spike_ctrl.flight.flight_settings import settings_for
from spike_ctrl.flight.force_consistency import ForceCheck, ForceLimits
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.px4 import dialect, parameter_rules
from spike_ctrl.px4.companion import Companion
from spike_ctrl.px4.dialect import messages
from spike_ctrl.px4.link import Link
from spike_ctrl.px4.link_events import SpecificForce
from spike_ctrl.px4.mavlink import Writer
from spike_ctrl.simulated_px4.cascade import RateCommand
from spike_ctrl.simulated_px4.vehicle import ONBOARD, Vehicle

LEVEL, AT_REST = (0.0, 0.0, 0.0, 1.0), (0.0, 0.0, GRAVITY)
ON_ITS_SIDE = (math.sin(math.pi / 4), 0.0, 0.0, math.cos(math.pi / 4))  # rolled by 90 degrees, its up points to the south

LIMITS, CRAFT = ForceLimits(), airframe.load("sih_quadx")


def states(*velocities, quaternion=LEVEL, force=AT_REST, reset=0, limits=LIMITS):
    check = ForceCheck()
    for n, velocity in enumerate(velocities):
        now = 0.01 * n
        check = check.felt(force, now, limits) if force is not None else check
        check = check.seen(Sample(n, now, now, (0.0, 0.0, 1.0), quaternion, velocity, (0.0, 0.0, 0.0), reset * n), limits)
    return check


def test_gravity_and_force_make_the_velocity_of_a_fall_and_of_a_vehicle_on_its_side():
    falling = [(0.0, 0.0, -GRAVITY * 0.01 * n) for n in range(100)]
    assert math.hypot(*states(*falling, force=(0.0, 0.0, 0.0)).sped) < 1e-6
    pushed = [(0.0, -5.0 * 0.01 * n, -GRAVITY * 0.01 * n) for n in range(100)]
    assert math.hypot(*states(*pushed, quaternion=ON_ITS_SIDE, force=(0.0, 0.0, 5.0)).sped) < 1e-6


def test_a_velocity_that_jumps_is_told_for_a_second_as_so_much_of_the_limit():
    check = states((0.0, 0.0, 0.0), (0.9, 0.0, 0.0), *[(0.9, 0.0, 0.0)] * 5)
    assert check.innovation(math.nan, 0.5, LIMITS) == pytest.approx(-0.9 / LIMITS.velocity, rel=0.01)
    assert check.innovation(2.0, 0.5, LIMITS) < -1 and check.innovation(0.1, 1.2 + LIMITS.told, LIMITS) == 0.1


@pytest.mark.parametrize(
    ("rates", "force", "still"),
    [
        (1e-3, 0.3, True),  # a state that somebody repeats with a dither, on a vehicle that flies
        (8e-3, 0.3, False),  # half of the noise of PX4's own simulation
        (0.0, 0.0, False),  # a simulation without noise, which hovers
        (1e-3, 0.02, False),  # on the ground, rotors off
    ],
)
def test_body_rates_that_stand_still_while_the_accelerometer_shakes_are_no_flight(rates, force, still):
    dice, check, found = np.random.default_rng(1), ForceCheck(), []
    for n in range(200):
        now = 0.01 * n
        if n % 2 == 0:
            check = check.felt(tuple(AT_REST + dice.normal(0.0, force, 3)), now, LIMITS)
        turning = tuple(dice.uniform(-rates, rates, 3) if rates < 2e-3 else dice.normal(0.0, rates, 3))
        sample = Sample(n, now, now, (0.0, 0.0, 1.0), LEVEL, (0.0, 0.0, 0.0), turning)
        check, sample = check.judged(sample, LIMITS)
        found.append(sample.quality.innovations[0] == STILL)
    assert any(found) is still and (not still or (found.index(True) < 80 and all(found[80:])))


def test_a_step_of_the_force_over_a_pause_is_no_shaking_and_an_infinite_ratio_of_another_kind_is_not_still():
    check = ForceCheck().felt(AT_REST, 0.0, LIMITS).felt(AT_REST, 0.02, LIMITS)
    for n in range(6):
        check = check.felt((0.0, 0.0, 14.0), 1.0 + 0.02 * n, LIMITS)
    assert check.shaken == 0.0
    found = doubt(EstimateQuality(innovations=(0.1, 0.1, math.inf, 0.1)), EstimateLimits())
    assert found.sign is Sign.INNOVATION and "height" in found.detail


def test_limits_say_from_where_on_how_long_and_for_how_long_a_jump_is_told():
    jumps = [(0.0, 0.0, 0.0), *[(0.9, 0.0, 0.0)] * 5]
    wide, long = ForceLimits(velocity=1.0), ForceLimits(told=3.0)
    assert math.isnan(states(*jumps, limits=wide).innovation(math.nan, 0.1, wide))
    assert states(*jumps).innovation(0.1, 2.0, LIMITS) == 0.1 and states(*jumps, limits=long).innovation(0.1, 2.0, long) < -1
    climbing = [(0.0, 0.0, 0.05 * n) for n in range(41)]  # 5 m/s^2 that no accelerometer feels
    quick, slow = ForceLimits(memory=0.1, lasting=0.1), ForceLimits(memory=1.0)
    assert math.isnan(states(*climbing, limits=quick).innovation(math.nan, 0.4, quick))
    assert states(*climbing, limits=slow).innovation(math.nan, 0.4, slow) < -1


@pytest.mark.parametrize(("shaking", "found"), [(0.0, True), (2.0, True), (9.0, False)])
def test_what_lasts_is_found_by_the_second_sum_whose_limit_grows_where_the_accelerometer_shakes(shaking, found):
    check = ForceCheck()
    for n in range(200):
        now, speed = 0.01 * n, max(0.022 * (n - 100), 0.0)  # 2.2 m/s^2 that no accelerometer feels
        if n % 2 == 0:
            check = check.felt((0.0, 0.0, GRAVITY + (shaking if n % 4 else -shaking)), now, LIMITS)
        check = check.seen(Sample(n, now, now, (0.0, 0.0, 1.0), LEVEL, (speed, 0.0, 0.0), (0.0, 0.0, 0.0)), LIMITS)
        assert math.hypot(*check.sped) < LIMITS.velocity
    assert (check.doubted > 1.0) is found


def test_a_limit_out_of_its_range_is_refused_by_name():
    with pytest.raises(UsageError, match=r"supervisor: force: memory: found 0.0, wanted 0.02 to 10"):
        settings_for(airframe.load("sih_quadx"), 100.0, force=ForceLimits(memory=0.0))


@pytest.mark.parametrize("changes", [{"force": None}, {"force": (math.nan, 0.0, 0.0)}, {"reset": 1}], ids=str)
def test_without_a_force_and_across_a_reset_nothing_is_known(changes):
    check = states((0.0, 0.0, 0.0), (5.0, 0.0, 0.0), (5.0, 0.0, 0.0), **changes)
    assert math.isnan(check.innovation(math.nan, 0.02, LIMITS))


def test_both_messages_of_the_accelerometer_are_read():
    link, writer = Link(), Writer(1, dialect.COMPONENT)
    highres = messages.MAVLink_highres_imu_message(0, 1.0, -2.0, -9.8, *[0.0] * 10, 63)
    scaled = messages.MAVLink_scaled_imu_message(0, 100, -200, -1000, *[0] * 6)
    (first,) = link.receive(writer.write(highres, 0.0), 1.0)
    (second,) = link.receive(writer.write(scaled, 0.1), 2.0)
    assert first == SpecificForce(1.0, pytest.approx((1.0, 2.0, 9.8)))
    assert second == SpecificForce(2.0, pytest.approx((0.1 * GRAVITY, 0.2 * GRAVITY, GRAVITY)))


@pytest.mark.parametrize("limit", [0.8, 8.0])
def test_over_the_link_a_sound_estimate_agrees_and_one_that_jumps_in_velocity_beyond_the_limit_is_in_doubt(limit):
    vehicle = Vehicle(CRAFT, 3, parameter_rules.simulated(CRAFT), noise=2.0)
    companion, told = Companion(Link(), 100.0, force=ForceLimits(limit)), []
    vehicle.begin_in_the_air((0.0, 0.0, 20.0))
    hover = vehicle.plant.airframe.hover
    jumped = False
    while vehicle.now < 4.0:
        if vehicle.now > 3.0 and not jumped:
            jumped = True
            vehicle.estimator._error[1, 0] += 1.5  # m/s east, and from then on in the position, too
        roll = 2.0 if int(vehicle.now * 4) % 2 else -2.0
        vehicle.take(RateCommand(hover, (roll, 0.0, 0.0)))
        for port, data in vehicle.advance(vehicle.now + 0.004):
            if port == ONBOARD:
                told += [(s.stamp, s.quality.innovations[0], jumped) for s in companion.receive(data, vehicle.now)]
        for packet in companion.due(vehicle.now):
            vehicle.receive(ONBOARD, packet, vehicle.now)
    before = [innovation for stamp, innovation, jumped in told if stamp > 0.5 and not jumped]
    after = [innovation for _, innovation, jumped in told if jumped]
    assert len(before) > 200 and 0 <= min(before) and max(before) <= 0.11  # what the estimator itself tells
    assert max(after[3:]) < -1.2 if limit < 1.5 else max(after) <= 0.11


def test_position_and_velocity_that_lie_together_lead_to_a_landing_by_the_autopilots_own_estimate():
    who, settings = monte_carlo.competitors(resources.find("models", "sih_quadx.safetensors"))
    drawn = monte_carlo.scenario_of(20, who, settings, "none")
    lie = InjectedFault("unseen", "drifts_as_its_velocity", 2.0, math.inf, 1.0, (1.0, 0.0, 0.0), 0, 7)
    flown, core = flight_outcome.fly_scenario(drawn._replace(family="unseen", faults=(lie,), duration=9.0), who, settings)
    assert any("ESTIMATE_DOUBTFUL" in why and "velocity against the specific force" in why for _, _, why in core.moves)
    assert flown.reaction < 0.3 and flown.outside < 0 and flown.hit < 1.0
