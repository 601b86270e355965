"""Faults of a policy that commands the motors of a Crazyflie, whose guide takes over at that level.

- in virtual time, by the whole flight core, each fault strikes on the way to a wall and on a figure: somebody else flies in
  time, no vehicle leaves the cage or hits the ground
- in real time a policy hangs, answers late, with numbers that are none, or with scaled ones: the guide or a mode of the
  autopilot takes over, and the vehicle comes to rest
- a policy whose process is killed in the air, in real time: the guide commands within three control periods, and it lands
"""

import math
import time

import pytest
from reactions import GAP, hand_over_gap, hangs_and_is_refused, on_guide_for_good, turns
from rehearsal import FAST, GUIDE

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.certification import monte_carlo, moving_scenario
from spike_ctrl.certification.flight_outcome import fly_scenario
from spike_ctrl.certification.injected_fault import InjectedFault
from spike_ctrl.policy import checkpoint

pytestmark, proves = pytest.mark.flight, pytest.mark.proves
SEEDS = {4: "walls", 20: "figure"}  # and how the vehicle moves
AT = 2.0  # s, when the policy has flown for more than a second
EVER = math.inf


@pytest.fixture(scope="module")
def who():
    found = checkpoint.load(resources.find("models", "crazyflie_real.safetensors"))
    return monte_carlo.beside_guide("crazyflie_real", found, airframe.load(found.manifest.contract.airframe))


def case(mark, place, kind, limit, until=EVER, size=0.0):
    """mark: the row of the fault table. limit: s until the policy no longer commands, None where it may fly on."""
    return pytest.param(place, kind, limit, until, size, marks=mark, id=f"{kind}-{size}")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("place", "kind", "limit", "until", "size"),
    [
        case(proves("1M"), "link", "states_stop", 0.15),
        case(proves("2M"), "link", "states_late", 0.3, 4.0, 0.1),
        case(proves("4M"), "state", "not_finite", 0.05, 4.0),
        case(proves("6M"), "state", "frozen", 0.3, 4.0),
        case(proves("7M"), "policy", "not_finite", 0.05),
        case(proves("10M"), "policy", "full", 1.0),
        case(proves("10M"), "policy", "scaled", 0.4, size=0.0),
        case(proves("10M"), "policy", "scaled", 9.0, size=2.5),  # flies on, roughly: found after .3 to 8.4 s in 60 flights
        case(proves("11M"), "policy", "noisy", 1.0, size=1.0),
        case(proves("12M"), "policy", "flipped", 0.2),
        case(proves("12M"), "policy", "frozen", 0.4),
        case(proves("15M"), "process", "policy_stopped", 0.045, 2.5),
        case(proves("16M"), "process", "policy_killed", 0.045),
        case(proves("17M"), "process", "guide_killed", 0.15),
        case(proves("19M"), "process", "supervisor_killed", None),
        case(proves("20M"), "process", "bridge_killed", None),
        case(proves("30M"), "process", "policy_slow", 0.1, 4.0, 0.04),
        case(proves("30M"), "policy", "delayed", 1.5, size=6.0),
        case(proves("30M"), "link", "commands_late", None, 4.0, 0.05),
    ],
)
def test_a_fault_at_motor_level_keeps_the_vehicle_in_the_cage(who, reaction, seed, place, kind, limit, until, size):
    """Where the supervisor or the bridge is lost, the autopilot's own failsafe lands; nobody is there to change the rung.
    Commands that come 50 ms late are flown; 62 ms are too many at this level (docs/flight.md)."""
    drawn = moving_scenario.draw(seed)._replace(factors=(1.0, 1.0, 1.0))  # its thrust is 1.37 of its weight, no less
    fault = InjectedFault(place, kind, AT, until, size, (1.0, 0.0, 0.0), 0, 7)
    flown, core = fly_scenario(drawn._replace(family=place, faults=(fault,), duration=9.0), *who)
    assert not flown.left and not flown.crashed, flown
    assert any(step.time < AT and step.rung.name == "SNN" for step in core.steps)
    if limit is not None:
        reaction(flown.reaction, limit, f"{kind.replace('_', ' ')}: from the fault until the policy no longer commands")


