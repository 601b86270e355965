"""The table of what can fail: whole, drawn by seed, and each of its kinds does what its name says.

- every kind is flown in a phase, and the page says of each component what no flight has
- the seeds of earlier certificates draw what they drew; those of the whole table draw every phase, cage and kind
- each new kind has an effect of its own on signals, packets, requests, plant or estimate
- a flight from the ground takes off, hands over and lands; TIMESYNC tells the companion of a slow link
"""

import importlib.util
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from struck_flight import fault, fly

from spike_ctrl import airframe
from spike_ctrl.certification import injected_fault, moving_scenario
from spike_ctrl.certification.flight_core import OF_THE_STATE, FlightCore
from spike_ctrl.certification.flight_outcome import FlightOutcome, outcome
from spike_ctrl.certification.flight_parts import VirtualClock
from spike_ctrl.certification.injected_fault import FIRST, KINDS, PHASES
from spike_ctrl.certification.link_injection import LinkInjection, ProcessInjection
from spike_ctrl.certification.moving_scenario import CAGES, Stream, draw, draw_whole
from spike_ctrl.certification.plant_injection import SAGS, PlantInjection, mislead, thrust_share
from spike_ctrl.certification.safety_statistics import SEEN, by_family, by_phase
from spike_ctrl.certification.signal_injection import OF_ANSWERS, OF_FORCES, OF_STATES, SignalInjection
from spike_ctrl.flight.attitude import yaw
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.simulated_px4.estimator import Estimator
from spike_ctrl.simulated_px4.plant import TICK, Plant

STATE = Sample(1, 1.0, 1.0, (0.1, 0.2, 1.0), (0.0, 0.0, 0.0, 1.0), (1.0, -2.0, 0.5), (0.1, 0.0, -0.1))
ACTION = (0.1, 0.2, -0.3, 0.05)
ADDED = [(place, kind) for place, kinds in KINDS.items() for kind in kinds if kind not in FIRST.get(place, {})]


