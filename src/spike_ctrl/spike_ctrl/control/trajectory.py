"""Set-points that move: position, velocity and yaw as functions of time. World ENU, metres, seconds, radians.

The shapes are centred on a point, and their amplitude grows from zero at rest over `lead` seconds, so that a vehicle that
hovers at the centre meets no step; with an `end` it shrinks to zero again. lead 0 is the bare shape, as in the paper:
circle, figure-eight and square span +-1 m and take 5.5 s a round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from spike_ctrl import plug_ins
from spike_ctrl._files import ranges
from spike_ctrl._files.arrays import Sums
from spike_ctrl._files.errors import UsageError, meant
from spike_ctrl._files.named_tuples import quickly_replaced
from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import GRAVITY

PASS_ERROR, PASS_SHARE = 0.15, 0.05  # m, and the share of samples that may be farther off: what passes as followed
LEAD = 2.5  # s, in which a flight's trajectory grows to its size: quicker ones are too fast for the default cage
PREVIEW = 0.2  # s ahead that a controller is told the velocity: of .05, .1, .15 and .2 the best for guide and policies alike

VERTICAL = ("climb", "descent")  # kinds that only the supervisor flies

Vector = tuple[float, float, float]
Shape = Callable[["Trajectory", float], tuple[Vector, Vector]]


@quickly_replaced
class SetPoint(NamedTuple):
    """Where to be: position (3, m, ENU), velocity (3, m/s, ENU), yaw (rad, counter-clockwise from east)."""

    position: Vector
    velocity: Vector = (0.0, 0.0, 0.0)
    yaw: float = 0.0


@dataclass(frozen=True)
class Trajectory:
    """A shape around a centre. `at(t)` is the set-point t seconds after its start.

    kind: the name of a shape, or a function (trajectory, t) of your own that gives the offset from the centre (m) and its
    velocity (m/s) t seconds after the start. centre m, ENU; yaw rad; size m; period, lead and end s; speed m/s.
    hover: the centre. step: `size` metres to the east of it from t = lead on. circle: radius `size`, counter-clockwise from
    the east. figure8: x = size sin, y = size sin cos. square: side 2 `size`, at constant speed. lissajous: 1, 3/2 and 1/2
    times the frequency with amplitudes size, size, size / 3, closed after two periods. climb: up by `size` at `speed`.
    descent: down by it.

    Raises UsageError for a kind that does not exist and a number out of range.

    >>> Trajectory("circle", size=2.0, lead=0.0).at(0.0).position
    (2.0, 0.0, 1.0)
    """

    kind: str | Shape
    centre: Vector = (0.0, 0.0, 1.0)
    yaw: float = within(0.0, -2 * math.pi, 2 * math.pi)
    size: float = within(1.0, 0.01, 50.0)  # m
    period: float = within(5.5, 0.1, 600.0)  # s
    lead: float = within(2.0, 0.0, 60.0)  # s
    end: float = within(math.inf, 0.0, math.inf)  # s
    speed: float = within(0.5, 0.01, 10.0)  # m/s

    def __post_init__(self) -> None:
        if not callable(self.kind) and self.kind not in _SHAPES:
            hint = meant(self.kind, _SHAPES)
            raise UsageError(f"trajectory: found '{self.kind}', wanted one of {', '.join(_SHAPES)} or a function{hint}")
        ranges.check(self, f"trajectory {self.name}")
        if len(self.centre) != 3 or not all(math.isfinite(c) for c in self.centre):
            raise UsageError(f"trajectory {self.name}: centre: found {self.centre}, wanted three finite numbers")

    @property
    def name(self) -> str:
        """The name of its shape, also of a function's."""
        return self.kind if isinstance(self.kind, str) else getattr(self.kind, "__name__", type(self.kind).__name__)

    def shape(self, time: float) -> tuple[Vector, Vector]:
        """Offset from the centre (m) and velocity (m/s) of the bare shape, without lead and end."""
        return _SHAPES[self.kind](self, time) if isinstance(self.kind, str) else self.kind(self, time)

    def at(self, time: float) -> SetPoint:
        """The set-point at `time` (s from the start; before it, that of the start)."""
        t = max(time, 0.0)
        (x, y, z), ((dx, dy, dz), velocity) = self.centre, self.shape(t)
        if self.kind not in ("hover", "step", *VERTICAL):
            (vx, vy, vz), (share, change) = velocity, _amplitude(t, self.lead, self.end)
            velocity = share * vx + change * dx, share * vy + change * dy, share * vz + change * dz
            dx, dy, dz = share * dx, share * dy, share * dz
        return SetPoint((x + dx, y + dy, z + dz), velocity, self.yaw)

    @property
    def tilt(self) -> float:
        """How far (rad) a vehicle without drag tilts that follows it; what jumps or has corners is not followed: 0."""
        if isinstance(self.kind, str) and self.kind not in _SMOOTH:
            return 0.0
        times, dt = [2 * self.period * i / 400 for i in range(400)], 1e-4 * self.period
        pairs = [(self.shape(t)[1], self.shape(t + dt)[1]) for t in times]
        pulls = [[(b - a) / dt for a, b in zip(*pair, strict=True)] for pair in pairs]
        return max(math.atan2(math.hypot(x, y), GRAVITY + z) for x, y, z in pulls)

    @property
    def fastest(self) -> float:
        """Its highest speed, m/s."""
        return max(math.hypot(*self.shape(2 * self.period * i / 400)[1]) for i in range(400))

    def within_reach(self, tilt: float, speed: float, reach: float) -> Trajectory:
        """Itself; raises UsageError where it takes more than this tilt (rad) or speed (m/s), or jumps farther (m)."""
        if self.kind == "step" and self.size > reach:
            found = f"found a jump of {self.size:.2f} m, wanted at most {reach:.2f}"
            raise UsageError(f"trajectory {self.name}: {found}: make it smaller")
        if self.fastest > speed:
            found = f"found a speed of {self.fastest:.1f} m/s, wanted at most {speed:.1f}"
            raise UsageError(f"trajectory {self.name}: {found}: make it smaller or its period longer")
        if self.tilt > tilt:
            degrees = f"found a tilt of {math.degrees(self.tilt):.0f} degrees, wanted at most {math.degrees(tilt):.0f}"
            raise UsageError(f"trajectory {self.name}: {degrees}: make it smaller or its period longer")
        return self


