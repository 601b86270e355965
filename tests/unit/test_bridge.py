"""Which states the bridge passes to guide and policy, and which commands to the autopilot."""

import math

import pytest

from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.autopilot import Autopilot, Mode
from spike_ctrl.flight.bridge import BridgeMemory, PassedCommand, admit_command, bridge_state, obeys_supervisor
from spike_ctrl.flight.faults import Fault
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.state_checks import Sample

SETTINGS = FlightSettings()
ACTION = (0.1, 0.0, -0.2, 0.0)
PASSED = PassedCommand(states=((7, 1.00), (8, 1.01), (9, 1.02)), tick=8)


def state(now, **fields):
    """A state of a hovering vehicle, with a little noise."""
    wave = 1e-3 * math.sin(1e3 * now)
    about = {"position": (0.0, wave, 1.0), "quaternion": (wave, 0.0, 0.0, 1.0), "velocity": (wave, 0.0, 0.0)}
    return Sample(0, now - 900.0, now, **(about | {"rates": (0.0, wave, 0.0)} | fields))


def status(now, armed=True, landed=False):
    return Autopilot(now, now, Mode.OFFBOARD, armed, landed)


def shown(seconds, seen=BridgeMemory(), begin=1000.0, **what):
    """The states of so many seconds at 100 Hz."""
    found = []
    for index in range(round(100 * seconds)):
        now = begin + 0.01 * index
        seen, one = bridge_state(seen, state(now), status(now, **what), SETTINGS)
        found.append(one)
    return seen, found


def passes(passed=PASSED, tick=9, action=ACTION, layout="rates", rests=False, now=1.025):
    after, found = admit_command(passed, tick, action, layout, rests, now, SETTINGS)
    return after, [finding.fault for finding in found]


def test_a_fresh_command_passes_and_passes_once():
    after, found = passes()
    assert found == [] and after.tick == 9
    assert passes(after)[1] == [Fault.SUPERVISOR_SILENT]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"tick": 8}, Fault.SUPERVISOR_SILENT),
        ({"tick": 99}, Fault.SUPERVISOR_SILENT),
        ({"now": 1.05}, Fault.SUPERVISOR_SILENT),
        ({"layout": "motors"}, Fault.WRONG_IDENTITY),
        ({"action": (0.1, math.nan, 0.0, 0.0)}, Fault.ACTION_NOT_FINITE),
        ({"action": (0.1, 1.01, 0.0, 0.0)}, Fault.ACTION_NOT_FINITE),
        ({"action": (0.1, 0.0, 0.0)}, Fault.ACTION_NOT_FINITE),
    ],
)
def test_old_unknown_and_malformed_commands_are_dropped_and_leave_no_trace(change, fault):
    after, found = passes(**change)
    assert found == [fault] and after == PASSED


def test_without_new_commands_nothing_passes_the_bridge():
    after, _ = passes()
    for state in range(10, 60):  # the supervisor is dead, its last command is heard again and again
        now = 1.02 + 0.01 * (state - 9)
        after = after._replace(states=(*after.states, (state, now)))
        after, found = passes(after, now=now)
        assert found == [Fault.SUPERVISOR_SILENT]


def test_the_last_command_may_answer_an_old_state_once():
    after, found = passes(tick=8, action=SETTINGS.level, rests=True, now=1.2)
    assert found == []
    assert passes(after, tick=8, action=SETTINGS.level, rests=True, now=1.21)[1] == [Fault.SUPERVISOR_SILENT]
    after, found = passes(after._replace(states=((9, 1.3),)), now=1.3)  # a new engagement
    assert found == [] and not after.rested


def test_only_a_resting_action_may_be_the_last_command():
    assert passes(tick=8, rests=True, now=1.2)[1] == [Fault.SUPERVISOR_SILENT]


def test_the_idle_stream_on_the_ground_passes_tick_by_tick():
    after = PASSED
    for tick in range(9, 30):
        now = 1.02 + 0.01 * (tick - 9)
        after = after._replace(states=(*after.states, (tick, now)))
        after, found = passes(after, tick=tick, action=SETTINGS.idle, rests=True, now=now)
        assert found == []