def page():
    """docs/reference.py, which writes the page."""
    path = Path(__file__).resolve().parents[2] / "docs" / "reference.py"
    spec = importlib.util.spec_from_file_location("reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def states(time=0.0, count=400, period=0.01):
    """States of a vehicle that flies along x and turns."""
    for n in range(count):
        t, angle = time + n * period, 0.5 * math.sin(n * period)
        place, attitude = (math.sin(t), 0.0, 1.0), (0.0, 0.0, math.sin(angle / 2), math.cos(angle / 2))
        yield Sample(n, t, t, place, attitude, (math.cos(t), 0.1 * t, 0.0), (0.1 * math.cos(t), 0.02 * t, 0.0))


# --- the table ------------------------------------------------------------------------------------------------------


def test_every_component_is_flown_and_the_page_says_of_each_what_no_flight_has():
    reference = page()
    text = reference.what_can_fail_page()
    assert set(reference.COMPONENTS) == set(KINDS) == set(injected_fault.FAMILIES) - {"none", "pair"}
    assert {place for place, _, why in reference.NOT_FLOWN if why} <= set(KINDS)
    for place, kinds in KINDS.items():
        for kind, found in kinds.items():
            assert f"| `{kind}` |" in text and set(injected_fault.phases(place, kind)) <= set(PHASES)
            assert injected_fault.phases(place, kind) and found.size[0] <= found.size[1] and found.after >= 7.0
            assert found.unit or not any(found.size), f"{place} {kind}: a size without a unit"


def test_a_drift_is_flown_until_it_has_led_a_vehicle_out_of_a_cage_or_turned_it():
    drifts = [
        (f"{place} {kind}", found)
        for place, kinds in KINDS.items()
        for kind, found in kinds.items()
        if "drift" in kind or "creep" in kind
    ]
    assert len(drifts) == 11
    for name, found in drifts:
        shown = found.size[0] * found.after
        assert shown > (0.3 if found.unit.startswith("rad") else 1.3), name
    assert KINDS["plant"]["sags"].after > SAGS


def test_the_seeds_of_earlier_certificates_draw_the_kinds_of_their_time():
    drawn = [draw(seed) for seed in range(200)]
    assert all(fault.kind in FIRST[fault.place] for one in drawn for fault in one.faults)
    assert drawn[12].what == "guide flipped" and drawn[12].stream is None and not drawn[12].grounded


def test_the_whole_table_is_drawn_by_seed_in_all_phases_and_cages():
    assert draw_whole(17) == draw_whole(17)
    drawn = [draw_whole(seed) for seed in range(1300)]
    single = {fault.name for one in drawn if len(one.faults) == 1 for fault in one.faults}
    seeded = {f"{place} {kind}" for place, kinds in KINDS.items() if place in injected_fault.SEEDED for kind in kinds}
    assert single <= seeded and len(single) > 0.99 * len(seeded)  # the other families are drawn only where asked for
    assert {one.phase for one in drawn} == set(PHASES) and {one.cage for one in drawn} == set(CAGES)
    for one in drawn:
        assert one.phase in (injected_fault.phases(one.faults[0].place, one.faults[0].kind) if one.faults else PHASES)
        assert one.grounded == (one.phase in moving_scenario.BEGINS) or one.phase == "flight"
        assert one.stream is not None and math.isfinite(one.lands) == (one.phase == "landing")
        assert all(one.duration >= f.at + KINDS[f.place][f.kind].after - 1.0 for f in one.faults)
        low, high = one.cage.laid((0.0, 0.0, 0.0)).box
        for aim in one.aims:
            point = aim.course.at(1.0) if hasattr(aim.course, "at") else aim.course
            assert all(a - 1e-6 <= p <= b + 1e-6 for p, a, b in zip(point.position, low, high, strict=True))


def test_a_healthy_flight_from_the_ground_meets_the_yaw_resets_that_px4_makes_after_a_take_off():
    drawn = [one for seed in range(400) if (one := draw_whole(seed, family="none")).grounded]
    single, taken_back = ([one for one in drawn if len(one.resets) == n] for n in (1, 2))
    assert len(drawn) > 80 and len(single) + len(taken_back) == len(drawn) and min(len(single), len(taken_back)) > 30
    assert all(abs(turn) <= 0.75 and not any(by) for one in drawn for _, by, turn in one.resets)
    # PX4's yaw errs by .036 rad at most before a reset and by .134 after it, of 16: tests/flight/yaw_resets.py
    assert all(abs(one.heading) <= 0.15 and abs(one.heading + one.resets[0][2]) <= 0.25 + 1e-9 for one in single)
    assert all(b - a <= 1.0 and back == -turn for (a, _, turn), (b, _, back) in (one.resets for one in taken_back))


# --- effects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "kind"), [(p, k) for p, k in ADDED if p in OF_THE_STATE and k in OF_STATES])
def test_every_new_kind_changes_the_state_and_only_from_its_begin(place, kind):
    struck = injected_fault.draw(place, 1.0, np.random.default_rng(5), kind)._replace(until=math.inf)
    injection, again = (SignalInjection(struck, OF_STATES) for _ in range(2))
    changed = [(given, injection(given, given.stamp), again(given, given.stamp)) for given in states()]
    assert all(given == found for given, found, _ in changed if given.stamp < struck.at)
    after = [(given, found) for given, found, _ in changed if given.stamp > struck.at + 0.1]
    assert sum(given != found for given, found in after) > 0.9 * len(after)
    assert all(found == same for _, found, same in changed)  # by its seed


def test_a_force_alone_is_stuck_or_biased_and_the_state_is_as_it_was():
    force = (0.3, -0.2, 9.7)
    stuck, biased = (
        SignalInjection(fault("state", f"force_{how}", 1.0, size=size), OF_FORCES)
        for how, size in (("stuck", 1e-3), ("biased", 2.0))
    )
    assert stuck(force, 0.5) == force == biased(force, 0.5)
    found = [stuck((0.01 * n, 0.0, 9.8), 1.0 + 0.02 * n) for n in range(50)]
    assert len(set(found)) == 50 and max(math.dist(f, found[0]) for f in found) < 0.02
    assert biased(force, 2.0) == pytest.approx((2.3, -0.2, 9.7))


def test_the_guide_alone_answers_late_or_a_status_alone_stops():
    late = ProcessInjection([fault("process", "guide_late", 1.0, size=0.1)])
    assert late.extra("guide", 0.5) == late.extra("policy", 2.0) == 0.0 and 0.05 <= late.extra("guide", 2.0) <= 0.15
    link = LinkInjection([fault("link", "status_stops", 1.0, 2.0)])
    assert link.cut(1.5) and not link.cut(2.5) and link.states(1.5) == [0.0] and link.command(1.5) == 0.0


def test_resets_count_and_turn_the_yaw():
    turned = SignalInjection(fault("estimator", "yaw_reset", 1.0, size=0.7), OF_STATES)(STATE, 1.5)
    assert yaw(turned.quaternion) == pytest.approx(0.7) and turned.reset_counter == STATE.reset_counter + 1
    drifting = SignalInjection(fault("estimator", "position_drifts_in_resets", 1.0, size=0.3), OF_STATES)
    found = [drifting(STATE, 1.0 + t) for t in (0.0, 0.5, 1.5, 3.0)]
    assert [s.reset_counter for s in found] == [1, 1, 2, 4] and found[-1].position[0] == pytest.approx(0.1 + 0.9)
    stuck = SignalInjection(fault("estimator", "velocity_stuck_in_resets", 1.0, size=1.0), OF_STATES)
    counts = [stuck(s, s.stamp) for s in states(1.0, 20)]
    assert [b.reset_counter - a.reset_counter for a, b in pairwise(counts)] == [1] * 19
    assert max(math.dist(s.velocity, counts[0].velocity) for s in counts) < 0.02 and len({s.velocity for s in counts}) == 20


def test_a_state_that_stays_shakes_and_one_field_lags_alone():
    stays = SignalInjection(fault("state", "stays", 1.0, size=1e-4), OF_STATES)
    found = [stays(s, s.stamp) for s in states(1.0, 50)]
    assert len({s.position for s in found}) == 50 and max(math.dist(s.position, found[0].position) for s in found) < 1e-3
    lags = SignalInjection(fault("state", "velocity_lags", 1.0, size=20), OF_STATES)
    given = list(states(0.5, 100))
    last = [lags(s, s.stamp) for s in given][-1]
    assert last.velocity == given[-21].velocity and last.position == given[-1].position


@pytest.mark.parametrize(("place", "kind"), [(p, k) for p, k in ADDED if p in ("policy", "guide")])
def test_every_new_kind_changes_the_action_and_keeps_its_limits(place, kind):
    struck = injected_fault.draw(place, 1.0, np.random.default_rng(4), kind)
    injection = SignalInjection(struck, OF_ANSWERS)
    given = [(1.0 + 0.01 * n, (0.1, 0.5 * math.sin(0.1 * n), -0.3, 0.5 * math.cos(0.1 * n))) for n in range(200)]
    assert injection(ACTION, 0.5) == ACTION
    found = [injection(action, now) for now, action in given]
    assert sum(a != b for (_, a), b in zip(given, found, strict=True)) > 150
    assert all(-1 <= number <= 1 for action in found for number in action)


def test_an_oscillation_has_2_to_8_hz():
    for pointing, wanted in ((-1.0, 2.0), (0.0, 5.0), (1.0, 8.0)):
        struck = fault("policy", "oscillates", 0.0, size=0.5)._replace(direction=(0.0, 0.0, pointing), axis=1)
        injection = SignalInjection(struck, OF_ANSWERS)
        found = [injection((0.0,) * 4, 1e-3 * n)[1] for n in range(1, 2000)]
        assert sum(a < 0 <= b for a, b in pairwise(found)) == pytest.approx(2 * wanted, abs=1)


def test_a_link_holds_packets_up_by_its_direction():
    struck = [fault("link", f"{way}_held", 1.0, 5.0, size) for way, size in (("states", 0.03), ("commands", 0.05))]
    for now, states_late, commands_late in ((0.5, 0.0, 0.0), (2.0, 0.03, 0.05), (6.0, 0.0, 0.0)):
        link = LinkInjection(struck)
        assert link.states(now) == [states_late] and link.command(now) == commands_late
    both = LinkInjection([fault("link", "both_growing", 1.0, size=0.6)])  # for .25 s
    assert both.states(1.1)[0] == both.command(1.1) == pytest.approx(0.06) and both.command(4.0) == pytest.approx(0.15)
    bursty = LinkInjection([fault("link", "commands_bursty", 1.0, size=0.1)])
    assert [round(bursty.command(1.0 + t), 3) for t in (0.0, 0.04, 0.1, 0.3, 0.41)] == [0.1, 0.06, 0.0, 0.0, 0.09]
    rare = LinkInjection([fault("link", "states_rare", 1.0, size=25.0)])
    assert rare.period(0.5, 0.01) == 0.01 and rare.period(1.5, 0.01) == 0.04


def test_one_weak_rotor_turns_the_vehicle_and_the_sagging_thrust_lets_it_sink():
    craft = airframe.load("sih_quadx")
    plain = draw(20)._replace(wind=(0.0, 0.0, 0.0), factors=(1.0, 1.0, 1.0))
    disturbances = {}
    for kind in ("one_rotor_weaker", "sags", "wind_turns"):
        plant = Plant(craft)
        plant.hover_at((0.0, 0.0, 1.0))
        injection = PlantInjection(plain._replace(faults=(fault("plant", kind, 1.0, size=0.2),)), plant)
        before = plant.buffer.copy()
        injection.act(1.0)
        injection.act(6.0)
        disturbances[kind] = np.flatnonzero(plant.buffer != before)
    assert all(len(changed) for changed in disturbances.values())
    assert len(disturbances["one_rotor_weaker"]) == 4  # a force down, and moments about all axes


@pytest.mark.parametrize(
    ("kind", "size", "rises"),
    [
        ("heavier", 0.30, True),
        ("heavier", 0.37, False),
        ("weaker", 0.2, True),
        ("weaker", 0.28, False),
        ("sags", 0.28, False),
    ],
)
def test_a_vehicle_that_full_thrust_cannot_hold_is_counted_apart(kind, size, rises):
    craft = airframe.load("crazyflie_real")  # full thrust is 1.35 of its weight
    plain = draw(20)._replace(factors=(1.0, 1.0, 1.0), wind=(0.0, 0.0, 0.0))
    scenario = plain._replace(faults=(fault("plant", kind, 0.0, size=size),))
    plant = Plant(craft)
    plant.hover_at((0.0, 0.0, 50.0))
    injection = PlantInjection(scenario, plant)
    injection.act(SAGS)
    for _ in range(round(2.0 / TICK)):
        plant.advance(0.0, (0.0, 0.0, 0.0), True, motors=(1.0, 1.0, 1.0, 1.0))
    assert (plant.state.velocity[2] > 0) is rises
    share = thrust_share(scenario, craft.thrust_to_weight)
    assert (share > 1) is rises and thrust_share(plain, craft.thrust_to_weight) == pytest.approx(craft.thrust_to_weight)
    flown = FlightOutcome(3, "plant", "walls", "", "", -0.5, 1.2, 0.1, "", "LAND", 9.0, thrust_share=share)
    assert flown.promised is rises
    assert [row.family for row in by_family([flown])] == (["plant", SEEN] if rises else ["too heavy to hover"])


def test_the_autopilots_own_estimate_is_misled_without_a_word():
    estimator, clock = Estimator(0.0, np.random.default_rng(1)), VirtualClock()
    mislead(fault("autopilot", "drifts", 0.0, size=0.5), estimator, clock)
    clock.run(2.0)
    assert estimator.offset[0] == pytest.approx(1.0, abs=0.01) and estimator.reset_counter == 0
    mislead(fault("autopilot", "yaw_reset", 2.0, size=1.2), estimator, clock)
    assert estimator.heading == pytest.approx(1.2) and estimator.reset_counter == 1
    plant = Plant(airframe.load("sih_quadx"))
    told = estimator.advance(plant.state, False, dict.fromkeys(("EKF2_ACC_NOISE", "EKF2_GYR_NOISE"), 1.0))
    assert yaw(told.quaternion) == pytest.approx(1.2) and told.position[0] == pytest.approx(1.0, abs=0.01)
    mislead(fault("autopilot", "satellites_lost", 2.0), estimator, clock)
    assert not estimator.satellites


# --- flights --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_flight_from_the_ground_takes_off_hands_over_and_lands(who):
    calm = draw(20)._replace(
        family="none", faults=(), aims=(), wind=(0.0, 0.0, 0.0), noise=0.5, factors=(1.0, 1.0, 1.0), latency=0.0,
        phase="hand-over", grounded=True, stream=Stream(), lands=8.0, duration=30.0,
    )  # fmt: skip
    core = fly(who, calm)
    rungs, flown = [rung for _, rung, _ in core.moves], outcome(core)
    assert rungs == [Rung.SILENT, Rung.GUIDE, Rung.SNN, Rung.LAND] and not core.vehicle.commander.armed
    assert (
        not flown.alarm and flown.hit < 0.5 and max(step.position[2] for step in core.steps) == pytest.approx(1.0, abs=0.2)
    )


@pytest.mark.slow
def test_round_trips_tell_the_companion_of_a_slow_link_and_states_keep_their_order(who):
    slow = fault("link", "both_held", 1.5, size=0.04)
    for end, trip in ((1.4, 0.001), (3.0, 0.08)):  # s
        stream = Stream(jitter=3e-3, skew=1e-4)
        core = FlightCore(draw(20)._replace(faults=(slow,), duration=end, stream=stream), *who)
        core.fly()
        trips = [trip for _, trip, _ in core.companion.delay.answers]  # of the last second
        assert len(trips) >= 13 and trips == pytest.approx([trip] * len(trips), abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("competitors", ["who", "motors"])
@pytest.mark.parametrize("wind", [(1.8, 0.0, 0.3), (0.0, -1.8, -0.3)])
def test_a_flight_in_the_air_begins_in_a_hover_that_the_wind_does_not_move(competitors, wind, request):
    begins = draw(20)._replace(phase="guide alone", faults=(), aims=(), duration=1.5, stream=Stream(), noise=0.01)
    core = fly(request.getfixturevalue(competitors), begins._replace(wind=wind, factors=(1.1, 0.95, 1.0)))
    moved = np.ptp([step.position for step in core.steps], axis=0)
    assert len(core.steps) > 100 and (moved < (0.05, 0.05, 0.15)).all()  # m; its battery lifts or sinks it a little


@pytest.mark.slow
def test_a_phase_without_the_policy_is_flown_by_the_guide(who):
    core = fly(who, draw(20)._replace(phase="guide alone", faults=(), duration=2.0, stream=Stream()))
    assert [rung for _, rung, _ in core.moves] == [Rung.GUIDE] and core.state.monitor.answers > 50


def test_each_phase_has_a_row_of_its_own():
    flown = FlightOutcome(3, "link", "walls", "link cut", "", 0.4, 0.0, 0.1, "", "SILENT", 9.0)
    rows = by_phase([flown, flown._replace(phase="landing", outside=-1.0), flown._replace(family="unseen")])
    assert [(row.family, row.flights, row.exits) for row in rows] == [("flight", 1, 1), ("landing", 1, 0)]
    assert [row.flights for row in by_phase([flown._replace(family="rotor")])] == [1]  # promised or not, it is told
