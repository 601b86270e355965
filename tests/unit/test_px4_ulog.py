"""PX4's logs become bags in ENU and FLU.

Oracles: motions known beforehand, in files of the published format, which pyulog reads.
"""

import math

import numpy as np
import pytest
from ulog_file import ulog

from spike_ctrl import airframe
from spike_ctrl.cli import main
from spike_ctrl.recordings.reader import read

pytestmark = [pytest.mark.slow, pytest.mark.plug_ins]

YAW_RATE, SECONDS = 0.5, 2.0


def flight(**changes):
    """A vehicle at 3 m, 1 m north and 2 m east, moving east by .2 m/s, nose north and down by 10 degrees, turning left."""
    t = np.arange(2.0, 2.0 + SECONDS, 0.004)
    one, nothing, slow = np.ones_like(t), np.zeros_like(t), t[::2]
    yaw, pitch = -YAW_RATE * (t - 2.0), math.radians(-10)  # of FRD in NED: to the left and nose down are negative
    q = np.column_stack([
        np.cos(yaw / 2) * math.cos(pitch / 2), -np.sin(yaw / 2) * math.sin(pitch / 2),
        np.cos(yaw / 2) * math.sin(pitch / 2), np.sin(yaw / 2) * math.cos(pitch / 2),
    ])  # fmt: skip
    place = {"x": 1.0, "y": 2.0, "z": -3.0, "vx": 0.0, "vy": 0.2, "vz": 0.0}
    topics = {
        "vehicle_local_position": (slow, {name: ("float", np.full(len(slow), v)) for name, v in place.items()}
                                   | {name: ("bool", np.ones(len(slow), bool)) for name in ("xy_valid", "z_valid")}),
        "vehicle_attitude": (t, {"q": ("float", q)}),
        "sensor_combined": (t, {
            "gyro_rad": ("float", np.column_stack([0.1 * one, 0.2 * one, -YAW_RATE * one])),
            "accelerometer_m_s2": ("float", np.column_stack([nothing, nothing, -9.81 * one])),
        }),
        "actuator_motors": (t, {"control": ("float", np.column_stack([*(v * one for v in (0.1, 0.2, 0.3, 0.4)),
                                                                      *[np.nan * one] * 8]))}),
        "vehicle_rates_setpoint": (t, {
            "roll": ("float", 1.0 * one), "pitch": ("float", 2.0 * one), "yaw": ("float", 3.0 * one),
            "thrust_body": ("float", np.column_stack([nothing, nothing, -0.6 * one])),
        }),
        "battery_status": (t[::50], {"voltage_v": ("float", np.full(len(t[::50]), 15.5))}),
        "vehicle_local_position_setpoint": (slow, {name: ("float", np.full(len(slow), v)) for name, v in
                                                   {"x": 1.0, "y": 1.0, "z": -3.0, "yaw": 0.0}.items()}),
    }  # fmt: skip
    topics |= changes
    return {name: topic for name, topic in topics.items() if topic is not None}


def bag(tmp_path, topics, *options, parameters=(), craft="crazyflie"):
    (tmp_path / "a.ulg").write_bytes(ulog(topics, parameters))
    code = main.main(["import", str(tmp_path / "a.ulg"), "-o", str(tmp_path / "bags"), "--airframe", craft, *options])
    return read(tmp_path / "bags" / "a") if code == 0 else code


def test_a_flight_in_ned_and_frd_is_one_in_enu_and_flu(tmp_path):
    found = bag(tmp_path, flight())
    np.testing.assert_allclose(found.poses.position[0], [2, 1, 3], rtol=1e-6)
    np.testing.assert_allclose(found.poses.velocity[0], [0.2, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found.poses.rates[5], [0.1, -0.2, YAW_RATE], rtol=1e-6)
    np.testing.assert_allclose(found.sensed.force[5], [0, 0, 9.81], rtol=1e-6)
    np.testing.assert_allclose(found.sensed.voltage, 15.5)
    x, y, z, w = found.poses.quaternion[0]
    nose = np.array([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)])
    np.testing.assert_allclose(nose, [0, math.cos(math.radians(10)), -math.sin(math.radians(10))], atol=1e-4)
    q = found.poses.quaternion
    heading = np.unwrap(np.arctan2(2 * (q[:, 0] * q[:, 1] + q[:, 3] * q[:, 2]), 1 - 2 * (q[:, 1] ** 2 + q[:, 2] ** 2)))
    np.testing.assert_allclose(np.diff(heading).mean() * 100, YAW_RATE, rtol=1e-2)
    np.testing.assert_allclose(found.states.observation[5, 0, :3], [0, -1, 0], atol=1e-5)  # 1 m east of where it should be
    assert found.origin["imported"].startswith("ULog of PX4")


