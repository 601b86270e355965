"""What is measured of a flight whose vehicle changes. The flights are made up: places are functions of time."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.certification.flight_parts import FlownStep
from spike_ctrl.flight.event import Event, EventKind
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.geofence import Cage
from spike_ctrl_adaptation.adapted_flight import CHANGES, LASTS, SEVERE, draw, measure_change

AT, CRAFT = 6.0, airframe.load("sih_quadx")
SCENARIO = draw("wind", 0, 0.5, CRAFT)._replace(faults=(draw("wind", 0, 0.5, CRAFT).faults[0]._replace(at=AT),))


def wander(t):
    """By how much the vehicle is elsewhere than its estimator tells."""
    return 0.05 * math.sin(0.7 * t)


def flown(pushed=lambda t: 0.0, kept=(), until=AT + LASTS, off=0.0):
    """A flight that the change pushes along x by so many m, t s after it. off: m along x before it."""
    seen = lambda t: (pushed(t - AT) if t >= AT else off, 0.0, 1.2)  # noqa: E731
    place = lambda t: (seen(t)[0] + wander(t), 0.0, 1.2)  # noqa: E731
    steps = [FlownStep(t, place(t), seen(t), (0.0, 0.0, 1.2), Rung.SNN) for t in np.arange(0.0, until, 0.01).tolist()]
    return SimpleNamespace(
        steps=steps,
        scenario=SCENARIO,
        events=[Event(AT + t, EventKind.KEPT) for t in kept],
        swaps=[AT + t - 3.5 for t in kept],
        settings=SimpleNamespace(cage=Cage((-5.0, -5.0, -5.0), (5.0, 5.0, 5.0))),
        moves=[(0.0, Rung.SNN, "")],
        vehicle=SimpleNamespace(plant=SimpleNamespace(hardest_touchdown=0.0)),
    )


def stays(by):
    return lambda t: by


def test_the_error_is_that_of_the_place_whatever_the_estimator_errs():
    found = measure_change("wind", "policy", flown(stays(0.1)), flown(stays(0.1)))
    assert found.worst == pytest.approx(0.1) and found.after == pytest.approx(0.1)
    assert found.fell == math.inf and found.worse == 0
    assert found.before == pytest.approx(0.0)


@pytest.mark.parametrize(("left", "down", "all_down"), [(0.011, True, True), (0.025, True, False), (0.028, False, False)])
def test_four_fifths_are_of_what_the_change_brought_or_of_the_whole_error(left, down, all_down):
    """1 cm off before the change, 9 cm at most after it: of the 8 cm it brought, 1.6 cm may be left; of all 9 cm, 1.8 cm."""
    path = flown(lambda t: 0.09 if t < 3 else left, off=0.01)
    found = measure_change("wind", "policy", path, path)
    assert (found.before, found.worst, found.after) == pytest.approx((0.01, 0.09, left))
    assert (found.down, found.all_down) == (down, all_down)
    assert found.fell == (pytest.approx(3.0, abs=0.15) if down else math.inf)


def test_it_has_fallen_where_four_fifths_of_it_are_gone_for_good():
    adapted = flown(lambda t: 0.1 if t < 5 else 0.015, kept=[8.5])
    found = measure_change("wind", "adapted", adapted, flown(stays(0.1)))
    assert found.fell == pytest.approx(5.0, abs=0.15)  # means over the second that follows
    assert (found.kept, found.worse, found.first_swap) == (1, 0, pytest.approx(5.0))
    again = measure_change("wind", "adapted", flown(lambda t: 0.1 if t < 5 or t > 11 else 0.0), flown(stays(0.1)))
    assert again.fell == math.inf


def test_a_policy_that_was_kept_is_worse_where_the_one_as_it_is_flies_the_changed_vehicle_better():
    for off, worse in ((0.025, 0), (0.035, 1)):
        found = measure_change("wind", "adapted", flown(stays(off), kept=[8.5]), flown(stays(0.02)))
        assert found.worse == worse


def test_a_flight_that_ends_before_its_time_has_not_got_rid_of_its_error():
    found = measure_change("wind", "adapted", flown(stays(0.0), until=AT + 6.0), flown(stays(0.1)))
    assert found.fell == math.inf and found.worst == math.inf and not found.down and not found.all_down


@pytest.mark.parametrize("change", [*CHANGES, *SEVERE])
def test_each_change_begins_in_mid_flight_and_a_seed_is_the_same_flight_again(change):
    scenario = draw(change, 3, 0.5, CRAFT)
    (fault,) = scenario.faults
    assert 5 <= fault.at <= 7 and scenario.duration == fault.at + LASTS and scenario == draw(change, 3, 0.5, CRAFT)
