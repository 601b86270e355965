"""Whoever flies, guide or policy, is held against the other in shadow, with the vehicle's motion as the judge.

- a vehicle that is steered as its set-point asks is not astray, in wind neither; one that leans away is
- the guide falls only where it steers astray and the policy objects; a policy that is faulty in shadow ends no flight
- flights under a guide that is stuck, biased or flipped stay safe, and so does a take-off on a state that stays
"""

import math

import pytest
from struck_flight import Alone, fault

from spike_ctrl._files import resources
from spike_ctrl.airframe import GRAVITY
from spike_ctrl.certification import monte_carlo, moving_scenario
from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.certification.flight_outcome import fly_scenario, outcome
from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight import steering
from spike_ctrl.flight.answer_checks import Answer, Identity
from spike_ctrl.flight.event import EventKind
from spike_ctrl.flight.faults import Fault, Rung
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.flight.steering import Astray, SteeringLimits
from spike_ctrl.flight.wind_estimate import CALM, Wind

MODELS = resources.folder("models")
LIMITS, HERE, STILL = SteeringLimits(), SetPoint((0.0, 0.0, 1.0)), (0.0, 0.0, 0.0)
ROOM = 3.0  # m, of the default cage
CALM_ANSWER, APART = (0.0, 0.0, 0.0, 0.0), (0.0, 0.4, 0.0, 0.0)


def leaning(east, position=(0.0, 0.0, 1.0), velocity=STILL):
    """A state of a vehicle that leans to the east by so many rad."""
    return Sample(1, 1.0, 1.0, position, (0.0, math.sin(east / 2), 0.0, math.cos(east / 2)), velocity, STILL)


def astray(sample, wind=CALM, gains=STILL, drag=0.0):
    """gains: m/s^2, by which its speed changes."""
    earlier = tuple(v - 0.01 * g for v, g in zip(sample.velocity, gains, strict=True))
    before, found = sample._replace(stamp=sample.stamp - 0.01, velocity=earlier), Astray()
    for _ in range(100):
        found = steering.follow(found._replace(state=before), sample, HERE, wind, drag, LIMITS)
    return found


def test_a_vehicle_that_leans_as_its_set_point_asks_is_not_astray():
    assert astray(leaning(0.0)).leans == pytest.approx(STILL)
    back = leaning(-math.atan(0.2 * LIMITS.stiffness / GRAVITY), (0.2, 0.0, 1.0))
    assert astray(back).leans == pytest.approx(STILL, abs=1e-3)
    assert astray(leaning(-math.atan(2.0 / GRAVITY)), Wind(2.0, 0.0, 2.0)).leans == pytest.approx(STILL, abs=1e-3)


def test_nor_is_one_that_the_drag_slows_or_that_stops_a_climb_which_led_above_its_set_point():
    moving = leaning(0.0, velocity=(0.5, 0.0, 0.0))
    assert astray(moving, drag=LIMITS.damping).leans == pytest.approx(STILL)
    assert astray(moving).leans[0] == pytest.approx(0.5 * LIMITS.damping, rel=1e-4)
    above = leaning(0.0, (0.0, 0.0, 1.3), (0.0, 0.0, 0.3))
    stops = -0.3 * LIMITS.stiffness - 0.3 * LIMITS.damping
    assert astray(above, gains=(0.0, 0.0, stops)).leans == pytest.approx(STILL, abs=1e-3)
    assert astray(above).leans[2] == pytest.approx(-stops, rel=1e-4)
    assert astray(above, gains=(0.0, 0.0, 3.0)).leans[2] > LIMITS.sinking


def test_one_that_leans_away_or_falls_is():
    east, north, _ = astray(leaning(0.4, (0.3, 0.0, 1.0), (0.4, 0.0, 0.0))).leans
    assert east > LIMITS.astray and north == pytest.approx(0.0)
    assert astray(leaning(0.0, velocity=(0.0, 0.0, -1.6))).leans[2] < -LIMITS.sinking


def test_a_wind_that_turns_is_not_the_guides_doing_and_a_vehicle_that_goes_away_leaning_back_is_as_its_yaw_is_wrong():
    leans = leaning(-0.3, (0.3, 0.0, 1.0), (0.4, 0.0, 0.0))
    assert not steering.check_guide(astray(leans, gains=(2.0, 0.0, 0.0)), APART, False, ROOM, LIMITS)
    goes = astray(leaning(-0.5, (0.3, 0.0, 1.0), (1.0, 0.0, 0.0)), gains=(4.0, 0.0, 0.0))
    assert goes.leans[0] < LIMITS.astray  # and the policy, by the same yaw, answers as the guide does
    (found,) = steering.check_guide(goes, CALM_ANSWER, False, ROOM, LIMITS)
    assert found.fault is Fault.STATE_INCONSISTENT


