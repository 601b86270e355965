"""Certified flights beside Betaflight: the firmware's rules, and what becomes of flights with its link's faults."""

import argparse
import math
from pathlib import Path

import numpy as np
import pytest

from spike_ctrl._files.errors import UsageError
from spike_ctrl.certification import flight_outcome, monte_carlo
from spike_ctrl.certification.injected_fault import InjectedFault
from spike_ctrl.flight.faults import Rung
from spike_ctrl_betaflight import betaflight_verb, certified_flights, msp, virtual_betaflight
from spike_ctrl_betaflight.virtual_betaflight import PlayedFirmware, VirtualBetaflight

MODEL = Path("models/any_rates.safetensors")


def test_a_stale_override_is_given_up_by_new_firmware_alone():
    for fresh in (True, False):
        firmware = PlayedFirmware(fresh)
        firmware.armed = firmware.given = True
        assert not firmware.overridden(0.0)  # no frame has come
        firmware.hear(msp.request(msp.STATUS_EX) + msp.set_raw_rc([1500, 1500, 1400, 1500]), 1.0)
        assert firmware.pulses == (1500, 1500, 1400, 1500) and firmware.overridden(1.2)
        assert firmware.overridden(1.4) is not fresh
        firmware.piloted = True
        assert not firmware.overridden(1.0)


def flown(kind, place="betaflight", until=math.inf, size=0.0, fresh=True):
    """A flight with this fault from 4 s on; and who has flown, in turn."""
    who, settings = monte_carlo.competitors(MODEL)
    fault = InjectedFault(place, kind, 4.0, until, size, (1.0, 0.0, 0.0), 0, 1)
    plain = virtual_betaflight.scenario(20, who, settings, "none")
    core = VirtualBetaflight(
        plain._replace(faults=(fault,), family=place, duration=9.0, grounded=False, resets=()), who, settings, fresh=fresh
    )
    core.fly()
    return core, flight_outcome.outcome(core)


def test_a_healthy_flight_goes_on_and_is_the_same_again():
    first, core = certified_flights.fly_seed(0, MODEL, "none")
    again, _ = certified_flights.fly_seed(0, MODEL, "none")
    assert repr(first) == repr(again) and first.alarm == "" and first.last == "SNN"
    assert abs(core.talk.hover.command - core.who.airframe.hover) < 0.2  # it goes on learning


@pytest.mark.parametrize("seed", [5000, 5003, 5007])  # the last is a plant of .8 the thrust and 1.17 the mass
def test_from_the_ground_the_pilot_arms_and_gives_before_the_stack_takes_off(seed):
    outcome, core = certified_flights.fly_seed(seed, MODEL, "none")
    rungs = [rung for _, rung, _ in core.moves]
    assert core.scenario.grounded and core.moves[1][0] >= virtual_betaflight.GIVES
    assert rungs == [Rung.SILENT, Rung.GUIDE, Rung.SNN] and outcome.alarm == ""
    engaged = core.moves[2][0]
    before = [step.wanted for step in core.steps if engaged - 1.0 < step.time < engaged]
    assert np.ptp(before, axis=0).max() < 0.05  # m: the operator moves it once the policy flies
    after = [step.wanted for step in core.steps if step.time > engaged]
    assert np.ptp(after, axis=0).max() > 0.3


@pytest.mark.parametrize("fresh", [True, False])
def test_a_companion_that_dies_leaves_the_pilot_or_its_last_frame(fresh):
    core, outcome = flown("companion_killed", "process", fresh=fresh)
    assert core.firmware.piloted and core.firmware.overridden(core.vehicle.now) is False
    assert outcome.seconds > 5.0 and core.firmware.heard == pytest.approx(4.0, abs=0.05)


def test_poses_that_stop_end_in_silence_and_the_pilots_landing():
    core, outcome = flown("poses_stop")
    assert core.firmware.piloted and outcome.last in ("SILENT", "LAND")
    assert 4.0 < core.firmware.heard < 5.0  # s: silence, after the vehicle was levelled


def test_a_pilot_who_takes_over_is_left_alone():
    core, outcome = flown("pilot_takes")
    assert outcome.last == "SILENT" and not core.vehicle.commander.mode.name == "OFFBOARD"


def test_the_verb_flies_and_tells(capsys):
    parser = argparse.ArgumentParser()
    betaflight_verb.add(parser)
    code = betaflight_verb.run(parser.parse_args(["certify", str(MODEL), "--flights", "1", "--family", "betaflight"]))
    told = capsys.readouterr().out
    assert code in (0, 1) and "betaflight" in told and "all faults that can be seen" in told
    with pytest.raises(UsageError, match="--family: found 'clock', wanted one of none"):
        betaflight_verb.run(parser.parse_args(["certify", str(MODEL), "--family", "clock"]))
