"""Courses that are drawn: turns, climbs, figures of eight, and two gates one above the other that are passed to and fro.

A course is a function of (seed, number): hashes of counters, as `spike_ctrl.sim.randomisation` draws starts. Stations lie on
a closed curve, an ellipse or a figure of eight, with a random height. A gate faces halfway between the directions from the
last and to the next one, give or take `turn`. In a share of the courses one station, moved outwards, is a pair: the second
gate stands above or below the first and is passed in the opposite direction (a split-S, or a climb). What breaks a limit is
drawn again.
"""

import math
from dataclasses import dataclass

import numpy as np

from spike_ctrl._files.arrays import Floats, Number, Sums
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.kernel import kernel
from spike_ctrl._files.ranges import check, within
from spike_ctrl.sim.randomisation import mix
from spike_ctrl_racing.track import GATE_ROWS, Gate, Track

MOST_GATES = 12
ATTEMPTS = 4000
CLEAR = 2.6  # m, between centres of gates that do not follow each other
GROUND = 0.25  # m, from the ground to an opening


@dataclass(frozen=True)
class TrackRanges:
    """From where courses are drawn."""

    fewest: int = within(4, 4, MOST_GATES, "Fewest gates.")
    most: int = within(MOST_GATES, 4, MOST_GATES, "Most gates.")
    nearest: float = within(3.0, 3.0, 30.0, "Least distance from gate to gate.", "m")
    farthest: float = within(15.0, 3.0, 30.0, "Largest distance from gate to gate.", "m")
    low: float = within(1.3, 0.8, 10.0, "Lowest centre of a gate.", "m")
    high: float = within(4.0, 0.8, 20.0, "Highest centre of a gate, but for those above others.", "m")
    turn: float = within(20.0, 0.0, 40.0, "Largest deviation of a gate's yaw from the course's.", "deg")
    pairs: float = within(0.35, 0.0, 1.0, "Share of draws, before limits are checked, with two gates one above the other.")
    eights: float = within(0.35, 0.0, 1.0, "Share of courses that are figures of eight.")
    size: float = within(1.5, 0.6, 5.0, "Width and height of the openings; near the ground they are lower.", "m")
    frame: float = within(0.2, 0.0, 1.0, "Breadth of the frames.", "m")
    facing: float = within(0.4, 0.1, 1.0, "Least cosine of the angle between the way to a gate and its normal.")
    lower: float = within(0.0, 0.0, 1.0, "Largest distance of the lower gate of a pair below `low`.", "m")
    closer: float = within(0.0, 0.0, 1.0, "Distance by which the gates of a pair may be closer than others.", "m")

    def array(self) -> Floats:
        """What `draw_rows` takes. Raises UsageError where a largest is below a least."""
        check(self, "tracks")
        for least, largest in (("fewest", "most"), ("nearest", "farthest"), ("low", "high")):
            if getattr(self, least) > getattr(self, largest):
                found = f"found {getattr(self, least)} and {getattr(self, largest)}"
                raise UsageError(f"tracks: {least}, {largest}: {found}, wanted the first to be at most the second")
        turn = math.radians(self.turn)
        return np.array(
            [self.fewest, self.most, self.nearest, self.farthest, self.low, self.high, turn, self.pairs, self.eights,
             self.size, self.frame, self.facing, self.lower, self.closer], np.float32)  # fmt: skip


@kernel(cache=True)
def _uniform(key: Number, index: int, low: float, high: float) -> float:
    bits = mix(key + np.uint64(index) * np.uint64(0x9E3779B97F4A7C15))
    return low + (high - low) * np.float64(bits >> np.uint64(11)) * (1.0 / (1 << 53))


@kernel(cache=True)
def _stations(key: Number, gates: int, eight: bool, ranges: Floats, at: Sums) -> None:
    """Centres of so many stations on a closed curve, in `at` (gates, 3)."""
    spacing = _uniform(key, 3, 1.2 * ranges[2], 0.8 * ranges[3])
    reach, flat = gates * spacing / (2 * math.pi), _uniform(key, 4, 0.55, 1.0)
    side = 1.0 if _uniform(key, 5, 0.0, 1.0) < 0.5 else -1.0
    phase = _uniform(key, 6, 0.0, 2 * math.pi)
    for i in range(gates):
        angle = phase + 2 * math.pi * (i + _uniform(key, 20 + i, -0.3, 0.3)) / gates
        stretch = _uniform(key, 40 + i, 0.8, 1.2)
        if eight:
            x, y = 1.1 * reach * math.sin(angle), 0.8 * flat * reach * math.sin(2 * angle)
        else:
            x, y = reach * math.cos(angle), flat * reach * math.sin(angle)
        at[i, 0], at[i, 1] = stretch * x, side * stretch * y
        at[i, 2] = _uniform(key, 60 + i, ranges[4], ranges[5])


@kernel(cache=True)
def _fits(
    at: Sums, yaw: Sums, gates: int, second: int, nearest: float, farthest: float, facing: float, closer: float
) -> bool:
    """Whether distances are allowed, and every gate but the `second` of a pair is approached from its front."""
    for i in range(gates):
        after = (i + 1) % gates
        for j in range(i + 1, gates):
            away = math.sqrt((at[i, 0] - at[j, 0]) ** 2 + (at[i, 1] - at[j, 1]) ** 2 + (at[i, 2] - at[j, 2]) ** 2)
            follows = j == after or (j + 1) % gates == i
            least = (nearest - (closer if j == second and i == second - 1 else 0.0)) if follows else CLEAR
            if away < least or (follows and away > farthest):
                return False
        x, y = at[after, 0] - at[i, 0], at[after, 1] - at[i, 1]
        level = math.sqrt(x * x + y * y)
        if after != second:
            if level < 1.0 or abs(at[after, 2] - at[i, 2]) > level:
                return False
            if (x * math.cos(yaw[after]) + y * math.sin(yaw[after])) < facing * level:
                return False
            if (x * math.cos(yaw[i]) + y * math.sin(yaw[i])) < 0.5 * facing * level:
                return False
    return True


