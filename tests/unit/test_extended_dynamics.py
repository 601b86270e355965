"""Battery, drag, velocity moment, trim and dead time: facts known beforehand, and scipy's integration of the equations."""

import dataclasses
import math

import numpy as np
import pytest
from extended import BATTERY, TERMS, flown

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.sim import battery, dynamics
from spike_ctrl.sim.dynamics import (
    BATTERY_ROWS,
    COMMAND_ROWS,
    DEAD_TIME,
    POSITION,
    QUATERNION,
    RATES,
    ROTOR_ROWS,
    STATE_ROWS,
    VELOCITY,
)
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.randomisation import InitialStates, Randomisation

DT = 0.01
PLAIN = airframe.load("crazyflie")
SPEED, SPIN = slice(VELOCITY, VELOCITY + 3), slice(RATES, RATES + 3)


class Flight:
    """One vehicle, level and at rest, rotors and commands at the normalised speed `rotors`."""

    def __init__(self, rotors=0.0, charge=1.0, **terms):
        self.craft = dataclasses.replace(PLAIN, **terms)
        self.buffer = dynamics.allocate(1, self.craft)
        self.extension = dynamics.extension(self.craft, DT)
        self[ROTOR_ROWS] = self[COMMAND_ROWS] = [[rotors] * 4]
        self[dynamics.CHARGE] = [charge]
        if self.extension:
            dynamics.begin_extension_some(self.buffer, np.ones(1, bool), np.float32(0), self.extension)

    def __getitem__(self, rows):
        return dynamics.read(self.buffer, rows, 1)[0]

    def __setitem__(self, rows, values):
        dynamics.write(self.buffer, rows, values)

    def fly(self, seconds):
        for _ in range(round(seconds / DT)):
            dynamics.step(self.buffer, np.float32(DT), dynamics.geometry(self.craft), self.extension)
        return self


# --- airframes --------------------------------------------------------------------------------------------------------


def test_an_airframe_without_the_new_terms_is_a_plain_one_with_its_hash_of_before():
    assert dynamics.extension(PLAIN, DT) is None
    assert PLAIN.hash == "968119fa8d9c"
    assert not set(airframe.to_dict(PLAIN)) & {"battery", "body_drag", "velocity_moment", "trim_moment", "dead_time"}


def test_an_airframe_with_all_terms_is_read_back_as_it_was_written():
    craft = dataclasses.replace(PLAIN, **TERMS, dead_time=0.015)
    written = airframe.to_dict(craft)
    assert written["battery"]["sag"] == "0.5 V" and written["velocity_moment"] == "0.0002 0.00035 N s"
    assert airframe.from_dict(written) == craft
    assert craft.hash != PLAIN.hash


@pytest.mark.parametrize(
    "terms, message",
    [
        ({"dead_time": "0.05 s"}, "dead_time: found 0.05 s, wanted 0 to 0.04"),
        ({"body_drag": "0.1 N s/m"}, "body_drag: found '0.1 N s/m', wanted 3 numbers and the unit 'N s/m'"),
        ({"battery": {"full": "4.2 V"}}, "key 'battery.empty' is missing"),
        ({"battery": {"ful": "4.2 V"}}, "unknown key 'battery.ful'; did you mean 'full'?"),
        ({"battery": {"full": "3.2 V"}}, "battery: found full 3.2 V and empty 3.2 V, wanted full above empty"),
        ({"battery": {"sag": "1.6 V"}}, "battery.sag: found 1.6 V, wanted less than half of battery.empty, 3.2 V"),
    ],
)
def test_what_cannot_be_is_refused_by_key_found_and_wanted(terms, message):
    data = airframe.to_dict(dataclasses.replace(PLAIN, battery=BATTERY))
    if len(terms.get("battery", {})) and "missing" not in message and "unknown" not in message:
        terms = {"battery": data["battery"] | terms["battery"]}
    with pytest.raises(UsageError, match=r".*") as found:
        airframe.from_dict(data | terms)
    assert message in str(found.value)


