"""Networks of any kind: what a torch module does, its checkpoint does without torch."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import recorded
import torch
from plain_networks import GRU, Cascade, graph_once, saved
from torch import nn

from spike_ctrl import airframe, report
from spike_ctrl._files import resources
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli.main import main
from spike_ctrl.evaluation.benchmark import evaluate
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.flight.answer_checks import Answer, AnswerLimits, Identity
from spike_ctrl.flight.policy_monitor import Monitor, observe_answer
from spike_ctrl.flight.rehearsal import rehearse
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import CheckpointError
from spike_ctrl.policy.pilot import same_state
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl.recordings import guard_replay, replay
from spike_ctrl.recordings.reader import read
from spike_ctrl_networks.onnx_graph import graph_of, weights_of
from spike_ctrl_networks.onnx_runtime import OnnxPolicy


class Surrogate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, over):
        ctx.save_for_backward(over)
        return (over > 0).to(over.dtype)

    @staticmethod
    def backward(ctx, gradient):
        (over,) = ctx.saved_tensors
        return gradient / (1 + over.abs()) ** 2


class Adaptive(nn.Module):
    """A spiking layer whose threshold grows with each spike; the spike has a surrogate derivative of its own."""

    def __init__(self, width=256):
        super().__init__()
        torch.manual_seed(1)
        self.first, self.hidden = nn.Linear(18, width), nn.Linear(width, 128)
        self.readout, self.beta = nn.Linear(128, 4), nn.Parameter(torch.full((width,), 0.9))

    def initial_state(self, batch):
        width = self.first.out_features
        return (torch.zeros(batch, width), torch.zeros(batch, width)), torch.zeros(batch, 128)

    def step(self, observation, state):
        (membrane, threshold), slow = state
        membrane = torch.sigmoid(self.beta) * membrane + self.first(observation)
        spike = Surrogate.apply(membrane - 0.3 - threshold)
        slow = 0.8 * slow + self.hidden(spike)
        return torch.tanh(self.readout(slow)), ((membrane * (1 - spike), 0.9 * threshold + 0.1 * spike), slow)


class History(nn.Module):
    """A feed-forward network that sees its last actions."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.body = nn.Sequential(nn.Linear(18 + 32, 64), nn.LayerNorm(64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 4))

    def initial_state(self, batch):
        return torch.zeros(batch, 8, 4)

    def step(self, observation, history):
        action = torch.tanh(self.body(torch.cat([observation, history.flatten(1)], dim=1)))
        return action, torch.cat([history[:, 1:], action[:, None]], dim=1)


class Sequence(nn.Module):
    """torch's own LSTM, whose layers and vehicles are the other way round, on sequences of one step."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.lstm, self.readout = nn.LSTM(18, 16, num_layers=2), nn.Linear(16, 4)

    def initial_state(self, batch):
        return torch.zeros(batch, 2, 16), torch.zeros(batch, 2, 16)

    def step(self, observation, state):
        there = tuple(part.transpose(0, 1).contiguous() for part in state)
        out, after = self.lstm(observation[None], there)
        return torch.tanh(self.readout(out[0])), tuple(part.transpose(0, 1) for part in after)


@pytest.fixture(scope="module")
def gru():
    module = GRU()
    return module, saved(module, evaluation={"return": 1.0})


def observations(*shape):
    return np.random.default_rng(3).standard_normal((*shape, 18)).astype(np.float32)


def flown(module, seen):
    """The module's own actions on observations [steps, batch, 18]."""
    module.eval()
    state, actions = module.initial_state(seen.shape[1]), []
    with torch.no_grad():
        for observation in torch.from_numpy(seen):
            action, state = module.step(observation, state)
            actions.append(action.numpy())
    return np.stack(actions)


# --- a module flies as it is ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [GRU, Cascade, Adaptive, History, Sequence])
def test_a_checkpoint_does_what_its_module_does(kind):
    module, seen = kind().train(), observations(50, 7)
    policy = checkpoint.loads(saved(module)).policy
    assert all(part.training for part in module.modules())  # it goes on training after its export
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert isinstance(policy, Policy) and (policy.inputs, policy.outputs) == (18, 4)
    state, wanted = policy.initial_state(7), flown(module, seen)
    for step, observation in enumerate(seen):
        action, state = policy.step(observation, state)
        np.testing.assert_allclose(action, wanted[step], atol=2e-6)
    state, alone = policy.initial_state(), flown(module, seen[:, :1])
    for step, observation in enumerate(seen[:, 0]):
        action, state = policy.step(observation, state)
        np.testing.assert_allclose(action, alone[step, 0], atol=2e-6)


def test_the_weights_are_in_the_file_once():
    module = Adaptive()
    weights, data = sum(weight.nbytes for weight in weights_of(module).values()), saved(module)
    assert len(graph_once(module)) < 5_000 and len(data) < weights + 30_000


