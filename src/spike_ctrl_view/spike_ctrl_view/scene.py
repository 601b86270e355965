"""What a viewer draws, as numbers: a vehicle is a cross of its two arms."""

from collections.abc import Sequence

import numpy as np

POLICY, GUIDE = np.array([35, 105, 189], np.uint8), np.array([217, 114, 46], np.uint8)  # who flies it
SET_POINT, PATH = (47, 148, 103), (120, 130, 145)
PATH_LENGTH, JUMP = 400, 0.5  # positions, m
ARMS = np.array([[[1, -1, 0], [-1, 1, 0]], [[-1, -1, 0], [1, 1, 0]]]) / np.sqrt(2)  # front-right to back-left, and the other


def crosses(position: np.ndarray, rotation: np.ndarray, size: float) -> np.ndarray:
    """Two lines for each of N vehicles, (2 N, 2, 3) m. position (N, 3); rotation (N, 3, 3) body FLU to world; size m."""
    ends = position[:, None, None, :] + size * np.einsum("nij,akj->naki", rotation, ARMS)
    return ends.reshape(-1, 2, 3)


def path(before: Sequence, position: np.ndarray) -> tuple:
    """The way of the last PATH_LENGTH positions (3,); it begins anew where an episode does, with a jump."""
    if len(before) and np.linalg.norm(position - before[-1]) > JUMP:
        return (position,)
    return (*before[1 - PATH_LENGTH :], position)


def rotation(quaternion: Sequence[float]) -> np.ndarray:
    """The matrix (3, 3) of a quaternion x, y, z, w."""
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def slug(name: str) -> str:
    """A name as a part of a path."""
    return name.replace(" ", "_").replace("-", "_")
