"""States that contradict themselves: found within seconds, and never on a healthy flight.

The states are those of a point on a circle, turning about itself: its velocity and rates are known by differentiation. And
those that PX4's own firmware (v1.18 beta, SIH with its GPS) sent in three healthy flights: hover, circle, figure-eight.
"""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from spike_ctrl.flight import state_consistency
from spike_ctrl.flight.estimate_quality import EstimateQuality
from spike_ctrl.flight.faults import Fault
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.flight.state_consistency import Consistency, ConsistencyLimits
from spike_ctrl.flight.wind_estimate import Wind

ORACLES = Path(__file__).parents[1] / "oracles"
RADIUS, SPEED, TURN = 1.5, 1.2, 0.8  # m, rad/s around the centre, rad/s about itself


def state(t, counter=0):
    x, y = RADIUS * math.cos(SPEED * t), RADIUS * math.sin(SPEED * t)
    velocity = (-RADIUS * SPEED * math.sin(SPEED * t), RADIUS * SPEED * math.cos(SPEED * t), 0.0)
    half = TURN * t / 2
    quaternion = (0.0, 0.0, math.sin(half), math.cos(half))
    return Sample(round(t * 100), t, t, (x, y, 1.0), quaternion, velocity, (0.0, 0.0, TURN), counter)


def flown(change, seconds=6.0, begin=1.0, step=0.01):
    """The time from `begin` until the first finding, or None, and the finding. change(sample, since)."""
    track = Consistency()
    for n in range(round(seconds / step)):
        t = n * step
        track, found = state_consistency.follow(
            track, change(state(t), t - begin) if t >= begin else state(t), ConsistencyLimits()
        )
        if found:
            return t - begin, found[0]
    return None, None


def shifted(sample, by):
    return sample._replace(position=tuple(p + d for p, d in zip(sample.position, by, strict=True)))


@pytest.mark.parametrize("step", [0.008, 0.01, 0.03, 0.1])
def test_states_that_follow_from_each_other_are_consistent_at_any_rate(step):
    assert flown(lambda s, since: s, 20.0, step=step)[0] is None


@pytest.mark.parametrize("path", ["hover", "circle", "figure8"])
def test_px4_which_corrects_positions_by_satellites_does_not_contradict_itself(path):
    cage = Cage().laid((0.0, 0.0, 0.0))
    flight = np.load(ORACLES / "px4_states.npz")[path].tolist()
    track, level = Consistency(), (0.0, 0.0, 0.0, 1.0)
    for n, (stamp, *numbers) in enumerate(flight):
        sample = Sample(n, stamp, stamp, tuple(numbers[:3]), level, tuple(numbers[3:]), (0.0, 0.0, 0.0))
        track, found = state_consistency.follow(track, sample, ConsistencyLimits())
        assert not found and math.hypot(*track.going) < 0.06  # it never stands while its velocity goes
        for corner in itertools.product((-1.2, 1.2), (-1.2, 1.2), (0.9, 1.9)):  # the figures of a flight stay granted
            assert cage.in_doubt(track.doubted(ConsistencyLimits())).clamp(corner) == corner


def crept(rate, seconds, along=(1.0, 0.0, 0.0), quality=EstimateQuality()):
    track = Consistency()
    for n in range(round(100 * seconds)):
        sample = shifted(state(0.01 * n), tuple(rate * 0.01 * n * a for a in along))._replace(quality=quality)
        track, found = state_consistency.follow(track, sample, ConsistencyLimits())
        if found:
            return 0.01 * n
    return track.crept


def test_what_creeps_is_summed_up_and_found_at_last():
    memory = ConsistencyLimits().creep_memory
    expected = 0.15 * memory * (1 - math.exp(-7.0 / memory))
    assert crept(0.15, 7.0) == pytest.approx((expected, 0.0, 0.0), abs=0.01)
    for rate in (0.04, 0.09, 0.15):  # what goes on is not forgotten
        assert crept(rate, 60.0) == pytest.approx(-1000.0 * math.log(1 - 2.0 / (rate * 1000.0)), abs=0.3)
    assert isinstance(crept(0.02, 60.0), tuple)  # 1 m after a minute


def test_how_sure_the_place_is_to_the_side_allows_the_height_nothing():
    unsure = EstimateQuality(horizontal=0.3)
    assert crept(0.05, 60.0, (0.0, 0.0, -1.0), unsure) == pytest.approx(crept(0.05, 60.0), abs=0.02)
    assert crept(0.05, 60.0, (1.0, 0.0, 0.0), unsure) > crept(0.05, 60.0) + 8.0