def test_one_graph_serves_all_weights_of_a_module():
    graph = graph_once(GRU(seed=0))
    assert graph == graph_of(GRU(seed=1))
    other = OnnxPolicy(graph, weights_of(GRU(seed=1)))
    action, _ = other.step(observations(3), other.initial_state(3))
    np.testing.assert_allclose(action, flown(GRU(seed=1), observations(1, 3))[0], atol=1e-6)


def test_vehicles_that_start_anew_begin_from_the_initial_state_alone():
    policy = checkpoint.loads(saved(Cascade())).policy
    _, state = policy.step(observations(3), policy.initial_state(3))
    reset = policy.reset_rows(state, np.array([False, True, False]))
    for part, before, first in zip(reset, state, policy.initial_state(), strict=True):
        np.testing.assert_array_equal(part[1], first)
        np.testing.assert_array_equal(part[[0, 2]], before[[0, 2]])
    assert state[1].dtype == np.int64 and (state[1] == 1).all() and reset[1].tolist() == [[1], [0], [1]]


def test_shapes_that_do_not_fit_are_refused(gru):
    policy = checkpoint.loads(gru[1]).policy
    for observation in (np.zeros(17, np.float32), np.zeros((2, 18), np.float32)):
        with pytest.raises(ValueError, match=r"observation: found shape .* wanted"):
            policy.step(observation, policy.initial_state(3 if observation.ndim == 2 else None))
    with pytest.raises(ValueError, match="mask: found shape"):
        policy.reset_rows(policy.initial_state(3), np.zeros(2, bool))


