"""The policy on the aircraft: one network step in numpy alone, for one vehicle or a batch."""

from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from spike_ctrl.policy.command_telling import CommandTelling
from spike_ctrl.policy.voltage_input import VoltageInput
from spike_ctrl.snn.membrane import fires, remainder, subtracted
from spike_ctrl.snn.neuron import PAPER, Neuron, Reset
from spike_ctrl.snn.weight_shapes import network_sizes, weight_shapes


class PolicyState(NamedTuple):
    """Membrane and spike of all hidden neurons, layer after layer: [N], or [N, B] for a batch of B vehicles."""

    membrane: np.ndarray
    spike: np.ndarray


class SpikingPolicy:
    """A trained network that steps in numpy, in the floating-point type of its weights.

    It holds no state: what a step needs goes in and comes out, and what comes out may be kept. Equal to
    `SpikingNetwork.step` up to rounding. Matrix products round differently for one vehicle and for a batch, and from
    machine to machine; a membrane within some 1e-6 of its threshold may therefore spike in one and not in the other.
    voltage: how the last number of an observation tells the battery's; None: it does not. learns_plant: as the checkpoint's
    manifest says.

        state = policy.initial_state()
        action, state = policy.step(observation, state)
    """

    learns_plant = False

    def __init__(self, weights: Mapping[str, np.ndarray], neuron: Neuron = PAPER, voltage: VoltageInput | None = None):
        self.sizes, self.neuron, self.voltage = network_sizes(weights, neuron.recurrent), neuron, voltage
        for name, shape in weight_shapes(self.sizes, neuron.recurrent).items():
            if name not in weights or weights[name].shape != shape:
                found = weights[name].shape if name in weights else "nothing"
                raise ValueError(f"{name}: found {found}, wanted shape {shape}")
        hidden = [f"layer{index}" for index in range(len(self.sizes) - 2)]
        edges = np.cumsum([0, *self.sizes[1:-1]])
        self._layers = [
            (slice(start, end), np.ascontiguousarray(weights[f"{layer}.weight"]), weights[f"{layer}.theta"])
            for layer, (start, end) in zip(hidden, pairwise(edges.tolist()), strict=True)
        ]
        bias, beta, theta = (
            np.concatenate([weights[f"{layer}.{name}"] for layer in hidden]) for name in ("bias", "beta", "theta")
        )
        output = np.ascontiguousarray(weights["output.weight"]), np.array(weights["output.bias"])
        self.dtype = theta.dtype
        self._single = _Constants(bias, beta, theta, *output)
        self._batch = _Constants(bias[:, None], beta[:, None], theta[:, None], output[0], output[1][:, None])

    @property
    def inputs(self) -> int:
        """Numbers in an observation."""
        return self.sizes[0]

    @property
    def outputs(self) -> int:
        """Numbers in an action."""
        return self.sizes[-1]

    @property
    def theta(self) -> np.ndarray:
        """Thresholds of all hidden neurons, [N], in the order of the state."""
        return self._single.theta

    def initial_state(self, batch: int | None = None) -> PolicyState:
        """Zero membranes and no spikes, for one vehicle or for a batch."""
        neurons = len(self._single.theta)
        shape = neurons if batch is None else (neurons, batch)
        return PolicyState(np.zeros(shape, self.dtype), np.zeros(shape, self.dtype))

    def require_fit(self, observation: np.ndarray, state: PolicyState) -> None:
        """Raise ValueError where an observation is not one row of inputs for each vehicle of the state."""
        wanted = *state.membrane.shape[1:], self.sizes[0]
        if observation.shape != wanted:
            raise ValueError(f"observation: found shape {observation.shape}, wanted {wanted}")

    def step(self, observation: np.ndarray, state: PolicyState) -> tuple[np.ndarray, PolicyState]:
        """One control step: observation [in] or [B, in] to action [out] or [B, out] in [-1, 1], and the new state."""
        bias, beta, theta, weight, output_bias = self._single if observation.ndim == 1 else self._batch
        self.require_fit(observation, state)
        # What does not depend on this step's input is done for all layers at once.
        hard = self.neuron.reset is Reset.HARD
        membrane = remainder(state.membrane, state.spike, beta, hard)
        membrane -= subtracted(state.spike, theta, hard)
        membrane += bias
        spike = np.empty_like(membrane)
        signal = observation.T.astype(self.dtype, copy=False)
        for rows, layer_weight, layer_theta in self._layers:
            u, s = membrane[rows], spike[rows]
            if layer_weight.shape[1] > len(signal):  # recurrent
                signal = np.concatenate([signal, state.spike[rows]])
            u += np.dot(layer_weight, signal)
            s[:] = fires(u, layer_theta if u.ndim == 1 else layer_theta[:, None])
            signal = s
        action = np.dot(weight, signal)
        action += output_bias
        np.tanh(action, out=action)
        return np.ascontiguousarray(action.T), PolicyState(membrane, spike)

    @cached_property
    def telling(self) -> CommandTelling | None:
        """How it is told the commands of others; None for one that does not learn its plant, or does not hear itself."""
        if not (self.learns_plant and self.neuron.recurrent):
            return None
        rows, weight, _ = self._layers[-1]
        width = rows.stop - rows.start
        return CommandTelling(self._single.output_weight, weight[:, -width:], self._single.beta[rows], rows)

    def told(self, state: PolicyState, own: np.ndarray, commanded: np.ndarray) -> PolicyState:
        """The state after a step whose answer was `own`, where another action was commanded; both [B, out] or [out]."""
        if self.telling is None:
            return state
        return state._replace(membrane=self.telling.membrane(state.membrane, own, commanded))

    def reset_rows(self, state: PolicyState, mask: np.ndarray) -> PolicyState:
        """The state of a batch with those vehicles back at the initial state whose mask [B] is true."""
        keep = ~np.asarray(mask, bool)
        if keep.shape != state.membrane.shape[1:]:
            raise ValueError(f"mask: found shape {keep.shape}, wanted {state.membrane.shape[1:]}")
        return PolicyState(*(np.where(keep, values, values.dtype.type(0)) for values in state))

    def spike_rates(self, state: PolicyState) -> tuple[float, ...]:
        """Share of the neurons of each layer that spiked in the last step, over the batch."""
        one = self.dtype.type
        return tuple([float(one(np.count_nonzero(s := state.spike[rows])) / s.size) for rows, _, _ in self._layers])


class _Constants(NamedTuple):
    bias: np.ndarray
    beta: np.ndarray
    theta: np.ndarray
    output_weight: np.ndarray
    output_bias: np.ndarray
