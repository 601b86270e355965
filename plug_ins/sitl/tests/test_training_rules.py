"""What bars a training on an autopilot is said in words; what a flight wants besides is the user's own."""

import pytest

from spike_ctrl import airframe
from spike_ctrl.flight.flight_settings import settings_for
from spike_ctrl.px4 import parameter_rules
from spike_ctrl.px4.parameter_rules import Wanted
from spike_ctrl.simulated_px4.simulated_parameters import DEFAULTS
from spike_ctrl_sitl.training_rules import TRAINING, audit_room, audit_training

CRAFT = airframe.load("sih_quadx")


def test_the_fence_that_a_flight_leaves_is_refused_inside_the_room_of_a_training():
    """What `preflight --set` writes for a flight, 6 and 6 m, lies inside a room of 4 m around a height of 5 m."""
    for_flight = {"GF_MAX_HOR_DIST": 6.0, "GF_MAX_VER_DIST": 6.0}
    (ceiling,) = audit_room(for_flight, 5.0, 4.0)
    assert ceiling.what == "GF_MAX_VER_DIST: found 6, wanted 0 or more than 9.0 m, the ceiling of the room"
    cage = ceiling.fix.split("--cage=")[1].split()[0]
    settings = settings_for(CRAFT, 100.0, cage)
    values = parameter_rules.to_set(DEFAULTS | for_flight, parameter_rules.rules_for(settings, CRAFT, Wanted()))
    assert audit_room(for_flight | values, 5.0, 4.0) == []
    assert audit_room({"GF_MAX_HOR_DIST": 0.0, "GF_MAX_VER_DIST": 0.0}, 5.0, 4.0) == []


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, set()),
        ({"MAV_FWDEXTSP": 0}, {"MAV_FWDEXTSP"}),
        ({"MC_AIRMODE": 2, "THR_MDL_FAC": 0.3}, {"MC_AIRMODE", "THR_MDL_FAC"}),
        ({"GF_MAX_VER_DIST": 6.0}, {"GF_MAX_VER_DIST"}),
    ],
)
def test_a_training_is_barred_by_a_fence_in_its_room_and_by_commands_that_mean_something_else(changed, found):
    told = {name: DEFAULTS[name] for name in TRAINING} | changed  # PX4's own defaults pass
    assert {one.what.split(":")[0] for one in audit_training(told, CRAFT, 5.0, 4.0)} == found
