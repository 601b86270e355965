"""A torch module as a policy: the face with which it flies in rollouts and validations."""

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from spike_ctrl.learn import actor as actors
from spike_ctrl.policy.voltage_input import VoltageInput
from spike_ctrl.snn.network_state import State, restart


class ModulePolicy:
    """A frozen copy of a module with `initial_state` and `step` (see `actor`), as a `Policy` of numpy arrays.

    voltage: how the last number of an observation tells the battery's; None: it does not.
    """

    def __init__(self, module: nn.Module, inputs: int, outputs: int, voltage: VoltageInput | None = None):
        self.module: Any = copy.deepcopy(module).cpu().requires_grad_(False).eval()
        self.inputs, self.outputs, self.voltage = inputs, outputs, voltage

    def initial_state(self, batch: int | None = None) -> State:
        """The module's state of one vehicle, as a batch of one, or of a batch."""
        return self.module.initial_state(1 if batch is None else batch)

    @torch.no_grad()
    def step(self, observation: NDArray[Any], state: State) -> tuple[NDArray[Any], State]:
        """One control step: observation [in] or [B, in] to action [out] or [B, out] in [-1, 1], and the next state."""
        if observation.shape[-1] != self.inputs or observation.ndim > 2:
            raise ValueError(f"observation: found shape {observation.shape}, wanted ({self.inputs},) or (B, {self.inputs})")
        rows = torch.from_numpy(np.ascontiguousarray(observation, np.float32).reshape(-1, self.inputs))
        action, state = self.module.step(rows, state)
        return action.numpy().reshape(*observation.shape[:-1], self.outputs), state

    @torch.no_grad()
    def reset_rows(self, state: State, mask: NDArray[Any]) -> State:
        """The state of a batch with those vehicles back at the initial state whose mask [B] is true."""
        return restart(self.module, state, torch.from_numpy(np.asarray(mask, bool)))

    def spike_rates(self, state: State) -> tuple[float, ...]:
        """Share of the neurons of each layer that spiked in the last step; () where the module tells none."""
        return actors.spike_rates(self.module, state)
