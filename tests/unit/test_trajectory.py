"""Trajectories, as one would measure them with a rule and a stopwatch. World ENU: x east, y north, z up."""

import math
import re
from itertools import pairwise

import numpy as np
import pytest

from spike_ctrl._files.errors import UsageError
from spike_ctrl.control.trajectory import KINDS, Trajectory, several, wrapped
from spike_ctrl.flight.envelope import Envelope

CENTRE = (1.0, -2.0, 1.5)
PERIODIC = ("circle", "figure8", "square", "lissajous")


def path(kind, **numbers):
    return Trajectory(kind, CENTRE, **numbers)


def points(trajectory, times):
    return np.array([trajectory.at(t).position for t in times]) - CENTRE


@pytest.mark.parametrize("kind", ["circle", "figure8", "square"])
def test_the_papers_shapes_span_one_metre_to_each_side_and_close_after_five_and_a_half_seconds(kind):
    bare = path(kind, lead=0.0)
    around = points(bare, np.linspace(0, 5.5, 5501))
    assert around[:, 0].max() == pytest.approx(1, abs=1e-5) and around[:, 0].min() == pytest.approx(-1, abs=1e-5)
    assert np.abs(around[:, 1]).max() == pytest.approx(0.5 if kind == "figure8" else 1.0, abs=1e-5)
    assert (around[:, 2] == 0).all()
    np.testing.assert_allclose(around[0], around[-1], atol=1e-9)


@pytest.mark.parametrize("kind", [*PERIODIC, "climb", "hover"])
@pytest.mark.parametrize("lead", [0.0, 2.0])
def test_the_velocity_is_the_slope_of_the_position(kind, lead):
    trajectory, step = path(kind, lead=lead, end=9.0), 1e-6
    for t in np.arange(0.0137, 8.9, 0.0731):
        before, after = trajectory.at(t - step), trajectory.at(t + step)
        slope = (np.array(after.position) - before.position) / (2 * step)
        np.testing.assert_allclose(trajectory.at(t).velocity, slope, atol=1e-5)


@pytest.mark.parametrize("kind", PERIODIC)
def test_a_vehicle_that_hovers_at_the_centre_meets_no_step_at_the_beginning_nor_at_the_end(kind):
    trajectory = path(kind, lead=2.0, end=12.0)
    first, last = trajectory.at(0.0), trajectory.at(12.0)
    for point in (first, last, trajectory.at(-1.0), trajectory.at(99.0)):
        assert point.position == pytest.approx(CENTRE) and point.velocity == pytest.approx((0, 0, 0))
    moved = points(trajectory, np.arange(0, 13, 0.01))
    assert max(np.linalg.norm(b - a) for a, b in pairwise(moved)) < 0.06


def test_a_circle_turns_left_from_the_east():
    circle = path("circle", lead=0.0)
    np.testing.assert_allclose(points(circle, [0.0, 5.5 / 4])[:, :2], [[1, 0], [0, 1]], atol=1e-9)
    assert math.hypot(*circle.at(1.234).velocity) == pytest.approx(2 * math.pi / 5.5)


def test_a_square_is_flown_at_constant_speed_along_its_sides():
    speeds = [math.hypot(*path("square", lead=0.0).at(t).velocity) for t in np.arange(0.001, 11, 0.01)]
    np.testing.assert_allclose(speeds, 8 / 5.5)


def test_a_figure_eight_crosses_its_centre_twice_a_round_with_different_headings():
    eight = path("figure8", lead=0.0)
    np.testing.assert_allclose(points(eight, [0.0, 2.75]), 0.0, atol=1e-9)
    a, b = eight.at(0.0).velocity, eight.at(2.75).velocity
    assert a[0] > 0 > b[0] and a[1] > 0 and b[1] > 0


def test_a_lissajous_figure_closes_after_two_periods_and_not_after_one():
    around = points(path("lissajous", lead=0.0), [0.0, 5.5, 11.0])
    np.testing.assert_allclose(around[0], around[2], atol=1e-9)
    assert around[1] == pytest.approx([0, 0, 0], abs=1e-9)  # it crosses its centre
    assert path("lissajous", lead=0.0).at(5.5).velocity[1] == pytest.approx(-path("lissajous", lead=0.0).at(0.0).velocity[1])


