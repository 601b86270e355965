"""What changed about a vehicle, estimated from flights that a simulation of this file makes: point mass, own integration."""

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spike_ctrl import airframe
from spike_ctrl_adaptation import plant_estimate
from spike_ctrl_adaptation.flown_window import SPAN, FlightMemory, FlownWindow
from spike_ctrl_adaptation.plant_estimate import NAMES, estimate, newest, unchanged

CRAFT = airframe.load("sih_quadx")
G, PERIOD = 9.81, 0.01


def flight(seconds=4.0, thrust=1.0, force=(0.0, 0.0, 0.0), drag=1.0, lag=1.0, seed=0, still=False, noise=0.01, tilted=0.06):
    """A flight of CRAFT, whose thrust curve is linear: 5 N per rotor at full speed, lag .05 s, 1 kg.

    thrust: factor; force: m/s^2; drag: 1/s. still: the command does not change.
    """
    dice = np.random.default_rng(seed)
    time = np.arange(0, seconds, PERIOD)
    share = np.full(len(time), G / 20 / thrust)
    if not still:
        share = share + 0.06 * dice.standard_normal(len(time))
    phase = dice.uniform(0, 6, 2)
    size = 0.0 if still else tilted

    def up(t):
        return Rotation.from_rotvec([size * math.sin(3 * t + phase[0]), size * math.cos(2 * t + phase[1]), 0.7])

    fine = 5  # steps of the integration in a period
    quaternion = [up(t) for t in np.arange(0, seconds, PERIOD / fine)]
    push = thrust * 20 * Rotation.concatenate(quaternion).apply([0, 0, 1])
    speed, v, velocity = float(share[0]), np.zeros(3), np.zeros((len(time), 3))
    for step, direction in enumerate(push[: fine * len(time)]):
        if step % fine == 0:
            velocity[step // fine] = v
        middle = speed + (share[step // fine] - speed) * (1 - math.exp(-PERIOD / fine / 2 / (0.05 * lag)))
        speed += (share[step // fine] - speed) * (1 - math.exp(-PERIOD / fine / (0.05 * lag)))
        v = v + PERIOD / fine * (middle * direction - (0.0, 0.0, G) - drag * v + force)
    velocity += noise * dice.standard_normal(velocity.shape)
    hover = CRAFT.hover
    collective = np.where(share < hover, share / hover - 1, (share - hover) / (1 - hover))
    action = np.concatenate([collective[:, None], np.zeros((len(time), 3))], axis=1)
    attitude = Rotation.concatenate(quaternion[::fine]).as_quat()[: len(time)]
    return FlownWindow(time, attitude, velocity, np.zeros((len(time), 3)), action)


@pytest.mark.parametrize(
    ("name", "true", "changed"),
    [
        ("thrust", 0.7, {"thrust": 0.7}),
        ("thrust", 1 / 1.3, {"thrust": 1 / 1.3}),
        ("force_x", 3.0, {"force": (3.0, 0.0, 0.0)}),
        ("force_y", -2.0, {"force": (0.0, -2.0, 0.5)}),
        ("thrust", 1.0, {"force": (0.0, 0.0, -1.0)}),
        ("lag", 2.0, {"lag": 2.0}),
    ],
)
def test_a_known_change_lies_within_its_interval(name, true, changed):
    found = estimate(flight(**changed), CRAFT)
    low, high = found.interval(name)
    assert name in found.identified
    assert low <= true <= high and high - low < 1.6


@pytest.mark.installed
def test_nineteen_of_twenty_intervals_hold_the_truth():
    dice, inside = np.random.default_rng(1), []
    for seed in range(20):
        thrust, force = dice.uniform(0.7, 1.2), dice.uniform(-3, 3, 3) * (1, 1, 0.3)
        found = estimate(flight(2.0, thrust, force, seed=seed), CRAFT)
        for name, true in zip(NAMES[:4], (thrust, *force), strict=True):
            low, high = found.interval(name)
            inside.append(low <= true <= high)
    assert np.mean(inside) >= 0.9


def test_a_hover_without_any_motion_shows_the_lift_but_not_whether_thrust_or_force_changed():
    found = estimate(flight(thrust=0.8, still=True), CRAFT)
    lift, deviation = found.lift
    assert abs(lift + 0.2 * G) < 0.3 and deviation < 0.25
    assert {"thrust", "force_z", "drag", "lag"}.isdisjoint(found.identified)
    low, high = found.interval("thrust")
    assert low < 0.8 < high


def test_the_estimate_after_a_change_does_not_look_back_beyond_it():
    before, after = flight(4.0), flight(2.0, force=(3.0, 0.0, 0.0), seed=1)
    joined = FlownWindow(*(np.concatenate([a, b]) for a, b in zip(before, after, strict=True)))
    joined = joined._replace(time=np.arange(len(joined.time)) * PERIOD)
    jump = before.velocity[-1] - after.velocity[0]  # the velocity itself does not jump
    joined.velocity[len(before.time) :] += jump
    found = newest(joined, CRAFT)
    assert found.seconds < 2.6 and abs(found.mean[1] - 3.0) < 0.5
    assert newest(before, CRAFT).seconds > 3.5


def test_a_trim_moment_is_seen_through_rotor_commands_and_not_through_a_rate_loop():
    craft = airframe.load("crazyflie")
    dice, time = np.random.default_rng(2), np.arange(0, 3, PERIOD)
    trim = np.array([15.0, -6.0, 0.0])
    speed = np.full((len(time), 4), craft.hover)
    share = trim[:2] * craft.inertia[:2] / (4 * 0.028)  # N per rotor that hold against it
    slope = craft.thrust_curve[1] + 2 * craft.thrust_curve[2] * craft.hover
    left, front = np.array([-1, -1, 1, 1]), np.array([1, -1, -1, 1])  # of the rotors; to the left rolls right side up
    speed -= (share[0] * left - share[1] * front) / slope
    rates = 0.01 * dice.standard_normal((len(time), 3))
    level = np.tile([0.0, 0.0, 0.0, 1.0], (len(time), 1))
    flown = FlownWindow(time, level, 0.01 * dice.standard_normal((len(time), 3)), rates, 2 * speed - 1)
    found = estimate(flown, craft)
    assert {"trim_x", "trim_y"} <= set(found.identified)
    assert np.abs(found.mean[5:7] - trim[:2]).max() < 2.0
    assert {"trim_x", "trim_y", "trim_z"}.isdisjoint(estimate(flight(), CRAFT).identified)


def test_too_short_a_flight_and_one_full_of_gaps_show_nothing():
    assert not estimate(flight(0.5), CRAFT).identified
    sparse = FlownWindow(*(part[::40] for part in flight(4.0)))
    assert np.array_equal(estimate(sparse._replace(time=sparse.time**1.5), CRAFT).mean, unchanged(CRAFT).mean)


def test_the_memory_keeps_the_last_seconds_and_nothing_that_is_not_finite():
    memory, quaternion = FlightMemory(), (0.0, 0.0, 0.0, 1.0)
    for step in range(1500):
        velocity = (math.nan, 0.0, 0.0) if step == 1400 else (0.0, 0.0, 0.0)
        memory.add(step * PERIOD, quaternion, velocity, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0))
    window = memory.window()
    assert SPAN - PERIOD <= window.seconds <= SPAN and np.isfinite(window.velocity).all()
    memory.add(3.0, quaternion, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0))
    assert len(memory.window().time) == 1  # the clock began anew


def test_an_estimate_in_words_names_what_it_does_not_know():
    words = str(plant_estimate.estimate(flight(thrust=0.7), CRAFT))
    assert "thrust 0.7" in words and "trim_x, trim_y, trim_z" in words.partition("not identified:")[2] and "lift" in words


def test_its_figures_hold_what_is_identified_and_the_lift_each_within_its_limits():
    found = plant_estimate.estimate(flight(thrust=0.7, force=(2.0, 0.0, 0.0)), CRAFT)
    figures = found.figures
    assert {name for name in figures if not name.endswith(("_low", "_high"))} == {*found.identified, "lift"}
    assert figures["thrust_low"] < 0.7 < figures["thrust_high"] and figures["force_x_low"] < 2.0 < figures["force_x_high"]
    assert figures["lift_low"] < -0.3 * G < figures["lift_high"]


def test_a_trim_moment_makes_a_vehicle_differ_as_far_as_it_is_known():
    known = unchanged(airframe.load("crazyflie"))
    known = known._replace(covariance=1e-8 * known.covariance)
    mean = known.mean.copy()
    mean[NAMES.index("trim_x")] += 15.0
    assert known._replace(mean=mean).differs(known) == pytest.approx(15.0 * plant_estimate.TURNS, rel=0.01)
    unsure = known.covariance.copy()
    unsure[5, 5] = 20.0**2
    assert known._replace(mean=mean, covariance=unsure).differs(known) == 0.0
