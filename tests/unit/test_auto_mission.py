"""The automatic flight: it flies its plan, and every fault ends in a landing and a reason."""

from dataclasses import replace

import pytest
from flight_fixtures import MADE_UP

from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.flight.auto_mission import NOT_ANSWERED, NOT_HEARD, Mission, MissionPhase, MissionPlan, advance
from spike_ctrl.flight.autopilot import Ask, Mode
from spike_ctrl.flight.braking import Braking
from spike_ctrl.flight.event import Event, EventKind
from spike_ctrl.flight.event_words import sentence
from spike_ctrl.flight.faults import Fault, Finding, Rung
from spike_ctrl.flight.ladder_state import Ladder
from spike_ctrl.flight.request import Request

pytestmark = pytest.mark.slow

PLAN = MissionPlan((Trajectory("circle", (0.0, 0.0, 1.0), period=20.0),), duration=5.0)


def rehearse(flight, plan=PLAN, until=None, seconds=60):
    """Fly the automatic flight until it is done, or until a condition is true."""
    auto, seen = getattr(flight, "auto", Mission()), 0
    for _ in range(round(seconds / 0.01)):
        flight.fly()
        airborne, refusals = (
            flight.armed and not flight.landed,
            [sentence(e) for e in flight.events if e.kind is EventKind.REFUSED],
        )
        refusal = refusals[-1] if refusals else ""
        missing = "" if flight.state.monitor.answers > 0 else "the policy does not answer"
        new, seen = flight.events[seen:], len(flight.events)
        unflown = "; ".join(sentence(event) for event in new if event.kind is EventKind.TARGET_REFUSED)
        auto, requests, target = advance(auto, flight.state.ladder, airborne, missing, flight.now, plan, refusal, unflown)
        if requests or target:
            flight.give(requests=requests, target=target)
        flight.auto = auto
        if auto.phase is MissionPhase.DONE or (until is not None and until()):
            return auto
    raise AssertionError(f"not done: {auto}")


def test_it_takes_off_engages_flies_the_trajectory_and_lands(Flight):
    flight = Flight()
    auto = rehearse(flight)
    assert auto.succeeded and auto.flown >= 5.0 and not flight.armed
    assert flight.asks == [Ask.OFFBOARD, Ask.ARM, Ask.LAND]
    rungs = [output.rung for _, output in flight.outputs]
    order = [rung for index, rung in enumerate(rungs) if index == 0 or rung is not rungs[index - 1]]
    assert order == [Rung.SILENT, Rung.GUIDE, Rung.SNN, Rung.LAND, Rung.SILENT]
    assert max(output.set_point.velocity[1] for _, output in flight.outputs if output.set_point) > 0.2  # it circled


def test_a_trajectory_that_the_cage_does_not_grant_ends_in_a_landing_and_a_failure(Flight):
    flight = Flight(replace(MADE_UP, braking=Braking()))
    auto = rehearse(flight, MissionPlan((Trajectory("circle", (0.0, 0.0, 1.0), size=2.0, period=4.0),), duration=5.0))
    assert not auto.succeeded and not flight.armed and flight.asks[-1] is Ask.LAND
    assert auto.failure.startswith("fly the trajectory: set-point refused: at (") and "before the wall" in auto.failure


def test_it_waits_until_the_preflight_is_clear(Flight):
    flight = Flight()
    flight.unmet = ("battery: found 20%",)
    rehearse(flight, until=lambda: flight.now > 1003)
    assert flight.rung is Rung.SILENT and flight.auto.phase is MissionPhase.WAIT
    flight.unmet = ()
    assert rehearse(flight).succeeded


def test_it_takes_off_only_once_the_policy_answers(Flight):
    flight = Flight()
    answering, flight.policy = flight.policy, flight.nothing
    rehearse(flight, until=lambda: flight.now > 1010)
    assert flight.rung is Rung.SILENT and flight.auto.phase is MissionPhase.WAIT and flight.asks == []
    flight.policy = answering
    assert rehearse(flight).succeeded
    flight = Flight()
    flight.policy = flight.nothing
    assert rehearse(flight, MissionPlan(ready_timeout=3.0)).failure == "not ready within 3 s: the policy does not answer"