def test_the_tilt_is_that_of_the_pull_on_a_circle_and_what_tilts_too_far_is_refused_in_words():
    # 1 m at a round of 5.5 s pulls with w^2 r = 1.305 m/s^2
    assert path("circle").tilt == pytest.approx(math.atan2((2 * math.pi / 5.5) ** 2, 9.81), rel=1e-3)
    assert path("hover").tilt == path("square").tilt == 0.0
    limit = math.radians(40)
    assert all(path(kind).within_reach(limit, 4.0, 3.6) == path(kind) for kind in KINDS)  # as they are by default
    words = "trajectory circle: found a tilt of 70 degrees, wanted at most 40: make it smaller or its period longer"
    with pytest.raises(UsageError, match=re.escape(words)):
        path("circle", size=0.7, period=1.0).within_reach(limit, 5.0, 3.6)


def test_a_square_that_is_too_fast_to_follow_is_refused_in_words():
    assert path("square", lead=0.0).fastest == pytest.approx(4 * 2 * 1.0 / 5.5)  # four sides of 2 m
    words = "trajectory square: found a speed of 192.0 m/s, wanted at most 4.0: make it smaller or its period longer"
    with pytest.raises(UsageError, match=re.escape(words)):
        path("square", size=2.4, period=0.1).within_reach(1.0, 4.0, 3.6)


def test_a_step_farther_than_a_set_point_may_be_is_refused_in_words():
    envelope = Envelope()
    limits = (*envelope.trajectory_limits, envelope.reach)
    assert path("step", size=3.6).within_reach(*limits).size == 3.6
    words = "trajectory step: found a jump of 3.61 m, wanted at most 3.60: make it smaller"
    with pytest.raises(UsageError, match=re.escape(words)):
        path("step", size=3.61).within_reach(*limits)


def test_a_yaw_that_is_not_finite_is_refused_and_never_raises_anything_else():
    assert wrapped(3 * math.pi / 2) == pytest.approx(-math.pi / 2)
    for yaw in (math.inf, -math.inf, math.nan):
        with pytest.raises(UsageError, match="yaw: found"):
            several("circle", (0.0, 0.0, 1.0), yaw, 0.0, 0.0, 20.0)


def test_a_step_is_to_the_east_after_the_lead_and_back_at_the_end():
    step = path("step", size=2.0, lead=1.0, end=5.0)
    np.testing.assert_array_equal(points(step, [0.99, 1.0, 4.99, 5.0])[:, 0], [0, 2, 2, 0])


def test_a_climb_is_straight_up_and_stops():
    climb = path("climb", size=1.2, speed=0.4)
    np.testing.assert_allclose(points(climb, [0, 1, 3, 9]), [[0, 0, 0], [0, 0, 0.4], [0, 0, 1.2], [0, 0, 1.2]])
    assert climb.at(1).velocity == (0, 0, 0.4) and climb.at(4).velocity == (0, 0, 0)


def test_the_yaw_is_kept():
    assert all(path(kind, yaw=1.1).at(3.3).yaw == 1.1 for kind in KINDS)


@pytest.mark.parametrize(
    ("kind", "numbers", "message"),
    [
        ("spiral", {}, "trajectory: found 'spiral', wanted one of hover, step, circle"),
        ("circle", {"size": -1.0}, "trajectory circle: size: found -1.0, wanted 0.01 to 50"),
        ("circle", {"period": math.nan}, "trajectory circle: period: found nan"),
        ("square", {"centre": (0.0, math.nan, 1.0)}, "trajectory square: centre: found"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(kind, numbers, message):
    with pytest.raises(UsageError, match=message):
        Trajectory(kind, **numbers)


def test_several_trajectories_come_from_one_line_of_text():
    hover, step, eight = several("hover, step:2,figure8:1:8", (1.0, 2.0, 3.0), 0.5, 0.0, 6.0, 16.0)
    assert (hover.kind, hover.size, hover.period, hover.end) == ("hover", 1.0, 6.0, 16.0)
    assert (step.kind, step.size, step.end) == ("step", 2.0, 8.0)  # there, and back in time for the next
    assert (eight.kind, eight.size, eight.period, eight.centre, eight.yaw) == ("figure8", 1.0, 8.0, (1.0, 2.0, 3.0), 0.5)
    np.testing.assert_allclose(eight.at(16.0).position, (1.0, 2.0, 3.0))


@pytest.mark.parametrize("text", ["", "spiral", "step:", "step:x", "step:0", "step:1:2:3", "climb", "hover,"])
def test_a_line_that_names_no_trajectory_is_refused(text):
    with pytest.raises(UsageError, match=r"trajectory: found .*, wanted KIND, .*KIND:SIZE:PERIOD \(m and s, above 0\)"):
        several(text, (0.0, 0.0, 1.0), 0.0, 0.0, 0.0, 10.0)
