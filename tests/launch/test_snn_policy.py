"""snn_policy as a process of its own, with states from this test.

- it answers each state once, and repeats an answer that is asked for again without advancing its spiking state
- its actions equal those of the library for the same checkpoint, step by step
- a GRU flies in onnxruntime: its actions are those of the torch module; the status tells the time of a step, and no spikes
- a new checkpoint flies in shadow through the warm-up and then takes over; a damaged one leaves the old one flying
- a state that is not finite gets no answer, and the status names the field
- a policy that sees the battery's voltage answers with it; without one, or with an old one, it says so and does not answer
- a policy that learns its plant is told what others command, and only where the parameter says so
- after a lost tick, and in real time after the process hung, it flies in shadow through the warm-up, from the zero state
- who comes later is still told the file that it was started with
- who listens is told which neurons spiked, step by step
- its reasons are those of the message
"""

import hashlib
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import rclpy
import torch
from plain_networks import GRU
from policy_talker import SIZES, VEHICLES, WARM_UP, Talker, a_checkpoint, send
from seeing_voltage import seeing
from sensor_msgs.msg import BatteryState
from spike_ctrl_msgs.msg import Checkpoint, FlightCommand, PolicyStatus, Spikes, VehicleAction, VehicleState

from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.pilot import Reason
from spike_ctrl.policy.voltage_input import complete
from spike_ctrl_policy.policy_messages import SpikeView
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill, view
from spike_ctrl_ros.standard_topics import battery


@pytest.fixture
def talker(start_policy):
    return start_policy(VEHICLES)


@pytest.mark.installed
def test_answers_equal_the_library_and_are_repeated_unchanged(talker):
    policy = checkpoint.loads(a_checkpoint(1)).policy
    state = policy.initial_state(VEHICLES)
    for _ in range(20):
        answer = talker.ask()
        action, state = policy.step(talker.observation, state)
        np.testing.assert_array_equal(view(answer).action, action)
        again = talker.ask(talker.observation, tick=talker.tick)
        assert again.action == answer.action


def test_a_policy_that_sees_the_voltage_answers_only_where_it_is_known(start_policy):
    data = seeing(weight=0.3)
    talker = start_policy(1, "realtime:=true", "max_age:=60.0", "airframe:=crazyflie_real", data=data)
    battery_out = talker.node.create_publisher(BatteryState, "battery", qos.STATUS)
    talker.until(battery_out.get_subscription_count)

    def refused() -> bool:
        talker.state_out.publish(talker.state(tick=1))
        assert not talker.answers
        return any(s.detail.startswith("voltage: found none, wanted the battery's") for s in talker.status)

    talker.until(refused)
    battery_out.publish(battery(3.5, 0.5, time.monotonic_ns() - 11_000_000_000))
    talker.status.clear()
    talker.until(refused)  # a second later, when it has come and changed nothing
    battery_out.publish(battery(3.5, 0.5, time.monotonic_ns() - 1_000_000_000))
    policy = checkpoint.loads(data).compiled()
    seen = talker.until(lambda: answered_at_first(talker))
    wanted, _ = policy.step(complete(policy, talker.observation, 3.5), policy.initial_state(1))
    np.testing.assert_array_equal(view(seen).action, wanted)


@pytest.mark.parametrize("tells", ["true", "false"])
def test_a_policy_that_learns_its_plant_is_told_what_others_command_where_that_is_allowed(start_policy, tells):
    robust = checkpoint.load("models/crazyflie_robust.safetensors")  # any policy that hears itself
    data = checkpoint.dumps(robust.weights, robust.manifest.contract, learns_plant=True)
    talker = start_policy(1, f"tell_commands:={tells}", data=data)
    policy = checkpoint.loads(data).policy
    command_out = talker.node.create_publisher(FlightCommand, "command", qos.STREAM)
    if tells == "true":
        talker.until(command_out.get_subscription_count)
    action, state = np.full((1, 4), 0.6, np.float32), policy.initial_state(1)
    own, told = None, 0
    for _ in range(60):
        answer = view(talker.ask(0.1 * talker.random.standard_normal((1, 18)).astype(np.float32))).action
        choices = [state] if own is None or tells == "false" else [policy.told(state, own, action), state]
        found = [policy.step(talker.observation, one) for one in choices]
        heard = next(n for n, (wanted, _) in enumerate(found) if np.array_equal(wanted, answer))
        told += heard == 0 and not np.array_equal(found[0][0], found[-1][0])
        own, (_, state) = answer, found[heard]
        guide = {"commander": FlightCommand.GUIDE, "checkpoint_id": "guide", "action": action[0].astype(float)}
        command_out.publish(fill(FlightCommand(), tick=talker.tick, **guide))
    assert told > 20 if tells == "true" else told == 0


