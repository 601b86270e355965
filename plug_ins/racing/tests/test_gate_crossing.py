"""A way against a gate, judged by signed volumes of tetrahedra instead: no plane, no projection, in double precision."""

import numpy as np
import pytest

from spike_ctrl._files.kernel import kernel
from spike_ctrl_racing.gate_crossing import BACKWARDS, HIT, NOTHING, PASSED, crossing
from spike_ctrl_racing.track import Gate, gate_row

RADIUS = np.float32(0.2)


@kernel()
def _all(before, after, rows, radius):
    found = np.empty(len(rows), np.int64)
    for i in range(len(rows)):
        b, a = before[i], after[i]
        found[i] = crossing((b[0], b[1], b[2]), (a[0], a[1], a[2]), rows[i], radius)[0]
    return found


def _volume(a, b, c, d):
    return np.einsum("ni,ni->n", np.cross(b - a, c - a), d - a)


def _through(p, q, corners):
    """Whether segments pq go through rectangles [n, 4, 3], and how near the decision is to a tie."""
    inside, nearest = np.zeros(len(p), bool), np.full(len(p), np.inf)
    for triangle in ((0, 1, 2), (0, 2, 3)):
        a, b, c = (corners[:, k] for k in triangle)
        sides = np.stack([_volume(p, q, a, b), _volume(p, q, b, c), _volume(p, q, c, a)])
        ends = np.stack([_volume(a, b, c, p), _volume(a, b, c, q)])
        across = ends[0] * ends[1] < 0
        inside |= across & ((sides > 0).all(0) | (sides < 0).all(0))
        nearest = np.minimum(nearest, np.minimum(np.abs(sides).min(0), np.abs(ends).min(0)))
    return inside, nearest


def test_crossings_agree_with_tetrahedra():
    generator, count = np.random.default_rng(0), 20000
    gates = [
        Gate(
            tuple(generator.uniform(-5, 5, 3)),
            generator.uniform(-180, 180),
            generator.uniform(-80, 80),
            *generator.uniform(0.6, 2, 2),
            generator.uniform(0, 0.5),
        )
        for _ in range(200)
    ]
    rows = np.stack([gate_row(gates[i % 200]) for i in range(count)])
    middle = rows[:, :3] + generator.normal(0, 0.8, (count, 3))
    way = generator.normal(0, 0.6, (count, 3))
    before, after = (middle - way).astype(np.float32), (middle + way).astype(np.float32)
    centre, left, up = (rows[:, k : k + 3].astype(float) for k in (0, 6, 9))

    def corners(extra):
        w, h = (rows[:, k].astype(float)[:, None] + extra for k in (12, 13))
        return np.stack([centre + a * w * left + b * h * up for a, b in ((1, 1), (1, -1), (-1, -1), (-1, 1))], 1)

    frame = rows[:, 14].astype(float)[:, None] + float(RADIUS)
    opening, near1 = _through(before.astype(float), after.astype(float), corners(-float(RADIUS)))
    whole, near2 = _through(before.astype(float), after.astype(float), corners(frame))
    forwards = np.einsum("ni,ni->n", way, rows[:, 3:6]) > 0
    wanted = np.where(opening, np.where(forwards, PASSED, BACKWARDS), np.where(whole, HIT, NOTHING))
    sure = np.minimum(near1, near2) > 1e-4
    found = _all(before, after, rows, RADIUS)
    assert sure.mean() > 0.95
    assert np.bincount(wanted[sure], minlength=4).min() > 500
    np.testing.assert_array_equal(found[sure], wanted[sure])


@pytest.mark.parametrize(("y", "wanted"), [(0.0, PASSED), (0.54, PASSED), (0.56, HIT), (1.14, HIT), (1.16, NOTHING)])
def test_the_radius_narrows_the_opening_and_widens_the_frame(y, wanted):
    row = gate_row(Gate((0.0, 0.0, 0.0), width=1.5, height=1.5, frame=0.2))[None]
    ends = [np.array([[side, y, 0.0]], np.float32) for side in (-0.1, 0.1)]
    assert _all(*ends, row, RADIUS)[0] == wanted


@pytest.mark.installed
def test_a_way_that_ends_in_the_plane_counts_once():
    row = np.repeat(gate_row(Gate((0.0, 0.0, 0.0)))[None], 2, 0)
    before, after = np.array([[-1, 0, 0], [0, 0, 0]], np.float32), np.array([[0, 0, 0], [1, 0, 0]], np.float32)
    assert list(_all(before, after, row, RADIUS)) == [PASSED, NOTHING]