@kernel(cache=True)
def draw_rows(seed: int, number: int, ranges: Floats, rows: Floats) -> int:
    """Draw course `number` of a seed into rows (MOST_GATES, GATE_ROWS); returns its gates, 0 where no attempt fits."""
    key0 = mix(mix(mix(np.uint64(seed)) + np.uint64(0x7261636573)) + np.uint64(number))
    at, yaw = np.zeros((MOST_GATES, 3)), np.zeros(MOST_GATES)
    limits = float(ranges[2]), float(ranges[3]), float(ranges[11]), float(ranges[13])
    for attempt in range(ATTEMPTS):
        key = mix(key0 + np.uint64(attempt))
        gates = int(ranges[0] + math.floor(_uniform(key, 0, 0.0, ranges[1] - ranges[0] + 1.0)))
        gates = min(gates, int(ranges[1]))
        pair = _uniform(key, 1, 0.0, 1.0) < ranges[7] and gates >= 5
        stations = gates - 1 if pair else gates
        eight = _uniform(key, 2, 0.0, 1.0) < ranges[8] and stations >= 6
        _stations(key, stations, eight, ranges, at)
        for i in range(stations):
            before, after = (i - 1) % stations, (i + 1) % stations
            x0, y0 = at[i, 0] - at[before, 0], at[i, 1] - at[before, 1]
            x1, y1 = at[after, 0] - at[i, 0], at[after, 1] - at[i, 1]
            d0, d1 = math.sqrt(x0 * x0 + y0 * y0) + 1e-9, math.sqrt(x1 * x1 + y1 * y1) + 1e-9
            middle = math.atan2(y0 / d0 + y1 / d1, x0 / d0 + x1 / d1)
            yaw[i] = middle + _uniform(key, 80 + i, -ranges[6], ranges[6])
        second = -1
        if pair:
            second = 1 + int(_uniform(key, 7, 0.0, stations - 1e-6))
            for i in range(gates - 1, second, -1):
                yaw[i] = yaw[i - 1]
                for axis in range(3):
                    at[i, axis] = at[i - 1, axis]
            closer = _uniform(key, 12, 0.0, float(ranges[13]))
            first, apart = second - 1, max(3.0, float(ranges[2])) - closer + _uniform(key, 8, 0.0, 0.5)
            before, after = (first - 1) % gates, (second + 1) % gates
            x = at[first, 0] - 0.5 * (at[before, 0] + at[after, 0])
            y = at[first, 1] - 0.5 * (at[before, 1] + at[after, 1])
            yaw[first] = math.atan2(y, x)
            yaw[second] = yaw[first] + math.pi
            wide = math.sqrt((at[before, 0] - at[after, 0]) ** 2 + (at[before, 1] - at[after, 1]) ** 2)
            out = wide * _uniform(key, 11, 0.2, 0.5)
            at[first, 0] += out * math.cos(yaw[first])
            at[first, 1] += out * math.sin(yaw[first])
            for axis in range(3):
                at[second, axis] = at[first, axis]
            base = ranges[4] - _uniform(key, 13, 0.0, float(ranges[12])) + _uniform(key, 9, 0.0, 0.5)
            upper, lower = (first, second) if _uniform(key, 10, 0.0, 1.0) < 0.6 else (second, first)
            at[lower, 2], at[upper, 2] = base, base + apart
        if _fits(at, yaw, gates, second, *limits):
            for i in range(gates):
                c, s = math.cos(yaw[i]), math.sin(yaw[i])
                rows[i, 0], rows[i, 1], rows[i, 2] = at[i, 0], at[i, 1], at[i, 2]
                rows[i, 3], rows[i, 4], rows[i, 5] = c, s, 0.0
                rows[i, 6], rows[i, 7], rows[i, 8] = -s, c, 0.0
                rows[i, 9], rows[i, 10], rows[i, 11] = 0.0, 0.0, 1.0
                rows[i, 12], rows[i, 14], rows[i, 15] = 0.5 * ranges[9], ranges[10], 0.0
                rows[i, 13] = min(0.5 * ranges[9], at[i, 2] - GROUND)
            return gates
    return 0


def draw(seed: int, number: int = 0, ranges: TrackRanges = TrackRanges()) -> Track:
    """Course `number` of a seed. Raises UsageError where the ranges leave no room for one."""
    rows = np.zeros((MOST_GATES, GATE_ROWS), np.float32)
    count = draw_rows(seed, number, ranges.array(), rows)
    if not count:
        raise UsageError(f"tracks: found no course of seed {seed} in {ATTEMPTS} attempts, wanted wider ranges")
    gates = []
    for row in rows[:count].astype(float):
        x, y, z = (round(float(a), 4) for a in row[:3])
        yaw = round(math.degrees(math.atan2(row[4], row[3])), 4)
        gates.append(Gate((x, y, z), yaw, 0.0, round(2 * row[12], 4), round(2 * row[13], 4), round(row[14], 4)))
    return Track(f"drawn-{seed}-{number}", tuple(gates), "drawn")