def test_a_velocity_that_jumps_once_or_that_the_estimator_resets_is_no_motion():
    before, after = leaning(0.0), leaning(0.0, velocity=(0.5, 0.0, 1.0))._replace(stamp=1.01)
    jumped = steering.follow(Astray(state=before), after, HERE, CALM, 0.0, LIMITS)
    assert 2 < jumped.leans[2] < LIMITS.sinking and not steering.check_guide(jumped, (2.0,) * 4, False, ROOM, LIMITS)
    reset = after._replace(reset_counter=1)
    assert steering.follow(Astray(state=before), reset, HERE, CALM, 0.0, LIMITS) == Astray(state=reset)
    assert steering.follow(Astray(), after, HERE, CALM, 0.0, LIMITS) == Astray(state=after)


def test_the_guide_falls_only_where_it_steers_astray_and_the_policy_objects():
    def check(found, apart, climbs=False, room=ROOM):
        return [finding.fault for finding in steering.check_guide(Astray(found), apart, climbs, room, LIMITS)]

    assert check((7.0, 0.0, 0.0), APART) == check((0.0, 0.0, 9.0), APART, climbs=True) == [Fault.DISAGREEMENT]
    assert check((0.0, 0.0, 7.0), APART) == [Fault.DISAGREEMENT] and check((0.0, 0.0, 7.0), APART, climbs=True) == []
    assert check((7.0, 0.0, 0.0), CALM_ANSWER) == check(STILL, (2.0, 2.0, 2.0, 2.0)) == []
    assert check((4.2, 0.0, 0.0), APART) == [] and check((4.2, 0.0, 0.0), APART, room=1.3) == [Fault.DISAGREEMENT]
    assert check((4.7, 0.0, 0.0), APART) == [Fault.DISAGREEMENT] and check((0.0, 0.0, 4.7), APART) == []
    assert check((0.0, 0.0, -7.0), APART) == [Fault.DISAGREEMENT] and check((0.0, 0.0, -7.0), APART, climbs=True) == []


def test_the_guide_takes_over_from_a_policy_that_leans_away_and_not_from_one_that_it_contradicts_alone():
    def check(level, apart, limits=LIMITS):
        return [finding.fault for finding in steering.check_policy(Astray((0.6 * level, 0.8 * level, 9.0)), apart, limits)]

    assert check(6.5, APART) == [Fault.OFF_SET_POINT] and check(6.5, CALM_ANSWER) == check(5.5, (2.0,) * 4) == []
    assert check(5.5, APART, SteeringLimits.of(1.36)) == [Fault.OFF_SET_POINT]  # a weak vehicle never leans so far


def test_a_late_policy_is_found_by_how_it_swings_and_the_guide_begins_with_a_clean_record():
    who = monte_carlo.competitors(MODELS / "sih_quadx.safetensors")
    late = (fault("policy", "long_delayed", 2.0, size=16.0),)
    core = FlightCore(moving_scenario.draw(20)._replace(family="policy", duration=9.0, faults=late), *who)
    before, records = core._step, []

    def step(news):
        before(news)
        records.append((core.state.ladder.rung, math.hypot(*core.state.astray.leans[:2])))

    core._step = step
    core.fly()
    flown, taken = outcome(core), next(n for n, (rung, _) in enumerate(records) if n > 300 and rung is Rung.GUIDE)
    assert records[taken - 1][1] > 3.0 > records[taken][1] == 0.0
    assert [(rung, words.split()[0]) for _, rung, words in core.moves[2:]] == [(Rung.GUIDE, "OFF_SET_POINT")]
    assert not flown.left and not flown.crashed


def test_a_guide_led_the_vehicle_where_it_leans_though_the_policy_objects_and_the_wind_where_it_does_not():
    away = astray(leaning(0.4, (0.3, 0.0, 1.0), (0.4, 0.0, 0.0)))
    assert steering.led(away, 0.5, None, None, LIMITS) and not steering.led(away, 0.1, None, None, LIMITS)
    carried = astray(leaning(-0.2, (0.3, 0.0, 1.0), (0.4, 0.0, 0.0)))  # it leans against the wind, not yet enough
    assert not steering.led(carried, 0.5, None, None, LIMITS)
    sinks = astray(leaning(0.0, velocity=(0.0, 0.0, -0.6)))  # no wind lets it sink
    more, less = (Answer(1, 0.0, (lift, 0.0, 0.0, 0.0), "rates", Identity("a", 0)) for lift in (0.6, -0.2))
    assert steering.led(sinks, 0.3, less, more, LIMITS) and steering.led(sinks, 0.3, None, more, LIMITS)
    assert not steering.led(sinks, 0.3, more, less, LIMITS)  # a guide that asks for more lift is not to blame


def test_a_policy_in_shadow_that_contradicts_a_sound_guide_ends_no_flight(flight):
    flight.ask(Request.GUIDE)
    flight.policy = lambda a: a._replace(action=(-0.9, 0.9, -0.9, 0.9))
    flight.fly(1.0)
    assert flight.rung is Rung.GUIDE and not flight.told(Fault.DISAGREEMENT)


