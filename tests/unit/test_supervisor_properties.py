"""The supervisor: what no sequence of events may bring about."""

import copy
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.answer_checks import Answer, Identity
from spike_ctrl.flight.autopilot import Ask, Mode
from spike_ctrl.flight.command_choice import CommandedBy
from spike_ctrl.flight.faults import Fault, Finding, Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.flight.supervisor import step
from spike_ctrl.flight.supervisor_state import SupervisorInputs, SupervisorState

pytestmark = pytest.mark.slow

SNN, GUIDE, HOLD, LAND, SILENT = Rung


def nan_action(answer):
    return answer._replace(action=(0.0, math.nan, 0.0, 0.0))


def wild_action(answer):
    return answer._replace(action=tuple(3.0 * (-1) ** answer.tick for _ in range(4)))


def nothing(passes):
    return None


def as_it_is(passes):
    return passes


ANSWERS = st.sampled_from([
    as_it_is, as_it_is, nothing, nan_action, wild_action,
    lambda a: a._replace(identity=Identity("other", 9)), lambda a: a._replace(tick=a.tick - 5),
    lambda a: a._replace(layout="motors"), lambda a: a._replace(spike_rate=(0.0, 0.0)),
])  # fmt: skip
SAMPLES = st.sampled_from([
    as_it_is, as_it_is, as_it_is, nothing,
    lambda s: s._replace(rates=(math.nan, 0.0, 0.0)), lambda s: s._replace(position=(50.0, 0.0, 1.0)),
    lambda s: s._replace(velocity=(s.velocity[0], 7.0, 0.0)), lambda s: s._replace(ages=(0.0, 0.0, 0.05)),
    lambda s: s._replace(stamp=s.stamp + 1.0), lambda s: s._replace(tick=1), lambda s: None if s.tick % 3 else s,
])  # fmt: skip
CHANGES = st.one_of(
    st.tuples(st.just("ask"), st.sampled_from(Request)),
    st.tuples(st.just("ask"), st.sampled_from([Request.ENGAGE, Request.TAKE_OFF, Request.GUIDE])),
    st.tuples(st.sampled_from(["policy", "guide"]), ANSWERS),
    st.tuples(st.just("candidate"), st.sampled_from([nothing, as_it_is, nan_action])),
    st.tuples(st.just("sample"), SAMPLES),
    st.tuples(st.just("mode"), st.sampled_from(Mode)),
    st.tuples(st.just("autopilot_obeys"), st.booleans()),
    st.tuples(st.just("heard"), st.booleans()),
    st.tuples(st.just("forgets"), st.sampled_from([(), *((request,) for request in Request)])),
    st.tuples(st.just("battery"), st.sampled_from([0.9, 0.9, 0.2, 0.05, math.nan])),
    st.tuples(st.just("reports"), st.sampled_from([(), (Finding(Fault.SECOND_PUBLISHER, "two"),)])),
    st.tuples(st.just("unmet"), st.sampled_from([(), ("something",), None])),
    st.tuples(st.just("stall"), st.sampled_from([0.03, 0.2, 3.0])),
    st.tuples(st.just("stream"), st.sampled_from([None, SetPoint((1.0, 0.0, 1.0)), SetPoint((math.nan, 0.0, 1.0))])),
    st.tuples(st.just("all well"), st.just(None)),
)
STORIES = st.lists(st.tuples(CHANGES, st.integers(1, 60)), max_size=12)


def tell(flight, story):
    """Fly through a story of changes; every step's requests, inputs and output are kept in flight.log."""
    flight.log, give = [], flight.give

    def logged(**inputs):
        output = give(**inputs)
        flight.log.append((flight.now, inputs, output, flight.state))
        return output

    flight.give = logged
    for (name, value), periods in story:
        if name == "ask":
            flight.ask(value)
        elif name == "battery":
            flight.autopilot["battery"] = value
        elif name == "stall":
            flight.now += value
        elif name == "forgets":  # a bridge that has just begun does not know the autopilot
            flight.give(autopilot=None, requests=value)
            flight.mode = Mode.LAND if flight.mode is Mode.OFFBOARD else flight.mode  # no command comes: its failsafe
        elif name == "all well":
            flight.sample = flight.policy = flight.guide = as_it_is
            flight.heard = flight.autopilot_obeys = True
            flight.reports, flight.unmet = (), ()
            flight.autopilot["battery"] = 0.9
        else:
            setattr(flight, name, value)
        flight.fly(periods * 0.01)
    return flight


PROPERTY = settings(max_examples=80, deadline=None, derandomize=True, database=None)


