"""Rows of the fault table that concern the vehicle's state: 1 to 6, 8, 9.

Every scenario begins with the policy engaged in the air at 1 m, at 100 Hz, as `Flight` in conftest.py makes it up.
"""

import math

import pytest

from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.flight.autopilot import Ask, Mode
from spike_ctrl.flight.command_choice import CommandedBy
from spike_ctrl.flight.estimate_quality import (
    AIDED,
    CONSTANT_POSITION,
    GOOD_FLAGS,
    POSITION_HORIZONTAL,
    Doubt,
    EstimateLimits,
    EstimateQuality,
    Sign,
)
from spike_ctrl.flight.event import EventKind
from spike_ctrl.flight.faults import Fault, Rung
from spike_ctrl.flight.request import Request

pytestmark = pytest.mark.slow

NAN, INF = math.nan, math.inf
PERIOD = 0.01
SNN, GUIDE, HOLD, LAND, SILENT = Rung


@pytest.mark.parametrize(("stream", "age"), [("position", 0.11), ("attitude", 0.06), ("rates", 0.03)])
def test_row_01_a_stream_beyond_its_age_limit_leaves_the_flight_to_the_guide(flight, stream, age):
    ages = tuple(age if name == stream and age <= 0.1 else 0.0 for name in ("position", "attitude", "rates"))
    if age > 0.1:  # beyond the guide's limit, too
        flight.sample = lambda s: s._replace(ages=(age, 0.0, 0.0))
        flight.fly()
        assert flight.commanders() == []
        flight.fly(0.2, until=lambda: flight.mode is Mode.HOLD)
    else:
        flight.sample = lambda s: s._replace(ages=ages)
        flight.fly()
        assert flight.rung is GUIDE and flight.commanders() == [CommandedBy.GUIDE]
    assert flight.told(Fault.STREAM_STOPPED) and flight.said(f"{stream} is {1e3 * age:.0f} ms old")


def test_row_01_states_that_stop_lead_to_hold_within_the_guides_limit(flight):
    begin = flight.now
    flight.sample = flight.nothing
    flight.fly(0.07)
    assert flight.rung is SNN  # a single state of 58 ms, on a loaded machine, is no reason to end a flight
    flight.fly(0.02)
    assert flight.rung is GUIDE
    flight.fly(0.03)
    assert flight.rung is HOLD and flight.mode is Mode.HOLD and flight.now - begin <= 0.13
    assert set(flight.commanders()) <= {CommandedBy.REST}  # nothing flies on an old state


def test_row_01_an_autopilot_that_does_not_hold_is_left_to_its_own_failsafe(flight):
    flight.sample, flight.autopilot_obeys = flight.nothing, False
    flight.fly(10, until=lambda: flight.rung is SILENT)
    assert flight.asks.count(Ask.HOLD) >= 2 and flight.asks.count(Ask.LAND) >= 2
    assert [command.action for _, command in flight.commands] == [(0.0, 0.0, 0.0, 0.0)]  # level, once


def test_row_02_single_late_states_are_skipped_and_counted(flight):
    flight.sample = lambda s: None if s.tick % 20 < 2 else s
    flight.stays(SNN, 2.0)
    assert flight.count(Fault.STREAM_STOPPED) == 0 and flight.commanders().count(CommandedBy.POLICY) == 180


def test_row_02_too_many_late_states_lead_to_the_guide(flight):
    flight.sample = lambda s: None if s.tick % 4 else s  # every 40 ms, younger than the age limit
    flight.fly(2, until=lambda: flight.rung is GUIDE)
    assert flight.told(Fault.STATE_LATE) and flight.said("wanted at most 20")


def test_row_02_a_state_with_a_long_delay_is_not_flown_on(flight):
    flight.sample = lambda s: s._replace(stamp=s.stamp - 0.15) if s.tick % 2 else s
    flight.fly(0.1)
    # Going back by more than a delay can explain is a clock that jumps.
    assert flight.rung is GUIDE and not [c for _, c in flight.commands if c.tick % 2]


def test_row_02_a_state_that_comes_late_and_in_order_is_not_flown_on_either(flight):
    kept = []
    flight.sample = lambda s: kept.append(s)
    flight.fly(0.03)
    flight.now += 0.1
    flight.give(sample=kept[0]._replace(received=flight.now))
    assert flight.told(Fault.STATE_DELAYED) and flight.said("0.130 s old on arrival")
    assert flight.state.policy.states[-1][0] < kept[0].tick


