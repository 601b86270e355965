"""The rules of a flight that races: the way to the start, the gates, the stops, and its end. And races in virtual time."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.certification.flight_outcome import outcome
from spike_ctrl.certification.injected_fault import InjectedFault
from spike_ctrl.flight import flight_settings
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.flight_settings import settings_for
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.request import Request
from spike_ctrl.policy import checkpoint
from spike_ctrl_racing import flown_words, race_room, race_settings, race_verb, track
from spike_ctrl_racing.flown_words import RaceWords
from spike_ctrl_racing.race_certificate import RaceCertificate, RaceCore, cage_of

WORDS = RaceWords(track.load("hall"), 1)


@pytest.fixture(scope="module")
def racer():
    return airframe.load("racer")


@pytest.fixture(scope="module")
def room(racer):
    return race_room.room(checkpoint.load(race_verb.find_model("racer_gates")).policy, WORDS, racer)


@pytest.fixture(scope="module")
def certificate(racer, room):
    policy = checkpoint.load(race_verb.find_model("racer_gates")).compiled()
    return RaceCertificate("racer_gates", policy, racer, WORDS, cage_of(room))


def _core(certificate, seed=3, faults=(), **changes):
    scenario = certificate.scenario(seed)._replace(faults=tuple(faults), **changes)
    return RaceCore(scenario, certificate.who, certificate.settings)


def test_the_room_holds_the_course_and_more(room):
    centres = np.array([gate.position for gate in WORDS.track.gates])
    assert room.size[0] > np.ptp(centres[:, 0]) + 1 and room.size[1] > np.ptp(centres[:, 1]) + 1
    assert room.lowest > 0.2 and all(race.complete for race in room.races)
    assert "the hall must leave free" in str(room) and cage_of(room).low[0] == pytest.approx(room.low[0] - race_room.MARGIN)


def test_a_race_in_virtual_time_passes_all_gates_and_lands_behind_the_last_one(certificate):
    core = _core(certificate, lands=20.0, duration=60.0)
    core.ends_landed = True
    core.fly()
    assert core.state.followed is None or core.state.followed.passed == WORDS.gates
    rungs = [rung for _, rung, _ in core.moves]
    assert rungs[:4] == [Rung.GUIDE, Rung.SNN, Rung.GUIDE, Rung.LAND]
    assert core.moves[2][2] == "the operator asked to guide"
    assert core.vehicle.plant.hardest_touchdown < 1.0 and not core.vehicle.commander.armed


def test_in_a_cage_that_is_too_small_the_guide_takes_over_in_time(certificate, room):
    (a, b, _), (d, e, f) = room.low, room.high
    small = Cage((a + 2.5, b + 1.0, -0.5), (d - 2.5, e - 1.0, f + 1.0))
    core = _core(certificate, cage=small, duration=20.0)
    core.fly()
    taken = [(at, why) for at, rung, why in core.moves if rung is Rung.GUIDE and at > 1.0]
    assert taken and "a stop ends" in taken[0][1]
    flown = np.array([step.position for step in core.steps])
    assert np.maximum(np.array(small.low) - flown, flown - np.array(small.high)).max() < 0.3


def test_a_recovery_ends_where_the_autopilot_has_room_to_drift_in_wind(certificate):
    fault = InjectedFault("policy", "scaled", 3.853, math.inf, 0.0993, (1.0, 0.0, 0.0), 0, 0)
    core = _core(certificate, 6226, faults=[fault], duration=30.0, lands=7.85)  # .84 m/s^2 of wind towards the wall
    core.ends_landed = True
    core.fly()
    rungs = {rung: at for at, rung, _ in core.moves}
    assert Rung.HOLD in rungs or Rung.LAND in rungs
    flown = np.array([step.position for step in core.steps])
    low, high = np.array(core.settings.cage.low), np.array(core.settings.cage.high)
    taken = min(at for at, rung, _ in core.moves if at > 4.0 and rung > Rung.GUIDE)
    left_at = next(step.position for step in core.steps if step.time >= taken)
    assert min(*(left_at - low)[:2], *(high - left_at)[:2]) > 0.8
    assert max((low - flown)[:, :2].max(), (flown - high)[:, :2].max()) < 0  # it never leaves the cage


@pytest.mark.parametrize("place, kind", [("policy", "frozen"), ("process", "policy_killed"), ("policy", "not_finite")])
def test_a_policy_that_fails_at_speed_is_stopped_inside(certificate, place, kind):
    fault = InjectedFault(place, kind, 6.0, math.inf, 0.0, (1.0, 0.0, 0.0), 0, 0)
    core = _core(certificate, faults=[fault], duration=20.0)
    core.fly()
    cage, flown = certificate.cage, np.array([step.position for step in core.steps])
    fast = np.linalg.norm(np.diff(flown, axis=0), axis=1).max() / 0.01
    assert fast > 5.0 and core.state.ladder.rung is not Rung.SNN
    assert np.maximum(np.array(cage.low) - flown, flown - np.array(cage.high)).max() < 0.3
    assert core.vehicle.plant.hardest_touchdown < 1.0


def test_a_policy_that_gets_as_fast_as_no_race_is_stopped_inside_too(certificate):
    # Scaled by 1.53, it reaches 15 m/s. That was taken for impossible, no state was accepted, and it flew 30 m outside.
    fault = InjectedFault(
        "policy", "scaled", 5.1208528086731535, math.inf, 1.531429784276309, (1.0, 0.0, 0.0), 1, 2111920073
    )
    core = _core(certificate, 4000, (fault,), family="scaled", duration=45.12, lands=9.1208528086731535)
    core.fly()
    assert not outcome(core).left and not outcome(core).crashed


def test_the_guide_keeps_a_vehicle_until_it_is_slow_enough_for_the_autopilot(certificate):
    # It handed over at 1.4 m/s, 1.4 m from a wall, for a third of a race's speed counted as at rest: 1.1 m outside.
    fault = InjectedFault("policy", "scaled", 3.041213947052351, math.inf, 2.331772544267613, (1.0, 0.0, 0.0), 3, 1356750078)
    core = _core(certificate, 5069, (fault,), family="scaled", duration=43.04, lands=7.041213947052351)
    core.fly()
    taken, why = next((at, why) for at, rung, why in core.moves if rung > Rung.GUIDE)
    place = {round(step.time, 2): np.array(step.position) for step in core.steps}
    speed = np.linalg.norm(place[round(taken, 2)] - place[round(taken - 0.05, 2)]) / 0.05
    assert speed < 1.0, why
    assert not outcome(core).left and not outcome(core).crashed


def test_a_landing_that_is_asked_for_in_a_race_waits_until_it_is_slow(certificate):
    core = _core(certificate, lands=6.0, duration=30.0)
    core.fly()
    after = [(at, rung) for at, rung, _ in core.moves if at >= 6.0]
    (guided, first), (landed, second) = after[:2]
    assert (first, second) == (Rung.GUIDE, Rung.LAND) and guided < 6.1 and landed > 6.4
    speeds = {round(step.time, 2): step.position for step in core.steps}
    times = sorted(speeds)
    index = int(np.searchsorted(times, landed))
    before, now = np.array(speeds[times[index - 6]]), np.array(speeds[times[index - 1]])
    assert np.linalg.norm(now - before) / (times[index - 1] - times[index - 6]) < 1.5


def test_nothing_engages_before_the_start_is_reached(certificate):
    core = _core(certificate)
    core.clock.at(0.02, lambda: None)
    inputs, known = certificate.settings._to_the_start(core.state, _inputs(unmet=()), race_settings.FollowedRace())
    assert known.start is None and inputs.unmet == ()  # nothing is known of the vehicle yet


def _inputs(**given):
    from spike_ctrl.flight.supervisor_state import SupervisorInputs

    return SupervisorInputs(0.0, **given)


def test_requests_that_end_the_flight_wait_while_it_is_fast():
    followed = race_settings.FollowedRace()
    inputs, known = race_settings._waits(_inputs(requests=(Request.LAND,)), followed, fast=True, races=True)
    assert inputs.requests == (Request.GUIDE,) and known.waiting == (Request.LAND,)
    inputs, known = race_settings._waits(_inputs(), known, fast=True, races=False)
    assert inputs.requests == () and known.waiting == (Request.LAND,)
    inputs, known = race_settings._waits(_inputs(), known, fast=False, races=False)
    assert inputs.requests == (Request.LAND,) and known.waiting == ()


def test_the_bag_keeps_the_course(racer):
    settings = race_settings.race_settings(settings_for(racer, 100.0), racer, WORDS)
    told = json.loads(flight_settings.as_json(settings))
    assert flown_words.read(told["course"]) == WORDS
    assert "course" not in json.loads(flight_settings.as_json(settings_for(racer, 100.0)))
    assert replace(settings, cage=Cage((-5, -5, 0), (5, 5, 5))).rules is settings.rules
