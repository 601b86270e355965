"""A torque that appears in a hover: a controller with an integral makes up for it, one without keeps the error."""

import pytest

from spike_ctrl.airframe import Airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.evaluation.controllers import GuideController
from spike_ctrl_benchmark import trim_step
from spike_ctrl_benchmark.firmware_pid import FirmwarePid

TORQUE = 5e-5  # N m: 4.9 rad/s^2 about x


@pytest.fixture(scope="module")
def craft():
    return Airframe.load("crazyflie")


def test_a_guide_that_knows_the_torque_is_hardly_moved(craft):
    found = trim_step.answer_trim_step(GuideController(GeometricGuide(craft)), craft, TORQUE)
    assert found.peak < 0.02 and found.left < 0.005


def test_a_controller_with_an_integral_makes_up_for_it_and_the_error_has_the_direction_of_the_push(craft):
    found = trim_step.answer_trim_step(GuideController(FirmwarePid(craft), privileged=False), craft, TORQUE)
    assert 0.002 < found.peak and found.half < 10 and found.left < found.peak / 2