def test_row_03_a_duplicate_and_an_old_state_change_nothing(flight):
    seen = []
    flight.sample = lambda s: seen.append(s) or s
    flight.fly(0.1)
    before = flight.state
    flight.give(sample=seen[-1])
    flight.give(sample=seen[-3])
    flight.give(sample=seen[-1]._replace(tick=seen[-1].tick + 1))  # same stamp
    assert flight.state.track == before.track and flight.state.policy.states == before.policy.states
    assert flight.count(Fault.OUT_OF_ORDER) == 3
    flight.stays(SNN)


def test_row_03_a_tick_is_commanded_once_even_if_it_is_answered_twice(flight):
    flight.policy = lambda a: flight.give(policy=a) and a
    flight.fly(0.1)
    ticks = [command.tick for _, command in flight.commands]
    assert len(ticks) == len(set(ticks)) == 10
    assert flight.count(Fault.ANSWER_STALE) == 10


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("field", ["position", "quaternion", "velocity", "rates"])
def test_row_04_a_field_that_is_not_finite_is_named_and_never_flown_on(flight, field, value):
    before = flight.state
    flight.sample = lambda s: s._replace(**{field: (*getattr(s, field)[:-1], value)})
    flight.fly()
    assert flight.rung is GUIDE and flight.commanders() == []
    assert flight.state.policy.states == before.policy.states  # nobody is asked to answer it
    index = 3 if field == "quaternion" else 2
    assert flight.said(f"{field}[{index}] is {value}")
    flight.sample = lambda s: s
    flight.fly()
    assert flight.commanders() == [CommandedBy.GUIDE]
    flight.needs_the_operator()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"quaternion": (0.0, 0.0, 0.0, 1.02)}, "quaternion has norm 1.0200"),
        ({"velocity": (20.0, 0.0, 0.0)}, "velocity is 20.0 m/s"),
        ({"rates": (0.0, 40.0, 0.0)}, "rates are 40.0 rad/s"),
        ({"position": (50.0, 0.0, 1.0)}, "position jumps by 50.0 m in 10 ms"),
        ({"quaternion": (1.0, 0.0, 0.0, 0.0)}, "attitude jumps by 3.1 rad in 10 ms"),
    ],
)
def test_row_05_an_impossible_state_is_refused_like_nan(flight, change, words):
    flight.sample = lambda s: s._replace(**change)
    flight.fly()
    assert flight.rung is GUIDE and flight.commanders() == [] and flight.said(words)


def test_row_05_a_quaternion_within_tolerance_is_normalised(flight):
    flight.sample = lambda s: s._replace(quaternion=tuple(1.005 * q for q in s.quaternion))
    flight.stays(SNN)
    assert math.hypot(*flight.state.sample.quaternion) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("field", ["position", "quaternion", "velocity", "rates"])
def test_row_06_a_field_that_repeats_bit_by_bit_is_stale(flight, field):
    frozen = getattr(flight.state.sample, field)
    flight.sample = lambda s: s._replace(**{field: frozen})
    flight.fly(0.18)
    assert flight.rung is SNN
    flight.fly(0.1, until=lambda: flight.rung is GUIDE)
    assert flight.said(f"{field} has not changed by a bit in 20 states")
    flight.fly(0.2, until=lambda: flight.mode is Mode.HOLD)  # the guide cannot fly on it either


def test_row_06_a_state_that_repeats_as_a_whole_in_the_air_is_stale(flight):
    kept = flight.state.sample
    flight.sample = lambda s: kept._replace(tick=s.tick, stamp=s.stamp, received=s.received)
    flight.fly(0.3, until=lambda: flight.rung is GUIDE)
    assert flight.said("nothing has changed by a bit in 8 states")


def test_row_06_a_vehicle_that_stands_still_on_the_ground_is_not_frozen(Flight):
    flight = Flight()
    flight.sample = lambda s: s._replace(position=(0.0, 0.0, 0.0), velocity=(0.0, 0.0, 0.0))
    flight.fly(1)
    assert flight.count(Fault.STATE_FROZEN) == 0


def test_row_08_a_stamp_in_the_future_is_a_fault(flight):
    flight.clock_offset += 0.06
    flight.fly()
    assert flight.rung is GUIDE and flight.said("stamp is 0.060 s ahead") and flight.commanders() == []
    flight.needs_the_operator()


def test_row_08_a_clock_that_starts_again_is_a_fault_and_then_the_new_time(flight):
    flight.clock_offset -= 90.0
    flight.fly()
    assert flight.rung is GUIDE and flight.told(Fault.CLOCK_JUMP)
    flight.fly(0.1)
    assert flight.commanders(flight.now - 0.05) == [CommandedBy.GUIDE] * 5
    flight.needs_the_operator()


