"""True positions in the frame of the estimate: whose noise at one instant must not move a whole flight."""

from types import SimpleNamespace

import numpy as np
import pytest
from aligned_truth import AlignedTruth

OFFSET = np.array([12.0, -3.0, 0.4])  # m, of the estimate's frame


def flown(take_off=5.0, noise=0.03):
    """A log at 100 Hz that stands from 0 s and climbs from take_off (s) on, and its truth at 50 Hz."""

    def place(at):
        return np.stack([0 * at, 0 * at, 0.5 * np.clip(at - take_off, 0.0, None)], axis=1)

    stamps, times = np.arange(0.0, 15.0, 0.01), np.arange(-1.0, 14.0, 0.02)
    estimate = place(stamps) + OFFSET + np.random.default_rng(0).normal(0.0, noise, (len(stamps), 3))
    return SimpleNamespace(stamp=stamps, position=estimate), times, place(times)


def test_it_is_equal_to_the_estimate_in_the_mean_before_take_off():
    log, times, positions = flown()
    log.position[0] += 0.1  # the first one errs by far
    told = AlignedTruth(log, times, positions).at(np.array([1.0, 5.0, 9.0]))
    wanted = OFFSET + np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    assert told == pytest.approx(wanted, abs=0.01)


def test_what_the_estimate_says_in_the_air_moves_nothing():
    log, times, positions = flown(noise=0.0)
    log.position[log.stamp > 5.5] += 3.0
    (there,) = AlignedTruth(log, times, positions).at(np.array([9.0]))
    assert there == pytest.approx(OFFSET + np.array([0.0, 0.0, 2.0]))


def test_it_is_unknown_beyond_what_was_told_and_refused_where_the_vehicle_was_never_seen_standing():
    log, times, positions = flown()
    assert np.isnan(AlignedTruth(log, times, positions).at(np.array([14.5]))).all()
    with pytest.raises(ValueError, match="no time in common before take-off"):
        AlignedTruth(log, times + 100.0, positions)