def test_all_commands_of_a_flight_pass_the_bridge(Flight):
    flight = Flight().take_off()
    passed, admitted = PassedCommand(), 0
    for now, output in flight.outputs:
        command = output.command
        if command is not None:
            if command.tick not in dict(passed.states):
                passed = passed.with_state(state(command.received)._replace(tick=command.tick))
            rests = command.commander.value == "rest"
            passed, found = admit_command(passed, command.tick, command.action, "rates", rests, now, flight.settings)
            assert found == ()
            admitted += 1
    assert admitted == len(flight.commands) > 300


def test_of_two_supervisors_the_bridge_obeys_the_first():
    def obeyed(source, publishers, now, passed=PassedCommand(source=5, heard=10.0)):
        return obeys_supervisor(passed, source, lambda: publishers, now, SETTINGS)

    assert obeyed(5, 2, 10.01)
    assert not obeyed(6, 2, 10.01) and not obeyed(6, 1, 10.9)
    assert not obeyed(6, 2, 20.0)  # the first one is silent, but still there
    assert obeyed(6, 1, 11.1)  # it is gone
    assert obeyed(6, 1, 0.0, PassedCommand()) and not obeyed(6, 2, 0.0, PassedCommand())


def test_accepted_and_refused_states_are_numbered_alike():
    seen, first = bridge_state(BridgeMemory(), state(1000.0), None, SETTINGS)
    seen, second = bridge_state(seen, state(1000.01, position=(math.nan, 0.0, 1.0)), None, SETTINGS)
    _, third = bridge_state(seen, state(1000.02), None, SETTINGS)
    assert [one.sample.tick for one in (first, second, third)] == [1, 2, 3]
    assert (first.accepted.tick, second.accepted, third.accepted.tick) == (1, None, 3)
    passed = PassedCommand().with_state(first.accepted).with_state(second.accepted).with_state(third.accepted)
    assert passed.states == ((1, 1000.0), (3, 1000.02))


def test_a_landing_reported_for_an_instant_in_the_air_starts_no_new_episode():
    seen, standing = shown(0.1, armed=False, landed=True)
    assert all(one.on_ground for one in standing)
    seen, flying = shown(0.5, seen, 1000.1)
    seen, bumped = shown(0.9, seen, 1000.6, landed=True)
    seen, again = shown(0.1, seen, 1001.5)
    assert not any(one.on_ground for one in (*flying, *bumped, *again))


def test_a_vehicle_that_stays_landed_or_is_disarmed_starts_a_new_episode():
    seen, _ = shown(0.5)
    _, landed = shown(1.2, seen, 1000.5, landed=True)
    assert [one.on_ground for one in landed].index(True) in (100, 101)  # after a second
    _, disarmed = shown(0.1, seen, 1000.5, armed=False, landed=True)
    assert all(one.on_ground for one in disarmed)
    _, fresh = shown(0.1, landed=True)  # armed, and never in the air
    assert all(one.on_ground for one in fresh)


def test_the_set_point_moves_with_the_estimators_origin():
    seen, _ = shown(0.1, BridgeMemory(target=SetPoint((0.5, 0.0, 1.0), yaw=0.2)))
    moved = state(1000.1, position=(0.8, -0.5, 1.0), reset_counter=1)
    seen, _ = bridge_state(seen, moved, status(1000.1), SETTINGS)
    assert (*seen.target.position, seen.target.yaw) == pytest.approx((1.3, -0.5, 1.0, 0.2), abs=5e-3)


def test_the_guide_flies_only_while_its_commands_go_on():
    """Otherwise its integral would grow while somebody else flies, and jerk the vehicle at the next engagement."""
    passed = PASSED._replace(heard=10.0, guided=True)
    assert (
        passed.guide_flies(10.01, SETTINGS)
        and passed.guide_flies(10.03, SETTINGS)
        and not passed.guide_flies(10.04, SETTINGS)
    )
    assert not passed._replace(guided=False).guide_flies(10.01, SETTINGS)
