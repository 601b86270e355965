"""The Crazyflie's app flown at 1000 Hz on the project's dynamics, compiled against a stand-in of the firmware's headers.

- take-over in the air after the shadow, a step of the set-point, hand-back
- a rotor fails: a policy whose contract says so flies on, also where it has to spin
- faults: no answer, a state that is no number, tilt, body rate, distance, disagreement; the stock controller flies at once
"""

import ctypes
import shutil

import numpy as np
import pytest
from compiled_crazyflie_app import Flight, compiled, error, hover_setpoint

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim import dynamics
from spike_ctrl_export import c_native, crazyflie_app
from spike_ctrl_export.c_source import Form

OFF, SHADOW, COMMAND, FAULT = range(4)
DEADLINE, NOT_FINITE, TILT, RATE, DISTANCE, DISAGREEMENT = range(1, 7)

pytestmark = pytest.mark.skipif(c_native.compiler() is None, reason="no C compiler")


@pytest.mark.parametrize("form", [Form(), Form("int8", 16)], ids=lambda form: form.words)
def test_it_takes_over_in_the_air_hovers_follows_a_step_and_gives_back(tmp_path, loaded, crazyflie, form):
    flight = Flight(ctypes.CDLL(str(compiled(tmp_path, crazyflie_app.app(loaded, "crazyflie", form, crazyflie)))), crazyflie)
    positions, phases = flight.fly(1.0)
    assert set(phases) == {OFF} and error(flight, positions)[-1] < 0.05
    flight.enable()
    positions, phases = flight.fly(3.0)
    taken = int(np.argmax(phases == COMMAND))
    assert 490 <= taken <= 520 and (phases[taken:] == COMMAND).all()  # 50 answers in shadow
    assert flight.control.mode == 1 and error(flight, positions)[-500:].max() < 0.03
    assert 0.02 < flight.read("spikes") < 0.5
    flight.setpoint = hover_setpoint([0.5, 0.0, 1.2])
    positions, _ = flight.fly(3.0)
    assert error(flight, positions)[-500:].max() < 0.03
    flight.enable(0)
    positions, phases = flight.fly(2.0)
    assert set(phases) == {OFF} and flight.control.mode == 0 and error(flight, positions).max() < 0.2


def in_command(app, crazyflie):
    flight = Flight(app, crazyflie)
    flight.enable()
    _, phases = flight.fly(1.0)
    assert phases[-1] == COMMAND
    return flight


def test_the_stock_controller_takes_over_with_its_own_moments_between_two_of_its_steps_too(app, crazyflie):
    flight = in_command(app, crazyflie)
    flight.stock.command.legacy.roll, flight.stock.command.legacy.pitch = 123, -45
    flight.fly(0.001 * (1 + flight.tick % 2))  # the stock controller has stepped, and its next tick is an odd one
    assert flight.tick % 2 == 1 and flight.control.mode == 1
    flight.enable(0)
    flight.fly(0.001)
    legacy = flight.control.command.legacy
    assert flight.control.mode == 0 and (legacy.roll, legacy.pitch, legacy.yaw) == (123, -45, 0)


def test_without_answers_the_stock_controller_flies_within_the_deadline(app, crazyflie):
    flight = in_command(app, crazyflie)
    flight.answers = False
    positions, phases = flight.fly(2.0)
    assert int(np.argmax(phases == FAULT)) <= 36 and flight.read("fault") == DEADLINE  # 25 ms after the last state answered
    assert flight.control.mode == 0 and error(flight, positions).max() < 0.1
    flight.answers = True
    _, phases = flight.fly(1.0)
    assert set(phases) == {FAULT}  # it does not come back by itself
    flight.enable(0)
    flight.fly(0.01)
    flight.enable(1)
    _, phases = flight.fly(1.0)
    assert phases[-1] == COMMAND


def test_a_state_that_is_no_number_ends_it_at_the_next_question(app, crazyflie):
    flight = in_command(app, crazyflie)
    flight.broken = True
    _, phases = flight.fly(0.02)
    assert int(np.argmax(phases == FAULT)) <= 10 and flight.read("fault") == NOT_FINITE and flight.control.mode == 0


def test_a_tilt_beyond_the_limit_ends_it_in_the_same_tick(app, crazyflie):
    flight = in_command(app, crazyflie)
    half = np.radians(85) / 2
    dynamics.write(flight.buffer, dynamics.QUATERNION, [np.sin(half)])
    dynamics.write(flight.buffer, dynamics.QUATERNION + 3, [np.cos(half)])
    _, phases = flight.fly(0.001)
    assert phases[0] == FAULT and flight.read("fault") == TILT and flight.control.mode == 0


