"""Fits the drag along x and y to the accelerometer: no other force acts on a quadrotor in the body's plane.

    f = -d v / mass + bias of the flight

f: specific force, v: velocity, both in the body. An output error finds less drag, because the velocity, which is integrated
from f, leaves a part of it to the trim force.
"""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from spike_ctrl_identify.jackknife import ENOUGH, half_width
from spike_ctrl_identify.observed_flight import ObservedFlight

MODEL = 0.06  # error of the method itself as a share of the value
PARTS = 8  # of a flight, where there are fewer than ENOUGH


def drag_by_accelerometer(flights: Sequence[ObservedFlight], mass: float) -> tuple[np.ndarray, np.ndarray]:
    """Drag (2,) along the body's x and y, N s/m, and half-widths (2,) of its 95 % intervals; of flights with `sensed`."""
    parts = []  # of each: sum of v^2, and of -f v
    for flight in flights:
        seen = flight.good & ~flight.lost
        speed = Rotation.from_quat(flight.state[seen, 3:7]).inv().apply(flight.state[seen, 7:10])[:, :2]
        force = flight.sensed[seen, :2]
        speed, force = speed - speed.mean(0), force - force.mean(0)
        pieces = 1 if len(flights) >= ENOUGH else PARTS
        for v, f in zip(np.array_split(speed, pieces), np.array_split(force, pieces), strict=True):
            parts.append([(v * v).sum(0), (-f * v).sum(0)])
    square, product = np.array(parts).transpose(1, 0, 2)  # (parts, 2) each
    total = np.maximum(square.sum(0), 1e-9)
    value = product.sum(0) / total
    left_out = (product.sum(0) - product) / np.maximum(total - square, 1e-9)
    count = len(parts)
    deviation = np.sqrt((count - 1) * left_out.var(0))
    width = np.hypot(half_width(count) * deviation, MODEL * value)
    return mass * value, mass * width
