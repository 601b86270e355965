"""Frames at the autopilot's door: absolute facts first, then rotation matrices as the oracle for any attitude."""

import math

import numpy as np
import pytest

from spike_ctrl.px4 import frames

ROOT = math.sqrt(0.5)
# Columns: the axes of the one frame in the other
ENU_FROM_NED = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
FLU_FROM_FRD = np.diag([1, -1, -1])


def matrix(w, x, y, z):
    """The textbook's rotation matrix of a unit quaternion."""
    return np.array([
        [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
    ])  # fmt: skip


def same(a, b):
    """Equal as attitudes: a quaternion and its negative are one."""
    return np.allclose(a, b, atol=1e-12) or np.allclose(a, np.negative(b), atol=1e-12)


def test_north_is_y_east_is_x_and_up_is_against_down():
    assert frames.enu_from_ned((1, 0, 0)) == (0, 1, 0)
    assert frames.enu_from_ned((0, 1, 0)) == (1, 0, 0)
    assert frames.enu_from_ned((0, 0, 1)) == (0, 0, -1)
    assert frames.ned_from_enu((1, 0, 0)) == (0, 1, 0)
    assert frames.ned_from_enu((0, 0, 1)) == (0, 0, -1)


def test_left_is_against_right_and_up_against_down():
    assert frames.flu_from_frd((1, 2, 3)) == (1, -2, -3)
    assert frames.frd_from_flu((1, 2, 3)) == (1, -2, -3)


def test_nose_east_is_yaw_0_in_enu_and_plus_90_degrees_in_ned():
    east_in_ned = (ROOT, 0, 0, ROOT)  # w, x, y, z of a turn by +90 degrees about down
    assert same(frames.enu_flu_from_ned_frd(east_in_ned), (0, 0, 0, 1))
    assert same(frames.ned_frd_from_enu_flu((0, 0, 0, 1)), east_in_ned)
    assert frames.enu_yaw_from_ned(math.pi / 2) == pytest.approx(0)
    assert frames.ned_yaw_from_enu(0.0) == pytest.approx(math.pi / 2)


def test_nose_north_is_yaw_0_in_ned_and_plus_90_degrees_in_enu():
    assert same(frames.enu_flu_from_ned_frd((1, 0, 0, 0)), (0, 0, ROOT, ROOT))
    assert frames.yaw_of(frames.enu_flu_from_ned_frd((1, 0, 0, 0))) == pytest.approx(math.pi / 2)
    assert frames.enu_yaw_from_ned(0.0) == pytest.approx(math.pi / 2)


def test_nose_west_and_south():
    assert frames.ned_yaw_from_enu(math.pi) == pytest.approx(-math.pi / 2)
    assert frames.enu_yaw_from_ned(math.pi) == pytest.approx(-math.pi / 2)


def test_right_wing_down_lowers_the_left_axis_up_and_points_the_thrust_to_the_right():
    """Nose north, rolled right by 30 degrees: the body's up axis leans east."""
    angle = math.radians(30)
    q = frames.enu_flu_from_ned_frd((math.cos(angle / 2), math.sin(angle / 2), 0, 0))
    assert frames.rotate(q, (0, 0, 1)) == pytest.approx((math.sin(angle), 0, math.cos(angle)))
    assert frames.roll_pitch_yaw(q) == pytest.approx((angle, 0, math.pi / 2))


def test_nose_up_is_positive_pitch_in_frd_and_negative_in_flu():
    """Nose east, nose up by 20 degrees: the forward axis points east and up."""
    angle = math.radians(20)
    yawed, pitched = np.array([ROOT, 0, 0, ROOT]), np.array([math.cos(angle / 2), 0, math.sin(angle / 2), 0])
    q_ned = (yawed[0] * pitched[0], -yawed[3] * pitched[2], yawed[0] * pitched[2], yawed[3] * pitched[0])
    q = frames.enu_flu_from_ned_frd(q_ned)
    assert frames.rotate(q, (1, 0, 0)) == pytest.approx((math.cos(angle), 0, math.sin(angle)))
    assert frames.roll_pitch_yaw(q) == pytest.approx((0, -angle, 0))


def test_any_attitude_is_the_same_rotation_in_both_frames():
    for q in np.random.default_rng(0).normal(size=(100, 4)):
        w, x, y, z = q / np.linalg.norm(q)
        ex, ey, ez, ew = frames.enu_flu_from_ned_frd((w, x, y, z))
        wanted = ENU_FROM_NED @ matrix(w, x, y, z) @ FLU_FROM_FRD.T
        np.testing.assert_allclose(matrix(ew, ex, ey, ez), wanted, atol=1e-12)
        assert same(frames.ned_frd_from_enu_flu((ex, ey, ez, ew)), (w, x, y, z))
        np.testing.assert_allclose(frames.rotate((ex, ey, ez, ew), (1.0, 2.0, 3.0)), wanted @ [1, 2, 3], atol=1e-12)


def test_angles_are_wrapped_to_minus_pi_exclusive_and_pi_inclusive():
    assert frames.wrapped(math.pi) == math.pi
    assert frames.wrapped(-math.pi) == math.pi
    assert frames.wrapped(3 * math.pi / 2) == pytest.approx(-math.pi / 2)
    assert frames.wrapped(-5.0) == pytest.approx(2 * math.pi - 5.0)
