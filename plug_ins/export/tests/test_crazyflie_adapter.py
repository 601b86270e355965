"""The adapter of the Crazyflie's app between the firmware's structures and the policy.

- the observation by absolute facts: a yaw to the left, a nose that is down, a gyro in degrees; the legacy pitch is not read
- forces: what arrives at the motor through the firmware's battery compensation is the airframe's thrust, or the duty
"""

import ctypes

import numpy as np
import pytest
from compiled_crazyflie_app import (
    HOVER,
    THRUST_MAX,
    Attitude,
    Control,
    Quaternion,
    Sensors,
    State,
    Vector,
    compiled,
    distributed,
    hover_setpoint,
)  # fmt: skip
from seeing_voltage import seeing

from spike_ctrl import airframe
from spike_ctrl.policy import checkpoint
from spike_ctrl_export import c_native, crazyflie_app
from spike_ctrl_export.c_source import Form

CURVE = np.array([-0.014830744918356092, 0.04724465241828281, -0.01847364358025878, 0.005960923942142])
VOLTS = 3.9

pytestmark = pytest.mark.skipif(c_native.compiler() is None, reason="no C compiler")


def observed(app, state, sensors=None, setpoint=None):
    out = (ctypes.c_float * 18)()
    setpoint = setpoint or hover_setpoint()
    volts = ctypes.c_float(VOLTS)
    app.snn_observe(ctypes.byref(state), ctypes.byref(sensors or Sensors()), ctypes.byref(setpoint), volts, out)
    return np.array(out)


def test_a_vehicle_east_of_a_setpoint_that_faces_north_is_to_its_right(app):
    half = np.sqrt(0.5)
    state = State(quaternion=Quaternion(0, 0, half, half), position=Vector(1, 0, 1.5), velocity=Vector(0, 2, 0))
    seen = observed(app, state, setpoint=hover_setpoint(yaw=90.0))
    np.testing.assert_allclose(seen[:3], [0, -1, 0.5], atol=1e-6)  # x ahead, y to the left
    np.testing.assert_allclose(seen[3:12].reshape(3, 3), np.eye(3), atol=1e-6)  # it faces north, too
    np.testing.assert_allclose(seen[12:15], [2, 0, 0], atol=1e-6)  # it flies north: ahead


def test_a_vehicle_that_flies_as_fast_as_its_setpoint_is_seen_at_rest(app):
    state = State(quaternion=Quaternion(0, 0, 0, 1), velocity=Vector(1.0, -0.5, 0.25))
    setpoint = hover_setpoint()
    setpoint.velocity = Vector(1.0, -0.5, 0.25)
    np.testing.assert_allclose(observed(app, state, setpoint=setpoint)[12:15], 0, atol=1e-6)


def test_a_nose_that_is_down_is_seen_from_the_quaternion_and_not_from_the_legacy_pitch(app):
    angle = np.radians(30)
    quaternion = Quaternion(0, np.sin(angle / 2), 0, np.cos(angle / 2))  # about +y, the left side: the nose goes down
    for legacy in (-30.0, 30.0):
        seen = observed(app, State(quaternion=quaternion, attitude=Attitude(0, legacy, 0), position=Vector(*HOVER)))
        rotation = seen[3:12].reshape(3, 3)
        np.testing.assert_allclose(rotation @ [1, 0, 0], [np.cos(angle), 0, -0.5], atol=1e-6)


def test_a_quarter_turn_in_a_second_is_half_pi(app):
    state = State(quaternion=Quaternion(0, 0, 0, 1))
    seen = observed(app, state, Sensors(gyro=Vector(90, -90, 45)))
    np.testing.assert_allclose(seen[15:], [np.pi / 2, -np.pi / 2, np.pi / 4], atol=1e-5)


def test_a_policy_that_sees_the_voltage_is_told_it_as_its_checkpoint_says(tmp_path):
    loaded = checkpoint.loads(seeing())
    app = ctypes.CDLL(str(compiled(tmp_path, crazyflie_app.app(loaded, "seeing", Form(), airframe.load("crazyflie_real")))))
    out, told = (ctypes.c_float * 19)(), loaded.manifest.contract.voltage
    state = State(quaternion=Quaternion(0, 0, 0, 1))
    given = ctypes.byref(state), ctypes.byref(Sensors()), ctypes.byref(hover_setpoint())
    app.snn_observe(*given, ctypes.c_float(3.3), out)
    assert out[18] == pytest.approx((3.3 - told.middle) / told.span, abs=1e-6) and out[17] == 0


def compensated(force, volts):
    """Duty that the firmware gives a normalised force: the root of its cubic, over the voltage."""
    polynomial = np.append(CURVE[::-1][:-1], CURVE[0] - force * THRUST_MAX)
    root = [r.real for r in np.roots(polynomial) if abs(r.imag) < 1e-9 and r.real > 0]
    return min(root) / volts


def forces(app, action, volts):
    out = (ctypes.c_float * 4)()
    app.snn_forces((ctypes.c_float * 4)(*action), ctypes.c_float(volts), out)
    return np.array(out)


def test_the_firmwares_mixer_gives_each_motor_its_force_also_beyond_its_largest_thrust(app):
    wanted, control = np.array([0.2, 1.4, 0.7, 1.1]), Control()
    app.snn_command((ctypes.c_float * 4)(*wanted), ctypes.byref(control))
    assert control.mode == 1
    np.testing.assert_allclose(distributed(control.command.wrench), wanted * THRUST_MAX, atol=1e-7)


def test_a_command_becomes_the_thrust_of_the_airframe_at_any_voltage(app, crazyflie):
    action = np.array([-1.0, -0.2, 0.1, 0.6])
    wanted = [crazyflie.thrust(u) for u in (action + 1) / 2]
    for volts in (3.6, 4.2):
        np.testing.assert_allclose(forces(app, action, volts) * THRUST_MAX, wanted, rtol=1e-5)


def test_no_motor_is_asked_for_more_than_the_voltage_gives(app):
    most = np.polynomial.polynomial.polyval(2.8, CURVE)  # N, a motor that is always on
    assert forces(app, np.ones(4), 2.8).max() * THRUST_MAX == pytest.approx(most, rel=1e-5)


def test_a_policy_with_a_battery_commands_the_duty(tmp_path, loaded, crazyflie):
    made = crazyflie_app.app(loaded, "crazyflie", Form(), crazyflie)
    made["src/snn_config.h"] = crazyflie_app._config(crazyflie, True, 0, crazyflie_app.LIMITS)
    app, volts = ctypes.CDLL(str(compiled(tmp_path, made))), 3.3
    action = np.array([0.0, 0.2, 0.7, 1.0])  # the last one is .15 N by the firmware's fit, more than its THRUST_MAX
    duty = [compensated(force, volts) for force in forces(app, action, volts)]
    np.testing.assert_allclose(duty, (action + 1) / 2, atol=1e-4)
