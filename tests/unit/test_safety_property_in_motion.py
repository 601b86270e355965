"""The safety property in motion: the vehicle stays in its cage and lands softly, whatever strikes it on its way.

- flights that once broke it, and those that still do
- what watches a policy and a guide in flight, and what a set-point may do
- healthy flights are not interrupted
"""

import itertools
import math

import numpy as np
import pytest
from first_draw import first_draw
from struck_flight import fault, fly

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.certification import flight_outcome, monte_carlo, moving_scenario
from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.certification.flight_outcome import outcome
from spike_ctrl.certification.injected_fault import FIRST_FAMILIES
from spike_ctrl.certification.virtual_controllers import GUIDE
from spike_ctrl.control.trajectory import SetPoint, Trajectory
from spike_ctrl.flight.answer_checks import Answer
from spike_ctrl.flight.faults import Fault, Rung
from spike_ctrl.flight.policy_monitor import Monitor, check_disagreement, check_guide, compare_with_guide, observe_answer
from spike_ctrl.flight.setpoint_limiter import SetPointLimits
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.flight.wind_estimate import CALM, Wind
from spike_ctrl.policy import checkpoint

pytestmark = pytest.mark.slow

STATE = Sample(1, 1.0, 1.0, (0.1, 0.2, 1.0), (0.0, 0.0, 0.0, 1.0), (1.0, -2.0, 0.5), (0.1, 0.0, -0.1))


@pytest.mark.parametrize("kind", ["position_drifts", "height_drifts", "yaw_drifts", "velocity_flipped", "velocity_stuck"])
def test_a_wrong_state_in_motion_leads_to_the_autopilots_own_flight_and_never_to_a_guide_that_flies_on_it(who, kind):
    drawn = moving_scenario.draw(10)  # on its way from wall to wall
    struck = fault("state", kind, 2.0, size=0.7 if "drifts" in kind else 1e-3)
    core = fly(who, drawn._replace(family="state", faults=(struck,), duration=9.0))
    flown = outcome(core)
    held = [at for at, rung, _ in core.moves if rung in (Rung.HOLD, Rung.LAND)]
    assert 2.0 < held[0] < 3.3 and not flown.left and not flown.crashed


@pytest.mark.parametrize("kind", ["bridge_killed", "companion_killed", "supervisor_killed", "guide_killed", "policy_killed"])
@pytest.mark.parametrize("seed", [4, 10])
def test_a_process_that_is_killed_on_the_way_to_a_wall_keeps_the_promise(who, kind, seed):
    drawn = moving_scenario.draw(seed)._replace(family="process")
    core = fly(who, drawn._replace(faults=(fault("process", kind, drawn.aims[0].at + 0.9),), duration=9.0))
    assert not outcome(core).left and not outcome(core).crashed


def test_a_guide_that_swings_the_vehicle_over_is_not_declared_dead(who):
    # From 75 degrees it asks for little thrust for more than .1 s.
    settings = who[1].answers
    answer = Answer(1, 0.0, (-1.0, 0.5, 0.2, 0.0), "rates", GUIDE)
    for tilt, dead in ((75, False), (5, True)):
        half = math.radians(tilt) / 2
        swung, monitor = STATE._replace(quaternion=(math.sin(half), 0.0, 0.0, math.cos(half))), Monitor()
        for _ in range(settings.behaviour.fall_answers + 3):
            monitor, behaviour = observe_answer(monitor, answer, swung, settings)
        assert bool(check_guide(monitor, behaviour, swung, settings.behaviour)) is dead


def test_a_policy_frozen_with_a_dither_is_found_as_fast_as_one_that_is_frozen_to_the_bit(who):
    drawn = moving_scenario.draw(20)._replace(family="policy", duration=4.0)
    times = {}
    for kind, size in (("frozen", 0.0), ("frozen_with_dither", 1e-3)):
        core = fly(who, drawn._replace(faults=(fault("policy", kind, 2.0, size=size),)))
        times[kind] = outcome(core).reaction
        assert not outcome(core).left
    assert times["frozen_with_dither"] < 0.4 and times["frozen"] < 0.4


