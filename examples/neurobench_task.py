"""The benchmark's task in NeuroBench's terms: its harness measures a network while that flies (pip install neurobench).

    python -m examples.neurobench_task

NeuroBench 2.3 maps the samples of a data loader to answers. In a closed loop the samples are not there before the flight.
So a sample is the number of a start here, and the answer is the flight that the network makes of it: the reward of each
step. Its own metrics need no change; return and survival take the place of accuracy.
"""

import gymnasium
import snntorch
import torch
from neurobench.benchmarks import Benchmark
from neurobench.metrics.abstract import WorkloadMetric
from neurobench.metrics.static import ConnectionSparsity, Footprint, ParameterCount
from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
from neurobench.models import NeuroBenchModel
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from examples import snntorch_policy
from spike_ctrl.evaluation.benchmark import EPISODE_STEPS, EVALUATION_SEED


class Pilot(NeuroBenchModel):
    """A torch module that flies: `initial_state(B)`, and `step` from observations [B, 18] to actions [B, 4] in [-1, 1]."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module.eval()
        self.add_activation_module(snntorch.SpikingNeuron)

    def __net__(self) -> nn.Module:
        return self.module

    @torch.no_grad()
    def __call__(self, starts: torch.Tensor) -> torch.Tensor:
        """Rewards [B, steps] of the flights from these starts [B], which are 0 to B - 1; NaN after a flight has ended."""
        vehicles = gymnasium.make_vec("spike_ctrl/Position-v0", num_envs=len(starts), box=1.5)
        observation, _ = vehicles.reset(seed=EVALUATION_SEED)
        state, flies = self.module.initial_state(len(starts)), torch.ones(len(starts), dtype=torch.bool)
        rewards = torch.full((len(starts), EPISODE_STEPS), torch.nan)
        for step in range(EPISODE_STEPS):
            action, state = self.module.step(torch.from_numpy(observation), state)
            observation, reward, terminated, _, _ = vehicles.step(action.numpy())
            rewards[flies, step] = torch.from_numpy(reward)[flies]
            flies &= ~torch.from_numpy(terminated)
        return rewards


class Return(WorkloadMetric):
    """Sum of the rewards of a flight."""

    def __call__(self, model: NeuroBenchModel, preds: torch.Tensor, data: tuple[torch.Tensor, torch.Tensor]) -> float:
        return float(preds.nansum(1).mean())


class Survival(WorkloadMetric):
    """Share of the flights that end in the box."""

    def __call__(self, model: NeuroBenchModel, preds: torch.Tensor, data: tuple[torch.Tensor, torch.Tensor]) -> float:
        return float(preds[:, -1].isfinite().float().mean())


def measured(module: nn.Module, starts: int = 64) -> dict:
    """What NeuroBench finds of a module that flies the first of the 1024 starts.

    SynapticOperations are those of a flight; a control step has a five-hundredth. NeuroBench keeps what each layer sees in
    every step until the batch ends: some 3 MB for each start.
    """
    numbers = torch.arange(starts)
    loader = DataLoader(TensorDataset(numbers, numbers), batch_size=starts)  # no target: nothing reads the second
    metrics = [Footprint, ConnectionSparsity, ParameterCount], [ActivationSparsity, SynapticOperations, Return, Survival]
    return Benchmark(Pilot(module), loader, [], [], list(metrics)).run(quiet=True)


if __name__ == "__main__":
    for name, figure in measured(snntorch_policy.policy().module).items():
        print(f"{name}: {figure}")