@pytest.mark.parametrize(
    ("moved", "low", "high"),
    [
        ((1.2, 0.0, 0.0), (-2.05, -3.0, -0.5), (3.0, 3.0, 3.0)),
        ((1.8, 0.0, 0.0), (-1.2, -3.0, -0.5), (3.0, 3.0, 3.0)),  # more than satellites explain: on all of it
        ((0.2, -1.2, 0.0), (-3.0, -3.0, -0.5), (3.0, 2.05, 3.0)),
        ((0.0, 0.0, -0.5), (-3.0, -3.0, -0.5), (3.0, 3.0, 2.75)),  # it told less height than the vehicle has: not up
        ((0.0, 0.0, -1.3), (-3.0, -3.0, -0.5), (3.0, 3.0, 1.7)),
        ((0.0, 0.0, 1.3), (-3.0, -3.0, 1.8), (3.0, 3.0, 3.0)),  # and more: not down, .5 m above the ground at least
    ],
    ids=str,
)
def test_less_of_the_cage_is_granted_where_the_vehicle_may_have_stayed_behind(moved, low, high):
    laid = Cage().laid((0.0, 0.0, 0.0))
    granted = laid.in_doubt(moved)
    assert granted.low == pytest.approx(low) and granted.high == pytest.approx(high)
    assert laid.in_doubt((0.2, -0.2, 0.2)) is laid


def test_whatever_creeps_a_part_of_the_cage_is_left():
    for small in (Cage((-0.8, -0.8, 0.0), (0.8, 0.8, 2.0)), Cage()):
        for moved in itertools.product((-9.0, 0.0, 9.0), repeat=3):
            (a, b, c), (d, e, f) = small.laid((0.0, 0.0, 0.0)).in_wind(Wind(9.0, -9.0, 2.0)).in_doubt(moved).box
            assert a < d and b < e and c < f, moved


@pytest.mark.proves("47U")
@pytest.mark.parametrize(
    ("change", "within"),
    [
        (lambda s, since: shifted(s, (0.3 * since, 0.0, 0.0)), 3.6),
        (lambda s, since: shifted(s, (0.6 * since, 0.0, 0.0)), 1.15),
        (lambda s, since: shifted(s, (0.0, 0.0, -1.0 * since)), 0.55),
        (lambda s, since: s._replace(velocity=tuple(-v for v in s.velocity)), 0.13),
        (lambda s, since: s._replace(velocity=state(1.0).velocity), 0.7),
        (lambda s, since: s._replace(position=state(1.0).position), 0.08),
        (lambda s, since: shifted(s, (0.5, 0.0, 0.0)), 0.0),
        (lambda s, since: s._replace(rates=tuple(-r for r in s.rates)), 0.15),
        (lambda s, since: s._replace(quaternion=(0.0, 0.0, *yawed(s, 0.3 * since))), 0.8),
    ],
    ids=["slow drift", "drift", "fall", "flipped", "velocity stuck", "position stuck", "jump", "rates flipped", "yaw drift"],
)
def test_row_47_a_contradiction_is_found_in_time(change, within):
    after, finding = flown(change)
    assert finding.fault is Fault.STATE_INCONSISTENT and 0 <= after <= within


def yawed(sample, angle):
    half = math.atan2(sample.quaternion[2], sample.quaternion[3]) + angle / 2
    return math.sin(half), math.cos(half)


def test_what_an_estimator_says_of_its_deviation_widens_the_limit_of_a_slow_drift_only():
    """PX4 with satellites tells .3 m, and drifts .2 m/s for seconds; one that tells 1 cm does not."""
    for deviation, drift, found in ((0.3, 0.25, False), (0.01, 0.25, True), (math.nan, 0.25, True), (0.3, 0.5, True)):
        quality = EstimateQuality(horizontal=deviation)
        after, _ = flown(
            lambda s, t, quality=quality, drift=drift: shifted(s, (drift * t, 0.0, 0.0))._replace(quality=quality), 9.0
        )
        assert (after is not None) is found, (deviation, drift)


@pytest.mark.parametrize(("reset", "taken_back", "found"), [(0.42, 0.42, False), (0.42, 0.9, True), (0.0, 0.42, True)])
def test_a_yaw_reset_may_be_taken_back_against_the_rates_by_as_much_as_it_turned(reset, taken_back, found):
    """As PX4 v1.17 did in the air: -24 degrees, and back within a second."""

    def change(sample, since):
        angle = -reset + taken_back * (1 - math.exp(-since / 0.4))
        return sample._replace(quaternion=(0.0, 0.0, *yawed(sample, angle)), reset_counter=int(reset > 0))

    after, finding = flown(change, 9.0)
    assert (after is not None) is found
    assert not found or finding.detail.startswith("attitude turns")


@pytest.mark.parametrize(("rate", "found"), [(0.01, None), (0.02, 27.7), (0.05, 7.1)])
def test_a_yaw_that_creeps_against_the_rates_is_found(rate, found):
    """After the time in which a sum that is forgotten within 20 s reaches .3 rad; .01 rad/s reach .2."""
    after, _ = flown(lambda s, since: s._replace(quaternion=(0.0, 0.0, *yawed(s, rate * since))), 61.0)
    assert after == (found if found is None else pytest.approx(found, abs=0.2))


def test_resets_of_the_height_hide_no_yaw_that_creeps():
    def change(sample, since):
        counter = int(since / 4.5)
        risen = shifted(sample, (0.0, 0.0, 0.01 * counter))
        return risen._replace(quaternion=(0.0, 0.0, *yawed(sample, 0.05 * since)), reset_counter=counter)

    after, finding = flown(change, 12.0)
    assert after == pytest.approx(7.1, abs=0.3) and finding.detail.startswith("the yaw turns 0.30 rad otherwise")