@proves("49M")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_rotor_that_loses_two_fifths_of_its_thrust_is_found_and_the_vehicle_landed(reaction, seed):
    drawn = moving_scenario.draw(seed)._replace(factors=(1.0, 1.0, 1.0), family="rotor", duration=25.0)
    lost = InjectedFault("rotor", "weakened", AT, EVER, 0.4, (1.0, 0.0, 0.0), 1, 7)
    flown, _ = fly_scenario(
        drawn._replace(faults=(lost,)), *monte_carlo.competitors(resources.find("models", "crazyflie_robust.safetensors"))
    )
    assert not flown.left and not flown.crashed and flown.last == "LAND", flown
    reaction(flown.reaction, 0.2, "rotor lost: from the fault until the policy no longer commands")


@proves("51M")
@pytest.mark.parametrize("speed", [0.3, 0.9])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_rotor_that_is_stuck_is_found_and_a_policy_trained_for_it_flies_on(seed, speed):
    drawn = moving_scenario.draw(seed)._replace(factors=(1.0, 1.0, 1.0), family="stuck", duration=12.0)
    stuck = InjectedFault("stuck", "slow" if speed < 0.5 else "fast", AT, EVER, speed, (1.0, 0.0, 0.0), 1, 7)
    model = resources.find("models", "crazyflie_any_rotor_stuck.safetensors")
    flown, core = fly_scenario(drawn._replace(faults=(stuck,)), *monte_carlo.competitors(model))
    assert not flown.left and not flown.crashed and flown.last == "SNN", flown
    assert core.state.counts["ROTOR_LOST"] > 100


@pytest.mark.alone
@pytest.mark.proves("15M")
def test_a_policy_that_hangs_while_it_commands_motors_is_refused_when_it_wakes_up(motor_flight, reaction):
    hangs_and_is_refused(motor_flight, reaction, "in real time, ")


@pytest.mark.alone
@pytest.mark.parametrize(
    ("manner", "words", "limit"),
    [
        pytest.param("nan", "ACTION_NOT_FINITE", 0.1, marks=proves("7M")),
        pytest.param("late", "POLICY_SILENT", 0.1, marks=proves("30M")),
        pytest.param("scaled", "", 9.0, marks=proves("10M")),  # flies on, roughly: as above
        pytest.param("zero", "", 0.4, marks=proves("10M")),
    ],
)
def test_wild_answers_at_motor_level_are_caught_in_real_time(unruly_motor_flight, hangar, reaction, manner, words, limit):
    flight, since, begin = unruly_motor_flight, len(unruly_motor_flight.status), time.time()
    turns(flight, hangar, manner, words, reaction, limit)
    if words:
        assert hand_over_gap(flight, begin) < GAP
        on_guide_for_good(flight, since, f"SNN -> GUIDE: {words}", 1.5)  # latched, though it answers well again


@pytest.mark.alone
@pytest.mark.proves("16M")
def test_a_policy_that_is_killed_while_it_commands_motors_hands_over_to_the_guide_and_is_landed(motor_flight, reaction):
    flight = motor_flight
    since, begin = len(flight.status), flight.kill("snn_policy")
    flight.until(lambda: flight.told("SNN -> GUIDE: POLICY_SILENT", since), 5)
    reaction(hand_over_gap(flight, begin), GAP, "in real time, from the policy's last command to the guide's first")
    flight.stays(GUIDE, 2.0)
    assert flight.ask("land").success
    flight.until(lambda: not flight.autopilot.armed, 20, "not landed")
    assert max(-truth.velocity[2] for truth in flight.station.truth if truth.position[2] < 0.1) < FAST
