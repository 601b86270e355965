"""Computing on one thread, which is as fast for networks of this size and gives equal results on every computer.

The number of threads belongs to the process, so programs ask for it and the library does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import scipy.linalg.blas  # noqa: F401  numba multiplies matrices with scipy's BLAS, which must be there to be limited
import torch
from threadpoolctl import threadpool_limits


@contextmanager
def one_thread() -> Iterator[None]:
    """Within, torch and BLAS compute on one thread; afterwards on as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, "blas"):
            yield
    finally:
        torch.set_num_threads(before)
