"""Maps of public data sets: a made file with their published columns becomes the flight that it was made from."""

import csv
import math

import numpy as np
import pytest
from simulated_flight import simulate

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli import main
from spike_ctrl.recordings.reader import read
from spike_ctrl_identify import column_map

TURN, TILT, SPEED = 0.5, math.radians(10), np.array([0.4, -0.2, 0.1])
"""A vehicle that turns left by TURN rad/s, nose down by TILT, and swings with up to SPEED in the world, ENU."""


def places(t):
    return np.sin(t)[:, None] * SPEED + [0, 0, 1]


def speeds(t):
    return np.cos(t)[:, None] * SPEED


def matrices(t):
    yaw, c, s = TURN * t, math.cos(TILT), math.sin(TILT)
    cy, sy, zero = np.cos(yaw), np.sin(yaw), np.zeros_like(t)
    rows = [cy * c, -sy, cy * s, sy * c, cy, sy * s, zero - s, zero, zero + c]
    return np.stack(rows, axis=1).reshape(-1, 3, 3)


def quaternions(t):
    yaw, pitch = TURN * t / 2, TILT / 2
    return np.column_stack([-np.sin(yaw) * math.sin(pitch), np.cos(yaw) * math.sin(pitch), np.sin(yaw) * math.cos(pitch),
                            np.cos(yaw) * math.cos(pitch)])  # fmt: skip


def numbered(names, values):
    return dict(zip(names, np.atleast_2d(np.asarray(values, float)).T, strict=True))


def xyz(before, values, after=""):
    return numbered([f"{before}{axis}{after}" for axis in "xyz"], values)


def neurobem(t):
    turned = matrices(t)
    body = np.einsum("kji,kj->ki", turned, speeds(t))
    nothing = np.zeros((len(t), 3))
    rates = np.einsum("kji,j->ki", turned, [0, 0, TURN])
    motors = 2332 * np.array([0.2, 0.1, 0.3, 0.4])  # back-right, front-right, back-left, front-left
    columns = {"t": t} | xyz("ang acc ", nothing) | xyz("ang vel ", rates)
    columns |= numbered(["qx", "qy", "qz", "qw"], quaternions(t)) | xyz("acc ", nothing) | xyz("vel ", body)
    columns |= xyz("pos ", places(t))
    columns |= {f"mot {n + 1}": np.full_like(t, motors[n]) for n in range(4)}
    return columns | {f"dmot {n + 1}": 0 * t for n in range(4)} | {"vbat": np.full_like(t, 16.2)}


def nanodrone(t):
    rates = np.einsum("kji,j->ki", matrices(t), [0, 0, TURN])
    columns = {"": np.arange(len(t)), "t": t} | xyz("", places(t))
    columns |= numbered(["qx", "qy", "qz", "qw"], quaternions(t)) | xyz("v", speeds(t)) | xyz("w", rates)
    turns = 60 * 6 / (2 * math.pi)  # erpm of a rad/s
    columns |= {f"m{n + 1}_erpm": np.full_like(t, 2500 * share * turns) for n, share in enumerate((0.1, 0.2, 0.3, 0.4))}
    return columns | xyz("", np.tile([1.0, 2, 3], (len(t), 1)), "_r") | {"yaw_r": 0 * t, "Vbat": np.full_like(t, 3.9)}


def ratm(t):
    rates = np.einsum("kji,j->ki", matrices(t), [0, 0, TURN])
    columns = {"elapsed_time": t, "timestamp": 1e6 * t} | xyz("accel_", np.tile([0, 0, 9.81], (len(t), 1)))
    columns |= xyz("gyro_", rates) | {f"thrust{n}": np.full_like(t, v) for n, v in enumerate((0.2, 0.1, 0.3, 0.4))}
    columns |= {"channels_thrust": 1500 + 0 * t, "vbat": np.full_like(t, 23.0)}
    columns |= xyz("drone_", places(t)) | xyz("drone_velocity_linear_", speeds(t))
    by_column = matrices(t).transpose(0, 2, 1).reshape(-1, 9)
    return columns | {f"drone_rot[{n}]": by_column[:, n] for n in range(9)}


