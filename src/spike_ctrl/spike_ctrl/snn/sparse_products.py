"""Products with vectors of which few elements are not zero, such as spikes: sums of the rows of a table for these."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from spike_ctrl._files.arrays import Number
from spike_ctrl._files.kernel import kernel

Table: TypeAlias = npt.NDArray[np.floating]
Rows: TypeAlias = npt.NDArray[np.unsignedinteger]
Marks: TypeAlias = npt.NDArray[np.uint8]


@kernel(cache=True, nogil=True, fastmath={"contract", "reassoc"}, error_model="numpy")
def add_rows(total: Table, table: Table, index: Rows, factor: Table, count: Number) -> None:
    """total [H] += sum_{i < count} factor[i] table[index[i]], four rows in each pass over total."""
    width, i = np.uint64(len(total)), np.uint64(0)
    while i + np.uint64(4) <= count:
        a, b, c, d = table[index[i]], table[index[i + 1]], table[index[i + 2]], table[index[i + 3]]
        fa, fb, fc, fd = factor[i], factor[i + 1], factor[i + 2], factor[i + 3]
        for h in range(width):
            total[h] += (fa * a[h] + fb * b[h]) + (fc * c[h] + fd * d[h])
        i += np.uint64(4)
    while i < count:
        a, fa = table[index[i]], factor[i]
        for h in range(width):
            total[h] += fa * a[h]
        i += np.uint64(1)


@kernel(cache=True, nogil=True, error_model="numpy")
def list_marked(marked: Marks, index: Rows) -> Number:
    """Write the indices of the ones in `marked` (bytes, 0 or 1) to `index`; returns their number. It never branches."""
    count = np.uint64(0)
    for h in range(np.uint64(len(marked))):
        index[count] = h
        count += np.uint64(marked[h])
    return count


@kernel(cache=True, nogil=True, error_model="numpy")
def add_outer(membranes: Table, theta: Table, rows: Table, total: Table) -> None:
    """total [N, H] += spikes^T rows for rows [R, H] and the spikes of membranes [R, N] above theta."""
    step = 64  # rows, as many as a mask has bits
    masks, index = np.empty(len(theta), np.uint64), np.empty(step, np.uint64)
    ones = np.ones(step, rows.dtype)
    for first in range(0, len(rows), step):
        part = rows[first : first + step]
        masks[:] = 0
        for r in range(len(part)):
            u, bit = membranes[first + r], np.uint64(r)
            for n in range(np.uint64(len(theta))):
                masks[n] |= np.uint64(u[n] > theta[n]) << bit
        for n in range(len(theta)):
            mask, count = masks[n], np.uint64(0)
            for r in range(np.uint64(len(part))):
                index[count] = r
                count += (mask >> r) & np.uint64(1)
            add_rows(total[n], part, index, ones, count)