def test_an_adversary_that_keeps_the_vehicle_away_is_found(who):
    drawn = moving_scenario.draw(20)._replace(family="policy", duration=9.0)
    core = fly(who, drawn._replace(faults=(fault("policy", "frozen", 20.0),)))
    assert core.state.ladder.rung is Rung.SNN  # healthy
    monitor = core.state.monitor
    point = SetPoint((1.6, 0.2, 1.0))  # 1.5 m from where the vehicle hovers, and the actions agree
    same = core.state.policy.latest
    for _ in range(900):  # .. also where it was on its way to a new set-point for the first 500
        monitor = compare_with_guide(monitor, same, same, STATE._replace(velocity=(0.0, 0.0, 0.0)), point, who[1].answers)
    assert [found.fault for found in check_disagreement(monitor, who[1].answers)] == [Fault.OFF_SET_POINT]


BROKE = [
    (12, "guide flipped"),  # it took over from a sound policy, and left the cage by 0.8 m
    (32, "guide biased"),  # the same, by 1.2 m
    (102, "guide frozen_with_dither"),  # nobody saw it until it had to recover: 3.6 m/s on the ground
    (212, "guide frozen_with_dither"),  # it flew, and slowly away: by 1.2 m
    (31, "policy full"),  # it was found so late that the vehicle met the ground at 1.1 m/s
    (1149, "link commands_lost and guide flipped"),  # the guide flew until a request to hold arrived: 4.2 m/s
    (2199, "policy biased and process bridge_stopped"),  # the autopilot took over by itself, for silence: by 0.8 m
    (79, "plant weaker and process bridge_stopped"),  # it sank for 4 s, was taken over near the ground and fell: 1.4 m/s
    (15256, "state frozen"),  # found after .2 s, and the guide flew on it for .1 s: by .74 m
    (6849, "process starved and guide flipped"),  # 1.2 m/s, until a set-point neared its speed slowly, as the next one
    (19499, "guide flipped and policy frozen_with_dither"),
    (2559, "policy frozen_with_dither and guide flipped"),
    (13629, "link commands_lost and guide flipped"),  # 5.2 m/s on the ground, while HOLD was asked for each .2 s
    (16969, "operator takes_guide and plant heavier"),
    (18493, "link commands_lost"),
    (1389, "guide flipped and policy not_finite"),  # the guide was to recover what it had upset itself: by 0.7 m
]


@pytest.mark.parametrize(("seed", "what"), BROKE)
def test_flights_that_once_broke_the_promise_keep_it(who, seed, what):
    core = fly(who, moving_scenario.draw(seed))
    assert core.scenario.what == what and not outcome(core).left and not outcome(core).crashed


@pytest.mark.parametrize(
    ("seed", "family", "what"),
    [
        (313736, None, "plant wind_turns"),  # the guide was blamed for the wall to which the wind carried the vehicle
        (318429, None, "plant wind_turns"),
        (311502, None, "guide dithered and process policy_killed"),  # the guide recovered from the wall to which it flew
        (400765, None, "policy scaled"),  # the automatic flight asked to land while the guide recovered
        (1000533, None, "policy ramps"),  # it flew to the wall to leeward, where the autopilot stops later: .51 m outside
        (1200100, "policy", "policy long_delayed"),  # the autopilot took over from a guide that braked, in wind: .56 m
        (1300001, "policy", "policy long_delayed"),  # the same, by .99 m
        (1300151, "policy", "policy axes_biased"),  # all four numbers were wrong, each by less than its limit: 1.5 m/s
        (1300270, "guide", "guide axes_swapped"),  # it flew to leeward: .46 m
        (1500402, "policy", "policy long_delayed"),  # it swung for 1.3 s: .70 m
        (1400303, "guide", "guide scaled"),  # a weak vehicle sank, and the guide that asked for lift was blamed: 1.1 m/s
        (1701352, None, "link states_late"),  # what late states told was taken for a pilot's flight, and left to him: .44 m
    ],
)
def test_flights_of_the_whole_table_that_once_broke_the_promise_keep_it(who, seed, family, what):
    flown, core = flight_outcome.fly_scenario(monte_carlo.scenario_of(seed, *who, family), *who)
    assert core.scenario.what == what and not flown.left and not flown.crashed