def test_px4s_motors_are_brought_into_our_order(tmp_path):
    found = bag(tmp_path, flight())  # front-right, back-left, front-left, back-right
    np.testing.assert_allclose((found.commands.action[5] + 1) / 2, [0.1, 0.4, 0.2, 0.3], atol=1e-6)


def test_the_order_of_motors_is_that_of_the_vehicles_own_geometry(tmp_path):
    corners = ((-1.0, 1.0), (1.0, 1.0), (1.0, -1.0), (-1.0, -1.0))  # back-right first
    places = {f"CA_ROTOR{m}_P{axis}": v for m, corner in enumerate(corners) for axis, v in zip("XY", corner, strict=True)}
    found = bag(tmp_path, flight(), parameters=places)
    np.testing.assert_allclose((found.commands.action[5] + 1) / 2, [0.2, 0.1, 0.4, 0.3], atol=1e-6)


def test_pulses_count_between_the_limits_of_their_channel(tmp_path):
    t = flight()["sensor_combined"][0]
    pulses = np.column_stack([np.full(len(t), v) for v in (1100.0, 1200.0, 1300.0, 1400.0)])
    limits = {f"PWM_MAIN_{end}{n}": v for n in range(1, 5) for end, v in (("MIN", 1000), ("MAX", 2000))}
    functions = {f"PWM_MAIN_FUNC{n}": 100 + n for n in range(1, 5)}
    topics = flight(actuator_motors=None, actuator_outputs=(t, {"output": ("float", pulses)}))
    found = bag(tmp_path, topics, parameters=limits | functions)
    np.testing.assert_allclose((found.commands.action[5] + 1) / 2, [0.1, 0.4, 0.2, 0.3], atol=1e-6)


def test_for_an_airframe_that_is_flown_by_rates_the_rates_that_were_asked_for_are_the_actions(tmp_path):
    found, craft = bag(tmp_path, flight(), craft="sih_quadx"), airframe.load("sih_quadx")
    assert found.commands.layout == "rates"
    wanted = [(0.6 - craft.hover) / (1 - craft.hover), *np.array([1.0, -2.0, -3.0]) / craft.max_rates]
    np.testing.assert_allclose(found.commands.action[5], wanted, atol=1e-5)


def test_velocity_in_the_body_is_turned_into_the_world(tmp_path):
    topics = flight()
    t, about = topics["vehicle_attitude"]
    odometry = about | {
        "position": ("float", np.tile([1.0, 2.0, -3.0], (len(t), 1))), "pose_frame": ("uint8_t", np.ones(len(t), int)),
        "velocity": ("float", np.tile([1.0, 0.0, 0.0], (len(t), 1))), "velocity_frame": ("uint8_t", np.full(len(t), 3)),
    }  # fmt: skip
    found = bag(
        tmp_path,
        topics
        | {"vehicle_odometry": (t, odometry)}
        | {
            "vehicle_local_position": (t[:0], {}),
        },
    )
    down = math.radians(10)
    np.testing.assert_allclose(found.poses.velocity[0], [0, math.cos(down), -math.sin(down)], atol=1e-3)


def test_commands_that_were_logged_too_seldom_are_left_out_and_told(tmp_path, capsys):
    topics = flight()
    t, about = topics["actuator_motors"]
    slow = {"control": ("float", about["control"][1][::25])}  # each 100 ms, as PX4 logs by default
    found = bag(tmp_path, topics | {"actuator_motors": (t[::25], slow)})
    assert found.commands is None
    said = (
        "motors: logged each 100 ms: left out, wanted at least each 25 ms; without them `identify` tells nothing: set PX4's"
    )
    assert f"{said} SDLOG_PROFILE to 17" in " ".join(capsys.readouterr().out.split())
    assert main.main(["identify", str(tmp_path / "bags" / "a"), "-o", str(tmp_path / "mine.yaml")]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vehicle_attitude": None}, "quaternion: found no vehicle_attitude and no vehicle_odometry, wanted one of these"),
        ({"sensor_combined": None}, "rates: found no sensor_combined and no vehicle_angular_velocity, wanted one of"),
        ({"vehicle_local_position": None}, "position: found no vehicle_local_position and no vehicle_odometry, wanted"),
    ],
)
def test_a_log_that_lacks_a_part_of_the_state_names_the_topics_that_it_lacks(change, words, tmp_path, capsys):
    assert bag(tmp_path, flight(**change)) == 2
    error = capsys.readouterr().err
    assert words in error and "set PX4's SDLOG_PROFILE to 17" in error


