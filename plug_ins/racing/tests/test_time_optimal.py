"""The time-optimal flight against what a thrust alone could do."""

import math

import pytest

from spike_ctrl import airframe
from spike_ctrl.airframe import GRAVITY
from spike_ctrl_racing import time_optimal
from spike_ctrl_racing.track import Gate, Track

ROW = Track("row", tuple(Gate((4.0 * i, 0.0, 2.0), 0.0) for i in range(3)))


def test_a_straight_row_is_flown_little_slower_than_by_a_thrust_that_needs_no_turn():
    pytest.importorskip("casadi", reason="the solver is an extra: pip install casadi")
    craft = airframe.load("racer")
    found = time_optimal.solve(ROW, craft)
    pull = GRAVITY * math.sqrt(craft.thrust_to_weight**2 - 1)
    least = math.sqrt(2 * 10.0 / pull)  # from rest, 10 m
    assert least < found.time < least + 0.5
    assert found.position[-1] == pytest.approx([8.0, 0.0, 2.0], abs=0.56)
    assert found.speed[0] == pytest.approx(0.0, abs=1e-6) and found.speed.max() < pull * found.time