def _amplitude(t: float, lead: float, end: float) -> tuple[float, float]:
    """Share of the full size, and its derivative (1/s)."""
    if t >= end:
        return 0.0, 0.0
    rise, rising = _smooth(t, lead)
    fall, falling = _smooth(end - t, lead)
    return rise * fall, rising * fall - rise * falling


def _smooth(t: float, duration: float) -> tuple[float, float]:
    """From 0 to 1 within `duration` with zero slope at both ends, and its derivative."""
    if t >= duration:
        return 1.0, 0.0
    x = t / duration
    return x * x * (3 - 2 * x), 6 * x * (1 - x) / duration


def _hover(path: Trajectory, t: float) -> tuple[Vector, Vector]:
    return (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)


def _step(path: Trajectory, t: float) -> tuple[Vector, Vector]:
    return (path.size if path.lead <= t < path.end else 0.0, 0.0, 0.0), (0.0, 0.0, 0.0)


def _climb(path: Trajectory, t: float) -> tuple[Vector, Vector]:
    climbing = path.speed * t < path.size
    return (0.0, 0.0, min(path.speed * t, path.size)), (0.0, 0.0, path.speed if climbing else 0.0)


def _descent(path: Trajectory, t: float) -> tuple[Vector, Vector]:
    (_, _, height), (_, _, speed) = _climb(path, t)
    return (0.0, 0.0, -height), (0.0, 0.0, -speed)