def test_it_is_loaded_and_flown_without_torch(gru, tmp_path):
    (tmp_path / "policy.safetensors").write_bytes(gru[1])
    code = (
        "import sys, numpy as np\n"
        "from spike_ctrl.policy import checkpoint\n"
        "policy = checkpoint.load(sys.argv[1]).policy\n"
        "policy.step(np.zeros(18, np.float32), policy.initial_state())\n"
        "print({'torch', 'nets', 'plain_networks'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "policy.safetensors")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "set()"


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_package_that_is_missing_is_named(gru, tmp_path, package):
    (tmp_path / "policy.safetensors").write_bytes(gru[1])
    code = f"import sys; sys.modules[{package!r}] = None\nfrom spike_ctrl.cli.main import main\nsys.exit(main())"
    command = [sys.executable, "-c", code, "inspect", str(tmp_path / "policy.safetensors")]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 2 and "Traceback" not in found.stderr
    assert f"graph: the package {package} is not installed" in found.stderr and f"pip install {package}" in found.stderr


def test_a_checkpoint_of_a_spiking_network_needs_neither_package():
    code = (
        "import sys; sys.modules['onnx'] = sys.modules['onnxruntime'] = None\n"
        "from spike_ctrl.policy import checkpoint\ncheckpoint.load('models/crazyflie.safetensors')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- it is evaluated, flown, recorded, replayed, reported, exported -------------------------------------------------


def test_the_evaluation_flies_the_modules_own_actions(gru):
    module, data = gru
    policy, worst = checkpoint.loads(data).policy, []

    class Both(PolicyController):
        def begin(self, vehicles):
            super().begin(vehicles)
            self.torch = module.initial_state(vehicles)

        def act(self, observation, environment):
            action = super().act(observation, environment)
            with torch.no_grad():
                wanted, self.torch = module.step(torch.from_numpy(observation), self.torch)
            worst.append(np.abs(action - wanted.numpy()).max())
            return action

    found = evaluate(Both(policy), airframe.load("crazyflie"), starts=32)
    assert len(worst) > 50 and max(worst) < 1e-6  # until all have left the boxes
    again = type(found).from_dict(json.loads(json.dumps(found.to_dict())))
    assert found.spike_rates == () and repr(again) == repr(found)  # a figure that is not a number equals none


def test_it_hovers_in_the_rehearsal():
    policy = checkpoint.loads(saved(Cascade(), "sih_quadx")).policy
    assert rehearse(policy, airframe.load("sih_quadx"), 100.0) is None


def test_the_guard_finds_no_fault_in_a_policy_without_spikes():
    limits, monitor = AnswerLimits(), Monitor()
    sample = Sample(0, 0.0, 0.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    for tick in range(200):
        action = (0.1 * (tick % 2), 0.0, 0.0, 0.0)
        monitor, findings = observe_answer(monitor, Answer(tick, 0.0, action, "rates", Identity("gru", 0)), sample, limits)
        assert findings == ()


@pytest.mark.parametrize("vehicles", [1, 3])
def test_a_recorded_flight_is_replayed_bit_by_bit_and_reported_without_spikes(gru, tmp_path, vehicles):
    model, bag = tmp_path / "gru.safetensors", tmp_path / "bag"
    model.write_bytes(gru[1])
    recorded.fly(bag, model, vehicles=vehicles)
    recording = read(bag)
    choice, compared, _ = replay.judged(recording)
    assert compared.same and compared.known_equal == 300 * vehicles
    assert replay.replay(recording, choice.policies, traces=True).spikes is None
    lines = replay.summary(recording, choice, compared, np.empty(0))
    assert f"equal bit by bit: {300 * vehicles} of {300 * vehicles} actions with a known state" in lines
    assert "SPIKE_RATE" not in {fault.name for fault, *_ in guard_replay.fault_rows(guard_replay.judge(recording, 100.0))}
    page = tmp_path / "report.html"
    report.write(page, [bag])
    assert "nets:GRU: no spikes are known of it" in page.read_text()


def test_a_model_is_reported_beside_a_spiking_one(gru, tmp_path):
    model, page = tmp_path / "gru.safetensors", tmp_path / "report.html"
    model.write_bytes(gru[1])
    report.write(page, [model, resources.find("models", "crazyflie.safetensors")])
    text = page.read_text()
    assert "18 - 4, nets:GRU" in text and "no spikes" in text and "Spikes" in text


def test_inspect_shows_network_and_graph(gru, tmp_path, capsys):
    model = tmp_path / "gru.safetensors"
    model.write_bytes(gru[1])
    assert main(["inspect", str(model)]) == 0
    out = capsys.readouterr().out
    assert "nets:GRU" in out and "bytes of ONNX" in out and "onnxruntime" in out and "neuron" not in out


def test_the_evaluation_in_the_terminal_says_that_nothing_spikes(gru, tmp_path, capsys):
    model = tmp_path / "gru.safetensors"
    model.write_bytes(gru[1])
    assert main(["eval", str(model)]) == 0
    assert f"spike rates of {model}: no spikes" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["c", "nir"])
def test_c_and_nir_are_refused_in_words(gru, tmp_path, capsys, form):
    pytest.importorskip("spike_ctrl_export")
    model = tmp_path / "gru.safetensors"
    model.write_bytes(gru[1])
    assert main(["export", str(model), "--to", form, "-o", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert "network: found nets:GRU, wanted a spiking network" in err and len(err.splitlines()) == 1


def test_onnx_is_written_with_the_weights_inside(gru, tmp_path, capsys):
    pytest.importorskip("spike_ctrl_export")
    model, written = tmp_path / "gru.safetensors", tmp_path / "gru.onnx"
    model.write_bytes(gru[1])
    assert main(["export", str(model), "--to", "onnx", "-o", str(written)]) == 0
    assert "self-test in onnxruntime: 128 steps, largest difference" in capsys.readouterr().out
    assert [value.name for value in onnx.load(written).graph.input] == ["observation", "state.0"]


def test_a_state_goes_on_in_the_same_network_only(gru):
    one, other = (checkpoint.loads(saved(GRU(seed=seed))).policy for seed in (0, 1))
    wider, spiking = (checkpoint.loads(saved(GRU(width=48))).policy, checkpoint.load("models/crazyflie.safetensors").policy)
    assert same_state(one, other) and not same_state(one, wider) and not same_state(one, spiking)
    assert same_state(spiking, checkpoint.load("models/crazyflie_td3bc.safetensors").policy)


# --- modules that are refused in words ------------------------------------------------------------------------------


class Branching(GRU):
    def step(self, observation, state):
        return super().step(observation if observation.sum() > 0 else -observation, state)


class Dicing(GRU):
    def step(self, observation, state):
        return super().step(observation + torch.rand_like(observation), state)


class Remembering(GRU):
    """Has a state of its own, which no graph knows."""

    def step(self, observation, state):
        if not torch.compiler.is_compiling():
            self.calls = getattr(self, "calls", 0) + 1
            observation = observation + self.calls
        return super().step(observation, state)


class Wide(GRU):
    def step(self, observation, state):
        action, state = super().step(observation, state)
        return torch.cat([action, action], dim=1), state


class Learned(GRU):
    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.zeros(1, 32))

    def initial_state(self, batch):
        return self.first.expand(batch, 32)


class Different(GRU):
    def initial_state(self, batch):
        return torch.arange(batch * 32.0).reshape(batch, 32)


class Loud(GRU):
    def step(self, observation, state):
        return 3 * observation[:, :4], state


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (Branching(), "Branching: step cannot be written as ONNX: .*data-dependent"),
        (Dicing(), "operator RandomUniformLike: found one that may not fly"),
        (Remembering(), "its graph differs from it by up to"),
        (Wide(), "action: found 8 numbers, wanted 4"),
        (Learned(), "initial_state: found one that is learned, wanted constants"),
        (Different(), "initial_state: found vehicles that differ"),
        (GRU().double(), "found float64, wanted float32, int64, bool"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_module_that_cannot_be_a_graph_is_refused_in_words(module, words):
    with pytest.raises(UsageError, match=words) as caught:
        graph_of(module)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_actions_beyond_their_range_are_refused():
    with pytest.raises(CheckpointError, match=r"self_test\.action: found .*, wanted -1 to 1: let the network end with tanh"):
        saved(Loud())
