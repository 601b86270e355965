"""How well a flight kept to its set-points, on tracks made by hand."""

import math

import numpy as np
import pytest

from spike_ctrl_sitl import path_error
from spike_ctrl_sitl.path_error import FlownTrack

TIME = np.arange(0, 20, 0.01)
NOWHERE = np.zeros((len(TIME), 3))


def flight(true, wanted=NOWHERE):
    return FlownTrack(TIME, true, np.add(true, (0.0, 0.03, 0.04)), wanted)


def along_x(values):
    return np.stack([values, 0 * values, 0 * values], axis=1)


def test_the_error_of_a_leg_is_that_after_its_first_two_seconds():
    away = np.where((TIME % 10) < 2, 5.0, 0.06)
    hover, eight = path_error.legs(flight(along_x(away)), ("hover", "figure8"), 10.0)
    assert (hover.rmse, hover.worst, hover.beyond, hover.passed) == (pytest.approx(0.06), pytest.approx(0.06), 0.0, True)
    assert eight.passed and "RMSE 0.060 m (the estimate alone 0.050 m), worst 0.060 m, 0.0 % bey" in str(eight)


def test_rmse_worst_error_and_share_beyond_of_an_uneven_leg():
    (_, hover) = path_error.legs(flight(along_x(np.where(TIME >= 18.0, 0.3, 0.0))), ("circle", "hover"), 10.0)
    assert (hover.rmse, hover.worst) == (pytest.approx(0.15), pytest.approx(0.3)) and hover.beyond == pytest.approx(0.25)
    assert not hover.passed and "FAIL" in str(hover)


def test_a_step_is_settled_when_it_is_near_for_good_before_the_next_jump():
    wanted = np.where((TIME >= 2) & (TIME < 8), 2.0, 0.0)
    true = 2 * (1 - np.exp(-(TIME - 2)))  # within .15 m after ln(2 / .15) = 2.59 s
    (step,) = path_error.legs(flight(along_x(np.where(TIME < 2, 0, true)), along_x(wanted)), ("step",), 10.0)
    assert step.settle == pytest.approx(math.log(2 / 0.15), abs=0.011) and step.passed is None
    (never,) = path_error.legs(flight(NOWHERE, along_x(wanted)), ("step",), 10.0)
    assert never.settle == math.inf


def test_a_step_that_is_granted_as_a_way_is_settled_when_the_vehicle_stays_near_its_end():
    """A way of 2 m at 1 m/s begins at 2 s and leads back from 10 s on; the vehicle follows it half a second later."""
    there, back = np.clip(TIME - 2, 0, 2), np.clip(TIME - 10, 0, 2)
    followed = np.clip(TIME - 2.5, 0, 2) - np.clip(TIME - 10.5, 0, 2)
    (step,) = path_error.legs(flight(along_x(followed), along_x(there - back)), ("step",), 15.0)
    assert step.settle == pytest.approx(0.5 + 1.85, abs=0.03)


def test_a_leg_that_was_not_flown_is_infinitely_far_off():
    assert path_error.legs(flight(NOWHERE), ("hover",) * 3, 10.0)[2].rmse == math.inf
