"""A rotor is lost in flight, in virtual time: found, handed over, landed softly, and none of it where nothing is lost.

- of a hovering Crazyflie one rotor loses two fifths of its thrust: GUIDE at once, down to the ground, LAND, disarmed
- the same with a policy whose contract says that it flies on: SNN stays, until the operator asks to land
- a pilot takes over in the descent: the stack is silent
"""

import dataclasses
import math

import pytest
from struck_flight import CALM, fault

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl._files.errors import UsageError
from spike_ctrl.certification import flight_outcome, monte_carlo
from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.certification.moving_scenario import draw_whole
from spike_ctrl.flight.event import EventKind
from spike_ctrl.flight.faults import Fault, Rung
from spike_ctrl.flight.flight_settings import for_lost_rotor
from spike_ctrl.flight.request import Request
from spike_ctrl.policy import checkpoint, manifest
from spike_ctrl.px4.dialect import PX4Mode
from spike_ctrl.simulated_px4.plant import TICK
from spike_ctrl.simulated_px4.vehicle import Vehicle
from spike_ctrl.simulated_px4.vehicle_settings import parse_failure

MODEL = resources.find("models", "crazyflie_robust.safetensors")
LOST = 2.0  # s
HOVER = CALM._replace(family="rotor", start=(0.0, 0.0, 1.5))


@pytest.fixture(scope="module")
def who():
    return monte_carlo.competitors(MODEL)


def lose(who, seconds, share=0.4, **more):
    """A flight of so many seconds in which the second rotor loses a share of its thrust at once."""
    struck = fault("rotor", "weakened", LOST, size=share)._replace(axis=1)
    core = FlightCore(HOVER._replace(faults=(struck,), duration=seconds, **more), *who)
    core.fly()
    return core


@pytest.mark.slow
@pytest.mark.proves("49U")
def test_a_lost_rotor_is_found_in_time_and_the_guide_lands_the_vehicle_softly(who):
    core = lose(who, 12.0)
    (found,) = (e for e in core.events if e.kind is EventKind.FAULT and e.cause.fault is Fault.ROTOR_LOST)
    assert LOST < found.time < LOST + 0.2 and "rotor 2 of 4" in str(found.cause)
    assert [rung for _, rung, _ in core.moves] == [Rung.GUIDE, Rung.SNN, Rung.GUIDE, Rung.LAND]
    assert not core.vehicle.commander.armed and core.vehicle.plant.hardest_touchdown < 1.0
    assert math.hypot(*core.vehicle.truth.position) < 0.7


def sticks(who, speed, seconds):
    """A flight in which the second rotor keeps to a speed from LOST on, and the finding."""
    struck = fault("stuck", "near_hover", LOST, size=speed)._replace(axis=1)
    core = FlightCore(HOVER._replace(family="stuck", faults=(struck,), duration=seconds), *who)
    core.fly()
    return core, next(e for e in core.events if e.kind is EventKind.FAULT and e.cause.fault is Fault.ROTOR_LOST)


@pytest.mark.slow
@pytest.mark.proves("51U")
@pytest.mark.parametrize("speed", [0.45, 0.8, 0.95])
def test_a_rotor_that_is_stuck_is_found_in_time_and_the_guide_lands_the_vehicle(speed):
    model = checkpoint.load(MODEL)
    core, found = sticks(monte_carlo.beside_guide("robust", model, airframe.load("crazyflie_drag")), speed, 6.4)
    assert LOST < found.time < LOST + 0.2 and "rotor 2 of 4" in str(found.cause)
    assert [rung for _, rung, _ in core.moves] == [Rung.GUIDE, Rung.SNN, Rung.GUIDE]
    x, y, z = core.vehicle.truth.position
    assert z < 0.1 and math.hypot(x, y) < 0.7 and core.vehicle.plant.hardest_touchdown < 1.0


@pytest.mark.slow
@pytest.mark.proves("51U")
@pytest.mark.parametrize("speed", [0.3, 0.75, 0.95])
def test_a_policy_that_was_trained_with_stuck_rotors_flies_on(speed):
    core, found = sticks(
        monte_carlo.competitors(resources.find("models", "crazyflie_any_rotor_stuck.safetensors")), speed, 8.0
    )
    assert LOST < found.time < LOST + 0.2 and "rotor 2 of 4" in str(found.cause)
    assert [rung for _, rung, _ in core.moves] == [Rung.GUIDE, Rung.SNN]
    assert math.dist(core.vehicle.truth.position, HOVER.start) < 0.3


@pytest.mark.slow
def test_a_policy_whose_contract_says_so_flies_on_and_a_landing_is_the_guides(who):
    competitors, settings = who
    core = lose((competitors, for_lost_rotor(settings, competitors.airframe, True)), 7.0, 0.35, lands=4.0)
    rungs = [(rung, at) for at, rung, _ in core.moves]
    assert [rung for rung, _ in rungs[:3]] == [Rung.GUIDE, Rung.SNN, Rung.GUIDE] and rungs[2][1] >= 4.0
    assert core.state.counts["ROTOR_LOST"] > 100 and core.vehicle.commander.mode is PX4Mode.OFFBOARD


