"""The dynamics against the l2f simulator, against formulas by hand, and against facts that hold for any quadrotor."""

import dataclasses
import json
import math

import l2f_flight
import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.dynamics import (
    COMMAND_ROWS,
    FORCE,
    LANES,
    MOMENT,
    POSITION,
    QUATERNION,
    RATES,
    ROTOR_ROWS,
    STATE_ROWS,
    VELOCITY,
)  # fmt: skip

DT = 0.01
CRAZYFLIE = airframe.load("crazyflie")
SIH = airframe.load("sih_quadx")

AT = slice(POSITION, POSITION + 3)
ATTITUDE = slice(QUATERNION, QUATERNION + 4)
SPEED = slice(VELOCITY, VELOCITY + 3)
SPIN = slice(RATES, RATES + 3)


class Flight:
    """A few vehicles at rest, level, rotors and commands at the normalised speed `rotors`."""

    def __init__(self, craft, vehicles=1, rotors=0.0):
        self.vehicles = vehicles
        self.buffer = dynamics.allocate(vehicles, craft)
        self.arms = dynamics.geometry(craft)
        self[ROTOR_ROWS] = self[COMMAND_ROWS] = np.full((vehicles, 4), rotors)

    def __getitem__(self, rows):
        return dynamics.read(self.buffer, rows, self.vehicles)

    def __setitem__(self, rows, values):
        dynamics.write(self.buffer, rows, np.broadcast_to(values, self[rows].shape))

    def fly(self, seconds, dt=DT):
        for _ in range(round(seconds / dt)):
            dynamics.step(self.buffer, np.float32(dt), self.arms)
        return self


# --- l2f -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flown_beside_l2f():
    theirs = l2f_flight.load()
    ours, track = Flight(airframe.load("crazyflie_l2f"), l2f_flight.VEHICLES), []
    ours[STATE_ROWS] = theirs["start"]
    for action in theirs["actions"]:
        ours[COMMAND_ROWS] = (action + 1) / 2
        track.append(ours.fly(DT)[STATE_ROWS])
    return (track[0], theirs["first"]), (track[-1], theirs["last"])


def test_one_step_equals_l2f_within_a_micrometre(flown_beside_l2f):
    ours, theirs = flown_beside_l2f[0]
    assert np.abs(ours - theirs)[:, :3].max() <= 1e-6
    np.testing.assert_allclose(ours, theirs, atol=1e-4)  # of body rates; all else agrees better


def test_a_second_of_tumbling_equals_l2f_within_a_tenth_of_a_millimetre(flown_beside_l2f):
    ours, theirs = flown_beside_l2f[-1]
    assert np.abs(ours - theirs)[:, :3].max() <= 1e-4
    assert np.abs(ours[:, :3]).max() > 1  # they did move


def test_the_crazyflie_of_l2f_has_the_parameters_that_l2f_prints():
    craft, theirs = airframe.load("crazyflie_l2f"), l2f_flight.load()["parameters"]
    assert craft.mass == theirs["mass"]
    np.testing.assert_allclose(craft.inertia, 1 / np.diag(theirs["J_inv"]), rtol=1e-6)
    np.testing.assert_array_equal(np.transpose([craft.rotor_x, craft.rotor_y]), np.array(theirs["rotor_positions"])[:, :2])
    np.testing.assert_array_equal(craft.rotor_spin, np.array(theirs["rotor_torque_directions"])[:, 2])
    for theirs_of_rotor in theirs["rotor_thrust_coefficients"]:
        assert list(craft.thrust_curve) == theirs_of_rotor
    assert craft.torque_per_thrust == theirs["rotor_torque_constants"][0]
    assert craft.lag_up == theirs["rotor_time_constants_rising"][0]
    assert craft.lag_down == theirs["rotor_time_constants_falling"][0]


def test_what_was_recorded_of_l2f_is_what_it_does():
    pytest.importorskip("l2f", reason="compiles for minutes: make .venv/done/l2f")
    kept, now = l2f_flight.load(), l2f_flight.record()
    assert kept["version"] == now["version"]
    assert kept["parameters"] == json.loads(now["parameters"])
    for name in ("start", "first", "last"):
        np.testing.assert_allclose(kept[name], now[name], atol=1e-6)


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_a_vehicle_without_thrust_falls_by_half_g_t_squared():
    craft = dataclasses.replace(CRAZYFLIE, thrust_curve=(0.0, 0.0, 0.12))
    flight = Flight(craft).fly(1.0)
    np.testing.assert_allclose(flight[AT], [[0, 0, -9.81 / 2]], rtol=1e-5)
    np.testing.assert_allclose(flight[SPEED], [[0, 0, -9.81]], rtol=1e-5)


