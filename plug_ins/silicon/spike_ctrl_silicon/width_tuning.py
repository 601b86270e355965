"""Trains a policy through its rounding to few bits: the rounded network learns the actions of the policy that it came from.

The rounded network flies in the simulator, on plants that vary as in the randomised evaluation. The policy sees the same
observations and says what it would do (distillation on the learner's own states, as DAgger, Ross et al. 2011). Gradients
pass the rounding unchanged (straight-through estimator, Bengio et al. 2013):

    w_rounded = w + stop((round(w / unit) unit) - w),    unit = max |w| of the neuron / (2^(bits - 1) - 1)
    loss = mean (action - action of the policy)^2

The result holds weights that lie on their grid, so a later rounding to the same width changes nothing.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.func import functional_call

from spike_ctrl.evaluation.benchmark import randomised
from spike_ctrl.learn.adam import Adam
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.policy.voltage_input import complete_of
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.snn.network import SpikingNetwork
from spike_ctrl.snn.network_state import State, detach
from spike_ctrl_export import neuron_of
from spike_ctrl_silicon.integer_network import NumberWidths
from spike_ctrl_silicon.quantise import integers, leaks

SLOPE = 5.0  # k of the surrogate derivative
BETA_UNIT = 2.0**-15
BOX, EPISODE_STEPS = 1.5, 300


class Tuning(NamedTuple):
    """How it is trained: updates, vehicles at once, steps of a segment, learning rates at the beginning and the end."""

    updates: int = 300
    vehicles: int = 128
    segment: int = 64
    rate: float = 1e-3
    rate_end: float = 5e-5


class TunedSegment(NamedTuple):
    """What was flown: observations [T, N, in], the policy's actions [T, N, out], steps that begin an episode [T, N]."""

    observation: NDArray[np.float32]
    label: NDArray[np.float32]
    first: NDArray[np.bool_]


def tuned(
    found: Checkpoint, widths: NumberWidths, seed: int, name: str, settings: Tuning, tell: Callable[[int, float], None]
) -> dict[str, NDArray[np.float32]]:
    """The weights of a checkpoint, trained for their widths. tell(update, loss) hears of progress. Raises UsageError."""
    neuron = neuron_of(found, name, "integers")
    generator = torch.Generator().manual_seed(seed)
    network = SpikingNetwork(found.manifest.contract.sizes, neuron, generator=generator)
    network.load_weights(saturated(found.weights, widths.weights))
    begun = SpikingPolicy(network.weights(), neuron, found.manifest.contract.voltage)
    flight = _Flight(found, begun, settings.vehicles, seed)
    optimiser = Adam(network.parameters(), lr=settings.rate)
    state: State = network.initial_state(settings.vehicles)
    for update in range(settings.updates):
        share = update / max(settings.updates - 1, 1)
        optimiser.param_groups[0]["lr"] = settings.rate * (settings.rate_end / settings.rate) ** share
        on_grid = {key: value.detach().numpy().copy() for key, value in through(network, widths).items()}
        flown = flight.flown(SpikingPolicy(on_grid, neuron, found.manifest.contract.voltage), settings.segment)
        observation, label, first = (torch.from_numpy(part) for part in flown)
        action, after = _unrolled(network, widths, observation, state, first)
        loss = (action - label).square().mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        network.project_()
        state = detach(after)
        tell(update + 1, loss.item())
    return {key: value.detach().numpy().copy() for key, value in through(network, widths).items()}


def through(network: SpikingNetwork, widths: NumberWidths) -> dict[str, torch.Tensor]:
    """All parameters by name, weights and leaks on their grids; gradients reach the parameters unchanged."""
    most = 2 ** (widths.weights - 1) - 1
    found = {}
    for name, value in network.named_parameters():
        if name.endswith("weight"):
            unit = value.detach().abs().amax(1, keepdim=True).clamp(min=1e-9) / most
            on_grid = torch.round(value.detach() / unit) * unit
        elif name.endswith("beta"):
            on_grid = torch.from_numpy(leaks(value.detach().numpy(), widths.leak).astype(np.float32) * np.float32(BETA_UNIT))
        else:
            on_grid = value.detach()
        found[name] = value + (on_grid - value).detach()
    return found


def saturated(weights: dict[str, NDArray[np.float32]], bits: int) -> dict[str, NDArray[np.float32]]:
    """The weights, each limited to what its neuron's unit can hold: where training starts."""
    most, found = 2 ** (bits - 1) - 1, dict(weights)
    for name, value in weights.items():
        if name.endswith("weight"):
            limit = (most * integers(value, bits)[1])[:, None]
            found[name] = np.clip(value, -limit, limit).astype(np.float32)
    return found


def _unrolled(
    network: SpikingNetwork, widths: NumberWidths, observation: torch.Tensor, state: State, first: torch.Tensor
) -> tuple[torch.Tensor, State]:
    class Unrolled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self) -> tuple[torch.Tensor, State]:
            action, after, _ = self.network._unroll_step_by_step(observation, state, SLOPE, first)
            return action, after

    parameters = {f"network.{name}": value for name, value in through(network, widths).items()}
    action, after = functional_call(Unrolled(), parameters, ())
    return action, after


class _Flight:
    """Vehicles that fly on from segment to segment under the network as it is, beside the policy that it came from."""

    def __init__(self, found: Checkpoint, student: SpikingPolicy, vehicles: int, seed: int) -> None:
        craft = found.airframe()
        self.teacher: SpikingPolicy = found.policy  # type: ignore[assignment]  # neuron_of has refused others
        task = Task(box=BOX, episode_steps=EPISODE_STEPS, randomisation=randomised(craft))
        self.environment = Environment(craft, vehicles, task)
        self.observation, _ = self.environment.reset(seed=seed)
        self.first = np.ones(vehicles, bool)
        self.ended = np.zeros(vehicles, bool)
        self.state, self.teacher_state = (one.initial_state(vehicles) for one in (student, self.teacher))

    def flown(self, student: SpikingPolicy, steps: int) -> TunedSegment:
        """Fly a segment."""
        rows = []
        for _ in range(steps):
            seen = complete_of(student, self.observation, self.environment).astype(np.float32)
            self.state = student.reset_rows(self.state, self.first)
            self.teacher_state = self.teacher.reset_rows(self.teacher_state, self.first)
            label, self.teacher_state = self.teacher.step(seen, self.teacher_state)
            action, self.state = student.step(seen, self.state)
            rows.append((seen, label, self.first))
            self.observation, _, terminated, truncated, _ = self.environment.step(action)
            self.first, self.ended = self.ended, terminated | truncated
        return TunedSegment(*(np.stack(column) for column in zip(*rows, strict=True)))
