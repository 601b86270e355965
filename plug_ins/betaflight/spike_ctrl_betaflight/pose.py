"""The position from outside: poses of motion capture or VIO, their velocity, and whether they can be flown on. Pure.

A pose whose stamp does not grow, or that repeats the one before bit by bit, is not new. Age, jumps and a frozen state are
judged by the same checks as PX4's estimate (`flight.state_checks`), which the bridge applies to every state.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from spike_ctrl.control.trajectory import Vector
from spike_ctrl.flight.attitude import Quaternion

SMOOTHING = 0.03  # s, time constant of a velocity that is found from positions
LONGEST = 0.1  # s between two poses, beyond which the velocity begins anew


class OutsidePose(NamedTuple):
    """One pose, in ENU and FLU. stamp: s, of its sender. received: s. velocity: m/s in ENU, None where it is not told."""

    stamp: float
    received: float
    position: Vector
    quaternion: Quaternion
    velocity: Vector | None = None


class PoseTrack(NamedTuple):
    """The last new pose, with a velocity. gaps: pauses of more than LONGEST. repeated: poses that were not new.

    refused: poses with what is no finite number.
    """

    last: OutsidePose | None = None
    gaps: int = 0
    repeated: int = 0
    refused: int = 0

    def seen(self, pose: OutsidePose) -> PoseTrack:
        """After another pose. `last` is the same object where it was not new."""
        before = self.last
        numbers = (pose.stamp, *pose.position, *pose.quaternion, *(pose.velocity or ()))
        if not all(map(math.isfinite, numbers)):
            return self._replace(refused=self.refused + 1)
        if before is None:
            return self._replace(last=pose._replace(velocity=pose.velocity or (0.0, 0.0, 0.0)))
        passed = pose.stamp - before.stamp
        if not passed > 0 or (pose.position, pose.quaternion) == (before.position, before.quaternion):
            return self._replace(repeated=self.repeated + 1)
        if pose.velocity is not None:
            velocity = pose.velocity
        elif passed > LONGEST:
            velocity = (0.0, 0.0, 0.0)
        else:
            assert before.velocity is not None
            share = 1 - math.exp(-passed / SMOOTHING)
            x, y, z = (
                v + share * ((b - a) / passed - v)
                for v, a, b in zip(before.velocity, before.position, pose.position, strict=True)
            )
            velocity = (x, y, z)
        return self._replace(last=pose._replace(velocity=velocity), gaps=self.gaps + (passed > LONGEST))