@pytest.mark.parametrize(
    ("gains", "set_point_gains", "dead"),
    [(0.0, 0.0, False), (0.02, 0.0, True), (0.02, 0.02, False), (0.01, 0.02, True)],  # m/s from answer to answer
    ids=["hovers", "speeds up", "speeds up with its set-point", "lags behind its set-point"],
)
def test_a_frozen_guide_is_found_by_its_motion_beside_the_set_point_also_with_a_dither(who, gains, set_point_gains, dead):
    dice, limits = np.random.default_rng(3), who[1].answers
    monitor, found = Monitor(), ()
    for n in range(60):
        action = tuple(float(a) for a in dice.normal(0.1, 1e-3, 4))
        moving, state = (set_point_gains * n, 0.0, 0.0), STATE._replace(velocity=(gains * n, 0.0, 0.0))
        monitor, behaviour = observe_answer(monitor, Answer(n, 0.0, action, "rates", GUIDE), state, limits, moving)
        found += check_guide(monitor, behaviour, state, limits.behaviour)
    assert bool(found) is dead


def test_an_answer_to_a_state_from_before_the_set_point_stopped_is_not_held_against_the_guide(who):
    dice, limits = np.random.default_rng(3), who[1].answers
    monitor, found = Monitor(), []
    for n in range(60):
        answer = Answer(n, 0.0, tuple(float(a) for a in dice.normal(0.1, 1e-3, 4)), "rates", GUIDE)
        moving, state = (0.0, 0.0, 0.5 if n < 40 else -0.1), STATE._replace(velocity=(0.0, 0.0, 0.5 if n else 0.3))
        monitor, behaviour = observe_answer(monitor, answer, state, limits, moving)
        found.append(bool(check_guide(monitor, behaviour, state, limits.behaviour)))
    assert found.index(True) == 41  # the first answer that could have known of it


def test_a_policy_that_is_wrong_in_all_of_its_numbers_is_found_at_a_smaller_difference_in_each(who):
    limits, point = who[1].answers, SetPoint(STATE.position)
    calm = Answer(1, 0.0, (0.0, 0.0, 0.0, 0.0), "rates", GUIDE)

    def found(apart):
        monitor = Monitor(answers=100)
        for _ in range(40):
            other = calm._replace(action=apart)
            monitor = compare_with_guide(monitor, other, calm, STATE._replace(velocity=(0.0, 0.0, 0.0)), point, limits)
        return [finding.fault for finding in check_disagreement(monitor, limits)]

    assert not found((0.75, 0.0, 0.0, 0.0)) and not found((0.75, -0.75, 0.75, 0.0))
    assert found((0.75, -0.75, 0.75, 0.5)) == [Fault.DISAGREEMENT]


def test_only_the_distance_from_the_set_point_allows_the_policy_a_larger_difference(who):
    # The excuse of a set-point that jumps in speed could be had for ever, by a stream that keeps jumping.
    limits, here = who[1].answers, STATE._replace(position=(0.0, 0.0, 1.0), velocity=(0.0, 0.0, 0.0))
    calm = Answer(1, 0.0, (0.0, 0.0, 0.0, 0.0), "rates", GUIDE)
    rates = ((0.0, 0.9, True), (0.8, 0.9, False), (0.8, 1.05, True), (2.0, 1.05, True))
    collective = ((0.0, 0.9, True), (2.0, 1.15, False), (2.0, 1.25, True))
    for axis, (off, apart, found) in [(1, one) for one in rates] + [(0, one) for one in collective]:
        monitor, apart_by = Monitor(answers=100), tuple(apart * (n == axis) for n in range(4))
        for n in range(40):
            point = SetPoint((off, 0.0, 1.0), (0.0, 0.0, 0.0), 0.1 * (n % 2))
            monitor = compare_with_guide(monitor, calm._replace(action=apart_by), calm, here, point, limits)
        assert [f.fault for f in check_disagreement(monitor, limits)] == [Fault.DISAGREEMENT] * found