def test_a_vehicle_that_compiles_is_waited_for_and_named_where_it_never_comes():
    def step(auto, missing, now):
        return advance(auto, Ladder(Rung.SILENT, 0.0), False, missing, now, PLAN)[0]

    auto = step(step(Mission(), NOT_HEARD, 0.0), NOT_HEARD, 299.0)
    assert auto.phase is MissionPhase.WAIT
    assert step(step(Mission(), NOT_ANSWERED, 0.0), NOT_ANSWERED, 299.0).phase is MissionPhase.WAIT  # it compiles, too
    assert step(auto, NOT_HEARD, 301.0).failure == "not ready within 300 s: the vehicle is not heard"
    heard = step(auto, "the policy does not answer", 299.5)
    assert step(heard, "the policy does not answer", 359.0).phase is MissionPhase.WAIT
    assert step(heard, "the policy does not answer", 360.0).failure == "not ready within 60 s: the policy does not answer"


def test_it_gives_up_waiting_and_says_so(Flight):
    flight = Flight()
    flight.unmet = None
    auto = rehearse(flight, MissionPlan(ready_timeout=3.0))
    assert auto.failure.startswith("not ready within 3 s: refused to take off: ") and "preflight has not run" in auto.failure
    assert not auto.succeeded and flight.asks == []


def test_several_trajectories_are_flown_one_after_the_other(Flight):
    hover, step = Trajectory("hover", (0.0, 0.0, 1.0)), Trajectory("step", (0.0, 0.0, 1.0), size=0.5, lead=0.5)
    plan, flight = MissionPlan((hover, step), duration=2.0), Flight()
    auto = rehearse(flight, plan)
    assert auto.succeeded and auto.leg == 1 and auto.flown == pytest.approx(4.0, abs=0.02)
    points = [(now, output.set_point.position[0]) for now, output in flight.outputs if output.set_point is not None]
    engaged = next(now for now, output in flight.outputs if output.rung is Rung.SNN)
    begun, arrived = (next(now for now, x in points if x > least) for least in (0.01, 0.499))
    assert begun - engaged == pytest.approx(2.6, abs=0.1)
    assert 0.3 < arrived - begun < 1.4  # a granted set-point moves, it does not jump


def test_a_policy_that_fails_is_not_engaged_again_and_the_flight_ends_landed(Flight):
    flight = Flight()
    rehearse(flight, until=lambda: flight.rung is Rung.SNN)
    flight.policy = flight.nothing
    rehearse(flight, until=lambda: flight.auto.phase is MissionPhase.LAND)
    flight.policy = lambda answer: answer
    engagements = sum(event.cause is Request.ENGAGE for event in flight.events)
    auto = rehearse(flight)
    assert not flight.armed and not auto.succeeded and auto.failure.count("POLICY_SILENT") == 1
    assert sum(event.cause is Request.ENGAGE for event in flight.events) == engagements


def test_a_policy_that_disagrees_in_shadow_is_not_flown(Flight):
    flight = Flight()
    flight.policy = lambda a: a._replace(action=tuple(-3 * x - 0.2 for x in a.action))
    auto = rehearse(flight)
    assert not flight.armed and "DISAGREEMENT" in auto.failure
    assert Rung.SNN not in {output.rung for _, output in flight.outputs}


def test_an_engagement_that_is_refused_for_now_is_asked_for_again(Flight):
    """Above 1.5 m PX4's estimator resets its heading, which bars an engagement for ten seconds."""
    flight = Flight()
    rehearse(flight, until=lambda: flight.auto.phase is MissionPhase.TAKE_OFF and flight.position[2] > 0.5)
    flight.unmet = ("estimator: found 1 resets in ten seconds, wanted none",)
    rehearse(flight, until=lambda: flight.told(EventKind.REFUSED))
    rehearse(flight, until=lambda: flight.now > flight.auto.since + 8)
    assert flight.rung is Rung.GUIDE and flight.auto.phase is MissionPhase.ENGAGE
    flight.unmet = ()
    assert rehearse(flight).succeeded
    flight = Flight()
    rehearse(flight, until=lambda: flight.auto.phase is MissionPhase.TAKE_OFF and flight.position[2] > 0.5)
    flight.unmet = ("battery: found 20%",)
    auto = rehearse(flight, MissionPlan(engage_timeout=3.0))
    assert auto.failure.startswith("engage the policy: not within 3 s: refused to engage: battery") and not flight.armed


