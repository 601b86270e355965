"""The ordinary network that the spiking one is compared with: ReLU layers, with or without past actions as inputs.

It learns by imitation (DAgger): the network flies, and the guide labels every state that it visits.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from spike_ctrl.airframe import Airframe
from spike_ctrl.control.geometric_guide import Gains, GeometricGuide
from spike_ctrl.learn.actor import descend_
from spike_ctrl.learn.adam import Adam
from spike_ctrl.sim.action_mapping import at_hover
from spike_ctrl.sim.environment import Environment, Task

OBSERVATION, ACTIONS = 18, 4
NOISE = 0.1  # standard deviation of the noise on its actions while it learns


class DensePolicy:
    """A trained network in numpy, which is also a controller for `evaluate`.

    weights: (weight [out, in], bias [out]) of each layer. history: number of past actions among the inputs.
    """

    def __init__(self, weights: list[tuple[np.ndarray, np.ndarray]], history: int):
        self.weights, self.history = weights, history
        self.sizes = (weights[0][0].shape[1], *(weight.shape[0] for weight, _ in weights))

    def begin(self, vehicles: int) -> None:
        """Start flights of so many vehicles, with empty histories."""
        self._past = np.zeros((vehicles, ACTIONS * self.history), np.float32)

    def layers(self, observation: np.ndarray) -> list[np.ndarray]:
        """The input of each layer, and at the end the action, for observations (N, 18). The histories stay as they are."""
        signals = [np.concatenate([observation, self._past], axis=1)]
        for weight, bias in self.weights[:-1]:
            signals.append(np.maximum(signals[-1] @ weight.T + bias, 0))
        weight, bias = self.weights[-1]
        return [*signals, np.tanh(signals[-1] @ weight.T + bias)]

    def remember(self, action: np.ndarray) -> None:
        """Append the flown actions (N, 4) to the histories."""
        if self.history:
            self._past = np.concatenate([self._past[:, ACTIONS:], action], axis=1)

    def forget(self, who: np.ndarray) -> None:
        """Empty the histories of the vehicles in the mask (N,)."""
        self._past[who] = 0

    def act(self, observation: np.ndarray, environment: Environment) -> np.ndarray:
        """Actions (N, 4) for observations (N, 18); they are appended to the histories."""
        action = self.layers(observation)[-1].astype(np.float32)
        self.remember(action)
        return action


def imitate(
    airframe: Airframe, hidden: tuple[int, ...], history: int, steps: int, seed: int,
    gains: Gains, progress: Callable[[float, str], None] = lambda share, text: None,
) -> DensePolicy:  # fmt: skip
    """Train a network to imitate the guide on `steps` vehicle-steps of flight. At first the guide flies some vehicles.

    hidden: widths of the hidden layers. progress: takes the share done and a few words.
    """
    generator, random = torch.Generator().manual_seed(seed), np.random.default_rng([seed, 4])
    sizes = (OBSERVATION + ACTIONS * history, *hidden, ACTIONS)
    net = _network(sizes, math.atanh(at_hover(airframe)), generator)
    optimiser = Adam(net.parameters(), 2e-3)
    vehicles, rounds = 128, 50  # steps of all vehicles between two updates
    gathers = max(1, steps // (vehicles * rounds))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, gathers, 1e-4)
    environment = Environment(airframe, vehicles, Task(box=1.5, episode_steps=150))
    guide = GeometricGuide(airframe, gains)
    observation, _ = environment.reset(seed=seed)
    guide_state, ended = guide.initial_state(vehicles), np.zeros(vehicles, bool)
    policy = DensePolicy(_weights(net), history)
    policy.begin(vehicles)
    seen, labels = [], []
    for gather in range(gathers):
        policy.weights = _weights(net)
        by_guide = random.random(vehicles) < 1 - 5 * gather / gathers
        for _ in range(rounds):
            advice, guide_state = guide.act(observation, guide_state, environment.rotor_speed, environment.disturbance)
            signals = policy.layers(observation)
            flying = ~ended  # the step after an episode's end only starts a new one
            seen.append(signals[0][flying].astype(np.float32))
            labels.append(advice[flying])
            noisy = signals[-1] + NOISE * random.standard_normal((vehicles, ACTIONS))
            action = np.where(by_guide[:, None], advice, noisy.clip(-1, 1)).astype(np.float32)
            policy.remember(action)
            observation, _, terminated, truncated, _ = environment.step(action)
            policy.forget(ended)
            guide_state[ended] = 0
            ended = terminated | truncated
        seen, labels = seen[-20 * rounds :], labels[-20 * rounds :]
        inputs, wanted = map(torch.from_numpy, (np.concatenate(seen), np.concatenate(labels)))
        for _ in range(30):
            rows = torch.randint(len(inputs), (1024,), generator=generator)
            loss = (net(inputs[rows]) - wanted[rows]).square().mean()
            descend_(optimiser, loss)
        schedule.step()
        progress((gather + 1) / gathers, f"imitation error {loss.item():.4f}")
    return DensePolicy(_weights(net), history)


def _network(sizes: tuple[int, ...], output_bias: float, generator: torch.Generator) -> nn.Sequential:
    """Linear - ReLU - ... - Linear - tanh, initialised as torch does but from this generator."""
    layers: list[nn.Module] = []
    for inputs, width in pairwise(sizes):
        layer, bound = nn.Linear(inputs, width), 1 / math.sqrt(inputs)
        nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
        layers += [layer, nn.ReLU()]
    nn.init.constant_(layers[-2].bias, output_bias)
    return nn.Sequential(*layers[:-1], nn.Tanh())


def _weights(net: nn.Sequential) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(m.weight.detach().numpy().copy(), m.bias.detach().numpy().copy()) for m in net if isinstance(m, nn.Linear)]
