"""A smooth way through the gates of a course, and how fast it is flown: a function of time, without a vehicle. Pure.

From BACK before the first gate, at rest, through the rounds, to BACK behind the last gate, at rest. Between gates it is a
cubic Hermite curve whose tangents are the gates' normals, so that each gate is passed through its centre, square. The speed
is at most `speed`, and less in turns: v^2 times the curvature is at most SIDEWAYS. Along the way it changes by at most
ALONG. It sinks by at most DOWN for each metre above LOW, so that the ground does not come nearer than an autopilot can
brake. World ENU, m, m/s.
"""

from dataclasses import dataclass

import numpy as np

from spike_ctrl._files.arrays import Sums
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.kernel import kernel
from spike_ctrl.control.trajectory import Vector
from spike_ctrl_racing.gate_crossing import BACKWARDS, HIT, PASSED, crossing
from spike_ctrl_racing.track import Track

BACK = 2.0  # m
SIDEWAYS, ALONG = 3.0, 1.5  # m/s^2
BEND = 1.3  # tangents, in units of the distance between the gates
POINTS = 200  # from gate to gate
STEP = 0.01  # s
LOW = 0.3  # m, lowest height of a way
DOWN = 0.9  # 1/s
RADIUS = 0.2  # m, of the vehicle


@dataclass(frozen=True)
class CoursePath:
    """Positions and velocities each STEP from the start on; before and after them it is at rest."""

    track: Track
    position: Sums  # [T, 3]
    velocity: Sums  # [T, 3]

    @property
    def start(self) -> Vector:
        x, y, z = self.position[0].tolist()
        return x, y, z

    @property
    def time(self) -> float:
        """From start to end, s."""
        return STEP * (len(self.position) - 1)

    def at(self, time: float) -> tuple[Vector, Vector]:
        """Position and velocity at a time (s from the start)."""
        step = min(max(time / STEP, 0.0), len(self.position) - 1.0)
        low = min(int(step), len(self.position) - 2)
        share = step - low
        (x, y, z), (u, v, w) = (
            ((1 - share) * rows[low] + share * rows[low + 1]).tolist() for rows in (self.position, self.velocity)
        )
        return (x, y, z), (u, v, w)


def start(track: Track) -> Vector:
    """Where the way through a course begins."""
    (x, y, z), (u, v, w) = track.rows()[0, :3].tolist(), track.rows()[0, 3:6].tolist()
    return x - BACK * u, y - BACK * v, z - BACK * w


def through(track: Track, speed: float, rounds: int) -> CoursePath:
    """The way through a course. Raises UsageError where it touches a frame or comes too near to the ground."""
    position, velocity = _timed(*_curve(*_knots(track, rounds)), speed)
    path = CoursePath(track, position, velocity)
    _require(path, rounds)
    return path


def curve(track: Track, rounds: int) -> Sums:
    """Points on the way, POINTS from gate to gate: [P, 3]."""
    return _curve(*_knots(track, rounds))[0]


def _knots(track: Track, rounds: int) -> tuple[Sums, Sums]:
    """Start, gates and end, and the direction at each."""
    rows = np.tile(track.rows().astype(float), (rounds, 1))
    knots, tangents = rows[:, :3], rows[:, 3:6]
    knots = np.concatenate([knots[:1] - BACK * tangents[:1], knots, knots[-1:] + BACK * tangents[-1:]])
    return knots, np.concatenate([tangents[:1], tangents, tangents[-1:]])