@pytest.mark.parametrize("name", ["crazyflie", "crazyflie_l2f", "sih_quadx"])
def test_hover_throttle_holds_the_vehicle_where_it_is(name):
    craft = airframe.load(name)
    flight = Flight(craft, rotors=craft.hover).fly(5.0)
    np.testing.assert_allclose(flight[AT], 0, atol=1e-3)
    np.testing.assert_allclose(flight[ATTITUDE], [[0, 0, 0, 1]], atol=1e-4)


def test_linear_drag_ends_a_fall_at_weight_over_drag():
    craft = dataclasses.replace(SIH, linear_drag=2.0)
    flight = Flight(craft).fly(1.0)
    terminal = -SIH.mass * 9.81 / 2.0
    assert flight[SPEED][0, 2] == pytest.approx(terminal * (1 - math.exp(-2.0)), rel=1e-5)
    assert flight.fly(9.0)[SPEED][0, 2] == pytest.approx(terminal, rel=1e-5)


def test_angular_drag_slows_a_spin_exponentially():
    flight = Flight(SIH, rotors=SIH.hover)
    flight[SPIN] = [0, 0, 2.0]
    assert flight.fly(0.5)[SPIN][0, 2] == pytest.approx(2.0 * math.exp(-0.5 * 0.025 / 0.030), rel=1e-5)


def test_rotors_speed_up_and_slow_down_with_their_own_lags():
    craft = airframe.load("crazyflie_l2f")
    flight = Flight(craft, 2)
    flight[ROTOR_ROWS] = [[0.2] * 4, [0.8] * 4]
    flight[COMMAND_ROWS] = [[0.8] * 4, [0.2] * 4]
    flight.fly(0.1)
    up, down = 0.8 - 0.6 * math.exp(-0.1 / 0.055455), 0.2 + 0.6 * math.exp(-0.1 / 0.249394)
    np.testing.assert_allclose(flight[ROTOR_ROWS], [[up] * 4, [down] * 4], rtol=1e-4)


def test_a_disturbing_force_accelerates_by_force_over_mass_in_the_world_frame():
    flight = Flight(CRAZYFLIE, rotors=CRAZYFLIE.hover)
    flight[ATTITUDE] = [0, 0, math.sin(0.5), math.cos(0.5)]  # the heading must not matter
    force = np.array([0.01, -0.02, 0.03])
    flight[slice(FORCE, FORCE + 3)] = force
    np.testing.assert_allclose(flight.fly(0.5)[SPEED], [0.5 * force / 0.027], rtol=1e-4)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_disturbing_moment_turns_by_moment_over_inertia_about_its_body_axis(axis):
    flight = Flight(CRAZYFLIE, rotors=CRAZYFLIE.hover)
    moment = np.zeros(3)
    moment[axis] = 1e-5
    flight[slice(MOMENT, MOMENT + 3)] = moment
    np.testing.assert_allclose(flight.fly(0.1)[SPIN], [0.1 * moment / CRAZYFLIE.inertia], rtol=1e-5, atol=1e-6)


def test_mass_is_the_vehicles_own():
    flight = Flight(CRAZYFLIE, 2, rotors=CRAZYFLIE.hover)
    flight[dynamics.MASS] = [0.027, 0.030]
    fall = -9.81 * (1 - 0.027 / 0.030)
    np.testing.assert_allclose(flight.fly(0.1)[SPEED][:, 2], [0, 0.1 * fall], atol=1e-5)


# --- facts that hold for any quadrotor in x, body FLU, world ENU -----------------------------------------------------

FRONT_RIGHT, BACK_RIGHT, BACK_LEFT, FRONT_LEFT = range(4)


def nudged(*rotors):
    """A hovering Crazyflie .1 s after these rotors went up and the others went down by as much."""
    flight = Flight(CRAZYFLIE, rotors=CRAZYFLIE.hover)
    command = np.full(4, CRAZYFLIE.hover - 0.02)
    command[list(rotors)] += 0.04
    flight[COMMAND_ROWS] = command
    return flight.fly(0.1)