def test_a_body_rate_beyond_the_limit_ends_it_in_the_same_tick(app, crazyflie):
    flight = in_command(app, crazyflie)
    dynamics.write(flight.buffer, dynamics.RATES + 2, [21.0])
    _, phases = flight.fly(0.001)
    assert phases[0] == FAULT and flight.read("fault") == RATE and flight.control.mode == 0


HIGH = [0.0, 0.0, 5.0]  # m: after a whole loss it falls by up to 3.8 m


@pytest.fixture(scope="module")
def flies_on(tmp_path_factory):
    """Begins a flight, by a number of its own, of the app with a policy that flies with a lost rotor."""
    found = checkpoint.load(resources.find("models", "crazyflie_any_rotor.safetensors"))
    craft, folder = airframe.load("crazyflie_drag"), tmp_path_factory.mktemp("lost")
    library = compiled(folder, crazyflie_app.app(found, "crazyflie_any_rotor", Form(), craft))

    def fly(number):
        return Flight(ctypes.CDLL(shutil.copy(library, folder / f"{number}.so")), craft, HIGH)

    return fly


@pytest.mark.parametrize(("share", "farthest", "turns"), [(0.4, 0.15, False), (0.7, 1.0, True), (1.0, 3.9, True)])
def test_a_policy_that_flies_with_a_lost_rotor_flies_on_and_may_spin(flies_on, share, farthest, turns):
    flight = flies_on(share)
    flight.setpoint = hover_setpoint(HIGH)
    flight.enable()
    flight.fly(2.0)
    flight.lose(1, share)
    positions, phases = flight.fly(8.0)
    assert set(phases) == {COMMAND} and flight.control.mode == 1
    assert error(flight, positions).max() < farthest and error(flight, positions)[-1000:].max() < 0.15
    assert (abs(flight.state()[12]) > 5.0) == turns


def test_it_is_taken_back_four_metres_from_its_set_point(flies_on):
    flight = flies_on("far")
    flight.setpoint = hover_setpoint(HIGH)
    flight.enable()
    flight.fly(2.0)
    flight.setpoint = hover_setpoint([4.1, 0.0, HIGH[2]])
    _, phases = flight.fly(0.1)
    assert phases[-1] == FAULT and flight.read("fault") == DISTANCE


def test_a_policy_that_never_met_a_lost_rotor_is_taken_back(app, crazyflie):
    flight = in_command(app, crazyflie)
    flight.lose(1, 0.7)
    _, phases = flight.fly(0.5)
    assert phases[-1] == FAULT and flight.read("fault") in (TILT, RATE)


def test_a_set_point_out_of_reach_is_flown_by_the_stock_controller(app, crazyflie):
    flight = in_command(app, crazyflie)
    flight.setpoint = hover_setpoint([1.6, 0.0, 1.0])
    positions, phases = flight.fly(3.0)
    assert phases[0] == FAULT and flight.read("fault") == DISTANCE and error(flight, positions)[-1] < 0.1


def test_forces_that_the_stock_controller_would_not_give_end_it_after_half_a_second(app, crazyflie):
    """Here the policy carries the weight, .55 of THRUST_MAX, and the stock controller would give nothing."""
    flight = in_command(app, crazyflie)
    flight.stock_lifts = False
    _, phases = flight.fly(1.0)
    assert 300 <= int(np.argmax(phases == FAULT)) <= 700 and flight.read("fault") == DISAGREEMENT


def test_setpoints_of_another_kind_are_flown_by_the_stock_controller(app, crazyflie):
    flight = in_command(app, crazyflie)
    flight.setpoint.mode.x = 2  # a velocity
    _, phases = flight.fly(0.1)
    assert set(phases) == {SHADOW} and flight.control.mode == 0
    flight.setpoint.mode.x = 1
    _, phases = flight.fly(1.0)
    assert phases[-1] == COMMAND


def test_on_the_ground_it_stays_in_shadow(app, crazyflie):
    flight = Flight(app, crazyflie, position=[0, 0, 0.1])
    flight.setpoint = hover_setpoint([0, 0, 0.1])
    flight.enable()
    _, phases = flight.fly(1.0)
    assert set(phases) == {SHADOW}
