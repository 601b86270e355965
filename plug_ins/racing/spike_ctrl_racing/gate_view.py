"""What a racing policy sees in flight: the layout `racing_30` from the 18 numbers of a state and a course. Pure.

A course is laid out from its start: there lies the set-point, with the yaw of the first gate's normal, and stays there for
the whole race. So the 18 numbers tell where the vehicle is on the course. Which gate is next is part of the policy's state:
it goes on with each crossing. Hence a replay of the recorded states gives the same actions again.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.arrays import Floats, Integers, Number
from spike_ctrl._files.kernel import inlined, kernel
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl.sim.observation import SIZE as STATE_NUMBERS
from spike_ctrl_racing import course_path
from spike_ctrl_racing.gate_crossing import HIT, PASSED, crossing
from spike_ctrl_racing.race_kernels import AHEAD, GATE_NUMBERS, SIZE
from spike_ctrl_racing.track import Track

RADIUS = np.float32(course_path.RADIUS)
_ZERO, _ONE = np.float32(0), np.float32(1)


def laid_out(track: Track, start: tuple[float, float, float] = (0.0, 0.0, 0.0), yaw: float = 0.0) -> Floats:
    """The gates of a course, rows as of `track.gate_row`, with its start at a place (m) and its first gate ahead.

    yaw: rad, of the first gate's normal, in the frame of the place.
    """
    rows, origin = track.rows().astype(float), np.array(course_path.start(track))
    turn = yaw - math.atan2(rows[0, 4], rows[0, 3])
    c, s = math.cos(turn), math.sin(turn)
    turned = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])  # of row vectors
    rows[:, :3] = (rows[:, :3] - origin) @ turned + np.array(start)
    for axis in range(3, 12, 3):
        rows[:, axis : axis + 3] = rows[:, axis : axis + 3] @ turned
    return rows.astype(np.float32)


@inlined
def crosses(before: Floats, after: Floats, row: Floats) -> bool:
    """Whether the way between two positions leads through a gate along its normal. Who touches the frame is through, too."""
    what, _, _ = crossing((before[0], before[1], before[2]), (after[0], after[1], after[2]), row, RADIUS)
    ahead = (after[0] - row[0]) * row[3] + (after[1] - row[1]) * row[4] + (after[2] - row[2]) * row[5] >= _ZERO
    return (what == PASSED or what == HIT) and ahead


@kernel(cache=True)
def _crossed(before: Floats, after: Floats, row: Floats) -> bool:
    return crosses(before, after, row)


def crossed(before: tuple[float, float, float], after: tuple[float, float, float], row: Floats) -> bool:
    """The same of two positions as numbers."""
    return bool(_crossed(np.array(before, np.float32), np.array(after, np.float32), row))


@inlined
def _look(seen: Floats, gates: Floats, gate: int, out: Floats) -> None:
    """The observation of a vehicle with this gate next, from the 18 numbers in the frame of the gates."""
    row = gates[gate]
    level = math.sqrt(row[3] * row[3] + row[4] * row[4])
    cos: Number = row[3] / level if level > np.float32(1e-6) else _ONE
    sin: Number = row[4] / level if level > np.float32(1e-6) else _ZERO
    for vector in range(5):  # position, the columns of the rotation, velocity
        at, step = (0 if vector == 0 else 12 if vector == 4 else 2 + vector), (3 if 0 < vector < 4 else 1)
        x, y, z = seen[at], seen[at + step], seen[at + 2 * step]
        if vector == 0:
            x, y, z = x - row[0], y - row[1], z - row[2]
        out[at], out[at + step], out[at + 2 * step] = cos * x + sin * y, cos * y - sin * x, z
    for i in range(15, STATE_NUMBERS):
        out[i] = seen[i]
    for k in range(AHEAD):
        row, first = gates[(gate + k) % len(gates)], STATE_NUMBERS + k * GATE_NUMBERS
        x, y, z = row[0] - seen[0], row[1] - seen[1], row[2] - seen[2]
        for axis in range(3):
            a, b, c = seen[3 + axis], seen[6 + axis], seen[9 + axis]
            out[first + axis] = a * x + b * y + c * z
            out[first + 3 + axis] = a * row[3] + b * row[4] + c * row[5]


@kernel(cache=True)
def look(seen: Floats, gates: Floats, passed: Integers, place: Floats, out: Floats) -> None:
    """Go on to the next gate where the last step led through one, and write the observations.

    seen: float32 (N, 18) in the frame of the gates. passed: gates (N,), changed in place. place: the last position (N, 3),
    m, NaN at the start; changed in place. out: float32 (N, 30).
    """
    for n in range(len(seen)):
        if crosses(place[n], seen[n], gates[passed[n] % len(gates)]):
            passed[n] += 1
        for axis in range(3):
            place[n, axis] = seen[n, axis]
        _look(seen[n], gates, passed[n] % len(gates), out[n])


class OnCourse(NamedTuple):
    """The state of a policy on a course: that of its network, gates passed (N,), and its last position (N, 3), m."""

    network: Any
    passed: Integers
    place: Floats


class RacingPolicy:
    """A policy with the layout `racing_30` that answers the 18 numbers of a state, on a course."""

    def __init__(self, policy: Policy, track: Track) -> None:
        self.policy, self.track, self.gates = policy, track, laid_out(track)

    @property
    def inputs(self) -> int:
        """Numbers of a state."""
        return STATE_NUMBERS

    @property
    def outputs(self) -> int:
        """Numbers of an action."""
        return self.policy.outputs

    def initial_state(self, batch: int | None = None) -> OnCourse:
        """Before the first gate."""
        shape = () if batch is None else (batch,)
        return OnCourse(
            self.policy.initial_state(batch), np.zeros(shape, np.int64), np.full((*shape, 3), np.nan, np.float32)
        )

    def step(self, observation: NDArray[Any], state: OnCourse) -> tuple[NDArray[Any], OnCourse]:
        """One control step, as `Policy.step`."""
        seen = np.ascontiguousarray(np.atleast_2d(observation), np.float32)
        passed, place = state.passed.reshape(-1).copy(), state.place.reshape(-1, 3).copy()
        out = np.empty((len(seen), SIZE), np.float32)
        look(seen, self.gates, passed, place, out)
        shape = observation.shape[:-1]
        action, network = self.policy.step(out.reshape(*shape, SIZE), state.network)
        return action, OnCourse(network, passed.reshape(shape), place.reshape(*shape, 3))

    def reset_rows(self, state: OnCourse, mask: NDArray[Any]) -> OnCourse:
        """The state with the vehicles of the mask (N,) back before the first gate."""
        return OnCourse(
            self.policy.reset_rows(state.network, mask),
            np.where(mask, 0, state.passed),
            np.where(mask[:, None], np.float32(np.nan), state.place),
        )

    def spike_rates(self, state: OnCourse) -> tuple[float, ...]:
        """Of the network."""
        return self.policy.spike_rates(state.network)
