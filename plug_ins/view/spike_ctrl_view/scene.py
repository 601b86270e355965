"""The geometry that the viewer draws: vehicles, paths, neurons."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

QUIET, SPIKING = np.array([160.0, 166, 176]), np.array([230.0, 40, 40])  # a neuron that spikes in no step, in every step
PATH_LENGTH, JUMP = 400, 0.5  # positions in a path; m, a longer step starts a new path
Colour = tuple[int, int, int]
Way = Sequence[tuple[NDArray[Any], Colour]]  # coloured points
# Of the parts of a vehicle, in arm lengths: centre, and size along the body's axes (forward, left, up), before it is turned.
BODY, NOSE = ((0.0, 0.0, 0.0), (0.55, 0.4, 0.16)), ((0.38, 0.0, 0.0), (0.3, 0.12, 0.1))
ARM, ROTOR = (2.0, 0.09, 0.06), (0.46, 0.05)  # size of an arm that reaches from rotor to rotor; radius and height of a disc
ROTORS = np.array([[1, -1], [-1, -1], [-1, 1], [1, 1]]) / np.sqrt(2)  # front-right, back-right, back-left, front-left


def quadrotor(size: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Vertices (V, 3) in m and faces (F, 3) of a vehicle in its body frame. size: from its centre to its rotors, m."""
    from trimesh import creation, util
    from trimesh.transformations import rotation_matrix, translation_matrix

    parts = [creation.box(extents, translation_matrix(centre)) for centre, extents in (BODY, NOSE)]
    parts += [creation.box(ARM, rotation_matrix(turn, (0, 0, 1))) for turn in (np.pi / 4, -np.pi / 4)]
    radius, height = ROTOR
    parts += [creation.cylinder(radius, height, sections=20, transform=translation_matrix((x, y, 0.1))) for x, y in ROTORS]
    whole = util.concatenate(parts)
    return size * np.asarray(whole.vertices, np.float32), np.asarray(whole.faces, np.uint32)


def quaternions(rotation: NDArray[Any]) -> NDArray[Any]:
    """Quaternions w, x, y, z (N, 4) of rotation matrices (N, 3, 3), by the largest of the four: exact for any turn."""
    m = rotation
    t = np.stack([m[:, 0, 0], m[:, 1, 1], m[:, 2, 2]], axis=1)
    squared = np.column_stack([1 + t.sum(1), *(1 + 2 * t[:, i] - t.sum(1) for i in range(3))])  # 4 w², 4 x², 4 y², 4 z²
    wx, wy, wz = m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]
    xy, xz, yz = m[:, 0, 1] + m[:, 1, 0], m[:, 0, 2] + m[:, 2, 0], m[:, 1, 2] + m[:, 2, 1]
    rows = np.array(
        [
            [squared[:, 0], wx, wy, wz],
            [wx, squared[:, 1], xy, xz],
            [wy, xy, squared[:, 2], yz],
            [wz, xz, yz, squared[:, 3]],
        ]
    )
    largest: NDArray[Any] = rows[squared.argmax(1), :, np.arange(len(m))]
    unit: NDArray[Any] = largest / np.linalg.norm(largest, axis=1, keepdims=True)
    return unit


def colour(code: str) -> Colour:
    """Red, green, blue, 0..255, of a code such as #2369bd."""
    red, green, blue = bytes.fromhex(code[1:])
    return red, green, blue


def box(half: float) -> NDArray[Any]:
    """The edges (12, 2, 3) of a cube around the origin. half: half its edge, m."""
    corners: NDArray[Any] = half * (2 * np.indices((2, 2, 2)).reshape(3, 8).T - 1.0)
    pairs = [(i, i + (1 << axis)) for axis in range(3) for i in range(8) if not i >> axis & 1]
    edges: NDArray[Any] = corners[np.array(pairs)]
    return edges


def segments(way: Way) -> tuple[NDArray[Any], NDArray[Any]]:
    """The pieces (N - 1, 2, 3) of a path through N coloured points, and their colours. One point: no length."""
    points, colours = zip(*(way if len(way) > 1 else (*way, *way)), strict=True)
    place = np.asarray(points, np.float32)
    return np.stack([place[:-1], place[1:]], axis=1), np.repeat(np.asarray(colours, np.uint8)[1:, None], 2, axis=1)


def coloured_path(before: Way, position: NDArray[Any], colour: Colour) -> Way:
    """The last PATH_LENGTH points (position (3,), colour). A jump starts a new path, because an episode starts there."""
    if len(before) and np.linalg.norm(position - before[-1][0]) > JUMP:
        return ((position, colour),)
    return (*before[1 - PATH_LENGTH :], (position, colour))


def rotation(quaternion: ArrayLike) -> NDArray[Any]:
    """The rotation matrices (..., 3, 3) of quaternions x, y, z, w (..., 4)."""
    x, y, z, w = np.moveaxis(np.asarray(quaternion), -1, 0)
    found = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    return np.moveaxis(found, (0, 1), (-2, -1))


def spikes(message: Any) -> tuple[NDArray[Any], list[int]]:
    """The spikes of a message, (steps, neurons) of 0 or 1, and the number of neurons of each layer; malformed: no steps."""
    layers = list(message.neurons)
    packed, width = np.frombuffer(message.spikes, np.uint8), (sum(layers) + 7) // 8
    packed = packed.reshape(-1, width) if width and len(packed) % width == 0 else np.empty((0, width), np.uint8)
    return np.unpackbits(packed, axis=1, count=sum(layers)), layers


def neurons(layers: Sequence[int], box: float) -> NDArray[Any]:
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


def glow(share: NDArray[Any]) -> NDArray[Any]:
    """Colours (neurons, 3) uint8, from grey to red. share: (neurons,) of the steps in which each neuron spiked."""
    colours: NDArray[Any] = (QUIET + share[:, None] * (SPIKING - QUIET)).astype(np.uint8)
    return colours
