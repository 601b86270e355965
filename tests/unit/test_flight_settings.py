"""The settings of a flight are checked before it begins."""

import math
from dataclasses import replace

import pytest

from spike_ctrl.flight.answer_checks import AnswerLimits
from spike_ctrl.flight.autopilot import AutopilotLimits
from spike_ctrl.flight.envelope import Envelope
from spike_ctrl.flight.flight_settings import FlightSettings, FlightSettingsError
from spike_ctrl.flight.geofence import Cage, CageError
from spike_ctrl.flight.state_checks import StateLimits


def test_the_defaults_are_valid():
    assert FlightSettings().state.period == 0.01


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "torques"}, "supervisor: layout: found 'torques', wanted one of rates, motors"),
        ({"stall": 3.0}, "supervisor: stall: found 3.0, wanted 0.01 to 0.2"),
        ({"hover": math.nan}, "supervisor: hover: found nan, wanted -1 to 1"),
        ({"envelope": Envelope(tilt=9.0)}, "supervisor: envelope: tilt: found 9.0, wanted 0.1 to 3.14159"),
        ({"answers": AnswerLimits(stuck=1)}, "supervisor: answers: stuck: found 1, wanted 2 to 1000"),
    ],
)
@pytest.mark.proves("41U")
def test_a_number_out_of_range_is_refused_by_name(change, message):
    with pytest.raises(FlightSettingsError, match=f"^{message}$"):
        FlightSettings(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": StateLimits(rates_age=0.015)}, "rates_age: found 0.015 s, wanted two control periods, 0.02 s"),
        ({"state": StateLimits(state_age=0.2)}, "state_age: found 0.2, wanted at most guide_age, 0.1"),
        ({"state": StateLimits(future=0.2)}, "future: found 0.2, wanted at most delay, 0.1"),
        ({"answers": AnswerLimits(silent=0.05)}, "silent: found 0.05 s, wanted at most three control periods"),
        ({"answers": AnswerLimits(spike_low=0.7)}, "spike_low: found 0.7, wanted at most spike_high, 0.6"),
        ({"autopilot": AutopilotLimits(battery_critical=0.5)}, "critical: found 0.5, wanted at most battery_low, 0.3"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused_by_name(change, message):
    with pytest.raises(FlightSettingsError, match=message):
        replace(FlightSettings(), **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": (-1.0, -1.0, 2.5)}, "cage: z: found 2.5 to 3.0 m, wanted more than twice the margin, 0.5 m"),
        ({"high": (3.0, math.inf, 3.0)}, "wanted two corners of three finite numbers"),
        ({"low": (0.0, 0.0)}, "wanted two corners of three finite numbers"),
        ({"margin": -1.0}, "cage: margin: found -1.0, wanted 0 to 20"),
    ],
)
def test_an_impossible_cage_is_refused(change, message):
    with pytest.raises(CageError, match=message):
        Cage(**change)