@pytest.mark.slow
@pytest.mark.parametrize("at", [5.5, 7.0, math.inf])  # s; it lands from 4 s on
def test_where_rotors_are_checked_the_guide_lands_and_a_rotor_lost_on_the_way_down_is_found(who, at):
    struck = fault("rotor", "weakened", at, size=0.4)._replace(axis=1)
    core = FlightCore(HOVER._replace(faults=(struck,), duration=14.0, lands=4.0), *who)
    core.fly()
    assert [rung for _, rung, _ in core.moves] == [Rung.GUIDE, Rung.SNN, Rung.GUIDE, Rung.LAND]
    assert not core.vehicle.commander.armed and core.vehicle.plant.hardest_touchdown < 0.6
    assert core.state.counts["ROTOR_LOST"] > 100 if at < math.inf else "asked to land" in core.moves[-1][2]


@pytest.mark.slow
def test_the_guide_stops_a_landing_where_the_operator_wants_to_fly_on(who):
    never = fault("rotor", "weakened", math.inf, size=0.4)  # its rotors are checked
    core = FlightCore(HOVER._replace(faults=(never,), duration=8.0, lands=4.0), *who)
    core.clock.at(5.0, core.requests.append, Request.GUIDE)
    core.fly()
    assert core.state.ladder.rung is Rung.GUIDE and abs(core.vehicle.truth.position[2] - 1.1) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [4, 22, 31])  # noise and a lag that is believed wrong hide the rotor for .1 s: HOLD, 5 m/s
def test_a_policy_flies_on_although_noise_hides_for_a_moment_which_rotor_lacks_thrust(seed):
    who = monte_carlo.competitors(resources.find("models", "crazyflie_any_rotor_robust.safetensors"))
    flown, core = flight_outcome.fly_scenario(monte_carlo.scenario_of(seed, *who, "rotor"), *who)
    lost = next(e.time for e in core.events if e.kind is EventKind.FAULT and e.cause.fault is Fault.ROTOR_LOST)
    flew = [rung for at, rung, _ in core.moves if at < lost + 5.0]
    assert flew[-1] is Rung.SNN and Rung.HOLD not in [rung for _, rung, _ in core.moves]
    assert flown.hit < 1.0 and flown.outside < 0
    assert core.state.rotors.lost is not None


@pytest.mark.slow
def test_in_a_descent_a_pilot_takes_over(who):
    core = FlightCore(HOVER._replace(faults=(fault("rotor", "weakened", LOST, size=0.4),), duration=4.0), *who)
    core.clock.at(3.0, core.request_mode, PX4Mode.AUTO_RTL)
    core.fly()
    assert core.moves[-1][1] is Rung.SILENT and "TAKEN_OVER" in core.moves[-1][2]


@pytest.mark.slow
def test_late_commands_that_look_like_a_lost_rotor_end_no_flight_on_the_ground():
    who = monte_carlo.competitors(resources.find("models", "crazyflie_any_rotor_robust.safetensors"))
    flown, core = flight_outcome.fly_scenario(monte_carlo.scenario_of(88, *who, "link"), *who)
    assert [e for e in core.events if e.kind is EventKind.FAULT and e.cause.fault is Fault.ROTOR_LOST]
    assert core.state.rotors.lost is None and flown.outside < 0.3 and flown.hit < 1.0


def test_seeds_keep_their_families_and_the_rotor_is_drawn_where_it_is_asked_for():
    assert "rotor" not in {draw_whole(seed).family for seed in range(60)}
    drawn = [draw_whole(seed, family="rotor") for seed in range(60)]
    assert {fault.kind for one in drawn for fault in one.faults} == {"weakened", "mostly_lost", "gone"}


def test_a_contract_without_the_word_is_as_before_and_one_with_it_is_read():
    plain = checkpoint.load(MODEL).manifest
    assert not plain.contract.lost_rotor and "lost_rotor" not in manifest.text_of(plain)
    flying = dataclasses.replace(plain, contract=dataclasses.replace(plain.contract, lost_rotor=True))
    assert manifest.parse(manifest.text_of(flying), "it") == flying


def test_a_failure_of_the_simulated_vehicle_is_named_by_rotor_and_percent_and_strikes_in_the_air():
    assert parse_failure("rotor:2:60") == (1, 0.6, 12.0, -1.0) and parse_failure("rotor:4:100:0.1") == (3, 1.0, 0.1, -1.0)
    assert parse_failure("stuck:2:0") == (1, 0.0, 12.0, 0.0) and parse_failure("stuck:4:70:0.1") == (3, 0.0, 0.1, 0.7)
    for wrong in (
        "rotor",
        "rotor:0:50",
        "rotor:5:50",
        "rotor:1:0",
        "rotor:1:101",
        "motor:1:50",
        "rotor:1:50:-1",
        "rotor:1:2:3:4",
        "stuck:1:101",
        "stuck:5:50",
    ):
        with pytest.raises(UsageError, match=r"fault: found .*, wanted rotor:NUMBER:PERCENT"):
            parse_failure(wrong)
    craft = airframe.load("crazyflie")
    vehicle = Vehicle(craft, failure=parse_failure("rotor:2:60:0.1"))
    for _ in range(round(0.3 / TICK)):
        vehicle.tick()
    assert not vehicle.commander.said  # on the ground nothing fails
    vehicle.begin_in_the_air((0.0, 0.0, 1.0))
    while not vehicle.commander.said and vehicle.now < 1.0:
        vehicle.tick()
    assert vehicle.now == pytest.approx(0.4, abs=0.02) and vehicle.commander.said[0][1] == (
        "Simulation: rotor 2 loses 60% of its thrust"
    )
