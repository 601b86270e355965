"""What the guard would have said to a recorded flight: a fault in a good flight is found at its tick, and no other."""

import dataclasses

import numpy as np
import pytest
from recorded import fly
from scipy.spatial.transform import Rotation

from spike_ctrl._files import resources
from spike_ctrl.cli import main
from spike_ctrl.flight.faults import Fault, Rung
from spike_ctrl.recordings import guard_replay
from spike_ctrl.recordings.recording import Actions, Recording, States
from spike_ctrl.sim import observation

TICKS, PERIOD = 200, 10_000_000  # ns


def a_flight(answer_after=1_000_000) -> Recording:
    """Slow circles around the set-point, answered by small actions in time, as the recorder of a real flight would tell."""
    seen = []
    for tick in range(TICKS):
        phase = 0.02 * tick
        half = 0.05 * np.sin(phase)
        seen.append(
            observation.build(
                (0.3 * np.cos(phase), 0.3 * np.sin(phase), 0.01 * np.sin(3 * phase)),
                (np.sin(half), 0.0, 0.0, np.cos(half)),
                (-0.6 * np.sin(phase), 0.6 * np.cos(phase), 0.02 * np.cos(3 * phase)),
                (0.2 * np.cos(phase), 0.01 * np.sin(phase), 0.02 * np.cos(phase)),
            )
        )
    tick = np.arange(TICKS)
    flags = np.zeros((TICKS, 1), np.uint8)
    flags[0] = 1
    received = 1_700_000_000_000_000_000 + tick * PERIOD
    action = (0.1 * np.sin(0.05 * tick)[:, None, None] + np.zeros((1, 1, 4))).astype(np.float32)
    name = np.full(TICKS, "model", object)
    states = States(tick, np.zeros(TICKS, int), received, flags, np.array(seen)[:, None])
    return Recording("bag", states, Actions(tick.copy(), states.epoch, received + answer_after, name, action, "motors"))


def found(recording: Recording) -> dict[Fault, list[int]]:
    ticks: dict[Fault, list[int]] = {}
    for said in guard_replay.judge(recording, 100.0):
        for finding in said.findings:
            ticks.setdefault(finding.fault, []).append(said.tick)
    return ticks


def test_a_good_flight_has_no_finding():
    assert found(a_flight()) == {}