def test_more_thrust_on_the_left_rolls_right_and_drifts_right():
    flight = nudged(BACK_LEFT, FRONT_LEFT)
    (roll, pitch, yaw), (_, y, _) = flight[SPIN][0], flight[SPEED][0]
    assert roll > 0.1 and abs(pitch) < 1e-5 and abs(yaw) < 1e-5
    assert y < 0  # right of a nose that points east is south


def test_more_thrust_on_the_back_pitches_the_nose_down_and_drifts_forward():
    flight = nudged(BACK_RIGHT, BACK_LEFT)
    (roll, pitch, yaw), (x, _, _) = flight[SPIN][0], flight[SPEED][0]
    assert pitch > 0.1 and abs(roll) < 1e-5 and abs(yaw) < 1e-5
    assert x > 0


def test_a_pair_of_rotors_that_turns_clockwise_yaws_the_body_to_the_left():
    # A rotor that turns clockwise, seen from above, pushes the body counter-clockwise: here back right and front left.
    flight = nudged(BACK_RIGHT, FRONT_LEFT)
    (roll, pitch, yaw) = flight[SPIN][0]
    assert yaw > 0.1 and abs(roll) < 1e-5 and abs(pitch) < 1e-5
    qx, qy, qz, _ = flight[ATTITUDE][0]
    assert qz > 0 and abs(qx) < 1e-5 and abs(qy) < 1e-5


def test_thrust_of_a_vehicle_that_leans_east_pushes_east():
    flight = Flight(CRAZYFLIE, rotors=CRAZYFLIE.hover)
    flight[ATTITUDE] = [0, math.sin(0.1), 0, math.cos(0.1)]  # nose down by .2 rad
    np.testing.assert_allclose(flight.fly(0.1)[SPEED][0], [0.981 * math.sin(0.2), 0, 0.981 * (math.cos(0.2) - 1)], atol=1e-5)


def test_a_free_spin_keeps_its_energy_its_angular_momentum_and_a_unit_quaternion():
    craft = dataclasses.replace(CRAZYFLIE, thrust_curve=(0.0, 0.0, 0.12))
    rng = np.random.default_rng(3)
    flight = Flight(craft, 50)
    flight[STATE_ROWS] = np.where(np.arange(17) < ROTOR_ROWS.start, l2f_flight.random_states(50, rng), 0)
    flight[COMMAND_ROWS] = 0

    def invariants():
        momentum = flight[SPIN] * craft.inertia
        height, speed = flight[AT][:, 2], flight[SPEED]
        energy = craft.mass * (9.81 * height + (speed**2).sum(1) / 2)
        return energy, (momentum * flight[SPIN]).sum(1) / 2, turned(flight[ATTITUDE], momentum)

    before = invariants()
    flight.fly(2.0)
    for was, found in zip(before, invariants(), strict=True):
        np.testing.assert_allclose(found, was, rtol=1e-3, atol=2e-3 * np.abs(was).max())
    np.testing.assert_allclose(np.linalg.norm(flight[ATTITUDE], axis=1), 1, atol=1e-6)


def turned(quaternion, vector):
    """Vectors turned from the body to the world: v + 2 w (u x v) + 2 u x (u x v)."""
    u, w = quaternion[:, :3], quaternion[:, 3:]
    return vector + 2 * w * np.cross(u, vector) + 2 * np.cross(u, np.cross(u, vector))


# --- the buffer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vehicles", [1, LANES - 1, LANES, 3 * LANES + 1])
def test_reading_gives_back_what_was_written_for_any_number_of_vehicles(vehicles):
    flight = Flight(CRAZYFLIE, vehicles)
    states = l2f_flight.random_states(vehicles, np.random.default_rng(0))
    flight[STATE_ROWS] = states
    flight[dynamics.MASS] = np.arange(vehicles)
    np.testing.assert_array_equal(flight[STATE_ROWS], states)
    np.testing.assert_array_equal(flight[dynamics.MASS], np.arange(vehicles))


def test_a_vehicle_flies_the_same_alone_and_among_others():
    rng = np.random.default_rng(1)
    states, command = l2f_flight.random_states(40, rng), rng.uniform(0, 1, (40, 4))
    together = Flight(CRAZYFLIE, 40)
    together[STATE_ROWS], together[COMMAND_ROWS] = states, command
    together.fly(0.2)
    for vehicle in (0, 17, 39):
        alone = Flight(CRAZYFLIE)
        alone[STATE_ROWS], alone[COMMAND_ROWS] = states[vehicle], command[vehicle]
        np.testing.assert_array_equal(alone.fly(0.2)[STATE_ROWS][0], together[STATE_ROWS][vehicle])