@pytest.mark.parametrize("phase", [MissionPhase.TAKE_OFF, MissionPhase.ENGAGE, MissionPhase.FLY])
def test_a_pilot_who_takes_over_is_left_alone(Flight, phase):
    flight = Flight()
    rehearse(flight, until=lambda: flight.auto.phase is phase and flight.armed and flight.mode is Mode.OFFBOARD)
    flight.mode = Mode.OTHER
    asks = len(flight.asks)
    auto = rehearse(flight, MissionPlan(PLAN.trajectories, land_timeout=5.0))
    assert "TAKEN_OVER" in auto.failure and flight.mode is Mode.OTHER and len(flight.asks) == asks


@pytest.mark.parametrize("fault", ["TAKEN_OVER", "MODE_NOT_TAKEN", "LINK_LOST"])
def test_a_fault_that_leads_down_while_it_lands_is_a_failure(Flight, fault):
    flight = Flight()
    rehearse(flight, until=lambda: flight.auto.phase is MissionPhase.FLY)
    flight.autopilot_obeys = fault != "MODE_NOT_TAKEN"
    rehearse(flight, until=lambda: flight.rung is Rung.LAND and flight.now > flight.auto.since + 0.2)
    flight.mode = Mode.OTHER if fault == "TAKEN_OVER" else flight.mode
    flight.heard = fault != "LINK_LOST"
    flight.fly(5, until=lambda: flight.rung is Rung.SILENT)
    flight.heard, flight.position[2], flight.armed = True, 0.0, False  # whoever flies now lands it
    auto = rehearse(flight)
    assert not auto.succeeded and auto.failure.startswith(f"land: SILENT, {fault}")


def test_a_policy_that_fails_in_the_step_in_which_it_is_to_land_has_failed():
    silent = Finding(Fault.POLICY_SILENT, "no answer for 30 ms")
    auto, requests, _ = advance(Mission(MissionPhase.FLY, since=0.0), Ladder(Rung.SNN), True, True, 5.0, PLAN)
    assert auto.phase is MissionPhase.LAND and requests == ()
    auto, requests, _ = advance(auto, Ladder(Rung.GUIDE, latched=silent), True, True, 5.01, PLAN)
    assert requests == (Request.LAND,)
    auto, _, _ = advance(
        auto, Ladder(because=Event(9.0, EventKind.LANDED_AND_DISARMED), latched=silent), False, True, 9.0, PLAN
    )
    assert auto.phase is MissionPhase.DONE and not auto.succeeded
    assert auto.failure == f"land: SILENT, landed and disarmed: {silent}"


def test_from_hold_it_lands(Flight):
    flight = Flight()
    rehearse(flight, until=lambda: flight.auto.phase is MissionPhase.FLY)
    flight.guide = flight.nothing
    auto = rehearse(flight)
    assert not flight.armed and "GUIDE_SILENT" in auto.failure and Request.LAND.value == "land"


def test_started_in_the_air_it_does_nothing_and_does_not_take_off_after_the_landing(Flight):
    flight = Flight()  # a companion that comes up while the autopilot lands by itself
    flight.armed, flight.mode, flight.position = True, Mode.LAND, [0.0, 0.0, 1.5]
    auto = rehearse(flight)
    flight.fly(3)
    assert auto.failure == "the vehicle is in the air already" and not flight.armed and flight.asks == []


@pytest.mark.parametrize("given_back", [False, True])
def test_a_guide_that_is_asked_for_ends_a_flight_well_where_its_plan_says_so(Flight, given_back):
    flight, plan = Flight(), replace(PLAN, given_back=given_back)
    rehearse(flight, plan, until=lambda: flight.auto.flown > 1.0)
    flight.ask(Request.GUIDE)
    auto = rehearse(flight, plan)
    assert auto.succeeded is given_back and flight.state.ladder.rung is Rung.SILENT
