"""Slope schedules, by cases that were worked out by hand."""

import json
import math

import pytest

from spike_ctrl.snn.slope_schedule import Adaptive, AdaptiveTrend, Fixed, Interval, SlopeState, from_config


def run(schedule, scores, progress=0.0):
    state, ks = schedule.initial(), []
    for score in scores:
        state = schedule.update(state, score, progress)
        ks.append(state.k)
    return ks


def test_fixed_stays():
    assert run(Fixed(50.0), [-500, 0, 500]) == [50, 50, 50]


def test_interval_goes_up_at_its_times_only():
    schedule = Interval(1.0, 100.0, (0.25, 0.5, 0.75))
    ks = [schedule.update(schedule.initial(), 0.0, progress).k for progress in (0, 0.24, 0.25, 0.5, 0.74, 0.75, 1)]
    assert ks == [1, 1, 34, 67, 67, 100, 100]


def test_adaptive_is_equation_7():
    # r = 2 * 100 * score / 500 = .4 score. Scores 50, 100 give r 20, 40 and differences -, 20.
    assert run(Adaptive(), [50.0, 100.0]) == pytest.approx([0.5 * 20, 0.5 * ((20 + 40) + 20) / 2])


def test_adaptive_lets_a_falling_return_pull_k_down():
    # r 80, 40: sum 120, difference -40 (not zeroed): .5 * 80 / 2
    assert run(Adaptive(), [200.0, 100.0])[-1] == pytest.approx(20.0)


def test_adaptive_looks_back_ten_iterations():
    # After the jump the window holds ten r of 160 and, for ten iterations, the difference of 160.
    ks = run(Adaptive(), [0.0] * 12 + [400.0] * 12)
    assert ks[11] == 1.0
    assert ks[12] == pytest.approx(0.5 * (160 + 160) / 10)
    assert ks[21] == pytest.approx(0.5 * (1600 + 160) / 10)
    assert ks[22] == pytest.approx(80.0)


def test_adaptive_covers_its_range_and_no_more():
    assert run(Adaptive(), [-500.0] * 3) == [1, 1, 1]
    assert run(Adaptive(), [500.0] * 30)[-1] == pytest.approx(100)
    assert run(Adaptive(), [0.0, 1500.0])[-1] == 100
    assert run(Adaptive(), [250.0] * 30)[-1] == pytest.approx(50)


def test_adaptive_trend_is_the_recursive_rule():
    first, second = run(AdaptiveTrend(), [0.0, 80.0])
    # n = .5 then .6; d = 0 then .1
    assert first == pytest.approx(0.2 * (2 + 10) + 0.8 * (2 + (0 - 0.05) * 20))
    assert second == pytest.approx(0.2 * (2 + 12) + 0.8 * (first + (math.tanh(0.2) - 0.05) * 20))
    assert run(AdaptiveTrend(), [-400.0] * 50)[-1] == 1
    assert run(AdaptiveTrend(), [-400.0 + 80 * i for i in range(11)])[-1] == 20


def test_a_schedule_that_is_resumed_goes_on_as_if_nothing_happened():
    scores = [10.0 * i * (-1) ** i for i in range(30)]
    for schedule in (Fixed(), Interval(), Adaptive(), AdaptiveTrend()):
        state = schedule.initial()
        for score in scores[:15]:
            state = schedule.update(state, score, 0.3)
        state = SlopeState.from_dict(json.loads(json.dumps(state.to_dict())))
        for score in scores[15:]:
            state = schedule.update(state, score, 0.3)
        assert state.k == run(schedule, scores, 0.3)[-1]
        assert len(state.history) <= 11


def test_schedules_come_from_configuration():
    assert from_config({"kind": "fixed", "k": 5}) == Fixed(5)
    assert from_config({"kind": "interval", "times": [0.5]}) == Interval(times=(0.5,))
    assert from_config({"kind": "adaptive", "k_max": 50}) == Adaptive(k_max=50)
    assert from_config({"kind": "adaptive_trend"}) == AdaptiveTrend()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, r"slope\.kind: found None, wanted one of fixed, interval, adaptive, adaptive_trend"),
        ({"kind": "fix"}, r"slope\.kind: found 'fix'"),
        ({"kind": "fixed", "kk": 1}, r"slope\.kk: no such key for fixed, wanted one of k"),
        ({"kind": "fixed", "k": "2"}, r"slope\.k: found '2', wanted a number"),
        ({"kind": "fixed", "k": float("nan")}, r"slope\.k: found nan, wanted a number"),
        ({"kind": "fixed", "k": -1}, r"slope\.k: found -1, wanted a number above 0"),
        ({"kind": "interval", "times": 0.5}, r"slope\.times: found 0\.5, wanted a list of numbers"),
        ({"kind": "interval", "times": [0.5, 0.2]}, r"slope\.times: found \(0\.5, 0\.2\), wanted rising numbers"),
        ({"kind": "adaptive", "k_max": 0.5}, r"slope\.k_max: found 0\.5, wanted more than k_min"),
        ({"kind": "adaptive", "return_high": -1}, r"slope\.return_high: found -1, wanted more than return_low"),
    ],
)
def test_a_bad_configuration_is_refused_by_key(config, message):
    with pytest.raises(ValueError, match=message):
        from_config(config)


def test_a_foreign_state_is_refused():
    with pytest.raises(ValueError, match="found fields"):
        SlopeState.from_dict({"k": 1})


def test_a_slope_beyond_all_numbers_is_refused():
    with pytest.raises(ValueError, match="k: found 1000"):
        from_config({"kind": "fixed", "k": 10**400})
