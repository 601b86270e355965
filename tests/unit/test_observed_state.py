"""What guide and policy observe of a moving set-point, and how far behind it a vehicle with drag then flies."""

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.control.trajectory import SetPoint, Trajectory
from spike_ctrl.flight.bridge import observed
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.policy import checkpoint
from spike_ctrl.simulated_px4 import virtual_flight

STATE = Sample(1, 1.0, 1.0, (0.5, -1.0, 2.0), (0.0, 0.0, 0.0, 1.0), (2.0, 0.0, 0.0), (0.0, 0.0, 0.0))


def test_a_set_point_that_stands_still_is_observed_where_it_is():
    np.testing.assert_allclose(observed(STATE, SetPoint((0.5, -1.0, 1.5)))[:3], (0, 0, 0.5), atol=1e-6)
    np.testing.assert_allclose(observed(STATE, None)[:3], 0, atol=1e-6)


def test_one_that_flies_east_is_observed_ahead_of_itself_to_the_east():
    seen = observed(STATE, SetPoint((0.5, -1.0, 2.0), velocity=(2.0, 0.0, 0.0)))
    np.testing.assert_allclose(seen[:3], (-0.04, 0, 0), atol=1e-6)
    np.testing.assert_allclose(seen[12:15], 0, atol=1e-6)


def test_the_shipped_policy_is_not_behind_a_set_point_on_its_way():
    craft = airframe.load("sih_quadx")  # its drag is 1 N s/m
    policy = checkpoint.load(resources.folder("models") / "sih_quadx.safetensors").policy
    track = virtual_flight.fly(policy, craft, craft, [Trajectory("circle", (0.0, 0.0, 1.2), period=8.0)], 12.0)
    rows = track.time > 3
    way = np.gradient(track.set_point[rows], track.time[rows], axis=0)
    error = (track.estimate - track.set_point)[rows]
    lag = -(error * way).sum() / (way * way).sum()  # s
    assert lag == pytest.approx(0, abs=0.01)  # without a lead .017