def _circle(path: Trajectory, t: float) -> tuple[Vector, Vector]:
    w, r = 2 * math.pi / path.period, path.size
    sin, cos = math.sin(w * t), math.cos(w * t)
    return (r * cos, r * sin, 0.0), (-w * r * sin, w * r * cos, 0.0)


def _figure8(path: Trajectory, t: float) -> tuple[Vector, Vector]:
    w, r = 2 * math.pi / path.period, path.size
    sin, cos = math.sin(w * t), math.cos(w * t)
    return (r * sin, r * sin * cos, 0.0), (w * r * cos, w * r * (cos * cos - sin * sin), 0.0)


_CORNERS = ((1.0, -1.0), (1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0))


def _square(path: Trajectory, t: float) -> tuple[Vector, Vector]:
    along = 4 * ((t / path.period) % 1.0)
    side = min(int(along), 3)
    (x0, y0), (x1, y1) = _CORNERS[side], _CORNERS[(side + 1) % 4]
    share, speed = along - side, 4 * path.size / path.period
    position = (path.size * (x0 + share * (x1 - x0)), path.size * (y0 + share * (y1 - y0)), 0.0)
    return position, (speed * (x1 - x0), speed * (y1 - y0), 0.0)


def _lissajous(path: Trajectory, t: float) -> tuple[Vector, Vector]:
    w, r = math.pi / path.period, path.size
    offset = (r * math.sin(2 * w * t), r * math.sin(3 * w * t), r / 3 * math.sin(w * t))
    return offset, (2 * w * r * math.cos(2 * w * t), 3 * w * r * math.cos(3 * w * t), w * r / 3 * math.cos(w * t))


_SHAPES: dict[str, Shape] = {
    "hover": _hover,
    "step": _step,
    "circle": _circle,
    "figure8": _figure8,
    "square": _square,
    "lissajous": _lissajous,
    "climb": _climb,
    "descent": _descent,
}
_SMOOTH = ("circle", "figure8", "lissajous")


def wrapped(angle: float) -> float:
    """The angle (rad) within [-pi, pi]; what is not finite stays so, and is refused where it is used."""
    return math.remainder(angle, 2 * math.pi) if math.isfinite(angle) else angle


KINDS = tuple(kind for kind in _SHAPES if kind not in VERTICAL)


def several(text: str, centre: Vector, yaw: float, size: float, period: float, duration: float) -> tuple[Trajectory, ...]:
    """The trajectories of KIND[:SIZE[:PERIOD]],..., each for `duration` (s) about the same centre.

    size (m) and period (s) are of those that name none; 0 is the default. Each ends at the centre; a step goes back there
    after half of its time. A kind of a plug-in reads by itself what follows its name. Raises UsageError.
    """
    found = []
    for word in text.split(","):
        kind, *numbers = word.strip().split(":")
        if kind in plug_ins.names("trajectories"):
            made = plug_ins.load("trajectories", kind, "trajectory")
            found.append(made(":".join(numbers), centre, wrapped(yaw)))
            continue
        try:
            given = [float(number) for number in numbers]
        except ValueError:
            given = [0.0, 0.0, 0.0]
        if kind not in KINDS or len(given) > 2 or not all(number > 0 for number in given):
            wanted = f"KIND, KIND:SIZE or KIND:SIZE:PERIOD (m and s, above 0) with a kind among {', '.join(KINDS)}"
            raise UsageError(f"trajectory: found '{word}', wanted {wanted}")
        named = dict(zip(("size", "period"), (*given, *(size, period)[len(given) :]), strict=True))
        changes: dict[str, Any] = {name: value for name, value in named.items() if value}
        end = duration / 2 if kind == "step" else duration
        found.append(Trajectory(kind, centre, wrapped(yaw), **changes, lead=LEAD, end=end))
    return tuple(found)


def plus(a: Sequence[float] | Sums, b: Sequence[float] | Sums) -> Vector:
    """The sum of two vectors."""
    return float(a[0] + b[0]), float(a[1] + b[1]), float(a[2] + b[2])