def answered_at_first(talker: Talker) -> VehicleAction | None:
    talker.state_out.publish(talker.state(tick=1))
    rclpy.spin_once(talker.node, timeout_sec=0.2)
    return talker.answers[0] if talker.answers else None


@pytest.fixture(scope="module")
def gru():
    """A module, and its checkpoint as plain_networks.saved(GRU()) wrote it: that takes 6 s of a processor."""
    data = (Path(__file__).parents[1] / "oracles" / "gru.safetensors").read_bytes()
    module = GRU()
    module.load_state_dict({name: torch.from_numpy(value) for name, value in checkpoint.loads(data).weights.items()})
    return module, data


@pytest.mark.parametrize("parameters", [(), ("realtime:=true", "max_age:=60.0")])
def test_a_gru_answers_as_the_torch_module_does_with_the_time_of_a_step_and_no_spikes(start_policy, gru, parameters):
    module, data = gru
    talker = start_policy(1 if parameters else VEHICLES, *parameters, data=data)
    state, policy = module.initial_state(talker.vehicles), checkpoint.loads(data).policy
    own = policy.initial_state(talker.vehicles)
    for _ in range(20):
        answer = view(talker.ask()).action
        with torch.no_grad():
            action, state = module.step(torch.from_numpy(talker.observation), state)
        np.testing.assert_allclose(answer, action.numpy(), atol=1e-6)
        action, own = policy.step(talker.observation, own)
        np.testing.assert_array_equal(answer, action)
    status = talker.until(lambda: talker.status)[-1]
    assert 0 < status.inference_time < 1 and not len(status.spike_rate) and status.reason == PolicyStatus.OK


def test_a_new_checkpoint_takes_over_after_its_warm_up_in_shadow(talker):
    old, new = (checkpoint.loads(a_checkpoint(seed)).policy for seed in (1, 2))
    talker.ask()
    _, old_state = old.step(talker.observation, old.initial_state(VEHICLES))
    send(talker, a_checkpoint(2), "new")
    seen = []
    for _ in range(100):
        answer = talker.ask()
        seen.append(talker.observation)
        if answer.checkpoint_id == "new":
            break
        action, old_state = old.step(talker.observation, old_state)
        np.testing.assert_array_equal(view(answer).action, action)
    assert answer.checkpoint_id == "new" and answer.epoch == 7
    # It has the spiking state of the observations of its warm-up, no more and no less.
    new_state = new.initial_state(VEHICLES)
    for observation in seen[-WARM_UP - 1 :]:
        action, new_state = new.step(observation, new_state)
    np.testing.assert_array_equal(view(answer).action, action)


def test_a_damaged_checkpoint_leaves_the_old_one_flying(talker):
    talker.ask()
    data = bytearray(a_checkpoint(2))
    data[-1] ^= 1
    send(talker, bytes(data), "damaged")
    send(talker, a_checkpoint(2), "wrong sum", sha256="0" * 64)
    for _ in range(2 * WARM_UP):
        assert talker.ask().checkpoint_id.endswith("model.safetensors")


def test_a_state_that_is_not_finite_gets_no_answer_and_a_status_that_names_it(talker):
    talker.ask()
    observation = np.zeros((VEHICLES, 18), np.float32)
    observation[2, 13] = np.nan
    answers = len(talker.answers)
    talker.state_out.publish(fill(VehicleState(), tick=99, flags=np.zeros(VEHICLES, np.uint8), observation=observation))
    status = talker.until(lambda: [s for s in talker.status if s.reason == PolicyStatus.BAD_OBSERVATION])[0]
    assert "observation[2,13]" in status.detail
    assert len(talker.answers) == answers


