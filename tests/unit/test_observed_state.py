"""What guide and policy observe of a moving set-point."""

import numpy as np

from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.bridge import observed
from spike_ctrl.flight.state_checks import Sample

STATE = Sample(1, 1.0, 1.0, (0.5, -1.0, 2.0), (0.0, 0.0, 0.0, 1.0), (2.0, 0.0, 0.0), (0.0, 0.0, 0.0))


def test_a_set_point_that_stands_still_is_observed_where_it_is():
    np.testing.assert_allclose(observed(STATE, SetPoint((0.5, -1.0, 1.5)))[:3], (0, 0, 0.5), atol=1e-6)
    np.testing.assert_allclose(observed(STATE, None)[:3], 0, atol=1e-6)


def test_one_that_flies_east_is_observed_ahead_of_itself_to_the_east():
    seen = observed(STATE, SetPoint((0.5, -1.0, 2.0), velocity=(2.0, 0.0, 0.0)))
    np.testing.assert_allclose(seen[:3], (-0.04, 0, 0), atol=1e-6)
    np.testing.assert_allclose(seen[12:15], 0, atol=1e-6)
