"""A course of gates: read from YAML, written by hand or drawn (`track_sampler`).

World ENU, m. A gate is a rectangle that is passed along its normal. Yaw turns the normal counter-clockwise from east, pitch
lifts it. The opening is width (to the left) by height (upwards); around it stands a frame that can be hit.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spike_ctrl._files import settings, yaml_file
from spike_ctrl._files.arrays import Floats
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import setting, within

COURSES = Path(__file__).with_name("courses")
FEWEST, MOST = 2, 32  # gates of a course
FAR = 1000.0  # m


def _point(found: object, source: str, key: str) -> tuple[float, float, float]:
    numbers = found if isinstance(found, list) else []
    if len(numbers) == 3 and all(type(x) in (int, float) and abs(x) <= FAR for x in numbers):
        return (float(numbers[0]), float(numbers[1]), float(numbers[2]))
    raise UsageError(f"{source}: {key}: found {found!r}, wanted three numbers from {-FAR:g} to {FAR:g} m: [x, y, z]")


_POINT = {"type": "array", "items": {"type": "number", "minimum": -FAR, "maximum": FAR}, "minItems": 3, "maxItems": 3}


@dataclass(frozen=True)
class Gate:
    """A gate of a course."""

    position: tuple[float, float, float] = setting(
        description="Centre of the opening, east, north, up.", unit="m", read=_point, schema=lambda: dict(_POINT)
    )
    yaw: float = within(0.0, -360.0, 360.0, "Direction of the passage, counter-clockwise from east.", "deg")
    pitch: float = within(0.0, -90.0, 90.0, "How far the direction of the passage points upwards.", "deg")
    width: float = within(1.5, 0.2, 10.0, "Width of the opening.", "m")
    height: float = within(1.5, 0.2, 10.0, "Height of the opening.", "m")
    frame: float = within(0.2, 0.0, 2.0, "Breadth of the frame around the opening.", "m")


def _gates(found: object, source: str, key: str) -> tuple[Gate, ...]:
    if not isinstance(found, list) or not FEWEST <= len(found) <= MOST:
        shown = f"{len(found)} gates" if isinstance(found, list) else repr(found)
        raise UsageError(f"{source}: {key}: found {shown}, wanted a list of {FEWEST} to {MOST} gates")
    return tuple(settings.convert(Gate, gate, source, f"{key}[{index}].") for index, gate in enumerate(found))


@dataclass(frozen=True)
class Track:
    """A closed course: after the last gate comes the first."""

    name: str = setting(description="Of the course.")
    gates: tuple[Gate, ...] = setting(
        description="In the order in which they are passed.",
        read=_gates,
        schema=lambda: {"type": "array", "minItems": FEWEST, "maxItems": MOST, "items": settings.schema(Gate)},
    )
    source: str = setting("", "Source of the coordinates, and what differs from it.")

    def rows(self) -> Floats:
        """The gates as the kernels take them, float32 (gates, `GATE_ROWS`): see `gate_row`."""
        return np.stack([gate_row(gate) for gate in self.gates])

    @property
    def length(self) -> float:
        """Of a round, from centre to centre, m."""
        centres = np.array([gate.position for gate in self.gates])
        return float(np.linalg.norm(np.roll(centres, -1, 0) - centres, axis=1).sum())


GATE_ROWS = 16


def gate_row(gate: Gate) -> Floats:
    """Centre 3, normal 3, left 3, up 3 (world, m), half width, half height, frame (m), 0: float32 (16,)."""
    yaw, pitch = math.radians(gate.yaw), math.radians(gate.pitch)
    c, s, level, lift = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    axes = [level * c, level * s, lift, -s, c, 0.0, -lift * c, -lift * s, level]
    return np.array([*gate.position, *axes, gate.width / 2, gate.height / 2, gate.frame, 0.0], np.float32)


def load(name: str) -> Track:
    """The course of a name among `courses`, or of the path of a YAML file. Raises UsageError."""
    path = yaml_file.find(name, "course", COURSES)
    data: Any = yaml_file.read(path, "course")
    return settings.convert(Track, data, f"course {path.name}")


def schema() -> dict[str, Any]:
    """The JSON Schema of a course."""
    return settings.schema(Track)