def test_row_08_ages_do_not_depend_on_the_vehicles_clock(Flight):
    flight = Flight()
    flight.clock_offset = -1e9
    flight.engage()
    flight.stays(SNN)


@pytest.mark.parametrize("rate", [0.8, 0.96, 1.04, 1.2])
def test_row_08_the_clock_of_a_simulation_may_run_slower_or_faster(Flight, rate):
    """PX4's own loses a share of each of its ticks to the operating system, and never makes up for it."""
    flight = Flight()
    flight.sample = lambda s: s._replace(stamp=rate * s.stamp)
    flight.engage()
    flight.stays(SNN, 8)
    assert flight.count(Fault.CLOCK_JUMP) == flight.count(Fault.STATE_DELAYED) == 0
    kept = []  # and yet a state that comes late is told
    flight.sample = lambda s: kept.append(s)
    flight.fly(0.03)
    flight.now += 0.1
    flight.give(sample=kept[0]._replace(stamp=rate * kept[0].stamp, received=flight.now))
    assert flight.told(Fault.STATE_DELAYED)


def test_row_08_the_end_of_a_growing_delay_is_no_clock_jump(flight):
    begin = flight.now
    flight.sample = lambda s: s._replace(stamp=s.stamp - min(0.2 * (flight.now - begin), 0.08))
    flight.fly(0.8)
    flight.sample = lambda s: s
    flight.stays(SNN)
    assert flight.count(Fault.CLOCK_JUMP) == 0
    flight.clock_offset += 0.06  # and yet a jump is one
    flight.fly()
    assert flight.rung is GUIDE and flight.told(Fault.CLOCK_JUMP)


def test_row_08_ticks_that_begin_again_are_a_restart_of_the_bridge(flight):
    flight.tick = 0
    flight.fly()
    assert flight.rung is GUIDE and flight.told(Fault.CLOCK_JUMP)
    flight.stays(GUIDE)
    assert flight.commanders(flight.now - 0.05) == [CommandedBy.GUIDE] * 5


def test_row_09_the_set_point_moves_with_the_estimator(flight):
    error = [p - q for p, q in zip(flight.state.sample.position, flight.last.set_point.position, strict=True)]
    flight.move_origin(0.8, -0.5, 0.2)
    after = [p - q for p, q in zip(flight.state.sample.position, flight.last.set_point.position, strict=True)]
    assert after == pytest.approx(error, abs=2e-3)
    assert flight.told(Fault.ESTIMATOR_RESET) and flight.said("(0.80, -0.50, 0.20) m")
    flight.stays(SNN)


def test_row_09_a_trajectory_moves_with_the_estimator(flight):
    flight.give(target=Trajectory("circle", (0.0, 0.0, 1.0), lead=0.0))
    flight.fly(1)
    before = flight.last.set_point.position
    flight.move_origin(0.3, 0.0, 0.0)
    step = math.dist(flight.last.set_point.position, (before[0] + 0.3, before[1], before[2]))
    assert step < 2 * PERIOD * 2 * math.pi / 5.5  # as far as the circle goes on


def test_row_08_a_clock_that_stood_still_is_a_fault_and_then_the_new_time(flight):
    flight.now += 0.3  # as a simulation that was held up
    flight.clock_offset -= 0.3
    flight.fly(0.9)
    assert flight.told(Fault.STATE_DELAYED) and not flight.told(Fault.CLOCK_JUMP)
    flight.fly(0.2)
    assert flight.told(Fault.CLOCK_JUMP) and flight.said("100 states in a row 0.300 s old")
    assert flight.rung is not SNN
    refused = flight.count(Fault.STATE_DELAYED)
    flight.fly(1.0)
    assert flight.count(Fault.STATE_DELAYED) == refused and flight.rung is not SNN


def test_row_09_an_origin_that_moves_in_a_refused_state_moves_the_set_point_with_the_next_accepted_one(flight):
    error = [p - q for p, q in zip(flight.state.sample.position, flight.last.set_point.position, strict=True)]
    flight.sample = lambda s: s._replace(velocity=(0.0, 0.0, 0.0))  # frozen, as of a stream that hangs
    flight.fly(0.22)
    assert flight.told(Fault.STATE_FROZEN)
    flight.move_origin(0.8, -0.5, 0.2)
    assert not flight.told(Fault.ESTIMATOR_RESET)
    flight.sample = lambda s: s
    flight.fly()
    assert flight.told(Fault.ESTIMATOR_RESET) and flight.said("(0.80, -0.50, 0.20) m")
    after = [p - q for p, q in zip(flight.state.sample.position, flight.last.set_point.position, strict=True)]
    assert after == pytest.approx(error, abs=0.02)


