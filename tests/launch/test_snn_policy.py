"""snn_policy as a process of its own, with states from this test.

- it answers each state once, and repeats an answer that is asked for again without advancing its spiking state
- its actions equal those of the library for the same checkpoint, step by step
- a GRU flies in onnxruntime: its actions are those of the torch module; the status tells the time of a step, and no spikes
- a new checkpoint flies in shadow through the warm-up and then takes over; a damaged one leaves the old one flying
- a state that is not finite gets no answer, and the status names the field
- a policy that sees the battery's voltage answers with it; without one, or with an old one, it says so and does not answer
- after a lost tick, and in real time after the process hung, it flies in shadow through the warm-up, from the zero state
- a checkpoint that is not in the list of allowed files does not fly, neither the model given nor one that arrives
- who comes later is still told the file that it was started with
- who listens is told which neurons spiked, step by step
- its reasons are those of the message
- once it flies no collection of garbage goes through what the model brought
- in flight it is ready for a successor of either kind before it answers: nothing is compiled or imported beside the control
"""

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rclpy
import torch
from output import executable
from plain_networks import GRU, saved
from seeing_voltage import seeing
from sensor_msgs.msg import BatteryState
from spike_ctrl_msgs.msg import Checkpoint, PolicyStatus, Spikes, VehicleAction, VehicleState

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import Contract
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.policy.ordered_runtime import OrderedPolicy
from spike_ctrl.policy.pilot import Reason
from spike_ctrl.policy.voltage_input import complete
from spike_ctrl.sim.observation import LAYOUT
from spike_ctrl.snn.weight_shapes import weight_shapes
from spike_ctrl_policy.loader import Loader, of_file
from spike_ctrl_policy.spikes import SpikeView
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill, view
from spike_ctrl_ros.standard_topics import battery

SIZES = (18, 16, 8, 4)
VEHICLES, WARM_UP = 3, 5


def a_checkpoint(seed: int) -> bytes:
    random = np.random.default_rng(seed)
    weights = {name: random.uniform(0.1, 0.9, shape).astype(np.float32) for name, shape in weight_shapes(SIZES).items()}
    vehicle = airframe.load("crazyflie")
    return checkpoint.dumps(weights, Contract("crazyflie", vehicle.hash, LAYOUT, "motors", 100.0, SIZES))


class Talker:
    """Sends states and checkpoints, keeps answers and status."""

    def __init__(self, model: Path, vehicles: int, *parameters: str):
        self.vehicles = vehicles
        given = [f"model:={model}", f"warm_up:={WARM_UP}", *parameters]
        command = [executable("snn_policy"), "--ros-args", *(w for p in given for w in ("-p", p))]
        self.process = subprocess.Popen(command)
        self.node = rclpy.create_node("talker")
        self.answers: list[VehicleAction] = []
        self.status: list[PolicyStatus] = []
        self.state_out = self.node.create_publisher(VehicleState, "state", qos.LOCKSTEP)
        self.checkpoint_out = self.node.create_publisher(Checkpoint, "policy/checkpoint", qos.CHECKPOINTS)
        self.node.create_subscription(VehicleAction, "policy/action", self.answers.append, qos.LOCKSTEP)
        self.node.create_subscription(PolicyStatus, "policy/status", self.status.append, qos.STATUS)
        self.until(lambda: self.state_out.get_subscription_count() and self.node.count_publishers("policy/action"))
        self.tick, self.random = 0, np.random.default_rng(0)

    def until(self, condition, seconds: float = 20.0):
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, "nothing came"
            rclpy.spin_once(self.node, timeout_sec=0.05)
        return found

    def state(self, observation=None, tick=None) -> VehicleState:
        """The state of the next tick; the first one starts the episode of every vehicle."""
        self.tick = self.tick + 1 if tick is None else tick
        shape, first = (self.vehicles, 18), VehicleState.FIRST if self.tick == 1 else 0
        self.observation = self.random.standard_normal(shape).astype(np.float32) if observation is None else observation
        flags = np.full(self.vehicles, first, np.uint8)
        stamp = time.monotonic_ns()
        return fill(VehicleState(), stamp=stamp, tick=self.tick, flags=flags, observation=self.observation)

    def ask(self, observation=None, tick=None) -> VehicleAction:
        """Send a state, repeated each second as the simulator does, and return the answer to it."""
        message = self.state(observation, tick)
        before = len(self.answers)
        for _ in range(10):
            self.state_out.publish(message)
            deadline = time.monotonic() + 1
            while len(self.answers) == before and time.monotonic() < deadline:
                rclpy.spin_once(self.node, timeout_sec=0.05)
            if len(self.answers) > before:
                return self.answers[-1]
        raise AssertionError("no answer")


