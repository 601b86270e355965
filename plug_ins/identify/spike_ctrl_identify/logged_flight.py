"""A flight as another program logged it: each quantity with times of its own, in SI units, world ENU, body FLU."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

QUANTITIES = {
    "position": 3,
    "quaternion": 4,
    "velocity": 3,
    "rates": 3,
    "acceleration": 3,
    "motors": 4,
    "collective_and_rates": 4,
    "voltage": 1,
    "set_point": 3,
    "set_point_yaw": 1,
    "reference_position": 3,
    "reference_quaternion": 4,
    "reference_velocity": 3,
    "reference_rates": 3,
}
"""What a log may hold, and how many numbers it is.

position: m. quaternion: x, y, z, w, body to world. velocity: m/s, world. rates: rad/s, body. acceleration: specific force,
m/s^2, body; at rest it is +9.81 upward. motors: commands in 0..1, front-right, back-right, back-left, front-left.
collective_and_rates: thrust in 0..1, then body rates that are asked for, rad/s. voltage: V. set_point: m. set_point_yaw:
rad. What begins with `reference_` was measured from outside, by motion capture for example. All else is the vehicle's own.
"""
STATE = ("position", "quaternion", "velocity", "rates")  # without these there is no bag
AVERAGE_GRAVITY = 9.80665  # m/s^2: what one g is in a data sheet


class Series(NamedTuple):
    """One quantity over time: time (K,), s on the log's clock, and value (K, n)."""

    time: np.ndarray
    value: np.ndarray


class Declared(NamedTuple):
    """What a map says of a quantity: its columns, their unit, and all units that it may say, as factors to SI."""

    columns: tuple[str, ...]
    unit: str
    units: dict[str, float]


@dataclass(frozen=True)
class LoggedFlight:
    """One flight from a log.

    sha256: of the log's contents, after decompression. how: which map or reader made it. series: by names of QUANTITIES.
    about: what a file beside the log tells of the flight. logged: samples that arrived, by quantity, where `about` counts
    them. evened: whoever wrote the log may have interpolated it to common times. notes: lines for the user. declared: what
    a map says of a quantity, or of `time`. unread: why a quantity cannot be read, where only some airframes need it. remedy:
    how to log more next time.
    """

    path: Path
    sha256: str
    how: str
    airframe: str
    series: dict[str, Series]
    about: dict = field(default_factory=dict)
    logged: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    evened: bool = True
    declared: dict[str, Declared] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    remedy: str = ""