def test_the_wind_allows_the_policy_to_lean_otherwise_and_no_other_difference(who):
    limits, here, point = who[1].answers, STATE._replace(velocity=(0.0, 0.0, 0.0)), SetPoint(STATE.position)
    calm, windy = Answer(1, 0.0, (0.0, 0.0, 0.0, 0.0), "rates", GUIDE), Wind(1.2, -1.6, 2.0)

    def agrees(apart, wind, layout="rates"):
        monitor, guide = Monitor(answers=100), calm._replace(layout=layout)
        for _ in range(limits.agree):
            monitor = compare_with_guide(monitor, guide._replace(action=apart), guide, here, point, limits, wind)
        return monitor.agrees(limits)

    assert agrees((0.0, 0.38, -0.38, 0.0), windy) and not agrees((0.0, 0.38, 0.0, 0.0), CALM)
    assert not agrees((0.0, 0.45, 0.0, 0.0), windy) and not agrees((0.0, 0.0, 0.0, 0.38), windy)
    assert not agrees((0.38, 0.0, 0.0, 0.0), windy) and agrees((0.38, -0.38, 0.38, -0.38), windy, "motors")
    assert not agrees((0.0, 0.38, 0.0, 0.0), windy._replace(known=0.1))  # a wind that is hardly known explains little


def test_a_stream_that_keeps_jumping_moves_the_set_point_as_a_vehicle_can(who):
    drawn = moving_scenario.draw(20)
    core = FlightCore(drawn._replace(aims=(), duration=5.0), *who)
    points = []
    for n in range(80):  # at 20 Hz it jumps in place and velocity
        side = 1.0 if n // 10 % 2 else -1.0
        core.clock.at(1.0 + 0.05 * n, core.stream, SetPoint((side, 0.0, 1.5), (-2.0 * side, 1.0, 0.0)))
        core.clock.at(1.0 + 0.05 * n, lambda: points.append(core.state.granted))
    core.fly()
    jumps = [math.dist(a.velocity, b.velocity) for a, b in itertools.pairwise(points)]
    assert max(jumps) < 0.05 * SetPointLimits().acceleration + 0.05 and max(math.hypot(*p.velocity) for p in points) > 0.3
    assert core.state.ladder.rung is Rung.SNN


@pytest.mark.parametrize("seed", [4, 8, 10, 23])  # whose set-points turn by .5 to 1.6 rad at once
def test_a_policy_that_commands_motors_is_not_interrupted_where_the_set_point_turns(seed):
    found = checkpoint.load(resources.find("models", "crazyflie_real.safetensors"))
    craft = airframe.load("crazyflie_real")
    drawn = moving_scenario.draw(seed)._replace(factors=(1.0, 1.0, 1.0), faults=(), duration=5.0)
    flown = outcome(fly(monte_carlo.beside_guide("crazyflie_real", found, craft), drawn))
    assert flown.alarm == "" and not flown.left


@pytest.mark.parametrize("seed", [0, 46, 80])  # up and down; with the rotors at their limits for .6 s
def test_no_climb_is_granted_that_takes_all_the_thrust_of_a_weak_vehicle(motors, seed):
    assert outcome(fly(motors, first_draw(seed, *motors, "none"))).alarm == ""


def test_the_autopilot_holds_where_states_come_too_late_for_a_guide_that_commands_motors(motors):
    # It closes the loop of the attitude over the link, and shook itself into a fall of 3.3 m/s.
    drawn = first_draw(13, *motors)
    flown = outcome(fly(motors, drawn))
    assert drawn.what == "link states_late" and flown.last == "HOLD" and flown.hit == 0.0 and flown.outside < -1.0


OPEN = (5739, 7059, 7237, 10537, 10839, 13249, 18439, 19187)  # as docs/notebook/safety.md lists them
CREPT = (1946, 2986, 3926, 5046, 5226, 6066, 6236, 7396, 7906, 18616)  # position or height drifted by .23 to .45 m/s


@pytest.fixture(scope="module")
def first_flights(who):
    """Of the first 220 flights of a certification 11 healthy ones, and one with each fault that is drawn, by family."""
    drawn = [first_draw(seed, *who) for seed in range(220)]
    kinds = {one.what if one.faults else one.seed % 110: one for one in reversed(drawn) if one.seed not in OPEN}
    flown = {seed for seed, _ in BROKE}  # above
    return {
        family: [one for one in kinds.values() if one.family == family and one.seed not in flown]
        for family in FIRST_FAMILIES
    }


