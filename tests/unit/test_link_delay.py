"""How long packets take over the link: told from round trips and stamps, and too long for a flight.

- each direction is told, whatever the vehicle's clock is ahead or drifts by
- a delay that grows is no clock that falls behind, and is told within a tenth of a second
- single late packets, a jump of the clock and the usual milliseconds are no delay
- a flight on such a link ends with HOLD; where the vehicle is by now counts before a wall
"""

import numpy as np
import pytest

from spike_ctrl.flight.autopilot import Mode
from spike_ctrl.flight.faults import Fault, Rung
from spike_ctrl.px4.companion import TIMESYNC
from spike_ctrl.px4.link_delay import LinkDelay


def told(up=lambda t: 0.0, down=lambda t: 0.0, clock=lambda t: t + 7.0, seconds=4.0, rate=100.0):
    """Times (s) and the delay that is told then. up, down: delay (s) of a packet that leaves at a time; inf: it is lost."""
    arrivals = []
    for n in range(round(seconds / TIMESYNC)):
        asked = n * TIMESYNC
        there = asked + 5e-4 + up(asked)
        arrivals.append((asked, "question", asked, 0.0))
        arrivals.append((there + 5e-4 + down(there), "answer", asked, clock(there)))
    for n in range(round(seconds * rate)):
        sent = n / rate
        arrivals.append((sent + 5e-4 + down(sent), "state", sent, clock(sent)))
    link, found = LinkDelay(), []
    for now, kind, at, stamp in sorted(one for one in arrivals if one[0] < seconds):
        if kind == "question":
            link = link.asked(now)
        elif kind == "answer":
            link = link.answered(now, now - at, stamp - at)
        else:
            link = link.seen(stamp, now)
            found.append((now, link.longest(now)))
    return found


def at_last(found):
    return found[-1][1]


def later(size, begin=2.0):
    return lambda t: size if t >= begin else 0.0


@pytest.mark.parametrize("rate", [25.0, 50.0, 100.0])
@pytest.mark.parametrize(
    "clock", [lambda t: t - 1e9, lambda t: 0.8 * t, lambda t: 1.0001 * t + 3.0], ids=["far", "slow", "drift"]
)
def test_the_delay_of_either_direction_is_told_whatever_the_clock_says(rate, clock):
    assert at_last(told(clock=clock, rate=rate)) == 0.0
    assert at_last(told(up=later(0.1), clock=clock, rate=rate)) == pytest.approx(0.101, abs=0.02)
    assert at_last(told(down=later(0.1), clock=clock, rate=rate)) == pytest.approx(0.101, abs=0.02)
    both = at_last(told(later(0.05), later(0.06), clock, rate=rate))
    assert both == pytest.approx(0.111, abs=0.02)


@pytest.mark.parametrize("rate", [0.1, 0.24, 0.6])
def test_a_delay_that_grows_is_told_within_an_eighth_of_a_second(rate):
    found = told(down=lambda t: rate * max(t - 2.0, 0.0))
    assert all(delay == 0.0 for at, delay in found if at < 2.0)
    first = next(at for at, delay in found if delay > 0.05)
    assert rate * (first - 2.0) / (1 + rate) < 0.05 + rate * 0.125


def test_single_late_packets_and_the_usual_milliseconds_are_no_delay():
    dice = np.random.default_rng(3)
    usual = dict(enumerate(dice.uniform(0.0, 0.008, 1000)))
    assert {delay for _, delay in told(lambda t: usual[int(100 * t) % 1000], lambda t: usual[int(77 * t) % 1000])} == {0.0}
    once = told(lambda t: 0.2 * (1.9 < t < 2.0), lambda t: 0.1 * (3.0 < t < 3.03))
    assert max(delay for _, delay in once) == 0.0


@pytest.mark.parametrize("size", [0.15, 0.2, 0.5, np.inf])
def test_commands_that_are_very_late_are_told_before_their_answers_come(size):
    found = told(up=later(size, 2.01))
    assert all(delay == 0.0 for at, delay in found if at < 2.01)
    assert next(at for at, delay in found if delay > 0.05) - 2.01 < 0.26
    assert max(delay for _, delay in found) < size + 0.01


def test_answers_that_are_lost_now_and_then_are_no_delay():
    dice = np.random.default_rng(5)
    lost = dict(enumerate(np.where(dice.random(2000) < 0.05, np.inf, 0.0)))
    assert {delay for _, delay in told(up=lambda t: lost[round(t / TIMESYNC)], seconds=60.0)} == {0.0}


def test_a_clock_that_begins_anew_or_jumps_ahead_is_no_delay():
    for jump in (-1.9, 5.0):
        found = told(clock=lambda t, jump=jump: t + 3.0 + jump * (t > 2.0))
        assert max(delay for _, delay in found) < 0.05, jump


def test_nothing_is_told_before_enough_answers_or_after_they_have_stopped():
    link = LinkDelay().answered(1.0, 0.2, 0.1).answered(1.1, 0.2, 0.1)
    assert link.longest(1.1) == 0.0
    link = link.answered(1.2, 0.3, 0.1)
    assert link.longest(1.2) == 0.2 and link.longest(9.0) == 0.0


def test_row_02_a_link_that_is_too_slow_ends_the_flight_with_hold(flight):
    flight.sample = lambda s: s._replace(ages=(0.045,) * 3)
    flight.stays(Rung.SNN, 1.0)  # no stream is old by itself
    flight.sample = lambda s: s._replace(ages=(0.055,) * 3)
    flight.fly()
    assert flight.rung is Rung.HOLD and flight.told(Fault.LINK_SLOW) and flight.said("55 ms, wanted at most 50 ms")
    flight.fly(0.1)
    assert flight.mode is Mode.HOLD


def test_before_a_wall_the_place_counts_where_the_vehicle_is_by_now(flight):
    judged = []
    for age in (0.0, 0.04):
        flight.sample = lambda s, age=age: s._replace(velocity=(2.0, 0.0, -1.0), ages=(age, 0.05 * (age > 0), age))
        flight.fly()
        x, _, z = (
            a - b for a, b in zip(flight.state.motion.motion.sample.position, flight.state.sample.position, strict=True)
        )
        judged.append((x, z))
    assert judged == [(0.0, 0.0), (pytest.approx(0.08), pytest.approx(-0.04))]