def test_where_the_vehicle_goes_away_under_the_guide_a_policy_that_objects_has_it_held(flight):
    flight.ask(Request.GUIDE)
    flight.fly(0.5)
    flight.velocity[0] = 1.2
    flight._move = lambda: flight.position.__setitem__(0, flight.position[0] + 0.012)
    flight.fly(0.3)
    assert flight.rung is Rung.GUIDE  # both answer alike
    flight.policy = lambda a: a._replace(action=(0.1, 0.0, -0.5, 0.0))
    flight.fly(0.1, until=lambda: flight.rung is Rung.HOLD)
    assert flight.told(Fault.DISAGREEMENT, Rung.GUIDE, Rung.HOLD)


def test_a_take_off_on_a_state_that_stays_as_on_the_ground_ends_before_the_vehicle_is_high(Flight):
    flight = Flight()
    flight.fly(0.5)
    flight.ask(Request.TAKE_OFF)
    flight.sample = lambda s: s._replace(
        position=(*s.position[:2], 1e-5 * math.sin(s.tick)), velocity=(0.0, 0.0, 1e-5 * s.tick)
    )
    flight.fly(5, until=lambda: flight.rung is Rung.LAND)
    assert flight.told(Fault.TAKE_OFF_FAILED) and not flight.told(EventKind.TOOK_OFF) and flight.position[2] < 0.6


@pytest.mark.parametrize("at", [4.55, 4.85, 5.18, 5.3])
def test_a_guide_whose_thrust_flips_in_a_climb_is_ended_before_the_vehicle_falls_to_the_ground(who, at):
    drawn = monte_carlo.scenario_of(83501, *who)  # the fault at 5.18 s, .25 m high: 1.47 m/s on the ground, once
    struck = fault("guide", "one_axis_flipped", at)
    flown, core = fly_scenario(drawn._replace(family="guide", faults=(struck,)), *who)
    assert flown.hit < 0.8 and flown.last == "LAND"
    assert any("TAKE_OFF_FAILED" in why and "sinks at" in why for _, _, why in core.moves)


@pytest.mark.parametrize("seed", [301836, 302876])  # one rotor stops .19 m high, a flip .25 m high: 1.14, 1.48 m/s, once
def test_a_take_off_in_which_the_vehicle_turns_and_the_policy_objects_ends_at_once(seed):
    who = monte_carlo.competitors(MODELS / "crazyflie_real.safetensors")  # its thrust is 1.36 of its weight
    flown, core = fly_scenario(monte_carlo.scenario_of(seed, *who), *who)
    assert flown.hit < 0.5 and flown.reaction < 0.12
    assert any("TAKE_OFF_FAILED" in why and "objects" in why for _, _, why in core.moves)


def test_a_guide_whose_axes_are_swapped_is_ended_sooner_where_the_vehicle_has_little_thrust():
    who = monte_carlo.competitors(MODELS / "crazyflie_real.safetensors")
    assert who[1].steering.astray < SteeringLimits.of(2.0).astray == SteeringLimits().astray
    flown, _ = fly_scenario(monte_carlo.scenario_of(300484, *who), *who)  # .31 m outside, with the limit of a strong vehicle
    assert "axes swapped" in flown.faults and flown.outside < 0.1


def test_a_policy_that_is_faulty_in_shadow_ends_no_take_off(Flight):
    flight = Flight()
    flight.fly(0.5)
    flight.policy = lambda a: a._replace(action=(-1.0, 1.0, -1.0, 1.0))
    flight.ask(Request.TAKE_OFF)
    flight.fly(8, until=lambda: flight.told(EventKind.TOOK_OFF))
    assert max(flight.state.monitor.recent) > flight.settings.ladder.apart  # it objects all the time
    assert flight.told(EventKind.TOOK_OFF) and not flight.told(Fault.TAKE_OFF_FAILED)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "kind", "at", "size", "axis"),
    [
        (7, "frozen_with_dither", 1.26, 0.008, 0),  # 3.69 m outside
        (2, "biased", 3.66, 0.89, 2),  # 1.04 m
        (9, "flipped", 3.42, 0.0, 0),  # 1.71 m/s on the ground
        (20, "one_axis_scaled", 2.0, -0.5, 1),  # 1.22 m
    ],
)
def test_a_faulty_guide_that_flies_alone_keeps_the_promise(who, seed, kind, at, size, axis):
    struck = fault("guide", kind, at, size=size)._replace(axis=axis)
    drawn = moving_scenario.draw(seed, family="none", off=moving_scenario.spread(who[0].airframe))
    core = Alone(drawn._replace(faults=(struck,), duration=at + 5.0), *who)
    core.fly()
    flown = outcome(core)
    assert not flown.left and not flown.crashed
