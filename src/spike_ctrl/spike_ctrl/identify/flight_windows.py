"""Recorded flight as windows of equal steps, the form in which a simulation is compared with it.

World ENU or the frame of a set-point that rests, body FLU, SI units, control steps of 10 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from spike_ctrl.airframe import Airframe
from spike_ctrl.identify import IdentifyError
from spike_ctrl.recordings import BagError
from spike_ctrl.recordings.reader import Poses, Recording
from spike_ctrl.recordings.recorded_transitions import require_airframe
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl.sim.episode_flags import FIRST, TERMINATED, TRUNCATED

TOPICS = ("state", "transition", "command", "flight_state", "policy/action", "policy/checkpoint")
LEAST = 20  # windows
GAP = 0.05  # s between two samples, at which a segment ends


class Segment(NamedTuple):
    """T + 1 states (T + 1, 13), position, quaternion x, y, z, w, velocity, rates, and the actions (T, 4) between them."""

    state: np.ndarray
    action: np.ndarray


class Windows(NamedTuple):
    """W windows: `warm` + `steps` actions (warm + steps, W, 4) and the states around them (warm + steps + 1, W, 13).

    integral (warm + steps, W, 3): of the rate loop before each action, normalised torque.
    """

    state: np.ndarray
    action: np.ndarray
    integral: np.ndarray
    warm: int

    def some(self, which: np.ndarray) -> Windows:
        return Windows(self.state[:, which], self.action[:, which], self.integral[:, which], self.warm)

    @property
    def count(self) -> int:
        return self.action.shape[1]


def segments(recording: Recording, airframe: Airframe) -> list[Segment]:
    """The flight of a bag in pieces without a gap. Raises BagError, which names the topic or field that is missing."""
    require_airframe(recording, airframe)
    if recording.applied is not None:
        return _simulated(recording)
    if recording.commands is None:
        raise BagError(f"{recording.path}: found no transition and no command, wanted one of them: what was flown")
    if recording.poses is None:
        raise BagError(f"{recording.path}: found no flight_state, wanted it: state is seen from a set-point that moves")
    return _flown(recording, recording.poses)


def _simulated(recording: Recording) -> list[Segment]:
    applied, states, found = recording.applied, recording.states, []
    known = np.isfinite(applied.action).all(2) & np.isfinite(states.observation).all(2)
    ends = (states.flags & (TERMINATED | TRUNCATED)) > 0
    for vehicle in range(recording.vehicles):
        starts = ((states.flags[:, vehicle] & FIRST) > 0) | ~known[:, vehicle]
        starts[1:] |= np.diff(states.tick) != 1
        starts[1:] |= ends[:-1, vehicle]
        for piece in np.split(np.arange(len(starts)), np.flatnonzero(starts)):
            piece = piece[known[piece, vehicle]]
            if len(piece) > 1:
                state = of_observation(states.observation[piece, vehicle])
                found.append(Segment(state, applied.action[piece[:-1], vehicle]))
    return found


def _flown(recording: Recording, poses: Poses) -> list[Segment]:
    """Samples come in the autopilot's own steps (8 and 12 ms): they are put onto ours, its clock telling the time."""
    commands, states = recording.commands, recording.states
    good = np.isfinite(commands.action).all(1) & np.isfinite(poses.stamp) & ((states.flags[:, 0] & FIRST) == 0)
    starts = ~good
    starts[1:] |= (np.diff(states.tick) != 1) | ~(np.diff(poses.stamp) < GAP)
    found = []
    for piece in np.split(np.arange(len(starts)), np.flatnonzero(starts)):
        piece = piece[good[piece]]
        if len(piece) < 3:
            continue
        stamp = poses.stamp[piece]
        grid = np.arange(stamp[0], stamp[-1], 1 / RATE_HZ)
        grid = grid[grid <= stamp[-1]]  # arange may round beyond its end
        turned = Slerp(stamp, Rotation.from_quat(poses.quaternion[piece]))(grid).as_quat()
        vectors = {
            name: np.column_stack([np.interp(grid, stamp, column) for column in getattr(poses, name)[piece].T])
            for name in ("position", "velocity", "rates")
        }
        state = np.concatenate([vectors["position"], turned, vectors["velocity"], vectors["rates"]], axis=1)
        nearest = np.abs(np.subtract.outer(grid[:-1], stamp)).argmin(1)
        found.append(Segment(state.astype(np.float32), commands.action[piece[nearest]]))
    return found


def of_observation(observation: np.ndarray) -> np.ndarray:
    """States (T, 13) from observations (T, 18), in the frame of a set-point that rests."""
    quaternion = Rotation.from_matrix(observation[:, 3:12].reshape(-1, 3, 3)).as_quat()
    return np.concatenate([observation[:, :3], quaternion, observation[:, 12:18]], axis=1).astype(np.float32)


def integrals(piece: Segment, airframe: Airframe) -> np.ndarray:
    """What the rate loop has integrated before each action of a segment (T, 3); 0 at its start, where the vehicle took off.

    It forgets nothing, so that a window cannot warm it up. 0 for an airframe without a rate loop.
    """
    held = np.zeros((len(piece.action), 3))
    if airframe.rate_loop is None or airframe.action_layout != "rates":
        return held
    loop, total = airframe.rate_loop, np.zeros(3)
    grown = np.multiply(airframe.max_rates, piece.action[:, 1:]) - (piece.state[:-1, 10:13] + piece.state[1:, 10:13]) / 2
    for step, change in enumerate(grown * np.array(loop.integral) / RATE_HZ):
        held[step] = total
        total = np.clip(total + change, -np.array(loop.integral_limit), loop.integral_limit)
    return held


def windows(
    pieces: Sequence[Segment], airframe: Airframe, warm: int, steps: int, most: int, seed: int = 0
) -> Windows:  # fmt: skip
    """Windows that do not share what is compared, `most` of them at random. Raises IdentifyError where there are too few."""
    found = [
        (piece, start)
        for piece in pieces
        for start in range(0, len(piece.action) - warm - steps + 1, steps)
    ]  # fmt: skip
    if len(found) < LEAST:
        seconds = sum(len(piece.action) for piece in pieces) / RATE_HZ
        raise IdentifyError(
            f"found {seconds:.1f} s of flight without a gap, in {len(found)} windows of {(warm + steps) / RATE_HZ:.2f} s, "
            f"wanted at least {LEAST} of them"
        )
    if len(found) > most:
        found = [found[i] for i in np.sort(np.random.default_rng(seed).choice(len(found), most, replace=False))]
    length = warm + steps
    state = np.stack([piece.state[start : start + length + 1] for piece, start in found], axis=1)
    action = np.stack([piece.action[start : start + length] for piece, start in found], axis=1)
    held = {id(piece): integrals(piece, airframe) for piece, _ in found}
    integral = np.stack([held[id(piece)][start : start + length] for piece, start in found], axis=1)
    return Windows(state, action, integral, warm)
