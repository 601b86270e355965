"""A reset that turns the yaw by more than PX4's own do is not believed: the guide flies on by the yaw before it.

- also where the autopilot flies by the wrong yaw itself, whose HOLD would steer out of the cage
- a reset that is taken back ends the fault; on the ground every yaw is believed
"""

import itertools
import math

import pytest
from struck_flight import fault, fly

from spike_ctrl.certification import moving_scenario
from spike_ctrl.certification.flight_outcome import outcome
from spike_ctrl.certification.moving_scenario import Stream
from spike_ctrl.flight.attitude import turned, yaw
from spike_ctrl.flight.faults import Fault, Rung
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.state_checks import Sample, StateLimits, StateTrack, check_state

LIMITS = StateLimits()


def told(turns, airborne=True):
    """Yaw and faults of each of these states: 1.0 rad, turned by so much by its reset."""
    track, found = StateTrack(), []
    for tick, turn in enumerate(turns):
        counter = sum(a != b for a, b in itertools.pairwise(turns[: tick + 1]))
        flown = Sample(tick, 0.01 * tick, 0.01 * tick, (0.0, 0.0, 1.0), turned((0.0, 0.0, 0.0, 1.0), 1.0 + turn),
                       (1e-3 * tick, 0.0, 0.0), (0.0, 1e-3 * tick, 0.0), counter)  # fmt: skip
        track, accepted, findings, _ = check_state(flown, track, LIMITS, airborne)
        found.append((yaw(accepted.quaternion), [f.fault for f in findings if f.fault is Fault.YAW_NOT_BELIEVED]))
    return found


@pytest.mark.parametrize("turn", [0.9, -1.5, 3.1])
def test_a_yaw_that_a_reset_turns_too_far_is_flown_as_it_was(turn):
    *before, after = told([0.0, 0.0, turn, turn])
    assert after == (pytest.approx(1.0), [Fault.YAW_NOT_BELIEVED]) and before[0][1] == []


def test_a_smaller_turn_is_believed_and_so_is_every_yaw_on_the_ground():
    assert told([0.0, 0.7, 0.7])[-1] == (pytest.approx(1.7), [])
    assert told([0.0, 1.5, 1.5], airborne=False)[-1] == (pytest.approx(2.5), [])


def test_a_turn_that_is_taken_back_is_no_fault_any_more():
    assert told([0.0, 1.5, 1.5, 0.1])[-1] == (pytest.approx(1.0), [])


@pytest.mark.parametrize(("turn", "ends"), [(2.1, True), (-0.9, True), (0.75, False)])
def test_a_yaw_that_jumps_while_the_rotors_spool_up_ends_the_take_off(Flight, turn, ends):
    flight = Flight()
    flight.fly(0.5)
    flight.ask(Request.TAKE_OFF)
    flight.fly(3, until=lambda: flight.state.ladder.armed)
    flight.sample = lambda s: s._replace(quaternion=turned(s.quaternion, turn), reset_counter=1)
    flight.fly(0.1)
    assert (flight.rung is Rung.LAND) is ends and bool(flight.told(Fault.TAKE_OFF_FAILED)) is ends


def test_a_yaw_that_is_aligned_before_the_vehicle_is_armed_ends_nothing(Flight):
    flight = Flight()
    flight.autopilot_obeys = False
    flight.fly(0.5)
    flight.ask(Request.TAKE_OFF)
    flight.sample = lambda s: s._replace(quaternion=turned(s.quaternion, 2.1), reset_counter=1)
    flight.fly(0.1)
    assert flight.rung is Rung.GUIDE and not flight.told(Fault.TAKE_OFF_FAILED)


@pytest.mark.slow
@pytest.mark.parametrize(("place", "size"), [("estimator", 3.1), ("autopilot", 1.5), ("autopilot", 3.0)])
def test_the_guide_flies_on_where_the_yaw_jumps(who, place, size):
    """Where it jumped for the autopilot too, HOLD left the cage by 6.9 m."""
    struck = fault(place, "yaw_reset", 2.0, size=size)._replace(direction=(0.0, 0.0, 1.0))
    drawn = moving_scenario.draw(20)._replace(family=place, stream=Stream(), faults=(struck,), duration=9.0)
    core = fly(who, drawn)
    at, rung, why = next(move for move in core.moves if move[0] >= 2.0)
    assert rung is Rung.GUIDE and why.startswith("YAW_NOT_BELIEVED") and at < 2.05 and core.moves[-1][1] is Rung.GUIDE
    flown = outcome(core)
    assert not flown.left and not flown.crashed
    assert math.dist(core.steps[-1].position, core.steps[-1].wanted) < 0.3
