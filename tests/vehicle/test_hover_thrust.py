"""The hover thrust that the simulated autopilot estimates in flight, as PX4's hover thrust estimator does."""

import math

import pytest

from spike_ctrl import airframe as airframes
from spike_ctrl.airframe import GRAVITY
from spike_ctrl.px4.dialect import PX4Mode
from spike_ctrl.simulated_px4.cascade import MotorCommand, RateCommand
from spike_ctrl.simulated_px4.hover_thrust import HoverThrust, follow
from spike_ctrl.simulated_px4.vehicle import Vehicle

STEP, HEIGHT = 0.008, 1.5  # s, m


def learnt(thrust, hover, seconds, tilt=0.0, height=HEIGHT, prior=0.5, forward=0.0):
    """After so long with a thrust, of a vehicle that hovers with another one; the body x axis points up by `tilt` (rad)."""
    h, quaternion = HoverThrust(prior), (0.0, -math.sin(tilt / 2), 0.0, math.cos(tilt / 2))
    for n in range(round(seconds / STEP)):
        h = follow(h, prior, thrust, quaternion, (forward, 0.0, GRAVITY * thrust / hover), height, 0.0, n * STEP, STEP)
    return h


@pytest.mark.parametrize("hover", [0.35, 0.5, 0.68])
@pytest.mark.parametrize("tilt", [0.0, 0.4])
def test_the_thrust_that_carries_the_weight_is_found_within_two_seconds_also_where_it_leans(hover, tilt):
    assert learnt(1.1 * hover, hover, 2.0, tilt).value == pytest.approx(hover, abs=0.01)


def test_a_force_along_the_body_lifts_where_the_body_leans():
    """Drag of 3 m/s^2 forward: up it gives g (c T / h - 1) = g (c T / .5 - 1) + 3 s, so that h is less."""
    s, c, thrust = math.sin(0.4), math.cos(0.4), 0.55
    hover = GRAVITY * c * thrust / (GRAVITY * c * thrust / 0.5 + 3 * s)
    assert learnt(thrust, 0.5, 2.0, 0.4, forward=3.0).value == pytest.approx(hover, abs=0.01)


def test_it_is_used_once_it_was_sure_for_two_seconds_and_nothing_is_learnt_near_the_ground():
    assert not learnt(0.4, 0.4, 2.0).used(2.0) and learnt(0.4, 0.4, 2.5).used(2.5)
    assert learnt(0.4, 0.4, 5.0, height=0.9) == HoverThrust(0.5)


def test_it_stays_within_a_fifth_of_full_thrust_from_the_parameter_and_never_reaches_none():
    assert learnt(0.2, 0.2, 5.0).value == pytest.approx(0.3)
    assert learnt(0.02, 0.02, 5.0, prior=0.2).value == pytest.approx(0.1)
    assert learnt(0.99, 0.99, 5.0, prior=0.8).value == pytest.approx(0.9)


def held(mass, thrust):
    """Lowest and highest true height of a HOLD that begins after a hover by body rates."""
    craft = airframes.altered(airframes.load("sih_quadx"), mass, thrust)
    vehicle, heights = Vehicle(craft, noise=0.0), []
    vehicle.begin_in_the_air((0.0, 0.0, HEIGHT))
    while vehicle.now < 8.0:
        if vehicle.now < 4.0:
            (x, y, *_), z, climb = vehicle.estimate.quaternion, vehicle.estimate.position[2], vehicle.estimate.velocity[2]
            vehicle.take(RateCommand(craft.hover * (1 + 0.3 * (HEIGHT - z - climb)), (-3 * x, -3 * y, 0.0)))
        elif vehicle.commander.mode is PX4Mode.OFFBOARD:
            vehicle.commander.request_mode(PX4Mode.AUTO_LOITER, vehicle.seen)
        else:
            heights.append(vehicle.truth.position[2])
        vehicle.tick()
    return min(heights), max(heights)


@pytest.mark.parametrize("mass, thrust, leaps", [(0.82, 1.15, 1), (1.2, 0.85, -1)])
def test_a_hold_of_a_light_or_a_heavy_vehicle_begins_without_a_leap(mass, thrust, leaps, monkeypatch):
    low, high = held(mass, thrust)
    assert HEIGHT - 0.1 < low and high < HEIGHT + 0.1
    monkeypatch.setattr(HoverThrust, "used", lambda *_: False)  # with the parameter alone
    low, high = held(mass, thrust)
    assert high > HEIGHT + 0.15 if leaps > 0 else low < HEIGHT - 0.15


def test_commands_of_motors_teach_nothing():
    vehicle = Vehicle(airframes.load("crazyflie"), parameters={"COM_OF_LOSS_T": 5.0})
    vehicle.begin_in_the_air((0.0, 0.0, HEIGHT))
    for _ in range(100):
        vehicle.take(MotorCommand((0.7, 0.7, 0.7, 0.7)))
        vehicle.tick()
    assert vehicle.commander.mode is PX4Mode.OFFBOARD
    assert vehicle.hover_thrust == HoverThrust(vehicle.parameters["MPC_THR_HOVER"])