@pytest.mark.parametrize("family", [family for family in FIRST_FAMILIES if family != "unseen"])
def test_the_first_flights_of_a_certification_keep_the_promise(who, first_flights, family):
    """`make certify` flies 2000. Nothing sees the faults of the family that is left out."""
    flown = [flight_outcome.fly_scenario(one, *who)[0] for one in first_flights[family]]
    assert len(flown) >= 3 and not [one for one in flown if one.left or one.crashed or one.alarm]


@pytest.mark.xfail(strict=True, reason="violates the safety property, and is not mended yet: docs/safety.md")
@pytest.mark.parametrize("seed", OPEN)
def test_flights_that_break_the_promise_are_known(who, seed):
    flown = flight_outcome.fly_scenario(first_draw(seed, *who), *who)[0]
    assert not flown.left and not flown.crashed


@pytest.mark.parametrize("seed", CREPT)
def test_a_position_that_creeps_too_slowly_to_be_found_does_not_lead_out_of_the_cage(who, seed):
    # .35 to 1.41 m outside, before less of the cage was granted to such a position
    flown = flight_outcome.fly_scenario(first_draw(seed, *who), *who)[0]
    assert "drifts" in flown.faults and not flown.left and not flown.crashed


# Height, position and yaw creep: .30 to .57 m outside, before all of what had crept was left out of the cage. Then a
# position in a cage of 2.6 m in wind, which can spare less; and a yaw that jumps by 2.1 rad before the lift-off: 4.4 m.
@pytest.mark.parametrize("seed", [700472, 305571, 302672, 314606, 700940, 700476])
def test_flights_with_a_wrong_state_that_once_broke_the_promise_keep_it(who, seed):
    flown = flight_outcome.fly_scenario(monte_carlo.scenario_of(seed, *who), *who)[0]
    assert flown.family in ("state", "estimator") and not flown.left and not flown.crashed


@pytest.mark.parametrize("seed", [82530, 83492])
def test_where_a_narrow_cage_can_spare_no_more_for_a_position_in_doubt_the_autopilot_holds(who, seed):
    # A position of a cage of 2.6 m that creeps by .05 m/s: .34 and .73 m outside, while the limit was 2 m in any cage
    flown, core = flight_outcome.fly_scenario(monte_carlo.scenario_of(seed, *who), *who)
    assert "creeps" in flown.faults and flown.outside < 0.1 and flown.last == "HOLD"
    assert any("more than the cage can spare" in why for _, _, why in core.moves)


def test_a_recovery_from_a_wall_does_not_go_where_the_vehicle_coasts_because_it_also_sinks(who):
    # .52 m outside: the guide recovered from .02 m too far by a place nearer to the wall, in wind, on late states.
    flown = flight_outcome.fly_scenario(first_draw(5333, *who), *who)[0]
    assert "states late" in flown.faults and not flown.left and flown.outside < 0.0


@pytest.mark.parametrize("seed", [43, 102, 174, 615, 137, 5640, 601, 15800])
def test_healthy_flights_that_were_once_interrupted_are_flown_to_their_end(who, seed):
    flown = outcome(fly(who, moving_scenario.draw(seed, family="none")))
    assert not flown.alarm and flown.outside < -0.2


@pytest.mark.parametrize("seed", [300025, 300387, 300722])  # a stream, in a cage of 2.6 m
def test_a_stream_in_a_narrow_cage_interrupts_no_healthy_flight(who, seed):
    flown = outcome(fly(who, monte_carlo.scenario_of(seed, *who, "none")))
    assert "stream, 2.6 m" in flown.motion and not flown.alarm


@pytest.mark.parametrize("seed", [300407, 300541, 300739, 300970, 301073])  # in hand-overs and a take-off
def test_a_state_that_stays_but_for_a_dither_is_found_by_the_accelerometer_that_shakes(who, seed):
    flown = outcome(fly(who, monte_carlo.scenario_of(seed, *who, "state")))  # 7.8 m outside, 2.2 and 3.0 m/s before
    assert "state stays" in flown.faults and flown.outside < 0 and flown.hit < 0.5