@pytest.fixture
def start(ros_domain_id, tmp_path):
    """start(VEHICLES, "realtime:=true", ..., data=FILE) gives a Talker to a policy with these parameters and this model."""
    model = tmp_path / "model.safetensors"
    model.write_bytes(a_checkpoint(1))
    rclpy.init()
    talkers = []

    def make(*arguments, data=b"") -> Talker:
        if data:
            model.write_bytes(data)
        talkers.append(Talker(model, *arguments))
        return talkers[-1]

    yield make
    for talker in talkers:
        talker.process.send_signal(signal.SIGINT)
        talker.process.wait(10)
        talker.node.destroy_node()
    rclpy.shutdown()


@pytest.fixture
def talker(start):
    return start(VEHICLES)


def send(talker: Talker, data: bytes, name: str, sha256: str | None = None) -> None:
    digest = sha256 or hashlib.sha256(data).hexdigest()
    talker.checkpoint_out.publish(fill(Checkpoint(), epoch=7, name=name, sha256=digest, data=data))


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


def test_a_policy_that_sees_the_voltage_answers_only_where_it_is_known(start):
    data = seeing(weight=0.3)
    talker = start(1, "realtime:=true", "max_age:=60.0", "airframe:=crazyflie_real", data=data)
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


def answered_at_first(talker: Talker) -> VehicleAction | None:
    talker.state_out.publish(talker.state(tick=1))
    rclpy.spin_once(talker.node, timeout_sec=0.2)
    return talker.answers[0] if talker.answers else None


@pytest.mark.parametrize("parameters", [(), ("realtime:=true", "max_age:=60.0")])
def test_a_gru_answers_as_the_torch_module_does_with_the_time_of_a_step_and_no_spikes(start, parameters):
    module = GRU()
    talker = start(1 if parameters else VEHICLES, *parameters, data=saved(module))
    state, policy = module.initial_state(talker.vehicles), checkpoint.loads(saved(module)).policy
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


def test_one_that_hung_in_real_time_answers_no_old_state_and_warms_up_anew(start):
    talker = start(1, "realtime:=true", "max_age:=0.5")
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
    from spike_ctrl_view import scene  # of a package that an installation of this one need not have

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


