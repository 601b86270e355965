"""The reward by hand, and its angle against the arccosine and the rotation vector of numpy."""

import math
from dataclasses import astuple

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.sim import observation
from spike_ctrl.sim.reward import END, START, TERMS, Coefficients, curriculum, reward, squared_errors

HOVER = airframe.load("crazyflie").hover
LEVEL = (0.0, 0.0, 0.0, 1.0)
REST = (0.0, 0.0, 0.0)


def seen(position=REST, quaternion=LEVEL, velocity=REST, rates=REST):
    return observation.build(position, quaternion, velocity, rates)[None]


def rotated(axis, angle):
    axis = np.asarray(axis, float) / np.linalg.norm(axis)
    return (*(math.sin(angle / 2) * axis), math.cos(angle / 2))


def errors(o, command=(HOVER,) * 4):
    return dict(zip(TERMS, squared_errors(o, np.array([command]), HOVER)[0], strict=True))


def test_a_perfect_hover_earns_one_per_step_with_any_coefficients_of_the_curriculum():
    for progress in np.linspace(0, 1, 11):
        assert reward(seen(), np.full((1, 4), HOVER), HOVER, curriculum(progress)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("term", "o", "command", "wanted"),
    [
        ("position", seen(position=(0.3, -0.4, 1.2)), (HOVER,) * 4, 1.69),
        ("velocity", seen(velocity=(2, -1, 2)), (HOVER,) * 4, 9.0),
        ("attitude", seen(quaternion=rotated((1, 2, -3), 0.7)), (HOVER,) * 4, 0.49),
        ("action", seen(), (HOVER + 0.1, HOVER - 0.2, HOVER, HOVER + 0.2), 0.09),
    ],
)
def test_each_term_is_its_own_squared_error_and_leaves_the_others_at_zero(term, o, command, wanted):
    found = errors(o, command)
    assert found.pop(term) == pytest.approx(wanted, rel=1e-5)
    assert list(found.values()) == pytest.approx([0, 0, 0], abs=1e-10)


def test_the_reward_is_survival_minus_the_weighted_errors():
    weights = Coefficients(survive=2, position=3, velocity=5, attitude=7, action=11)
    o = seen((1, 0, 0), rotated((0, 0, 1), 0.5), (0, 2, 0))
    command = np.array([[HOVER + 0.1, HOVER, HOVER, HOVER]])
    assert reward(o, command, HOVER, weights)[0] == pytest.approx(2 - 3 * 1 - 5 * 4 - 7 * 0.25 - 11 * 0.01, rel=1e-6)


def test_body_rates_cost_nothing():
    assert errors(seen(rates=(5, 5, 5))) == errors(seen())


@pytest.mark.parametrize("angle", [1e-3, 0.1, math.pi / 4, 1.0, math.pi / 2, 2.0, 3 * math.pi / 4, 3.0, 3.14])
def test_the_attitude_error_is_the_length_of_the_rotation_vector(angle):
    rng = np.random.default_rng(2)
    for axis in rng.standard_normal((20, 3)):
        assert math.sqrt(errors(seen(quaternion=rotated(axis, angle)))["attitude"]) == pytest.approx(angle, abs=1e-6)


def test_the_attitude_error_equals_the_arccosine_of_the_trace():
    rng = np.random.default_rng(4)
    quaternions = rng.standard_normal((1000, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    o = np.concatenate([seen(quaternion=q) for q in quaternions])
    found = np.sqrt(squared_errors(o, np.full((1000, 4), HOVER), HOVER)[:, 2])
    wanted = 2 * np.arccos(np.abs(quaternions[:, 3]))
    middle = (wanted > 0.1) & (wanted < 3.0)  # where an arccosine, and a sine in float32, are well conditioned
    np.testing.assert_allclose(found[middle], wanted[middle], atol=1e-6)
    trace = np.trace(o[:, 3:12].reshape(-1, 3, 3), axis1=1, axis2=2)
    np.testing.assert_allclose(np.cos(found), (trace - 1) / 2, atol=1e-6)


def test_an_inverted_vehicle_is_pi_away():
    assert math.sqrt(errors(seen(quaternion=(1.0, 0.0, 0.0, 0.0)))["attitude"]) == pytest.approx(math.pi, abs=1e-6)


def test_the_curriculum_goes_from_start_to_end_in_six_linear_stages():
    assert curriculum(0.0) == START
    assert curriculum(1.0) == END
    stages = list(dict.fromkeys(curriculum(p) for p in np.linspace(0, 1, 601)))
    assert len(stages) == 6
    for share, stage in zip((0, 0.2, 0.4, 0.6, 0.8, 1), stages, strict=True):
        between = [a + share * (b - a) for a, b in zip(astuple(START), astuple(END), strict=True)]
        assert astuple(stage) == pytest.approx(between)


def test_the_coefficients_are_the_papers():
    assert astuple(START) == (1.0, 1.0, 0.01, 0.25, 0.14)
    assert astuple(END) == (1.0, 3.5, 0.10, 0.25, 0.50)


def test_the_papers_action_baseline_is_the_hover_throttle_of_its_crazyflie():
    assert pytest.approx(0.667, abs=0.01) == HOVER