@pytest.mark.parametrize(("leans", "allowed"), [(0.0, False), (0.3, True)])  # rad; against 3 m/s^2 of wind
def test_wind_that_the_vehicle_leans_against_explains_a_difference_from_the_guide(leans, allowed):
    recording = a_flight()
    turn = Rotation.from_euler("x", leans).as_quat()
    still = observation.build((0.0, 0.0, 0.0), tuple(turn), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    recording.states.observation[:, 0] = np.array(still) + 1e-6 * np.sin(np.arange(TICKS))[:, None]
    recording.states.observation[3, 0, 13] = np.nan  # a state that is refused tells nothing of the wind
    policy = recording.policy
    guide = policy._replace(action=policy.action + np.float32(0.9))
    said = found(dataclasses.replace(recording, guide=guide))
    assert (Fault.DISAGREEMENT not in {fault for fault, ticks in said.items() if ticks[-1] > 150}) is allowed


def test_a_state_that_is_not_finite_is_found_and_would_have_given_the_flight_to_the_guide():
    recording = a_flight()
    recording.states.observation[57, 0, 13] = np.nan
    assert found(recording) == {Fault.STATE_NOT_FINITE: [57], Fault.ANSWER_STALE: [57]}
    assert [v.rung for v in guard_replay.judge(recording, 100.0)][56:59] == [Rung.SNN, Rung.GUIDE, Rung.SNN]


def test_a_position_that_jumps_is_absurd():
    recording = a_flight()
    recording.states.observation[57, 0, 0] += 3.0
    assert found(recording)[Fault.STATE_ABSURD] == [57]


def test_a_matrix_that_is_no_rotation_is_absurd():
    recording = a_flight()
    recording.states.observation[57, 0, 3:12] = 0.0
    assert found(recording)[Fault.STATE_ABSURD] == [57]


def test_a_sensor_that_repeats_itself_is_frozen():
    recording = a_flight()
    recording.states.observation[100:140, 0, :3] = recording.states.observation[100, 0, :3]
    frozen = found(recording)[Fault.STATE_FROZEN]
    assert frozen == list(range(120, 140))  # the twentieth repetition is the first that counts


@pytest.mark.parametrize(("value", "fault"), [(np.nan, Fault.ACTION_NOT_FINITE), (1.5, Fault.ACTION_CLAMPED)])
def test_an_action_outside_the_contract_is_found(value, fault):
    recording = a_flight()
    recording.policy.action[57, 0, 2] = value
    assert found(recording)[fault] == [57]


def test_an_answer_that_comes_too_late_is_stale_and_one_that_never_comes_is_silence():
    recording = a_flight()
    recording.policy.received[57] += 40_000_000
    recording.policy.tick[100:110] = -1
    ticks = found(recording)
    assert ticks[Fault.ANSWER_STALE] == [57]
    assert ticks[Fault.POLICY_SILENT][0] in (102, 103) and ticks[Fault.POLICY_SILENT][-1] >= 109


def test_a_pause_of_the_states_is_found_by_its_length():
    recording = a_flight()
    recording.states.received[120:] += 200_000_000
    recording.policy.received[120:] += 200_000_000
    assert found(recording)[Fault.STATE_LOST][0] == 120


def test_a_flight_that_was_not_flown_in_real_time_is_not_judged_by_its_times():
    recording = a_flight()
    recording.states.received[:] = recording.states.received[0] + np.arange(TICKS) * 100_000
    recording.policy.received[:] = recording.states.received + 90_000_000
    assert not guard_replay.in_real_time(recording, 100.0) and found(recording) == {}


def test_a_flight_whose_vehicle_waited_is_not_judged_by_its_times_either():
    recording = dataclasses.replace(a_flight(), paced=True)
    recording.policy.received[120:] += 90_000_000
    assert not guard_replay.in_real_time(recording, 100.0) and found(recording) == {}
    assert found(dataclasses.replace(recording, paced=False)) != {}


def test_the_jump_to_the_next_episode_is_no_fault():
    recording = a_flight()
    recording.states.observation[100:, 0, :3] += 2.0
    assert Fault.STATE_ABSURD in found(recording)
    recording.states.flags[100] = 1
    assert found(recording) == {}


def test_quaternions_are_those_of_scipy():
    rotations = Rotation.random(1000, random_state=0)
    mine, wanted = guard_replay.quaternions(rotations.as_matrix().reshape(-1, 9)), rotations.as_quat()
    np.testing.assert_allclose(np.abs((mine * wanted).sum(1)), 1.0, atol=1e-9)
    assert np.linalg.norm(guard_replay.quaternions(np.zeros((1, 9)))) == 0.0
    half_turns = Rotation.from_rotvec(np.pi * np.eye(3)).as_matrix().reshape(-1, 9)
    np.testing.assert_allclose(np.linalg.norm(guard_replay.quaternions(half_turns), axis=1), 1.0)


def test_the_verb_tells_each_fault_with_its_first_tick(tmp_path, capsys):
    def alter(tick, action):
        action[0, 0] = 1.25 if tick in (40, 41) else action[0, 0]
        return action

    fly(tmp_path / "bag", resources.folder("models") / "crazyflie.safetensors", alter=alter, ticks=80)
    assert main.main(["replay", str(tmp_path / "bag"), "--guard"]) == 1
    assert "  ACTION_CLAMPED: 2 ticks, first 40: found 1.250, wanted -1 to 1" in capsys.readouterr().out