def warmed_up(talker: Talker, words: str) -> None:
    """Send states until one is answered: by then it has seen as many from the zero state as the warm-up says, and this one.
    One that it had no time to look at would be a gap, so each is sent when the one before was handled."""
    policy, seen, answers = checkpoint.loads(a_checkpoint(1)).policy, [], len(talker.answers)
    for _ in range(WARM_UP):
        talker.state_out.publish(talker.state())
        seen.append(talker.observation)
        rclpy.spin_once(talker.node, timeout_sec=0.01)
    assert len(talker.answers) == answers
    answer = talker.ask()
    state = policy.initial_state(talker.vehicles)
    for observation in [*seen, talker.observation]:
        action, state = policy.step(observation, state)
    np.testing.assert_allclose(view(answer).action, action, atol=1e-6)
    stale = PolicyStatus.STALE_STATE
    talker.until(lambda: [status for status in talker.status if status.reason == stale and words in status.detail])
    talker.until(lambda: talker.status[-1].reason == PolicyStatus.OK)


def test_after_a_lost_tick_it_flies_in_shadow_from_the_zero_state(talker):
    for _ in range(3):
        talker.ask()
    talker.tick += 1
    warmed_up(talker, "tick 5 follows tick 3")


def test_one_that_hung_in_real_time_answers_no_old_state_and_warms_up_anew(start_policy):
    talker = start_policy(1, "realtime:=true", "max_age:=0.5")
    for _ in range(3):
        talker.ask()
    talker.process.send_signal(signal.SIGSTOP)
    try:
        end = time.monotonic() + 1.0  # longer than max_age
        while time.monotonic() < end:
            talker.state_out.publish(talker.state())
            rclpy.spin_once(talker.node, timeout_sec=0.01)
    finally:
        talker.process.send_signal(signal.SIGCONT)
    hung = talker.tick
    deadline = time.monotonic() + 20
    while len(talker.answers) == 3:
        assert time.monotonic() < deadline, "no answer"
        talker.state_out.publish(talker.state())
        due = time.monotonic() + 0.02  # the pace of real time
        while (left := due - time.monotonic()) > 0:
            rclpy.spin_once(talker.node, timeout_sec=left)
    assert [answer.tick for answer in talker.answers[:3]] == [1, 2, 3]
    assert talker.answers[3].tick > hung  # none of those that had waited
    stale = talker.until(lambda: [status for status in talker.status if status.reason == PolicyStatus.STALE_STATE])
    assert "tick 4 came" in stale[0].detail and "wanted at most 500 ms" in stale[0].detail


def test_the_file_that_it_was_started_with_is_told_to_whoever_comes_later(talker):
    heard = []
    talker.node.create_subscription(Checkpoint, "policy/model", heard.append, qos.CHECKPOINTS)
    message = talker.until(lambda: heard)[0]
    assert bytes(message.data) == a_checkpoint(1) and message.sha256 == hashlib.sha256(a_checkpoint(1)).hexdigest()
    assert message.epoch == 0 and message.name.endswith("model.safetensors")


def test_who_listens_is_told_which_neurons_spiked(talker):
    scene = pytest.importorskip("spike_ctrl_view.scene")

    policy, heard = checkpoint.loads(a_checkpoint(1)).policy, []
    talker.node.create_subscription(Spikes, "policy/spikes", heard.append, qos.STREAM)
    state, wanted = policy.initial_state(VEHICLES), {}
    while len(heard) < 3:
        talker.ask()
        _, state = policy.step(talker.observation, state)
        wanted[talker.tick] = state.spike[:, 0]
    for message in heard:
        steps, neurons = scene.spikes(message)
        assert list(neurons) == list(SIZES[1:3]) and len(steps) == 10
        np.testing.assert_array_equal(steps, [wanted[message.tick + step] for step in range(10)])
    assert np.ptp([len(message.spikes) for message in heard]) == 0 and any(spike.any() for spike in wanted.values())


class Deaf:
    """A node whose publishers nobody hears."""

    def create_publisher(self, *about):
        return self

    def get_subscription_count(self):
        return 0


def test_while_nobody_listens_the_spikes_are_not_even_looked_at():
    spikes = SpikeView(Deaf())
    spikes.show(VehicleState(), pilot=None)
    assert not spikes.rows


def test_what_the_policy_says_has_the_numbers_of_the_message():
    assert {reason.name: reason.value for reason in Reason} == {
        name: getattr(PolicyStatus, name) for name in dir(type(PolicyStatus())) if name in Reason.__members__
    }
