"""A state as guide and policy observe it in flight: from a set-point, at a velocity relative to the set-point's. Pure."""

from __future__ import annotations

from spike_ctrl._files.arrays import Floats
from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight import attitude
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.sim import observation

LEAD = 0.02  # s: by so much of its way a moving set-point is told ahead. Drag, which nobody sees, keeps each pilot behind it


def observed(state: Sample, point: SetPoint | None) -> Floats:
    """The observation float32 (18,) of a state; without a set-point that from its own position and yaw."""
    if point is None:
        point = SetPoint(state.position, yaw=attitude.yaw(state.quaternion))
    (u, v, w), (a, b, c), (x, y, z) = state.velocity, point.velocity, point.position
    ahead = (x + LEAD * a, y + LEAD * b, z + LEAD * c)
    return observation.build(state.position, state.quaternion, (u - a, v - b, w - c), state.rates, ahead, point.yaw)
