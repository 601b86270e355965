"""What a policy answers and tells, as messages."""

import numpy as np
from spike_ctrl_msgs.msg import VehicleState

from spike_ctrl.policy.pilot import Flown, PilotAnswer, Reason
from spike_ctrl_policy.policy_messages import refusal_message, status_message
from spike_ctrl_ros.convert import action_message, fill, nanoseconds, view

STATE = fill(VehicleState(), stamp=7_000_000, tick=12, epoch=3)
FLOWN, CHILD = Flown("run/3", None, 3), Flown("run/4", None, 4)
ACTION = np.float32([[0.1, 0.2, 0.3, 0.4], [1, 1, 1, 1]])
ANSWER = PilotAnswer(ACTION, True, Reason.OK)


def status(answer=ANSWER, previous=11, candidate=None, seen=np.zeros(18, np.float32)):
    return status_message(STATE, previous, FLOWN, candidate, answer, seen, 0.5, 0.25, (0.125,))


def test_an_action_names_the_state_and_the_checkpoint_that_it_is_of():
    found = action_message(STATE, FLOWN.epoch, FLOWN.name, "motors", ACTION, (0.5,))
    assert (found.tick, found.epoch, found.checkpoint_id, found.layout) == (12, 3, "run/3", "motors")
    assert nanoseconds(found.header.stamp) == 7_000_000 and list(found.spike_rate) == [0.5]
    np.testing.assert_array_equal(view(found).action, ACTION)


def test_a_status_tells_the_first_vehicle_and_what_its_step_took():
    found = status()
    np.testing.assert_array_equal(found.action, ACTION[0])
    assert (found.tick, found.previous_tick, found.state_age, found.inference_time) == (12, 11, 0.5, 0.25)
    assert list(found.spike_rate) == [0.125] and found.candidate_id == ""


def test_a_status_without_an_action_tells_no_time_and_no_spikes():
    found = status(PilotAnswer(None, False, Reason.BAD_OBSERVATION, "velocity: found nan"), seen=np.full(18, np.nan))
    assert found.detail == "velocity: found nan" and found.reason == Reason.BAD_OBSERVATION
    assert not len(found.action) and not len(found.spike_rate) and found.inference_time == 0 and not len(found.observation)


def test_a_policy_that_begins_anew_has_no_tick_before():
    assert status(previous=None).previous_tick == 12
    assert status(PilotAnswer(None, False, Reason.STALE_STATE)).previous_tick == 12


def test_a_candidate_in_shadow_is_named():
    found = status(candidate=CHILD)
    assert (found.candidate_epoch, found.candidate_id) == (4, "run/4")


def test_a_refusal_names_what_goes_on_flying():
    found = refusal_message(FLOWN, "refused: sha256")
    assert (found.reason, found.detail, found.checkpoint_id) == (Reason.NO_CHECKPOINT, "refused: sha256", "run/3")
    assert refusal_message(None, "refused").checkpoint_id == ""