@PROPERTY
@given(st.tuples(st.booleans(), STORIES))
def test_the_operator_alone_leads_up_and_no_command_leaves_but_a_valid_fresh_one(Flight, engaged, told):
    in_the_air, story = told
    flight = tell(copy.deepcopy(engaged) if in_the_air else Flight(), story)
    only_the_operator_leads_up_and_only_step_by_step(flight, in_the_air)
    it_arms_only_where_the_operator_asked_to_take_off(flight)
    nothing_but_a_validated_fresh_command_leaves_and_only_once(flight)


def only_the_operator_leads_up_and_only_step_by_step(flight, in_the_air):
    rung, engage, up = (SNN if in_the_air else SILENT), False, False
    for _, inputs, output, _ in flight.log:
        asked = inputs.get("requests", ())
        engage = engage or Request.ENGAGE in asked
        up = bool({Request.ENGAGE, Request.GUIDE, Request.TAKE_OFF} & set(asked))
        if output.rung is SNN and rung is not SNN:
            assert engage and rung is GUIDE
        if output.rung is GUIDE and rung > GUIDE:
            assert up
        if rung is SILENT and output.rung < SILENT:
            assert asked
        if output.rung is not SNN and (rung is SNN or output.rung > GUIDE):
            engage = False
        rung = output.rung


def it_arms_only_where_the_operator_asked_to_take_off(flight):
    asked = False
    for _, inputs, output, _ in flight.log:
        asked = asked or Request.TAKE_OFF in inputs.get("requests", ())
        assert output.ask is not Ask.ARM or asked


def nothing_but_a_validated_fresh_command_leaves_and_only_once(flight):
    given_, last, rests = {}, -1, 0
    s = flight.settings
    for now, inputs, output, state in flight.log:
        if (sample := inputs.get("sample")) is not None and sample.tick < last:
            last = -1 if state.sent.tick == -1 else last  # ticks began anew
        for name in ("policy", "guide"):
            if (answer := inputs.get(name)) is not None and all(map(math.isfinite, answer.action)):
                given_[(name, answer.tick)] = answer
        command = output.command
        if command is None:
            continue
        assert all(math.isfinite(a) and -1 <= a <= 1 for a in command.action)
        if command.commander is CommandedBy.REST:
            assert command.action in (s.idle, s.spool, s.level)
            rests = rests + 1 if now - command.received > s.answers.silent or command.tick <= last else 0
            assert rests <= 1
        else:
            answer = given_[(command.commander.value, command.tick)]
            assert answer.layout == s.layout and now - command.received <= s.answers.silent and command.tick > last
            clamped = [min(max(a, -1.0), 1.0) for a in answer.action]
            assert max(abs(a - b) for a, b in zip(command.action, clamped, strict=True)) <= 1.0  # slewed, at most
            rests = 0
        if command.commander is CommandedBy.POLICY:
            assert output.rung is SNN or (output.rung in (HOLD, LAND) and not state.ladder.confirmed)
        last = max(last, command.tick)


@PROPERTY
@given(STORIES.map(lambda story: [change for change in story if change[0][0] != "ask"]))
def test_a_passive_stack_never_commands_nor_asks_for_anything(Flight, story):
    flight = tell(Flight(), story)
    assert flight.commands == [] and flight.asks == [] and flight.rung is SILENT


ANY = st.floats(allow_nan=True, allow_infinity=True)
TRIPLE = st.tuples(ANY, ANY, ANY)


@PROPERTY
@given(st.lists(st.tuples(TRIPLE, st.tuples(ANY, ANY, ANY, ANY), ANY, st.integers(-5, 5), TRIPLE), max_size=30))
def test_no_number_makes_it_raise_and_no_bad_number_leaves_it(engaged, numbers):
    flight = copy.deepcopy(engaged)
    for triple, four, one, offset, ages in numbers:
        flight.now += 0.003
        tick = flight.tick + offset
        flight.give(
            sample=Sample(tick, one, flight.now, triple, four, triple, triple, offset, ages),
            policy=Answer(tick, flight.now, four, "rates", Identity("hover.safetensors", 3), triple),
            guide=Answer(tick, flight.now, four, "rates", Identity("guide", 0)),
            stream=SetPoint(triple, triple, one),
            target=SetPoint(triple, triple, one),
        )
    for _, command in flight.commands:
        assert all(math.isfinite(a) and -1 <= a <= 1 for a in command.action)
    point = flight.last.set_point if numbers else None
    assert point is None or all(map(math.isfinite, (*point.position, *point.velocity, point.yaw)))


def test_the_first_step_of_all_needs_nothing():
    state, output = step(SupervisorState(), SupervisorInputs(5.0), FlightSettings())
    assert output.rung is SILENT and output.command is None and output.ask is None
    assert [event.finding.fault for event in output.events] == [Fault.STATE_LOST, Fault.LINK_LOST]
    assert state.stepped == 5.0
