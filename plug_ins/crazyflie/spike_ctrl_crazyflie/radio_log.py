"""The log of a flight over the radio: its blocks, and what came of them as a flight that becomes a bag."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from spike_ctrl_identify.logged_flight import LoggedFlight, Series

LARGEST_BLOCK = 26  # bytes of one packet
SIZES = {"float": 4, "FP16": 2, "uint8_t": 1, "uint16_t": 2}
DEGREES = np.pi / 180
DUTY = 65535.0  # of the firmware's motor commands
# The firmware's motors M1 to M4 stand front right, back right, back left, front left: the airframe's order.
MOTORS = tuple(f"motor.m{number}" for number in (1, 2, 3, 4))


class LogBlock(NamedTuple):
    """One log block: its period (ms), and its variables with the types in which they are sent."""

    name: str
    period: int
    variables: tuple[tuple[str, str], ...]

    @property
    def size(self) -> int:
        """Bytes of one packet."""
        return sum(SIZES[kind] for _, kind in self.variables)


def _floats(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, "float") for name in names)


BLOCKS = (
    LogBlock("place", 10, _floats(*(f"stateEstimate.{name}" for name in ("x", "y", "z", "vx", "vy", "vz")))),
    LogBlock("attitude", 10, _floats(*(f"stateEstimate.q{name}" for name in "xyzw"))),
    LogBlock("turning", 10, (*_floats("gyro.x", "gyro.y", "gyro.z"), *((name, "uint16_t") for name in MOTORS))),
    LogBlock("aim", 20, (*_floats("ctrltarget.x", "ctrltarget.y", "ctrltarget.z", "pm.vbat"),)),
    LogBlock(
        "app",
        20,
        (
            ("snn.phase", "uint8_t"), ("snn.fault", "uint8_t"), ("snn.stepUs", "uint16_t"), ("snn.mostUs", "uint16_t"),
            ("snn.missed", "uint16_t"), ("snn.spikes", "float"),
        ),
    ),
    LogBlock("spread", 100, _floats("kalman.varPX", "kalman.varPY", "kalman.varPZ")),
)  # fmt: skip


class RadioLog:
    """What came, block by block: rows of the vehicle's time (s) and the block's numbers."""

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[float, ...]]] = {block.name: [] for block in BLOCKS}

    def take(self, block: LogBlock, milliseconds: int, values: dict[str, float]) -> None:
        """One packet of a block."""
        self.rows[block.name].append((1e-3 * milliseconds, *(float(values[name]) for name, _ in block.variables)))

    def last(self, name: str) -> float | None:
        """The latest value of a variable; None before it came."""
        for block in BLOCKS:
            names = [variable for variable, _ in block.variables]
            if name in names:
                return self.rows[block.name][-1][1 + names.index(name)] if self.rows[block.name] else None
        raise KeyError(name)

    def flight(self, path: Path, airframe: str, about: dict[str, object]) -> LoggedFlight:
        """The flight as it was logged, in SI units, ENU and FLU, the frames of the firmware, whose gyro tells degrees."""
        place, attitude, turning, aim = (self._table(name) for name in ("place", "attitude", "turning", "aim"))
        series = {
            "position": Series(place[:, 0], place[:, 1:4]),
            "velocity": Series(place[:, 0], place[:, 4:7]),
            "quaternion": Series(attitude[:, 0], attitude[:, 1:5]),
            "rates": Series(turning[:, 0], DEGREES * turning[:, 1:4]),
            "motors": Series(turning[:, 0], turning[:, 4:8] / DUTY),
            "set_point": Series(aim[:, 0], aim[:, 1:4]),
            "voltage": Series(aim[:, 0], aim[:, 4:5]),
        }
        return LoggedFlight(path, "", "radio", airframe, series, about, evened=False)

    def _table(self, name: str) -> np.ndarray:
        (block,) = (block for block in BLOCKS if block.name == name)
        return np.array(self.rows[name], float).reshape(-1, 1 + len(block.variables))
