"""Tells a policy in shadow the commands of others: its recurrent layer hears them as if it had given them.

A policy that learns its plant from what its own commands do learns something wrong in shadow, where they do nothing. Its
last action is not among its inputs. But its last hidden layer hears its own last spikes s through the weights R, and the
action is tanh(W s + b). Had it commanded u' in the place of u, its spikes would have differed by d with
W d = atanh u' - atanh u; the smallest such d is W+ (atanh u' - atanh u), with the pseudo-inverse W+. So the layer's current
of the next step changes by R d. That is put into the membrane now, divided by the leak that comes before the step:

    U += R W+ (atanh u' - atanh u) / beta

Where both commands are equal nothing changes. No weight is trained for it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
LARGEST = np.float32(0.99)  # of an action, before atanh
LEAST_LEAK = 1e-3  # a neuron that forgets faster is told nothing


class Commanded(NamedTuple):
    """What was commanded to N vehicles in answer to the state of a tick.

    action: float32 (N, 4). by: name and epoch of the checkpoint whose answer it was; None: of none.
    """

    tick: int
    action: NDArray[np.float32]
    by: tuple[str, int] | None = None


class CommandTelling:
    """output (A, H): weights from the last hidden layer to the action. own (H, H): from that layer to itself.

    beta (H,): its leaks. rows: where that layer is in a state.
    """

    def __init__(self, output: Array, own: Array, beta: Array, rows: slice) -> None:
        keeps = beta > LEAST_LEAK
        leak = np.where(keeps, beta, 1).astype(float)
        gain = np.where(keeps, 1.0, 0.0)[:, None] * (own.astype(float) @ np.linalg.pinv(output.astype(float)))
        self.gain, self.rows = (gain / leak[:, None]).astype(np.float32), rows

    def membrane(self, membrane: Array, own: Array, commanded: Array) -> Array:
        """The membranes [N] or [N, B] after a step whose own action was `own`, [A] or [B, A], and another was commanded."""
        told = np.arctanh(np.clip(commanded.astype(np.float32, copy=False), -LARGEST, LARGEST))
        apart = (told - np.arctanh(np.clip(own, -LARGEST, LARGEST))).T
        change = np.zeros_like(membrane[self.rows])
        for column, each in zip(self.gain.T, apart, strict=True):  # one order of the sums: flights are replayed bit by bit
            change += np.multiply.outer(column, each) if membrane.ndim == 2 else column * each
        after = membrane.copy()
        after[self.rows] += change
        return after
