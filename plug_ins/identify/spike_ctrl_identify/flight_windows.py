"""Cuts recorded flight into windows of equal length, with which a simulation is compared.

The frame is the world (ENU), or that of a fixed set-point; body FLU, SI units, control steps of 10 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from spike_ctrl.airframe import Airframe
from spike_ctrl.recordings import BagError
from spike_ctrl.recordings.recorded_transitions import require_airframe
from spike_ctrl.recordings.recording import Poses, Recording
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl.sim.episode_flags import FIRST, TERMINATED, TRUNCATED
from spike_ctrl_identify import IdentifyError

TOPICS = ("state", "transition", "command", "flight_state", "policy/action", "policy/checkpoint", "origin")
MIN_WINDOWS = 20
GAP = 0.05  # s; a larger time between two samples ends a segment


class Segment(NamedTuple):
    """Flight without a gap: states (T + 1, 13) and the actions (T, 4) between them.

    A state is position (m), quaternion x, y, z, w, velocity (m/s) and body rates (rad/s).
    """

    state: np.ndarray
    action: np.ndarray


class Windows(NamedTuple):
    """W windows of `warm` steps of warm-up and `steps` steps to compare.

    state (warm + steps + 1, W, 13), as in Segment. action (warm + steps, W, 4). integral (warm + steps, W, 3): the integral
    of the rate loop before each action, normalised torque.
    """

    state: np.ndarray
    action: np.ndarray
    integral: np.ndarray
    warm: int

    def subset(self, which: np.ndarray) -> Windows:
        """The windows that the mask or the indices `which` choose."""
        return Windows(self.state[:, which], self.action[:, which], self.integral[:, which], self.warm)

    @property
    def count(self) -> int:
        """Number of windows, W."""
        return self.action.shape[1]


def segments(recording: Recording, airframe: Airframe) -> list[Segment]:
    """The flight in a bag as segments without a gap. Raises BagError that names the missing topic or field."""
    require_airframe(recording, airframe)
    if recording.applied is not None:
        return _simulated(recording)
    if recording.commands is None:
        lacking = (recording.origin or {}).get("lacking")
        why = f"; of its log: {lacking}" if lacking else ""
        raise BagError(f"{recording.path}: found no transition and no command, wanted one of them: what was flown{why}")
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
    """Resample to control steps: an autopilot sends its samples every 8 or 12 ms. Time is that of its clock."""
    commands, states = recording.commands, recording.states
    good = np.isfinite(commands.action).all(1) & np.isfinite(poses.stamp) & ((states.flags[:, 0] & FIRST) == 0)
    starts = ~good
    starts[1:] |= (np.diff(states.tick) != 1) | ~((np.diff(poses.stamp) > 0) & (np.diff(poses.stamp) < GAP))
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
    """States (T, 13) from observations (T, 18), in the frame of a fixed set-point."""
    quaternion = Rotation.from_matrix(observation[:, 3:12].reshape(-1, 3, 3)).as_quat()
    return np.concatenate([observation[:, :3], quaternion, observation[:, 12:18]], axis=1).astype(np.float32)


def integrals(piece: Segment, airframe: Airframe) -> np.ndarray:
    """The integral of the rate loop before each action of a segment, (T, 3), normalised torque.

    It is 0 at the start of the segment and for an airframe without a rate loop. A window cannot warm it up, because an
    integral never decays.
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
    """Cut segments into windows of `warm` + `steps` steps. Their compared parts do not overlap.

    most: if there are more, so many are drawn at random with `seed`. Raises IdentifyError for fewer than MIN_WINDOWS.
    """
    found = [
        (piece, start)
        for piece in pieces
        for start in range(0, len(piece.action) - warm - steps + 1, steps)
    ]  # fmt: skip
    if len(found) < MIN_WINDOWS:
        seconds = sum(len(piece.action) for piece in pieces) / RATE_HZ
        raise IdentifyError(
            f"found {seconds:.1f} s of flight without a gap, in {len(found)} windows of {(warm + steps) / RATE_HZ:.2f} s, "
            f"wanted at least {MIN_WINDOWS} of them"
        )
    if len(found) > most:
        found = [found[i] for i in np.sort(np.random.default_rng(seed).choice(len(found), most, replace=False))]
    length = warm + steps
    state = np.stack([piece.state[start : start + length + 1] for piece, start in found], axis=1)
    action = np.stack([piece.action[start : start + length] for piece, start in found], axis=1)
    held = {id(piece): integrals(piece, airframe) for piece, _ in found}
    integral = np.stack([held[id(piece)][start : start + length] for piece, start in found], axis=1)
    return Windows(state, action, integral, warm)