def test_row_09_an_origin_that_moves_in_the_state_in_which_the_clock_jumps_moves_the_set_point(flight):
    error = [p - q for p, q in zip(flight.state.sample.position, flight.last.set_point.position, strict=True)]
    flight.clock_offset += 5.0
    flight.move_origin(0.8, -0.5, 0.2)
    assert flight.told(Fault.CLOCK_JUMP) and not flight.told(Fault.ESTIMATOR_RESET)
    flight.fly()
    assert flight.told(Fault.ESTIMATOR_RESET) and flight.said("(0.80, -0.50, 0.20) m")
    after = [p - q for p, q in zip(flight.state.sample.position, flight.last.set_point.position, strict=True)]
    assert after == pytest.approx(error, abs=0.02)


GOOD = EstimateQuality(0.3, 0.3, False, GOOD_FLAGS, (0.1, 0.2, 0.1, 0.3))


@pytest.mark.parametrize("moving", [False, True], ids=["hover", "circle"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"horizontal": 0.61}, "horizontal position: found a deviation of 0.61 m, wanted at most 0.6 m"),
        ({"vertical": 1.2}, "height: found a deviation of 1.20 m"),
        ({"failed": True}, "the estimator says that its estimate has failed"),
        ({"flags": GOOD_FLAGS & ~POSITION_HORIZONTAL}, "without horizontal position"),
        ({"flags": GOOD_FLAGS & ~AIDED}, "without a measurement of the horizontal motion"),
        ({"flags": GOOD_FLAGS | CONSTANT_POSITION}, "the estimator takes the flying vehicle to stand still"),
        ({"innovations": (0.1, 1.3, 0.1, 0.1)}, "innovation of horizontal position: found 1.30 of what it accepts"),
    ],
)
def test_row_46_an_estimate_beyond_its_limits_is_landed_by_the_autopilot_within_a_second(flight, change, words, moving):
    flight.sample = lambda s: s._replace(quality=GOOD)
    if moving:
        flight.give(target=Trajectory("circle", (0.0, 0.0, 1.0), lead=0.0))
    flight.stays(SNN, 2.0)
    begin = flight.now
    flight.sample = lambda s: s._replace(quality=GOOD._replace(**change))
    flight.fly(1.0, until=lambda: flight.mode is Mode.LAND)
    assert flight.rung is LAND and 0.5 <= flight.now - begin < 0.6
    assert flight.told(Fault.ESTIMATE_DOUBTFUL, SNN, LAND) and flight.said(words)


def test_row_46_a_moment_of_doubt_is_no_fault_and_an_estimator_that_does_not_tell_is_not_one_either(flight):
    flight.sample = lambda s: s._replace(quality=GOOD._replace(horizontal=0.9 if s.tick % 50 < 40 else 0.3))
    flight.stays(SNN, 3.0)
    flight.sample = lambda s: s._replace(quality=EstimateQuality())
    flight.stays(SNN, 2.0)
    assert flight.count(Fault.ESTIMATE_DOUBTFUL) == 0


@pytest.mark.parametrize(("late", "landed"), [(0.9, False), (1.2, True)])
def test_row_46_an_estimator_that_learns_late_of_a_take_off_is_waited_for(Flight, late, landed):
    """In Gazebo, PX4's told for .74 s of a climb that the vehicle stands."""
    climbing, since = Flight(), []

    def told(sample):
        if not climbing.landed and not since:
            since.append(climbing.now)
        standing = not since or climbing.now - since[0] < late
        return sample._replace(quality=GOOD._replace(flags=GOOD_FLAGS | CONSTANT_POSITION) if standing else GOOD)

    climbing.sample = told
    climbing.fly(0.5)
    climbing.ask(Request.TAKE_OFF)
    climbing.fly(10, until=lambda: climbing.told(EventKind.TOOK_OFF) or climbing.rung is LAND)
    assert (climbing.count(Fault.ESTIMATE_DOUBTFUL) > 0) == landed


def test_row_46_what_an_estimator_doubts_as_it_learns_of_a_take_off_counts_from_there():
    quality = GOOD._replace(flags=GOOD_FLAGS | CONSTANT_POSITION)
    doubt = Doubt().seen(quality, 1.0, EstimateLimits()).seen(quality, 1.7, EstimateLimits())
    assert doubt.since == 1.0 and doubt.objection.sign is Sign.STANDING
    doubt = doubt.seen(GOOD._replace(innovations=(1.3, 0.1, 0.1, 0.1)), 1.71, EstimateLimits())
    assert doubt.since == 1.71 and doubt.objection.sign is Sign.VELOCITY