def test_a_policy_that_commands_motors_is_flown_on_plants_that_can_fly(motors):
    drawn, spread = first_draw(2, *motors, "none"), moving_scenario.spread(motors[0].airframe)  # a figure
    assert 0 < spread < 0.1  # its thrust is 1.37 of its weight
    assert max(abs(factor - 1) for factor in drawn.factors) <= spread
    healthy, killed = (
        outcome(fly(motors, drawn._replace(faults=faults, duration=5.0)))
        for faults in ((), (fault("process", "companion_killed", 2.5),))
    )
    assert not healthy.alarm and healthy.last == "SNN"
    assert killed.outside < -0.3 and killed.hit < 1.0 and not killed.left


@pytest.mark.parametrize("size", [0.1, 0.18])
def test_a_fall_of_a_heavy_and_weak_vehicle_is_stopped_before_it_leans_anywhere_else(who, size):
    # A search found it: the guide flew to the cage's centre and had no thrust left to stop the fall. 1.5 and 1.2 m/s.
    drawn = first_draw(20, *who, "none")
    struck = fault("policy", "scaled", 1.6, size=size)
    aim = moving_scenario.Aim(1.0, SetPoint((2.0, 1.0, 0.6), yaw=math.pi / 2))
    flight = drawn._replace(
        family="policy", factors=(1.16, 0.82, 1.0), noise=1.0, wind=(0.5, 0.0, 0.0), start=(-0.5, 0.0, 1.6), aims=(aim,),
        faults=(struck,), duration=7.0,
    )  # fmt: skip
    assert outcome(fly(who, flight)).hit < 0.6


def test_a_policy_that_keeps_the_vehicle_too_low_is_found_before_the_ground(who):
    limits, here = who[1].answers, STATE._replace(velocity=(0.0, 0.0, 0.0))
    same = Answer(1, 0.0, (0.0, 0.0, 0.0, 0.0), "rates", GUIDE)
    for apart, found in ((0.35, []), (0.7, [Fault.OFF_SET_POINT]), (-0.7, [Fault.OFF_SET_POINT])):
        x, y, z = here.position
        monitor = Monitor(answers=100)
        for _ in range(400):
            monitor = compare_with_guide(monitor, same, same, here, SetPoint((x, y, z + apart)), limits)
        assert [f.fault for f in check_disagreement(monitor, limits)] == found


@pytest.mark.parametrize("factors", [(1.0, 1.0, 1.0), (0.8, 1.2, 1.0), (1.2, 0.8, 1.2)])
def test_a_step_of_two_metres_in_the_default_cage_stays_with_the_policy(who, factors):
    step = Trajectory("step", (0.0, 0.0, 1.0), math.pi / 2, size=2.0, lead=1.0)
    flight = moving_scenario.draw(20)._replace(
        family="none", factors=factors, latency=0.0, noise=0.5, wind=(0.0, 0.0, 0.0), start=(0.0, 0.0, 1.0),
        aims=(moving_scenario.Aim(1.0, step),), faults=(), duration=7.0,
    )  # fmt: skip
    core = fly(who, flight)
    assert core.state.ladder.rung is Rung.SNN and abs(core.steps[-1].position[0] - 2.0) < 0.2


@pytest.mark.parametrize("factors", [(1.0, 1.0, 1.0), (1.15, 0.85, 1.2)])
def test_a_step_of_two_metres_across_the_default_cage_takes_two_seconds_and_could_be_stopped_all_the_time(who, factors):
    aim = moving_scenario.Aim(1.5, SetPoint((1.0, 0.0, 1.0), yaw=math.pi / 2))
    flight = moving_scenario.draw(20)._replace(
        family="none", factors=factors, latency=0.0, noise=0.5, wind=(0.0, 0.0, 0.0), start=(-1.0, 0.0, 1.0), aims=(aim,),
        faults=(), duration=5.0,
    )  # fmt: skip
    core = fly(who, flight)
    seconds, places = np.array([step.time for step in core.steps]), np.array([step.position for step in core.steps])
    away = seconds[np.linalg.norm(places - aim.course.position, axis=1) > 0.1]
    speeds = np.gradient(places, seconds, axis=0)
    cage, braking = who[1].cage, who[1].braking
    ends = [braking.beyond(*motion, cage.low, cage.high) for motion in zip(places, speeds, strict=True)]
    assert core.state.ladder.rung is Rung.SNN
    assert away.max() - aim.at < 2.1 and max(ends) < -0.5
