"""What simulated motion capture adds to a true motion: white noise of position, attitude and velocity. Pure."""

from collections.abc import Sequence

from spike_ctrl.control.trajectory import Vector
from spike_ctrl.flight.attitude import Quaternion, normalised

POSITION, TURN, VELOCITY = 0.0005, 0.001, 0.01  # m, rad, m/s: standard deviations, for draws of one


def measured(
    position: Vector, quaternion: Quaternion, velocity: Vector, draws: Sequence[float]
) -> tuple[Vector, Quaternion, Vector]:
    """The motion with nine normal draws of position, turn and velocity. m, m/s in any frame."""
    x, y, z = (p + POSITION * d for p, d in zip(position, draws[:3], strict=True))
    a, b, c = (q + TURN / 2 * d for q, d in zip(quaternion[:3], draws[3:6], strict=True))
    u, v, w = (s + VELOCITY * d for s, d in zip(velocity, draws[6:], strict=True))
    return (x, y, z), normalised((a, b, c, quaternion[3])), (u, v, w)
