"""A Loihi network with the interface of `Policy`: integers, time step by time step, as the chip computes them."""

import numpy as np
from numpy.typing import NDArray

from spike_ctrl.policy.numpy_runtime import PolicyState
from spike_ctrl_silicon.loihi_network import DECAY, DECAY_BITS, WEIGHT_SHIFT, LoihiNetwork, bits_of


class LoihiRuntime:
    """Steps a network of `loihi_network`. A step is one control step, which takes a time step of the chip per hidden layer.

    >>> from spike_ctrl.policy import checkpoint
    >>> from spike_ctrl_silicon.loihi_network import converted
    >>> runtime = LoihiRuntime(converted(checkpoint.load("crazyflie_hard_reset")))
    >>> action, state = runtime.step(np.zeros(18, np.float32), runtime.initial_state())
    """

    def __init__(self, network: LoihiNetwork) -> None:
        self.network, self.voltage = network, network.voltage
        self.inputs, self.outputs = network.sizes[0], network.sizes[-1]
        self.widths = network.sizes[1:-1]
        self._weights = [layer.weight.T.astype(float) for layer in network.layers]  # sums are exact below 2^53

    def initial_state(self, batch: int | None = None) -> PolicyState:
        """Zero membranes and no spikes, int64 [N] or [N, B]."""
        shape = sum(self.widths) if batch is None else (sum(self.widths), batch)
        return PolicyState(np.zeros(shape, np.int64), np.zeros(shape, np.int64))

    def step(self, observation: NDArray[np.float32], state: PolicyState) -> tuple[NDArray[np.float32], PolicyState]:
        """One control step: observation [in] or [B, in] to action [out] or [B, out], and the new state."""
        after = self.advance(observation, state)
        spikes = after.spike[-self.widths[-1] :].astype(np.float32)
        bias = self.network.output_bias if observation.ndim == 1 else self.network.output_bias[:, None]
        action: NDArray[np.float32] = np.tanh(self.network.output_weight @ spikes + bias)
        return np.ascontiguousarray(action.T), after

    def advance(self, observation: NDArray[np.float32], state: PolicyState) -> PolicyState:
        """The hidden layers after a control step. membrane: after its reset, at the end of the last time step."""
        signal, on = bits_of(observation), np.ones((1, *observation.shape[:-1]))
        membranes, spikes, start, steps = [], [], 0, len(self.widths)
        for index, layer in enumerate(self.network.layers):
            rows = slice(start, start + self.widths[index])
            decay = layer.decay if observation.ndim == 1 else layer.decay[:, None]
            membrane = state.membrane[rows]
            for _ in range(index):  # the time steps before its inputs come
                membrane = _leaked(membrane, decay)
            own = [state.spike[rows].astype(float)] if self.network.recurrent and index == steps - 1 else []
            current = self._weights[index] @ np.concatenate([signal, *own, on])
            membrane = _leaked(membrane, decay) + current.astype(np.int64)
            threshold = layer.threshold if observation.ndim == 1 else layer.threshold[:, None]
            fired = membrane > threshold << WEIGHT_SHIFT
            membrane = np.where(fired, 0, membrane)
            for _ in range(index + 1, steps):
                membrane = _leaked(membrane, decay)
            signal = fired.astype(float)
            membranes.append(membrane)
            spikes.append(fired.astype(np.int64))
            start = rows.stop
        return PolicyState(np.concatenate(membranes), np.concatenate(spikes))

    def reset_rows(self, state: PolicyState, mask: NDArray[np.bool_]) -> PolicyState:
        """The state of a batch with those vehicles back at the initial state whose mask [B] is true."""
        keep = ~np.asarray(mask, bool)
        return PolicyState(state.membrane * keep, state.spike * keep)

    def spike_rates(self, state: PolicyState) -> tuple[float, ...]:
        """Share of the neurons of each layer that spiked in the last step, over the batch."""
        return tuple(float(part.mean()) for part in np.split(state.spike, np.cumsum(self.widths)[:-1]))


def _leaked(membrane: NDArray[np.int64], decay: NDArray[np.int64]) -> NDArray[np.int64]:
    """v - sign(v) ceil(|v| decay / 2^12)."""
    lost = (np.abs(membrane) * decay + DECAY - 1) >> DECAY_BITS
    left: NDArray[np.int64] = (membrane - np.sign(membrane) * lost).astype(np.int64, copy=False)
    return left