def test_a_position_that_px4_never_believed_is_none(tmp_path, capsys):
    topics = flight()
    time, fields = topics["vehicle_local_position"]
    topics["vehicle_local_position"] = time, fields | {"xy_valid": ("bool", np.zeros(len(time), bool))}
    assert bag(tmp_path, topics) == 2
    assert "position: found no valid vehicle_local_position and no vehicle_odometry" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("topic", "field"),
    [("vehicle_local_position", "xy_valid"), ("vehicle_local_position", "x"), ("vehicle_attitude", "q")],
)
def test_a_topic_that_lacks_a_field_is_refused_by_both_names(topic, field, tmp_path, capsys):
    topics = flight()
    time, fields = topics[topic]
    topics[topic] = (
        time,
        {name: values for name, values in fields.items() if name != field} | {"other": ("float", np.zeros(len(time)))},
    )
    assert bag(tmp_path, topics) == 2
    assert f"{topic}: found no field {field}" in capsys.readouterr().err


def of_v1_9(low=1000.0, high=2000.0):
    """Topics as PX4 v1.9 logged them: no actuator_motors, odometry in x, y, z, and pulses in the order of the mixer."""
    topics = flight(actuator_motors=None)
    t, attitude = topics["vehicle_attitude"]
    shares = np.array([0.1, 0.2, 0.3, 0.4, 0, 0])
    pulses = np.tile(low + shares * (high - low), (len(t), 1))
    place = {name: ("float", np.full(len(t), v)) for name, v in zip(("x", "y", "z"), (1.0, 2.0, -3.0), strict=True)}
    moving = {name: ("float", np.full(len(t), v)) for name, v in zip(("vx", "vy", "vz"), (0.0, 0.2, 0.0), strict=True)}
    topics["actuator_outputs"] = t, {"noutputs": ("int32_t", np.full(len(t), 6)), "output": ("float", pulses)}
    topics["vehicle_local_position"] = None
    topics["vehicle_odometry"] = t, attitude | place | moving
    return {name: topic for name, topic in topics.items() if topic is not None}


@pytest.mark.parametrize(
    ("limits", "parameters"),
    [
        ((1000.0, 2000.0), {}),  # none is logged: PX4's defaults
        ((1075.0, 1950.0), {"PWM_MIN": 1075, "PWM_MAX": 1950}),  # up to v1.11
        ((1100.0, 1900.0), {"PWM_MAIN_MIN": 1100, "PWM_MAIN_MAX": 1900, "PWM_MAIN_MIN1": -1, "PWM_MAIN_FUNC1": 0}),
        ((0.0, 1.0), {"PWM_MIN": 1000, "PWM_MAX": 2000}),  # of a simulator
    ],
)
def test_logs_from_v1_9_to_v1_13_give_motors_by_their_outputs(limits, parameters, tmp_path):
    found = bag(tmp_path, of_v1_9(*limits), parameters=parameters)
    np.testing.assert_allclose((found.commands.action[5] + 1) / 2, [0.1, 0.4, 0.2, 0.3], atol=1e-6)
    np.testing.assert_allclose(found.poses.position[0], [2, 1, 3], rtol=1e-6)
    np.testing.assert_allclose(found.poses.velocity[0], [0.2, 0, 0], atol=1e-6)


def test_for_an_airframe_by_rates_nobody_asks_how_the_motors_were_logged(tmp_path, capsys):
    names = {"PWM_MAIN_FUNC1": 101, "PWM_MAIN_MIN1": 1000, "PWM_MAIN_MAX1": 2000}  # and none for the other motors
    found = bag(tmp_path, of_v1_9(), parameters=names, craft="sih_quadx")
    assert found.commands.layout == "rates" and np.isfinite(found.commands.action).any()
    assert bag(tmp_path, of_v1_9(), "-o", str(tmp_path / "others"), parameters=names) == 2
    assert "actuator_outputs: found no channel of motor 4" in capsys.readouterr().err


def test_what_is_no_ulog_or_cut_off_is_refused_in_one_line(tmp_path, capsys):
    begun = ulog({})[:16]
    for data in (b"", b"ULog", b"no log at all, but long enough", ulog(flight())[:200], begun + b"\x20\x4eX" + bytes(50)):
        (tmp_path / "a.ulg").write_bytes(data)
        arguments = ["import", str(tmp_path / "a.ulg"), "-o", str(tmp_path / "bags"), "--airframe", "crazyflie"]
        assert main.main(arguments) == 2
        out = capsys.readouterr().err.strip().splitlines()
        assert out[-1].startswith(f"error: {tmp_path / 'a.ulg'}: ") and "Traceback" not in "".join(out)


def test_a_map_is_no_help_to_a_ulog(tmp_path, capsys):
    assert bag(tmp_path, flight(), "--map", "cfclient") == 2
    assert "found a ULog and map cfclient, wanted no --map" in capsys.readouterr().err


def test_a_ulog_without_a_named_airframe_asks_for_it(tmp_path, capsys):
    (tmp_path / "a.ulg").write_bytes(ulog(flight()))
    assert main.main(["import", str(tmp_path / "a.ulg"), "-o", str(tmp_path / "bags")]) == 2
    assert "wanted --airframe NAME" in capsys.readouterr().err
