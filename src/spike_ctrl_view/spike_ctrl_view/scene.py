"""The geometry that the viewer draws: vehicles as crosses of their arms, paths, neurons."""

from collections.abc import Sequence

import numpy as np

POLICY, GUIDE = np.array([35, 105, 189], np.uint8), np.array([217, 114, 46], np.uint8)  # colours by who flies the vehicle
SET_POINT, PATH = (47, 148, 103), (120, 130, 145)
LAYERS = ((35, 105, 189), (47, 148, 103))
QUIET, SPIKING = (
    np.array([160.0, 166, 176]),
    np.array([230.0, 40, 40]),
)  # a neuron that spikes in no step, in every step
PATH_LENGTH, JUMP = 400, 0.5  # positions in a path; m, a longer step starts a new path
ARMS = np.array([[[1, -1, 0], [-1, 1, 0]], [[-1, -1, 0], [1, 1, 0]]]) / np.sqrt(2)  # front-right to back-left, and the other


def crosses(position: np.ndarray, rotation: np.ndarray, size: float) -> np.ndarray:
    """Two lines for each of N vehicles, (2 N, 2, 3) in m. position: (N, 3) m. rotation: (N, 3, 3) body to world. size: m."""
    ends = position[:, None, None, :] + size * np.einsum("nij,akj->naki", rotation, ARMS)
    return ends.reshape(-1, 2, 3)


def path(before: Sequence, position: np.ndarray) -> tuple:
    """The last PATH_LENGTH positions (3,). A jump starts a new path, because an episode starts there."""
    if len(before) and np.linalg.norm(position - before[-1]) > JUMP:
        return (position,)
    return (*before[1 - PATH_LENGTH :], position)


def rotation(quaternion: Sequence[float]) -> np.ndarray:
    """The rotation matrix (3, 3) of a quaternion x, y, z, w."""
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def spikes(message) -> tuple[np.ndarray, list[int]]:
    """The spikes of a message, (steps, neurons) of 0 or 1, and the number of neurons of each layer."""
    layers = list(message.neurons)
    packed = np.frombuffer(message.spikes, np.uint8).reshape(-1, (sum(layers) + 7) // 8)
    return np.unpackbits(packed, axis=1, count=sum(layers)), layers


def neurons(layers: Sequence[int], box: float) -> np.ndarray:
    """Places (neurons, 3) in m: each layer is a square on the north wall of the box. box: half its edge, m."""
    columns = [int(np.ceil(np.sqrt(count))) for count in layers]
    pitch = 2 * box / (sum(columns) + 2 * len(layers))  # two columns between layers
    left, found = pitch, []
    for count, width in zip(layers, columns, strict=True):
        row, column = np.divmod(np.arange(count), width)
        x, z = left + column * pitch, pitch * (row - (count - 1) // width / 2)
        found.append(np.stack([x - box, np.full(count, box), -z], axis=1))
        left += (width + 2) * pitch
    return np.concatenate(found)


def glow(share: np.ndarray) -> np.ndarray:
    """Colours (neurons, 3) uint8, from grey to red. share: (neurons,) of the steps in which each neuron spiked."""
    return (QUIET + share[:, None] * (SPIKING - QUIET)).astype(np.uint8)


def slug(name: str) -> str:
    """A name as part of a path in Rerun."""
    return name.replace(" ", "_").replace("-", "_")
