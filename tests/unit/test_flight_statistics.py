"""The figures of a flight, by hand."""

import math

import pytest

from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.flight_statistics import Latencies, Tally


def test_its_figures_are_those_of_the_policy_alone():
    tally = Tally().passed(Rung.GUIDE, 2.0).passed(Rung.SNN, 0.03).passed(Rung.GUIDE, 1.0)
    for error in (0.0, 0.3, 0.4):
        tally = tally.saw((error, 0.0, 1.0), (0.0, 0.0, 1.0))
    tally = tally.sent(0.002, 0.01, (0.1, 0.3)).sent(0.012, 0.01, ())  # one state got no command, one came late
    assert tally.rmse == pytest.approx(math.sqrt(0.25 / 3)) and tally.worst == pytest.approx(0.4)
    assert tally.missed == 2
    assert str(tally) == (
        "flight: policy: RMSE 0.289 m, worst 0.400 m, 66.7 % of 3 states beyond 0.15 m; deadline misses 2; "
        "spike rate 0.200; GUIDE 3.0 s"
    )


def test_a_flight_slower_than_real_time_says_how_slow_it_was_while_policy_and_guide_flew():
    tally = Tally().passed(Rung.SILENT, 1.0, 9.0).passed(Rung.GUIDE, 2.0, 3.0).passed(Rung.SNN, 4.0, 7.0)
    assert tally.pace == pytest.approx(0.6)
    assert str(tally).endswith("GUIDE 2.0 s, SILENT 1.0 s; at 0.60 of real time")
    assert "real time" not in str(Tally().passed(Rung.SNN, 5.0))


def test_who_flies_a_course_is_not_held_against_the_set_point():
    tally = Tally().passed(Rung.SNN, 0.02).saw((9.0, 0.0, 1.0), None).saw((9.0, 1.0, 1.0), None).sent(0.002, 0.01, ())
    assert str(tally) == "flight: policy: 2 states on a course; deadline misses 1; no spikes; "
    assert math.isnan(tally.rmse)


def test_a_flight_without_the_policy_says_so():
    assert str(Tally().passed(Rung.SILENT, 4.0)) == "flight: the policy did not fly; SILENT 4.0 s"


def test_latencies_of_the_last_minute_are_told_in_words():
    latencies = Latencies()
    assert str(latencies) == "no command yet"
    for _ in range(2 * Latencies.COMMANDS):
        latencies.add(0.5)  # forgotten
    for number in range(Latencies.COMMANDS):
        latencies.add(1e-3 * (1 + number % 100))
    assert str(latencies) == "median 50.50 ms, p99 99.01 ms, max 100.00 ms over 6000 commands"