def test_a_model_that_does_not_load_ends_the_node_with_one_line_that_names_it(ros_domain_id, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(a_checkpoint(1)[:-1])
    command = [executable("snn_policy"), "--ros-args", "-p", f"model:={tmp_path / 'model.safetensors'}"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert found.returncode == 1 and "Traceback" not in found.stderr
    assert found.stderr.splitlines()[-1].startswith(f"error: refused: {tmp_path / 'model.safetensors'}: ")


def test_a_checkpoint_that_arrives_is_held_to_the_list(start, tmp_path):
    listed = tmp_path / "allowed.txt"
    listed.write_text("".join(f"{hashlib.sha256(a_checkpoint(seed)).hexdigest()}  file\n" for seed in (1, 2)))
    talker = start(VEHICLES, f"allowed_models:={listed}")
    talker.ask()
    send(talker, a_checkpoint(3), "foreign")
    found = hashlib.sha256(a_checkpoint(3)).hexdigest()
    wanted = f"refused: foreign: sha256: found {found}, wanted one of the 2 in {listed}"
    talker.until(lambda: [status for status in talker.status if status.detail == wanted])
    for _ in range(2 * WARM_UP):
        assert talker.ask().checkpoint_id.endswith("model.safetensors")
    send(talker, a_checkpoint(2), "listed")
    talker.until(lambda: talker.ask().checkpoint_id == "listed")


@pytest.mark.parametrize(
    "text, words", [("0" * 64 + "  other\n", "sha256: found "), ("12ab\n", "line 1: found '12ab', wanted a sha256")]
)
def test_a_model_that_is_not_in_the_list_ends_the_node_with_one_line(ros_domain_id, tmp_path, text, words):
    model, listed = tmp_path / "model.safetensors", tmp_path / "allowed.txt"
    model.write_bytes(a_checkpoint(1))
    listed.write_text(text)
    given = [word for pair in (f"model:={model}", f"allowed_models:={listed}") for word in ("-p", pair)]
    command = [executable("snn_policy"), "--ros-args", *given]
    found = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert found.returncode == 2 and "Traceback" not in found.stderr
    assert words in found.stderr.splitlines()[-1] and str(listed) in found.stderr.splitlines()[-1]


def test_a_collection_of_garbage_in_flight_does_not_go_through_what_the_model_brought(ros_domain_id):
    """It would take 20 ms, of which two make the supervisor take the policy for silent."""
    model = resources.folder("models") / "sih_quadx.safetensors"
    program = (
        "import gc, sys, rclpy\n"
        "from spike_ctrl_policy.snn_policy_node import SnnPolicy\n"
        "rclpy.init(args=sys.argv)\n"
        "node = SnnPolicy()\n"
        "node.trigger_configure()\n"
        "print(node.pilot.flown is not None, len(gc.get_objects()))\n"
    )
    given = (f"model:={model}", "airframe:=sih_quadx", "flight:=true", "autostart:=false")
    command = [sys.executable, "-c", program, "--ros-args", *(w for p in given for w in ("-p", p))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    flown, objects = done.stdout.split()[-2:]
    assert flown == "True" and int(objects) < 20_000, done.stdout


READY = """
import sys
from spike_ctrl_policy.loader import Loader
Loader(compiled=True, expect={}, realtime=True, allowed=None, rehearsed=None).get_ready()
from spike_ctrl.policy.compiled_runtime import _ordered
print(len(_ordered.signatures), "onnxruntime" in sys.modules)
"""


def test_in_real_time_numpy_steps_with_the_sums_of_the_compiled_step_and_a_training_graph_with_its_own():
    message = of_file(str(resources.folder("models") / "crazyflie_robust.safetensors"))
    made = [Loader(False, {}, realtime, None, None).message(message).policy for realtime in (True, False)]
    assert [type(policy) for policy in made] == [OrderedPolicy, SpikingPolicy]


def test_what_only_the_first_policy_of_a_kind_needs_is_done_before_any_flies(ros_domain_id):
    pytest.importorskip("onnxruntime")
    told = subprocess.run([sys.executable, "-c", READY], capture_output=True, text=True, timeout=60)
    assert told.stdout == "1 True\n", told.stderr
    model = resources.folder("models") / "sih_quadx.safetensors"
    given = ("flight:=true", "airframe:=sih_quadx", f"model:={model}")
    node = subprocess.Popen([executable("snn_policy"), "--ros-args", *(w for p in given for w in ("-p", p))])
    try:
        deadline = time.monotonic() + 20
        while "onnxruntime" not in Path(f"/proc/{node.pid}/maps").read_text():
            assert time.monotonic() < deadline and node.poll() is None, "the network of another kind is met in the air"
            time.sleep(0.05)
    finally:
        node.send_signal(signal.SIGINT)
        node.wait(10)
