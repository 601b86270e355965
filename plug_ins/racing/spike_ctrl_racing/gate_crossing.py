"""Whether a way of one control step passes a gate or hits its frame: a segment against two rectangles, exactly.

The vehicle is a point with a radius: the opening is narrower by it on each side, and the frame reaches as far beyond its
outer edge. Only the gate's plane counts; a frame has no depth.
"""

import numpy as np

from spike_ctrl._files.arrays import Floats, Number, Scalars
from spike_ctrl._files.kernel import inlined

NOTHING, PASSED, BACKWARDS, HIT = 0, 1, 2, 3
_ZERO = np.float32(0)


@inlined
def crossing(before: Scalars, after: Scalars, row: Floats, radius: Number) -> tuple[int, Number, Number]:
    """What the way between two positions (world, m) does at a gate, a row of `track.gate_row`.

    Returns NOTHING, PASSED (along the normal, through the opening), BACKWARDS or HIT, and where the way crosses the gate's
    plane: to the left of and above its centre, m; 0, 0 where it does not. A way that ends in the plane crosses it, one that
    begins there does not, so that each crossing counts once.
    """
    x0, y0, z0 = before[0] - row[0], before[1] - row[1], before[2] - row[2]
    x1, y1, z1 = after[0] - row[0], after[1] - row[1], after[2] - row[2]
    d0, d1 = x0 * row[3] + y0 * row[4] + z0 * row[5], x1 * row[3] + y1 * row[4] + z1 * row[5]
    forwards, backwards = d0 < _ZERO and d1 >= _ZERO, d0 > _ZERO and d1 <= _ZERO
    if not (forwards or backwards):
        return NOTHING, _ZERO, _ZERO
    share = d0 / (d0 - d1)
    x, y, z = x0 + share * (x1 - x0), y0 + share * (y1 - y0), z0 + share * (z1 - z0)
    left, up = x * row[6] + y * row[7] + z * row[8], x * row[9] + y * row[10] + z * row[11]
    across, along = abs(left), abs(up)
    if across <= row[12] - radius and along <= row[13] - radius:
        return (PASSED if forwards else BACKWARDS), left, up
    if across <= row[12] + row[14] + radius and along <= row[13] + row[14] + radius:
        return HIT, left, up
    return NOTHING, left, up
