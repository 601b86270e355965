"""Flights on a link that gets slow, and with an estimator that resets, creeps or misleads the autopilot: in virtual time.

- a slow link, resets that are too many or too far: HOLD, inside the cage
- one reset of a metre: a target at the other wall does not lead out
- a position that creeps for a minute is found before the vehicle is outside
- what goes on while the autopilot holds: LAND, and the pilot is called
"""

import math

import pytest
from struck_flight import fault, fly

from spike_ctrl.certification import moving_scenario
from spike_ctrl.certification.flight_outcome import outcome
from spike_ctrl.certification.moving_scenario import Aim, Stream
from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.autopilot import Mode
from spike_ctrl.flight.faults import Fault, Rung

pytestmark = pytest.mark.slow


def struck(who, place, kind, size, seconds=5.0, seed=101, **changes):
    drawn = moving_scenario.draw(seed)._replace(family=place, stream=Stream(), faults=(fault(place, kind, 2.0, size=size),))
    return fly(who, drawn._replace(duration=2.0 + seconds, **changes))


@pytest.mark.parametrize(
    ("place", "kind", "size", "found", "within"),
    [
        ("link", "states_growing", 0.6, Fault.LINK_SLOW, 0.3),  # 1.2 m outside, or 3.9 m/s, before delay was measured
        ("link", "commands_held", 0.12, Fault.LINK_SLOW, 0.3),
        ("link", "both_held", 0.06, Fault.LINK_SLOW, 0.3),
        ("estimator", "velocity_stuck_in_resets", 10, Fault.ESTIMATOR_RESTLESS, 0.35),  # 4 m
        ("estimator", "velocity_reset", 1.2, Fault.ESTIMATOR_RESTLESS, 0.06),  # .3 to 1 m in a cage 2.6 m wide
        ("estimator", "position_drifts_in_resets", 0.3, Fault.ESTIMATOR_RESTLESS, 2.1),  # 2.6 m
    ],
)
def test_the_autopilot_holds_inside_the_cage(who, place, kind, size, found, within):
    core = struck(who, place, kind, size)
    at, rung, why = next(move for move in core.moves if move[0] >= 2.0)
    assert rung is Rung.HOLD and why.startswith(found.name) and at - 2.0 < within
    assert not outcome(core).left and not outcome(core).crashed


def test_after_a_reset_of_a_metre_a_target_at_the_other_wall_does_not_lead_out(who):
    # .48 m outside, before less of the cage was granted
    aims = (Aim(1.0, SetPoint((0.0, 0.0, 1.2), yaw=math.pi / 2)), Aim(3.0, SetPoint((-2.5, 0.0, 1.2), yaw=math.pi / 2)))
    core = struck(who, "state", "origin_moved", 0.95, 8.0, start=(0.0, 0.0, 1.2), aims=aims, wind=(0.0, 0.0, 0.0))
    assert core.state.ladder.rung is Rung.SNN and outcome(core).outside < -0.1


@pytest.mark.parametrize("size", [0.3, 0.75])
def test_a_yaw_reset_as_px4_makes_it_is_no_fault_of_its_own_and_does_not_lead_out(who, size):
    core = struck(who, "estimator", "yaw_reset", size)
    assert Fault.ESTIMATOR_RESTLESS.name not in core.state.counts and not outcome(core).left


def test_row_47_what_goes_on_while_the_autopilot_holds_leads_to_land_and_calls_the_pilot(flight):
    for _ in range(3):
        flight.move_origin(0.0, 0.0, 0.0)
    flight.fly(0.1)
    assert flight.rung is Rung.HOLD and flight.mode is Mode.HOLD and flight.told(Fault.ESTIMATOR_RESTLESS)
    flight.stays(Rung.HOLD, 3.0)
    flight.sample = lambda s: s._replace(velocity=(0.5 + 1e-6 * s.tick, 0.0, 0.0))  # it says that it stays, and moves
    flight.fly(2.0, until=lambda: flight.mode is Mode.LAND)
    assert flight.rung is Rung.LAND and flight.told(Fault.HOLD_CONTRADICTED, Rung.HOLD, Rung.LAND)
    assert flight.said("take over by hand") and flight.said("the autopilot follows its estimate")
