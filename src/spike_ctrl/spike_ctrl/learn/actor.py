"""The network that learns: ours, or any torch module with two methods.

    class Mine(torch.nn.Module):
        def __init__(self, inputs: int, outputs: int, generator: torch.Generator, **what_the_recipe_says): ...
        def initial_state(self, batch: int) -> State: ...
        def step(self, observation: Tensor, state: State) -> tuple[Tensor, State]: ...     # [B, in] -> [B, out] in [-1, 1]

A state is a tensor [B, ...] or a tuple or NamedTuple of states. A module may also have

    unroll(observation [T, B, in], state, slope)   many steps at once, where that is faster: actions, state, spike rates
    unroll_episodes(observation, state, slope, first)   the same over ends of episodes: bool [T, B], the steps that begin one
    project_()              brings its parameters back into their ranges after each optimiser step
    slope                   an attribute that is set to the surrogate slope k of the recipe's schedule before each update
    spike_rates(state)      a tuple with the share of neurons of each layer that spiked in the last step
"""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from spike_ctrl import plug_ins
from spike_ctrl.airframe import Airframe
from spike_ctrl.learn.recipe_blocks import NetworkSettings
from spike_ctrl.sim.action_mapping import at_hover
from spike_ctrl.snn.network import SpikingNetwork, average_
from spike_ctrl.snn.network_state import State, detach, restart
from spike_ctrl.snn.neuron import Neuron, Reset

ACTION_SIZE = 4
FAST_UPDATES = 200  # until then the average forgets the untrained network faster
FAST_RATE = 0.05


def make(settings: NetworkSettings, airframe: Airframe, generator: torch.Generator) -> nn.Module:
    """The network that a recipe asks for, at its random start. Raises UsageError where it names code that does not fit."""
    if settings.code:
        made: nn.Module = other_networks().make(settings.code, settings.inputs, ACTION_SIZE, generator)
        return made
    neuron = Neuron(Reset(settings.reset), settings.detach_reset, settings.recurrent)
    hover = math.atanh(at_hover(airframe))
    sizes = (settings.inputs, *settings.hidden, ACTION_SIZE)
    return SpikingNetwork(sizes, neuron, generator=generator, output_bias=[hover] * ACTION_SIZE)


def other_networks() -> Any:
    """The plug-in for networks that are not ours. Raises UsageError where it is not installed."""
    return plug_ins.load("networks", "module", "network")


@contextmanager
def seeded(generator: torch.Generator) -> Iterator[None]:
    """Within, what is drawn from torch's own generator follows from this one, as the layers of torch.nn do."""
    seed = int(torch.randint(0, 2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def unroll(
    actor: Any, observation: torch.Tensor, state: State, slope: float, first: torch.Tensor | None = None
) -> tuple[torch.Tensor, State, tuple[torch.Tensor, ...]]:
    """T steps of [T, B, in]: actions [T, B, out], state, spike rates by layer. first: bool [T, B], where one begins anew."""
    if first is None and hasattr(actor, "unroll"):
        return actor.unroll(observation, state, slope)  # type: ignore[no-any-return]
    if isinstance(actor, SpikingNetwork):
        return actor.unroll(observation, state, slope, first)
    if hasattr(actor, "unroll_episodes"):
        return actor.unroll_episodes(observation, state, slope, first)  # type: ignore[no-any-return]
    actions, rates = [], []
    for t, row in enumerate(observation):
        if first is not None:
            state = restart(actor, state, first[t])
        action, state = step(actor, row, state, slope)
        actions.append(action)
        rates.append(spike_rates(actor, state))
    return torch.stack(actions), state, tuple(torch.tensor(rates).mean(0))


def step(actor: Any, observation: torch.Tensor, state: State, slope: float) -> tuple[torch.Tensor, State]:
    """One control step: observation [B, in] to action [B, out], and the next state."""
    if isinstance(actor, SpikingNetwork):
        return actor.step(observation, state, slope)
    if hasattr(actor, "slope"):
        actor.slope = slope
    return actor.step(observation, state)  # type: ignore[no-any-return]


def spike_rates(actor: nn.Module, state: State) -> tuple[float, ...]:
    """Share of the neurons of each layer that spiked in the last step; () where nothing spikes."""
    ask = getattr(actor, "spike_rates", None)
    return tuple(float(rate) for rate in ask(detach(state))) if ask else ()


def project_(actor: nn.Module) -> None:
    """Bring the parameters back into their ranges; call it after each optimiser step."""
    if project := getattr(actor, "project_", None):
        project()


def descend_(optimiser: torch.optim.Optimizer, loss: torch.Tensor, *modules: nn.Module, clip: float = 1.0) -> None:
    """One step down the gradient of a loss, whose norm is kept to `clip` in each of the modules; they keep their ranges."""
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    for module in modules:  # each by itself: one may not outshout the other
        nn.utils.clip_grad_norm_(module.parameters(), clip)
    optimiser.step()
    for module in modules:
        project_(module)


class AveragedNetwork:
    """Exponential average of a network's parameters, moved by `rate` per update; 1 is the network itself.

    It is what is evaluated and shipped, while the network that learns goes on jittering.
    """

    def __init__(self, network: nn.Module, rate: float):
        self.network, self.rate, self.updates = copy.deepcopy(network).requires_grad_(False), rate, 0

    def follow(self, source: nn.Module) -> None:
        """One update of the source has been made."""
        self.updates += 1
        early = self.updates < FAST_UPDATES
        average_(self.network, source, max(self.rate, FAST_RATE) if early else self.rate)
