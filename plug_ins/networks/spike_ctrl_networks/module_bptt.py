"""The method `bptt` for any torch module: torch differentiates the network, our kernels the vehicles."""

from collections.abc import Callable

import numpy as np
import torch

from spike_ctrl.learn import actor as actors
from spike_ctrl.learn import device
from spike_ctrl.learn.bptt import BPTT, Job, VehicleTile
from spike_ctrl.learn.objective import Objective
from spike_ctrl.snn.network_state import State, detach, each, restart
from spike_ctrl_networks import module_gradient
from spike_ctrl_networks.state_parts import leaves


class ModuleTile(VehicleTile):
    """Vehicles that fly at once with a module; memory: what it remembers of them, on the processor."""

    memory: State

    def arrays(self) -> dict[str, np.ndarray]:
        """All that changes."""
        return super().arrays() | {f"memory{index}": part.numpy() for index, part in enumerate(leaves(self.memory))}


class ModuleGradient(BPTT):
    """Learns by flying a model of the airframe, with one tile of all vehicles of an update."""

    fuses = False
    beyond: Callable[[torch.Tensor], torch.Tensor] | None = None  # of `module_gradient.fly_module`

    def _tile(self) -> ModuleTile:
        sensors = self.recipe.task.randomisation.sensors
        tile = ModuleTile(self.airframe, self.size, 0, self._rest, sensors)
        tile.memory = each(torch.Tensor.cpu, self.actor.initial_state(self.size))
        return tile

    def _fly(self, jobs: list[Job], objective: Objective, k: float) -> np.ndarray:
        ((tile, flight),) = jobs
        assert isinstance(tile, ModuleTile)
        place = device.of(self.actor)
        memory = each(lambda part: part.to(place), tile.memory)
        flown = module_gradient.fly_module(
            lambda observation, state: self.step(observation, state, k),
            memory, tile.buffer, self._motion, self._rest, tile.command, flight, objective, self.beyond,
        )  # fmt: skip
        self.optimiser.zero_grad(set_to_none=False)
        torch.autograd.backward(flown.cost)
        tile.memory, tile.command[:] = each(torch.Tensor.cpu, flown.state), flown.command
        return flown.errors

    def step(self, observation: torch.Tensor, state: State, k: float) -> tuple[torch.Tensor, State]:
        """One step of the actor, where it is; the vehicles fly on the processor."""
        action, after = actors.step(self.actor, observation.to(device.of(self.actor)), state, k)
        return action.cpu(), after

    def _restart(self, tile: VehicleTile, who: np.ndarray, index: int) -> None:
        super()._restart(tile, who, index)
        assert isinstance(tile, ModuleTile)
        tile.memory = detach(restart(self.actor, tile.memory, torch.from_numpy(who)))
