"""What an action means, and that its inverse takes it back."""

import numpy as np
import pytest
import torch

from spike_ctrl import airframe
from spike_ctrl.sim import action_mapping


def test_motors_go_from_nothing_to_full_speed():
    actions = np.array([-1, -0.5, 0, 1], np.float32)
    assert action_mapping.command(actions).tolist() == [0, 0.25, 0.5, 1]
    assert action_mapping.action(action_mapping.command(actions)).tolist() == actions.tolist()
    assert action_mapping.command(torch.from_numpy(actions)).tolist() == [0, 0.25, 0.5, 1]


@pytest.mark.parametrize(("collective", "thrust"), [(-1, 0), (-0.5, 0.3), (0, 0.6), (0.5, 0.8), (1, 1)])
def test_the_collective_goes_from_nothing_over_hover_to_full_thrust(collective, thrust):
    found = action_mapping.thrust(np.float64(collective), np.float64(0.6))
    assert found == pytest.approx(thrust, abs=1e-12)
    assert action_mapping.collective(found, np.float64(0.6)) == pytest.approx(collective, abs=1e-12)


def test_the_lift_is_the_slope_of_the_thrust():
    for at in (-0.5, 0.5):
        high, low = (action_mapping.thrust(np.float64(at + by), np.float64(0.6)) for by in (0.01, -0.01))
        assert action_mapping.lift(np.float64(at), np.float64(0.6)) == pytest.approx((high - low) / 0.02)


def test_an_airframe_hovers_at_its_own_throttle_or_at_collective_zero():
    craft = airframe.load("crazyflie")
    assert action_mapping.command(np.float64(action_mapping.at_hover(craft))) == pytest.approx(craft.hover, abs=1e-12)
    assert action_mapping.at_hover(airframe.load("sih_quadx")) == 0
