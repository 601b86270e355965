"""The `rates` layout against the step response measured on PX4 v1.17 SITL, and its mixer's order of giving way."""

import dataclasses

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.dynamics import COMMAND_ROWS, RATES, VELOCITY
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.randomisation import InitialStates

SIH = airframe.load("sih_quadx")
ROLL, PITCH, YAW = 1, 2, 3  # places in the action
OLD_HASH = "2afc7dff6153"  # of version 0.1


class Flight:
    """One vehicle that hovers on its set-point until an action comes."""

    def __init__(self, craft=SIH):
        start = InitialStates(at_target=1.0, rotors_low=craft.hover, rotors_high=craft.hover)
        self.craft = craft
        self.environment = Environment(craft, 1, Task(box=1e6, episode_steps=10**6, start=start))
        self.environment.reset(seed=0)

    def fly(self, seconds, **action):
        """Body rates after each step (steps, 3), rad/s. action: collective, roll, pitch, yaw in [-1, 1]."""
        values = np.array([[action.get(name, 0.0) for name in ("collective", "roll", "pitch", "yaw")]])
        rates = []
        for _ in range(round(100 * seconds)):
            self.environment.step(values)
            rates.append(self.environment.read(slice(RATES, RATES + 3))[0])
        return np.array(rates)

    @property
    def climb(self):
        return float(self.environment.read(VELOCITY + 2)[0])

    @property
    def rotors(self):
        return self.environment.read(COMMAND_ROWS)[0]


def step_response(axis, size=0.3, seconds=1.0):
    """True rate over commanded rate at 0, 10, 20 ... ms after a step of `size` of the limit."""
    rates = Flight().fly(seconds, **{("roll", "pitch", "yaw")[axis]: size})[:, axis]
    return np.concatenate([[0.0], rates / (size * SIH.max_rates[axis])])


@pytest.mark.parametrize("axis", [0, 1], ids=["roll", "pitch"])
def test_roll_and_pitch_follow_a_step_as_px4_does(axis):
    response = step_response(axis)
    rise = response[: response.argmax() + 1]
    reached = np.interp([0.10, 0.50, 0.63, 0.90], rise, 10 * np.arange(len(rise)))
    np.testing.assert_allclose(reached, [34, 83, 100, 147], rtol=0.2)  # ms
    assert 1.03 <= response.max() <= 1.09


def test_yaw_follows_a_step_as_px4_does():
    assert step_response(2)[34] == pytest.approx(0.48, rel=0.2)


def test_the_other_axes_stay_still():
    rates = Flight().fly(1.0, pitch=0.3)
    np.testing.assert_allclose(rates[:, [0, 2]], 0, atol=1e-4)


def test_the_integral_removes_the_error_that_a_steady_moment_leaves():
    flight = Flight()
    dynamics.write(flight.environment.buffer, slice(dynamics.MOMENT, dynamics.MOMENT + 3), [[0.05, -0.05, 0.005]])
    np.testing.assert_allclose(flight.fly(20.0)[-1], 0, atol=2e-3)


def test_no_action_is_hover():
    flight = Flight()
    assert SIH.hover == pytest.approx(0.490, abs=0.001)
    np.testing.assert_allclose(flight.fly(5.0), 0, atol=1e-4)
    np.testing.assert_allclose(flight.rotors, SIH.hover, atol=1e-5)
    assert abs(flight.climb) < 1e-3


@pytest.mark.parametrize(
    ("collective", "thrust"),
    [
        (-1.0, 0.25 * SIH.hover),
        (-0.75, 0.25 * SIH.hover),
        (-0.5, 0.5 * SIH.hover),
        (0.5, 0.5 + 0.5 * SIH.hover),
        (1.0, 1.0),
        (3.0, 1.0),
    ],
)
def test_the_collective_goes_linearly_from_a_quarter_of_hover_over_hover_to_full_thrust(collective, thrust):
    flight = Flight()
    flight.fly(0.02, collective=collective)
    np.testing.assert_allclose(flight.rotors, thrust, atol=1e-6)


