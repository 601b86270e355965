"""Torch modules that know nothing of this library: a GRU, and a controller by hand that flies without training."""

from typing import NamedTuple

import torch
from torch import nn

from spike_ctrl import airframe
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.manifest import Contract
from spike_ctrl.sim.observation import LAYOUT
from spike_ctrl_networks.onnx_graph import graph_of, weights_of


class GRU(nn.Module):
    def __init__(self, width=32, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.cell, self.readout = nn.GRUCell(18, width), nn.Linear(width, 4)

    def initial_state(self, batch):
        return torch.zeros(batch, self.cell.hidden_size)

    def step(self, observation, state):
        state = self.cell(observation, state)
        return torch.tanh(self.readout(state)), state


class Linear(nn.Module):
    """tanh of a linear map, which remembers nothing."""

    def __init__(self, inputs, outputs, generator):
        super().__init__()
        self.readout = nn.Linear(inputs, outputs)

    def initial_state(self, batch):
        return torch.zeros(batch, 1)

    def step(self, observation, state):
        return torch.tanh(self.readout(observation)), state


class Memory(NamedTuple):
    action: torch.Tensor  # [batch, 4]
    steps: torch.Tensor  # [batch, 1]


class Cascade(nn.Module):
    """Position, velocity, tilt, body rates: a controller by hand for the `rates` layout, whose action passes a filter."""

    def __init__(self):
        super().__init__()
        self.position, self.velocity = nn.Parameter(torch.tensor(4.0)), nn.Parameter(torch.tensor(3.5))
        self.tilt, self.smooth = nn.Parameter(torch.tensor(0.8)), nn.Parameter(torch.tensor(0.3))

    def initial_state(self, batch):
        return Memory(torch.zeros(batch, 4), torch.zeros(batch, 1, dtype=torch.int64)), torch.full((batch, 2), 0.5)

    def step(self, observation, state):
        memory, constant = state
        rotation = observation[:, 3:12].reshape(-1, 3, 3)
        wanted = -self.position * observation[:, :3] - self.velocity * observation[:, 12:15]
        wanted = wanted.clamp(-5.0, 5.0) + torch.tensor([0.0, 0.0, 9.81])
        along = (rotation.transpose(1, 2) @ wanted[:, :, None])[:, :, 0]
        direction = along / along.norm(dim=1, keepdim=True)
        rates = torch.stack([-direction[:, 1], direction[:, 0], -0.3 * rotation[:, 1, 0]], dim=1)
        action = torch.cat([along[:, 2:] / 9.81 - 1, 2 * constant[:, :1] * self.tilt * rates], dim=1).clamp(-1.0, 1.0)
        action = self.smooth * memory.action + (1 - self.smooth) * action
        return action, (Memory(action, memory.steps + 1), constant)


def contract(name, network="nets:GRU"):
    vehicle = airframe.load(name)
    return Contract(name, vehicle.hash, LAYOUT, vehicle.action_layout, 100.0, (18, 4), neuron=None, network=network)


_graphs: dict[object, bytes] = {}


def graph_once(module, *sizes):
    """`graph_of` takes seconds: one graph for all modules that differ in their weights alone, which it does not have."""
    plain = [(name, value) for name, value in vars(module).items() if isinstance(value, (bool, int, float, str, tuple))]
    shapes = [(name, tuple(weight.shape)) for name, weight in module.state_dict().items()]
    key = type(module), str(module), sizes, str(plain), str(shapes)
    if key not in _graphs:
        _graphs[key] = graph_of(module, *sizes)
    return _graphs[key]


def saved(module, name="crazyflie", **about) -> bytes:
    """A checkpoint of the module, for this airframe."""
    network = f"nets:{type(module).__name__}"
    return checkpoint.dumps(weights_of(module), contract(name, network), graph=graph_once(module), **about)
