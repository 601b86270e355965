"""The observation as anyone standing beside the vehicle would describe it. World ENU: x east, y north, z up."""

import math

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.sim import dynamics, observation
from spike_ctrl.sim.environment import Environment

LEVEL = (0.0, 0.0, 0.0, 1.0)
REST = (0.0, 0.0, 0.0)
NORTH = math.pi / 2
IDENTITY = np.eye(3)


def heading(yaw):
    return (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2))


def build(position=REST, quaternion=LEVEL, velocity=REST, rates=REST, **target):
    """Position, rotation matrix, velocity and rates of the observation."""
    o = observation.build(position, quaternion, velocity, rates, **target)
    assert o.shape == (18,) and o.dtype == np.float32
    return o[:3], o[3:12].reshape(3, 3), o[12:15], o[15:]


def test_a_level_vehicle_at_rest_on_the_set_point_sees_zeros_and_the_identity():
    position, rotation, velocity, rates = build()
    for seen, wanted in ((position, REST), (rotation, IDENTITY), (velocity, REST), (rates, REST)):
        np.testing.assert_array_equal(seen, wanted)


@pytest.mark.parametrize(
    ("where", "wanted"),
    [((0, 1, 0), (1, 0, 0)), ((1, 0, 0), (0, -1, 0)), ((-1, 0, 0), (0, 1, 0)), ((0, 0, 1), (0, 0, 1))],
    ids=["north of it is ahead", "east of it is right", "west of it is left", "above it is up"],
)
def test_where_a_vehicle_is_from_a_set_point_that_faces_north(where, wanted):
    position, *_ = build(position=where, target_yaw=NORTH)
    np.testing.assert_allclose(position, wanted, atol=1e-6)
    _, _, velocity, _ = build(velocity=where, target_yaw=NORTH)
    np.testing.assert_allclose(velocity, wanted, atol=1e-6)


def test_a_vehicle_with_the_set_points_heading_sees_the_identity_whatever_the_heading():
    for yaw in (-3.0, 0.7, NORTH):
        _, rotation, _, _ = build(quaternion=heading(yaw), target_yaw=yaw)
        np.testing.assert_allclose(rotation, IDENTITY, atol=1e-6)


def test_the_columns_of_the_rotation_matrix_are_the_nose_the_left_and_the_up_of_the_vehicle():
    _, rotation, _, _ = build(quaternion=heading(NORTH))
    np.testing.assert_allclose(rotation[:, 0], (0, 1, 0), atol=1e-6)  # the nose points north
    np.testing.assert_allclose(rotation[:, 1], (-1, 0, 0), atol=1e-6)  # and the left side west
    _, rotation, _, _ = build(quaternion=(math.sin(0.1), 0, 0, math.cos(0.1)))  # rolled right by .2 rad
    np.testing.assert_allclose(rotation[:, 2], (0, -math.sin(0.2), math.cos(0.2)), atol=1e-6)
    _, rotation, _, _ = build(quaternion=(0, math.sin(0.1), 0, math.cos(0.1)))  # nose down by .2 rad
    np.testing.assert_allclose(rotation[:, 0], (math.cos(0.2), 0, -math.sin(0.2)), atol=1e-6)


def test_only_the_offset_from_the_set_point_counts():
    position, *_ = build(position=(11, -2, 5), target=(10, -4, 5.5))
    np.testing.assert_allclose(position, (1, 2, -0.5), atol=1e-6)


def test_body_rates_are_seen_in_the_body_whatever_the_attitude():
    *_, rates = build(quaternion=heading(1.0), rates=(1, 2, 3), target_yaw=0.3)
    np.testing.assert_array_equal(rates, (1, 2, 3))


def test_a_quaternion_and_its_negative_look_the_same():
    q = np.array([0.1, -0.5, 0.3, 0.8]) / np.linalg.norm([0.1, -0.5, 0.3, 0.8])
    np.testing.assert_array_equal(observation.build(REST, q, REST, REST), observation.build(REST, -q, REST, REST))


def test_a_wrong_shape_is_refused_by_name():
    with pytest.raises(ValueError, match=r"quaternion: found shape \(3,\), wanted \(4,\)"):
        observation.build(REST, REST, REST, REST)


def test_the_batch_sees_exactly_what_build_gives_for_each_vehicle():
    rng = np.random.default_rng(5)
    environment = Environment(airframe.load("crazyflie"), 20)
    environment.reset(seed=1)
    target, yaw = rng.uniform(-0.2, 0.2, (20, 3)).astype(np.float32), rng.uniform(-math.pi, math.pi, 20)
    dynamics.write(environment.buffer, slice(dynamics.TARGET, dynamics.TARGET + 3), target)
    dynamics.write(environment.buffer, dynamics.TARGET_COS, np.cos(yaw))
    dynamics.write(environment.buffer, dynamics.TARGET_SIN, np.sin(yaw))
    for _ in range(5):
        seen, *_ = environment.step(rng.uniform(-1, 1, (20, 4)))
    state = environment.read(dynamics.STATE_ROWS)
    for vehicle in range(20):
        s = state[vehicle]
        wanted = observation.build(s[0:3], s[3:7], s[7:10], s[10:13], target[vehicle], yaw[vehicle])
        np.testing.assert_allclose(seen[vehicle], wanted, atol=5e-7)