@pytest.mark.parametrize(
    ("made", "more", "voltage"), [(neurobem, (), 16.2), (nanodrone, (), 3.9), (ratm, ("--airframe", "neurobem"), 23.0)]
)
def test_a_file_of_a_public_set_is_recognised_and_read(made, more, voltage, tmp_path):
    columns = made(np.arange(0, 5, 0.01))
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, "img_filename"])
        writer.writerows([*(f"{cell:.12g}" for cell in row), "a.jpg"] for row in zip(*columns.values(), strict=True))
    assert main.main(["import", str(tmp_path / "a.csv"), "-o", str(tmp_path / "bags"), *more]) == 0
    found = read(tmp_path / "bags" / "a")
    assert found.origin["imported"].startswith(f"map {made.__name__}")
    np.testing.assert_allclose(found.poses.velocity, speeds(found.poses.stamp), atol=1e-6)
    q = found.poses.quaternion
    heading = np.unwrap(np.arctan2(2 * (q[:, 0] * q[:, 1] + q[:, 3] * q[:, 2]), 1 - 2 * (q[:, 1] ** 2 + q[:, 2] ** 2)))
    np.testing.assert_allclose(np.diff(heading) * 100, TURN, rtol=1e-4)
    np.testing.assert_allclose(2 * (q[:, 0] * q[:, 2] - q[:, 1] * q[:, 3]), -math.sin(TILT), atol=1e-6)  # nose down
    np.testing.assert_allclose(found.poses.rates[5], [-TURN * math.sin(TILT), 0, TURN * math.cos(TILT)], atol=1e-6)
    np.testing.assert_allclose((found.commands.action[5] + 1) / 2, [0.1, 0.2, 0.3, 0.4], atol=1e-4)
    assert found.sensed.voltage[5] == pytest.approx(voltage)


def test_the_published_brushless_crazyflie_hovers_at_the_speed_that_its_flights_show():
    craft = airframe.load("crazyflie_brushless")
    assert 2500 * craft.hover == pytest.approx(1722, abs=2)  # rad/s: root of m g / 4 / 3.72e-8
    assert craft.torque_per_thrust == pytest.approx(7.74e-12 / 3.72e-8, rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"unit": "speed"}, "motors.full: found none with unit speed, wanted one with unit speed"),
        ({"full": 3000.0}, "motors.full: found 3000.0 with unit pwm16, wanted one with unit speed"),
        ({"unit": "speed", "full": -1.0}, "motors.full: found -1.0, wanted at least 1e-09"),
        ({"unit": "speed", "full": "fast"}, "motors.full: found 'fast', wanted a number"),
    ],
)
def test_a_speed_needs_its_value_at_full_command(changes, words):
    import yaml

    data = yaml.safe_load(column_map.text("cfclient"))
    data["quantities"]["motors"] |= changes
    with pytest.raises(UsageError, match=words):
        column_map.parse(data, "map")


def test_an_import_refuses_a_log_in_a_wrong_unit_by_file_and_columns(tmp_path, capsys):
    flight = simulate(seconds=8, seed=1)
    columns = {"t": np.arange(len(flight.state)) / 100} | xyz("", flight.state[:, :3]) | xyz("v", flight.state[:, 7:10])
    columns |= numbered(["qx", "qy", "qz", "qw"], flight.state[:, 3:7]) | xyz("w", np.degrees(flight.state[:, 10:]))
    columns |= {f"m{n + 1}_erpm": 143240 * flight.command[:, n] for n in range(4)}
    np.savetxt(
        tmp_path / "a.csv", np.column_stack(list(columns.values())), delimiter=",", header=",".join(columns), comments=""
    )
    assert main.main(["import", str(tmp_path / "a.csv"), "-o", str(tmp_path / "bags")]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'a.csv'}: rates, columns wx, wy, wz: turned 5" in error
    assert "times as far as the attitude says; looks like deg/s, declared rad/s" in error
    assert not list((tmp_path / "bags").glob("*"))