def _curve(knots: Sums, tangents: Sums) -> tuple[Sums, Sums, Sums]:
    """Points on the curve (P, 3), its directions (P, 3), and its curvature (P,), 1/m."""
    t = np.linspace(0.0, 1.0, POINTS, endpoint=False)[:, None]
    points, slopes, bends = [], [], []
    for a, b, m, n in zip(knots, knots[1:], tangents, tangents[1:], strict=False):
        way, stiff = b - a, BEND * float(np.linalg.norm(b - a))
        m, n = stiff * m, stiff * n
        points.append(a + (3 * t**2 - 2 * t**3) * way + (t**3 - 2 * t**2 + t) * m + (t**3 - t**2) * n)
        slopes.append((6 * t - 6 * t**2) * way + (3 * t**2 - 4 * t + 1) * m + (3 * t**2 - 2 * t) * n)
        bends.append((6 - 12 * t) * way + (6 * t - 4) * m + (6 * t - 2) * n)
    at, slope, second = (np.concatenate(parts) for parts in (points, slopes, bends))
    size = np.maximum(np.linalg.norm(slope, axis=1), 1e-6)
    curvature = np.linalg.norm(np.cross(slope, second), axis=1) / size**3
    direction = np.concatenate([slope / size[:, None], tangents[-1:]])
    return np.concatenate([at, knots[-1:]]), direction, np.append(curvature, 0.0)


def _timed(at: Sums, direction: Sums, curvature: Sums, speed: float) -> tuple[Sums, Sums]:
    """Positions and velocities each STEP on a curve that begins and ends at rest."""
    ways = np.linalg.norm(np.diff(at, axis=0), axis=1)
    square = np.minimum(speed**2, SIDEWAYS / np.maximum(curvature, 1e-9))
    sinking = DOWN * np.maximum(at[:, 2] - LOW, 0.05) / np.maximum(-direction[:, 2], 1e-6)
    square = np.minimum(square, sinking**2)
    square[0] = square[-1] = 0.0
    for i in range(1, len(square)):
        square[i] = min(square[i], square[i - 1] + 2 * ALONG * ways[i - 1])
    for i in range(len(square) - 2, -1, -1):
        square[i] = min(square[i], square[i + 1] + 2 * ALONG * ways[i])
    fast, place = np.sqrt(square), np.concatenate([[0.0], np.cumsum(ways)])
    when = np.concatenate([[0.0], np.cumsum(2 * ways / (fast[:-1] + fast[1:]))])
    times = np.arange(0.0, when[-1] + STEP, STEP)
    # Within a part of the way the acceleration is constant.
    part = np.clip(np.searchsorted(when, times, side="right") - 1, 0, len(ways) - 1)
    since = np.minimum(times - when[part], when[part + 1] - when[part])
    pull = (square[part + 1] - square[part]) / (2 * ways[part])
    far, now = place[part] + fast[part] * since + pull * since**2 / 2, fast[part] + pull * since

    def along(rows: Sums) -> Sums:
        return np.stack([np.interp(far, place, rows[:, axis]) for axis in range(3)], 1)

    return along(at), now[:, None] * along(direction)


def passed(position: Sums, track: Track, rounds: int = 1, radius: float = RADIUS) -> tuple[int, int, float]:
    """Gates passed in their order by positions [T, 3], frames touched, and the root mean square off their centres, m.

    radius: of the vehicle, m.
    """
    found = np.zeros(4)
    _follow(position.astype(np.float32), track.rows(), np.float32(radius), rounds * len(track.gates), found)
    return int(found[0]), int(found[1]), float(np.sqrt(found[2] / max(found[0], 1.0)))


@kernel(cache=True)
def _follow(position, rows, radius, most, found) -> None:  # type: ignore[no-untyped-def]
    gate = 0
    for t in range(1, len(position)):
        a, b = position[t - 1], position[t]
        for g in range(len(rows)):
            what, left, up = crossing((a[0], a[1], a[2]), (b[0], b[1], b[2]), rows[g], radius)
            if what == HIT or (what == BACKWARDS and g == gate):
                found[1] += 1
            if what == PASSED and g == gate and found[0] < most:
                found[0] += 1
                found[2] += left * left + up * up
                gate = (g + 1) % len(rows)
                break


def _require(path: CoursePath, rounds: int) -> None:
    track = path.track
    if (low := float(path.position[:, 2].min())) < LOW:
        raise UsageError(f"course {track.name}: found a way down to {low:.2f} m, wanted at least {LOW} m above the ground")
    gates, touched, _ = passed(path.position, track, rounds)
    if touched or gates < rounds * len(track.gates):
        found = f"a way that touches {touched} frames and passes {gates} of {rounds * len(track.gates)} gates"
        raise UsageError(f"course {track.name}: found {found}, wanted a course whose gates a smooth way passes")
