"""The search for the worst flight of a fault: it finds what random flights hardly meet, and asks for flights that exist."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_ray import FakeRay

from spike_ctrl import airframe
from spike_ctrl.certification import moving_scenario
from spike_ctrl.certification.flight_outcome import FlightOutcome
from spike_ctrl.certification.injected_fault import KINDS, phases
from spike_ctrl.certification.moving_scenario import BEGINS
from spike_ctrl.cli import main
from spike_ctrl_studies import falsifier

MODEL = Path(__file__).parents[3] / "models" / "sih_quadx.safetensors"


def test_the_falsifier_finds_a_needle_that_random_flights_hardly_meet():
    def fly(drawn):  # the safety property is violated only near one start and moment
        far = abs(drawn.start[0] - 1.5) + abs(drawn.start[2] - 2.0) + abs(drawn.faults[0].at - 2.0)
        return FlightOutcome(0, "policy", "searched", "", "", 0.6 - far, 0.0, math.nan, "", "HOLD", 9.0)

    found = falsifier.search("policy", "flipped", 400, fly)
    assert found.robustness < 0 and found.flights < 400
    drawn = np.random.default_rng(1).random((400, len(falsifier.NUMBERS)))
    assert np.mean([fly(falsifier.scenario("policy", "flipped", x)).left for x in drawn]) < 0.01
    again = falsifier.scenario("policy", "flipped", found.numbers)
    assert fly(again) == found.outcome  # the numbers draw the same flight


def test_the_search_goes_through_all_phases_of_a_kind():
    drawn = [
        falsifier.scenario("guide", "flipped", x) for x in np.random.default_rng(3).random((60, len(falsifier.NUMBERS)))
    ]
    assert {one.phase for one in drawn} == set(phases("guide", "flipped"))
    assert all(one.grounded == (one.phase in BEGINS) for one in drawn)


@pytest.mark.parametrize(
    ("place", "kind"), [("guide", "biased"), ("link", "cut"), ("state", "frozen"), ("autopilot", "drifts")]
)
def test_every_corner_of_the_search_is_a_flight_inside_the_cage(place, kind):
    low, high = moving_scenario.Cage().laid((0.0, 0.0, 0.0)).box
    for numbers in np.random.default_rng(2).integers(0, 2, (50, len(falsifier.NUMBERS))):
        drawn = falsifier.scenario(place, kind, numbers)
        (course,), (struck,) = [aim.course for aim in drawn.aims], drawn.faults
        assert all(a - 1e-6 <= p <= b + 1e-6 for p, a, b in zip(course.position, low, high, strict=True))
        begins = BEGINS.get(drawn.phase, (drawn.aims[0].at,))[0]
        assert drawn.phase in phases(place, kind) and drawn.duration >= struck.at + KINDS[place][kind].after
        assert struck.until > struck.at >= begins and struck.axis in range(4)
        assert math.hypot(*struck.direction) == pytest.approx(1)


def test_a_weak_vehicle_is_searched_within_the_plants_that_can_fly_with_a_fault():
    weak, asked = airframe.load("crazyflie_real"), []  # its thrust is 1.36 of its weight

    def fly(drawn):
        asked.append(airframe.altered(weak, *drawn.factors))  # raises where it could not take off
        return FlightOutcome(0, "policy", "searched", "", "", 0.0, 0.0, math.nan, "", "HOLD", 9.0)

    falsifier.search("policy", "flipped", 24, fly, off=moving_scenario.spread(weak))
    assert min(craft.thrust_to_weight for craft in asked) >= moving_scenario.LEAST_THRUST - 1e-6


def test_searches_are_kept_as_they_come_and_the_same_command_does_only_those_that_are_missing(tmp_path, monkeypatch, capsys):
    searched = []

    def search(place, kind, flights, fly, seed, tell, off):
        searched.append((f"{place}/{kind}", flights))
        if kind == stops:
            raise KeyboardInterrupt
        outcome = FlightOutcome(0, place, "searched", "policy", "FLIGHT", 0.1, 0.2, math.nan, "", "HOLD", 9.0)
        return falsifier.Falsified(place, kind, flights, 0.2, (0.5,), outcome)

    def certify(*words):
        return main.main(["certify", str(MODEL), "--folder", str(tmp_path), "--workers", "1", "--falsify", *words])

    monkeypatch.setattr(falsifier, "search", search)
    stops = "cut"
    assert certify("policy/flipped", "link/cut", "--flights", "9") == 130
    stops, before = "", list(searched)
    assert certify("policy/flipped", "link/cut", "--flights", "9") == 0
    assert searched[len(before) :] == [("link/cut", 9)]
    assert "1 of 2 searches are there" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "ray", FakeRay())
    assert certify("policy/flipped", "--flights", "10", "--ray", "here") == 0  # another search
    assert searched[-1] == ("policy/flipped", 10)
    found = json.loads((tmp_path / "falsified.json").read_text())
    assert {name: one["flights"] for name, one in found.items()} == {"link/cut": 9, "policy/flipped": 10}