@pytest.mark.parametrize("delay", [0.0, 0.0025, 0.005, 0.01])
def test_an_action_takes_effect_after_the_airframes_delay(delay):
    craft = dataclasses.replace(SIH, rate_loop=dataclasses.replace(SIH.rate_loop, delay=delay))
    flight = Flight(craft)
    flight.fly(0.01, collective=1.0)
    rotor = flight.environment.rotor_speed[0, 0]
    wanted = 1 - (1 - SIH.hover) * np.exp(-(0.01 - delay) / SIH.lag_up)
    assert rotor == pytest.approx(wanted, abs=1e-4)


def with_airmode(airmode):
    return dataclasses.replace(SIH, rate_loop=dataclasses.replace(SIH.rate_loop, airmode=airmode))


def test_without_airmode_little_thrust_is_little_torque_and_with_it_thrust_is_added():
    """PX4's MC_AIRMODE 0 and 1."""
    plain, added = Flight(with_airmode("disabled")), Flight(with_airmode("roll_pitch"))
    for flight in (plain, added):
        flight.fly(0.05, collective=-1.0, roll=1.0)
    floor = 0.25 * SIH.hover
    np.testing.assert_allclose(plain.rotors, [0.0, 0.0, 2 * floor, 2 * floor], atol=1e-3)
    assert added.rotors.sum() > 1.5 * plain.rotors.sum() and added.rotors[2] - added.rotors[0] > 3 * floor


def test_an_airframe_says_how_its_mixer_treats_little_thrust_and_old_hashes_hold():
    assert SIH.rate_loop.airmode == "disabled" and SIH.hash == OLD_HASH
    assert with_airmode("roll_pitch").hash != SIH.hash
    data = airframe.to_dict(SIH)
    assert airframe.from_dict(data) == SIH
    data["rate_loop"]["airmode"] = "full"
    with pytest.raises(UsageError, match="airmode: found 'full', wanted one of disabled, roll_pitch"):
        airframe.from_dict(data)


def test_full_thrust_gives_way_to_roll_and_pitch():
    flight = Flight()
    flight.fly(0.05, collective=1.0, roll=1.0)
    front_right, back_right, back_left, front_left = flight.rotors
    assert front_left == back_left == pytest.approx(1.0)
    assert front_right == pytest.approx(back_right) and front_right < 0.9


def test_yaw_gives_way_to_everything():
    craft = dataclasses.replace(SIH, max_rates=(3.84, 3.84, 50.0))
    plain, yawing = Flight(craft), Flight(craft)
    for flight, yaw in ((plain, 0.0), (yawing, 1.0)):
        flight.fly(0.05, collective=0.2, roll=0.5, yaw=yaw)
    left = [2, 3]
    assert np.ptp(yawing.rotors - plain.rotors) > 0.1  # there was room for some of it
    assert yawing.rotors.min() >= 0 and yawing.rotors.max() == pytest.approx(1.0)  # and it took all of that
    assert yawing.rotors.sum() == pytest.approx(plain.rotors.sum(), abs=0.05)
    assert yawing.rotors[left].sum() == pytest.approx(plain.rotors[left].sum(), abs=0.05)
    full = Flight(craft)
    full.fly(0.05, collective=1.0, yaw=1.0)
    np.testing.assert_allclose(full.rotors, 1.0)  # no room at all


def test_a_new_episode_begins_with_a_fresh_loop():
    environment = Environment(SIH, 5, Task(episode_steps=3, start=InitialStates(at_target=0.0)))
    environment.reset(seed=0)
    for _ in range(3):
        environment.step(np.ones((5, 4)))
    environment.step(np.ones((5, 4)))
    loop = environment.read(slice(dynamics.RATE_SETPOINT, dynamics.STEP))
    set_point, integral, gyro, slope = np.split(loop, [4, 7, 10], axis=1)
    np.testing.assert_array_equal(gyro, environment.read(slice(RATES, RATES + 3)))
    for cleared in (set_point, integral, slope):
        np.testing.assert_array_equal(cleared, 0)