def test_a_dead_time_is_refused_for_a_rate_loop():
    data = airframe.to_dict(airframe.load("sih_quadx")) | {"dead_time": "0.01 s"}
    with pytest.raises(UsageError, match=r"dead_time: found 0\.01 s, wanted 0 with action_layout 'rates'"):
        airframe.from_dict(data)


def test_delays_that_add_up_to_more_than_the_history_are_refused():
    with pytest.raises(ValueError, match="found delays of up to 50 ms, wanted at most 40 ms in total"):
        Environment(dataclasses.replace(PLAIN, dead_time=0.02), 1, Task(randomisation=Randomisation(delay=3)))
    with pytest.raises(ValueError, match=r"randomisation.dead_time: found 0.01 s for airframe sih_quadx"):
        Environment(airframe.load("sih_quadx"), 1, Task(randomisation=Randomisation(dead_time=0.01)))


# --- the whole: scipy -------------------------------------------------------------------------------------------------


def test_a_second_of_flight_with_all_terms_is_that_of_an_ode_solver():
    flight = Flight(PLAIN.hover, charge=0.6, **TERMS)
    state = flight[STATE_ROWS].astype(float)
    state[3:7] = np.array([0.1, -0.2, 0.3, 0.9]) / np.linalg.norm([0.1, -0.2, 0.3, 0.9])
    state[7:13] = [2.0, -1.0, 0.5, 0.5, -1.0, 2.0]
    flight[STATE_ROWS] = [state]
    u = PLAIN.hover + np.array([0.03, -0.02, 0.01, -0.03])
    flight[COMMAND_ROWS] = [u]
    charge, volts = flight[BATTERY_ROWS].astype(float)
    wanted = flown(flight.craft, state, charge, volts, u, 0.3)
    flight.fly(0.3)
    # The voltage is held over a step: half a step late, some 2e-4 of it.
    np.testing.assert_allclose(flight[STATE_ROWS], wanted[:17], rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(flight[BATTERY_ROWS], wanted[17:], rtol=5e-4)
    plain = dataclasses.replace(flight.craft, body_drag=(0.0, 0.0, 0.0), velocity_moment=(0.0, 0.0))
    assert np.abs(flown(plain, state, charge, volts, u, 0.3)[:13] - wanted[:13]).max() > 0.1  # the terms matter


# --- battery ----------------------------------------------------------------------------------------------------------


def test_the_factor_of_the_voltage_is_its_power_within_a_part_in_a_million():
    for exponent in (0.0, 0.5, 0.9, 1.7):
        b = dataclasses.replace(BATTERY, exponent=exponent)
        constants = battery.constants(dataclasses.replace(PLAIN, battery=b), DT)
        volts = np.linspace(b.empty - b.sag, b.full, 200)
        found = [battery.command_factor(np.float32(v), constants) for v in volts]
        np.testing.assert_allclose(found, (volts / b.nominal) ** exponent, rtol=1e-5)


def test_at_full_command_the_thrust_is_that_of_the_rotor_speed_at_the_voltage():
    settled = []
    for charge in (1.0, 0.5, 0.0):
        # Without endurance's drain to speak of, and once rotors and voltage have settled.
        b = dataclasses.replace(BATTERY, endurance=1e5)
        flight = Flight(1.0, charge, battery=b).fly(3.0)
        volts = flight[BATTERY_ROWS][1]
        speed = (volts / b.nominal) ** b.exponent
        assert volts == pytest.approx(b.empty + (b.full - b.empty) * charge - b.sag * speed**3, abs=1e-3)
        np.testing.assert_allclose(flight[ROTOR_ROWS], speed, rtol=1e-4)
        before = flight[SPEED][2]
        climb = (flight.fly(0.1)[SPEED][2] - before) / 0.1
        assert climb == pytest.approx(4 * PLAIN.thrust(speed) / PLAIN.mass - 9.81, rel=1e-3)
        settled.append(climb)
    assert settled[0] > settled[1] > settled[2]


def test_full_speed_empties_the_battery_in_its_endurance_and_no_further():
    b = dataclasses.replace(BATTERY, exponent=0.0, endurance=5.0)
    flight = Flight(1.0, battery=b).fly(2.0)
    assert flight[dynamics.CHARGE] == pytest.approx(1 - 2.0 / 5.0, abs=1e-4)
    assert flight.fly(4.0)[dynamics.CHARGE] == 0.0
    assert flight.fly(3.0)[BATTERY_ROWS][1] == pytest.approx(b.empty - b.sag, abs=1e-4)


def test_the_voltage_sags_with_its_time_constant():
    b = dataclasses.replace(BATTERY, exponent=0.0, endurance=1e5)
    flight = Flight(0.0, battery=b)
    flight[ROTOR_ROWS] = flight[COMMAND_ROWS] = [[1.0] * 4]
    assert flight.fly(0.3)[BATTERY_ROWS][1] == pytest.approx(b.full - b.sag * (1 - math.exp(-1)), abs=1e-3)


# --- air --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis, drag", [(0, 0.03), (1, 0.05), (2, 0.02)])
def test_a_fall_along_a_body_axis_ends_at_weight_over_the_drag_of_that_axis(axis, drag):
    drags = tuple(drag if i == axis else 0.0 for i in range(3))
    flight = Flight(body_drag=drags, thrust_curve=(0.0, 0.0, 0.12))
    half = math.sqrt(0.5)
    flight[slice(QUATERNION, QUATERNION + 4)] = [[[0, half, 0, half], [half, 0, 0, half], [0, 0, 0, 1]][axis]]
    # With x down (or y up, or z up) the other axes carry nothing.
    assert flight.fly(20.0)[SPEED][2] == pytest.approx(-PLAIN.mass * 9.81 / drag, rel=1e-3)


def test_a_positive_velocity_moment_pitches_the_nose_up_in_forward_flight_by_ky_v_over_inertia():
    flight = Flight(PLAIN.hover, velocity_moment=(0.0, 2e-5))
    flight[SPEED] = [[1.5, 0, 0]]
    roll, pitch, yaw = flight.fly(0.02)[SPIN]
    assert pitch == pytest.approx(-0.02 * 2e-5 * 1.5 / PLAIN.inertia[1], rel=1e-2)  # about the left: the nose goes up
    assert abs(roll) < 1e-4 and abs(yaw) < 1e-4


def test_a_positive_velocity_moment_lifts_the_side_that_leads():
    flight = Flight(PLAIN.hover, velocity_moment=(2e-5, 0.0))
    flight[SPEED] = [[0, 1.5, 0]]  # to the left
    roll, pitch, _ = flight.fly(0.02)[SPIN]
    assert roll == pytest.approx(0.02 * 2e-5 * 1.5 / PLAIN.inertia[0], rel=1e-2)  # about the nose: the left side goes up
    assert abs(pitch) < 1e-4


def test_the_velocity_moment_is_that_of_the_velocity_in_the_body():
    flight = Flight(PLAIN.hover, velocity_moment=(0.0, 2e-5))
    flight[slice(QUATERNION, QUATERNION + 4)] = [[0, 0, math.sqrt(0.5), math.sqrt(0.5)]]  # nose to the north
    flight[SPEED] = [[0, 1.5, 0]]
    assert flight.fly(0.02)[SPIN][1] == pytest.approx(-0.02 * 2e-5 * 1.5 / PLAIN.inertia[1], rel=1e-2)


def test_a_trim_moment_turns_by_moment_over_inertia():
    flight = Flight(PLAIN.hover, trim_moment=(1e-5, -2e-5, 0.0))
    np.testing.assert_allclose(
        flight.fly(0.05)[SPIN][:2], [0.05e-5 / PLAIN.inertia[0], -0.1e-5 / PLAIN.inertia[1]], rtol=1e-3
    )


# --- dead time --------------------------------------------------------------------------------------------------------


def steps_until_a_jump_of_the_command(dead_time, randomisation=Randomisation()):
    """Commands in force at the first six steps, as a share of a jump from hover that is given at once."""
    craft = dataclasses.replace(PLAIN, dead_time=dead_time)
    start = InitialStates(at_target=1.0, rotors_low=craft.hover, rotors_high=craft.hover)
    environment = Environment(craft, 3, Task(box=100.0, start=start, randomisation=randomisation))
    environment.reset(seed=1)
    found = []
    for _ in range(6):
        environment.step(np.full((3, 4), 0.9, np.float32))
        found.append((environment.read(COMMAND_ROWS)[:, 0] - craft.hover) / (0.95 - craft.hover))
    return np.array(found).T, 100 * environment.read(DEAD_TIME)


@pytest.mark.parametrize("dead_time", [0.01, 0.02, 0.04])
def test_a_jump_of_the_command_appears_after_exactly_the_dead_time(dead_time):
    seen, _ = steps_until_a_jump_of_the_command(dead_time)
    late = round(100 * dead_time)
    np.testing.assert_allclose(seen, np.tile([0.0] * late + [1.0] * (6 - late), (3, 1)), atol=1e-5)


def test_between_control_steps_the_command_takes_effect_in_proportion():
    seen, _ = steps_until_a_jump_of_the_command(0.0125)
    np.testing.assert_allclose(seen[0], [0, 0.75, 1, 1, 1, 1], atol=1e-5)


def test_a_dead_time_is_drawn_for_each_vehicle_beside_that_of_the_airframe():
    seen, late = steps_until_a_jump_of_the_command(0.01, Randomisation(dead_time=0.02))
    assert np.all((late >= 1) & (late <= 3)) and len(set(late)) == 3
    np.testing.assert_allclose((1 - seen).sum(1), late, atol=1e-4)  # what has not come yet


# --- randomisation ----------------------------------------------------------------------------------------------------


def test_each_episode_draws_its_charge_and_the_voltage_has_settled_there():
    craft = dataclasses.replace(PLAIN, battery=BATTERY)
    task = Task(
        start=InitialStates(rotors_low=0.5, rotors_high=0.5), randomisation=Randomisation(charge_low=0.2, charge_high=0.7)
    )
    environment = Environment(craft, 500, task)
    environment.reset(seed=0)
    charge, volts = environment.read(BATTERY_ROWS).T
    assert 0.2 <= charge.min() < 0.22 and 0.68 < charge.max() <= 0.7
    np.testing.assert_allclose(volts, BATTERY.empty + charge - BATTERY.sag / 8, atol=1e-5)


def test_trim_drag_and_velocity_moment_are_spread_about_those_of_the_airframe():
    craft = dataclasses.replace(PLAIN, **TERMS)
    spread = Randomisation(moment=1e-5, body_drag=0.3, velocity_moment=0.5)
    environment = Environment(craft, 2000, Task(randomisation=spread))
    environment.reset(seed=0)
    trim = environment.disturbance[:, 3:] - np.array(craft.trim_moment)
    assert 0.98e-5 < trim.max() < 1.01e-5 and -1.01e-5 < trim.min() < -0.98e-5
    factors = environment.read(slice(dynamics.BODY_DRAG, dynamics.DEAD_TIME)) / [*craft.body_drag, *craft.velocity_moment]
    np.testing.assert_allclose(factors.min(0), [0.7, 0.7, 0.7, 0.5, 0.5], atol=0.01)
    np.testing.assert_allclose(factors.max(0), [1.3, 1.3, 1.3, 1.5, 1.5], atol=0.01)


def test_a_spread_of_the_new_terms_leaves_plain_plants_and_their_starts_as_they_are():
    plain, spread = (
        Environment(PLAIN, 100, Task(randomisation=Randomisation(mass=0.1, **more)))
        for more in ({}, {"body_drag": 0.5, "velocity_moment": 0.5, "charge_low": 0.1})
    )
    for environment in (plain, spread):
        environment.reset(seed=0)
        environment.step(np.zeros((100, 4), np.float32))
    rows = slice(POSITION, dynamics.COMMAND)
    np.testing.assert_array_equal(plain.read(rows), spread.read(rows))
