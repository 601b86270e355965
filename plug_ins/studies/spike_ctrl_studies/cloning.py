"""Behaviour cloning: a spiking network learns the guide's actions on flights that the guide flew."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from spike_ctrl.airframe import Airframe
from spike_ctrl.control.geometric_guide import Gains
from spike_ctrl.evaluation.benchmark import VALIDATION_SEED, evaluate
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.evaluation.evaluation_result import Evaluation
from spike_ctrl.learn.actor import descend_
from spike_ctrl.learn.adam import Adam
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.sim.action_mapping import at_hover
from spike_ctrl.snn import slope_schedule
from spike_ctrl.snn.network import SpikingNetwork
from spike_ctrl.snn.neuron import PAPER
from spike_ctrl_studies import guide_flights


@dataclass(frozen=True)
class CloningSettings:
    """Settings. A window starts from the zero state, and its first `burn_in` steps do not count in the loss."""

    hidden: tuple[int, ...] = (256, 128)
    vehicles: int = 256
    steps: int = 400
    window: int = 50
    burn_in: int = 10
    batch: int = 32
    epochs: int = 60
    learning_rate: float = 2e-3
    starts: int = 256  # starts of the validation after each epoch


class Epoch(NamedTuple):
    """One epoch, counted from 1: its mean loss, its slope k, and the evaluation and weights after it."""

    number: int
    loss: float
    k: float
    evaluation: Evaluation
    weights: dict[str, np.ndarray]


def clone(
    cloning: CloningSettings, schedule: slope_schedule.Schedule, airframe: Airframe, gains: Gains, seed: int,
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> Iterator[Epoch]:  # fmt: skip
    """Learn for `cloning.epochs` passes over the guide's flights, and give each epoch.

    schedule: gives the slope of each epoch from the return after the one before. progress: takes the share done and words.
    """
    generator = torch.Generator().manual_seed(seed)
    bias = [math.atanh(at_hover(airframe))] * 4
    network = SpikingNetwork((18, *cloning.hidden, 4), generator=generator, output_bias=bias)
    optimiser = Adam(network.parameters(), cloning.learning_rate)
    windows = [
        cut(array, cloning.window) for array in guide_flights.flights(airframe, cloning.vehicles, cloning.steps, seed, gains)
    ]
    first = np.arange(windows[0].shape[1]) < cloning.vehicles  # windows that start an episode, from the zero state
    observation, label = map(torch.from_numpy, windows)
    settled = torch.from_numpy((np.arange(cloning.window)[:, None] >= cloning.burn_in) | first).float()
    state = schedule.initial()
    for epoch in range(1, cloning.epochs + 1):
        losses, order = [], torch.randperm(observation.shape[1], generator=generator)
        for rows in order.split(cloning.batch):
            action, _, _ = network.unroll(observation[:, rows], network.initial_state(len(rows)), state.k)
            error = (action - label[:, rows]).square().mean(-1)
            loss = (error * settled[:, rows]).sum() / settled[:, rows].sum()
            descend_(optimiser, loss, network)
            losses.append(loss.item())
        weights = network.weights()
        flown = PolicyController(SpikingPolicy(weights, PAPER))
        evaluation = evaluate(flown, airframe, seed=VALIDATION_SEED, starts=cloning.starts)
        yield Epoch(epoch, float(np.mean(losses)), state.k, evaluation, weights)
        state = schedule.update(state, evaluation.headline, epoch / cloning.epochs)
        progress(epoch / cloning.epochs, f"epoch {epoch}, return {evaluation.headline:.0f}")


def cut(flights: np.ndarray, window: int) -> np.ndarray:
    """Cut flights (T, N, d) into windows (window, N * (T // window), d), ordered by time and then by vehicle."""
    count = len(flights) // window
    pieces = flights[: count * window].reshape(count, window, *flights.shape[1:])
    return np.ascontiguousarray(np.concatenate(list(pieces), axis=1))