def test_in_wind_a_narrow_cage_spares_less_for_a_position_in_doubt():
    small = Cage((-1.3, -1.3, -0.5), (1.3, 1.3, 2.5)).laid((0.0, 0.0, 0.0))
    assert small.spares((1.4, 0.0, 0.0)) and not small.spares((1.6, 0.0, 0.0))
    windy = small.in_wind(Wind(2.0, 0.0, 2.0))
    assert windy.spares((0.9, 0.0, 0.0)) and not windy.spares((1.1, 0.0, 0.0))


def test_the_finding_names_the_field_the_size_and_the_limit():
    _, finding = flown(lambda s, since: shifted(s, (0.5, 0.0, 0.0)))
    assert finding.detail == "position leaps 0.50 m otherwise than its velocity says, wanted at most 0.25 m"


def test_a_position_that_stands_under_a_velocity_is_found_and_one_that_stands_at_rest_is_not():
    stuck = state(1.0).position
    _, finding = flown(lambda s, since: s._replace(position=stuck))
    assert finding.detail == "position stands still while the velocity adds up to 0.10 m, wanted at most 0.1 m"
    hovers = state(0.0)._replace(velocity=(0.02, 0.0, 0.0), rates=(0.0, 0.0, 0.0))
    assert flown(lambda s, since: hovers._replace(stamp=s.stamp), 10.0, begin=0.0)[0] is None


@pytest.mark.parametrize(("step", "found"), [(0.2, None), (0.3, 0.0)])
def test_a_leap_is_found_in_one_state_and_a_step_that_satellites_may_make_is_none(step, found):
    assert flown(lambda s, since: shifted(s, (0.0, 0.0, step)))[0] == found


def test_sums_survive_a_reset_without_what_it_moved_and_a_pause_begins_anew():
    track, counter = Consistency(), 0
    for n in range(100):
        counter = int(n >= 50)
        drifts = shifted(state(0.01 * n, counter), (0.3 * 0.01 * n + 0.7 * counter, 0.0, 0.0))
        track, found = state_consistency.follow(track, drifts, ConsistencyLimits())
        assert not found
    assert track.drifted[0] == pytest.approx(0.26, abs=0.01) and track.shifted[0] == pytest.approx(0.7, abs=0.01)
    assert track.doubted(ConsistencyLimits())[0] == pytest.approx(track.crept[0] + 0.7, abs=0.01)
    track, found = state_consistency.follow(track, shifted(state(1.5, 1), (9.0, 0.0, 0.0)), ConsistencyLimits())
    assert not found and track.drifted == (0.0, 0.0, 0.0)


def turned(angle):
    return lambda s: s._replace(quaternion=(0.0, 0.0, *yawed(s, angle)))


def faster(by):
    return lambda sample: sample._replace(velocity=(sample.velocity[0] + by, *sample.velocity[1:]))


def moved(by):
    return lambda s: shifted(s, (by, 0.0, 0.0))


@pytest.mark.parametrize(
    ("resets", "words"),
    [
        ([(0.0, moved(0.95))], None),
        ([(0.0, moved(1.05))], "resets move the position by 1.05 m"),
        ([(0.0, moved(0.6)), (2.0, moved(1.2))], "resets move the position by 1.20 m"),
        ([(0.0, moved(0.9)), (2.0, moved(0.0))], None),  # taken back
        ([(0.0, faster(0.65))], "resets change the velocity by 0.64 m/s"),
        ([(0.0, faster(0.5)), (0.3, faster(-0.1))], None),  # taken back
        ([(0.0, turned(0.75))], None),  # as PX4 does some seconds after a take-off
        ([(0.0, turned(-0.42)), (0.8, turned(0.0))], None),
        ([(0.0, turned(0.9))], "resets turn the attitude by 0.90 rad"),
        ([(0.0, turned(math.pi))], "resets turn the attitude by 3.14 rad"),
        ([(0.0, moved(0.0)), (1.4, moved(0.0)), (2.8, moved(0.0))], "3 resets in 3 s, wanted at most 2"),
        ([(0.0, moved(0.0)), (1.6, moved(0.0)), (3.2, moved(0.0))], None),
    ],
)
def test_row_09_resets_are_judged_by_number_and_size(resets, words):
    def change(sample, since):
        past = [one for at, one in resets if since >= at - 1e-9]
        return past[-1](sample)._replace(reset_counter=len(past)) if past else sample

    after, finding = flown(change, 6.0)
    if words is None:
        assert finding is None
    else:
        assert finding.fault is Fault.ESTIMATOR_RESTLESS and finding.detail.startswith(words)
        assert after == pytest.approx(resets[-1][0], abs=0.011)


def test_a_velocity_that_is_stuck_while_resets_are_counted_is_found():
    for every in (1, 10):
        after, finding = flown(
            lambda s, t, every=every: s._replace(velocity=state(1.0).velocity, reset_counter=round(100 * t) // every % 256),
            3.0,
        )
        assert finding.fault is Fault.ESTIMATOR_RESTLESS and after < 0.32
