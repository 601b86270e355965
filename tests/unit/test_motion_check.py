"""Faults of place and motion are kept from step to step, and found anew wherever anything that they follow from changes."""

import math

import pytest

from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.faults import Fault
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.motion_check import JudgedMotion, MotionCheck
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.flight.wind_estimate import Wind

SETTINGS, LEVEL, STILL = FlightSettings(), (0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0)
CAGE = Cage((-3.0, -3.0, 0.0), (3.0, 3.0, 3.0), ground=0.0, relative=False)
HERE = Sample(1, 1.0, 1.0, (0.0, 0.0, 1.0), LEVEL, STILL, STILL)
FAST = HERE._replace(velocity=(2.9, 0.0, 0.0))  # the autopilot would stop 1.4 m outside
HEALTHY = JudgedMotion(HERE, True, CAGE, CAGE, False, SetPoint((0.0, 0.0, 1.0)), 0.0)
CHANGES = [
    ({"sample": FAST}, Fault.CAGE_NEAR),
    ({"sample": FAST, "guided": True}, Fault.CAGE_CLOSING),
    ({"sample": FAST, "room": None}, None),
    ({"room": CAGE.in_wind(Wind(6.0, 0.0, 2.0))}, None),  # in strong wind 1.2 m/s would be too fast here
    ({"room": CAGE.in_wind(Wind(6.0, 0.0, 2.0)), "sample": HERE._replace(velocity=(1.2, 0.0, 0.0))}, Fault.CAGE_NEAR),
    (  # a guide brakes, against the wind too: it has the whole cage
        {"room": CAGE.in_wind(Wind(6.0, 0.0, 2.0)), "sample": HERE._replace(velocity=(1.2, 0.0, 0.0)), "guided": True},
        Fault.CAGE_NEAR,
    ),
    ({"sample": HERE._replace(velocity=(1.2, 0.0, 0.0))}, None),
    ({"sample": HERE._replace(position=(0.0, 0.0, 4.0))}, Fault.CAGE_LEFT),
    ({"sample": HERE._replace(position=(0.0, 0.0, 4.0)), "cage": None, "room": None}, None),
    ({"sample": HERE._replace(position=(0.0, 0.0, 2.8))}, Fault.CAGE_NEAR),
    ({"sample": HERE._replace(position=(0.0, 0.0, 2.8)), "guided": True}, None),  # a sound guide swings so near
    ({"sample": HERE._replace(position=(0.0, 0.0, 2.9)), "guided": True}, Fault.CAGE_NEAR),
    ({"cage": Cage((-3.0, -3.0, 0.0), (0.1, 3.0, 3.0), ground=0.0, relative=False)}, Fault.CAGE_NEAR),
    ({"sample": HERE._replace(quaternion=(math.sin(0.6), 0.0, 0.0, math.cos(0.6)))}, Fault.ENVELOPE),
    ({"sample": HERE._replace(quaternion=(math.sin(0.6), 0.0, 0.0, math.cos(0.6))), "airborne": False}, None),
    ({"point": SetPoint((0.0, 0.0, 9.0))}, Fault.ENVELOPE),
    ({"ground": 0.9}, Fault.ENVELOPE),
]


@pytest.mark.parametrize(("changes", "fault"), CHANGES, ids=str)
def test_each_circumstance_counts_from_the_step_in_which_it_changes(changes, fault):
    healthy = MotionCheck().after(HEALTHY, SETTINGS)
    changed = healthy.after(HEALTHY._replace(**changes), SETTINGS)
    back = changed.after(HEALTHY, SETTINGS)
    assert healthy.found == back.found == ()
    assert fault in [finding.fault for finding in changed.found] if fault else changed.found == ()


def test_what_was_found_is_found_in_every_step_until_a_new_state_comes():
    check = MotionCheck().after(HEALTHY._replace(sample=FAST), SETTINGS)
    assert check.found and check.after(HEALTHY._replace(sample=FAST), SETTINGS) is check
    later = FAST._replace(tick=2, stamp=1.01, received=1.01, velocity=STILL)
    assert check.after(HEALTHY._replace(sample=later), SETTINGS).found == ()
