"""How a process computes while it trains. The settings belong to the process: programs ask for them, the library does not.

One thread is as fast for networks of this size, and gives equal results on every computer.

Memory that an update of critics and actor frees, some 50 MB, is kept for the next one. glibc would give large blocks back to
the system, which hands them out again page by page, each with a fault. Kept, an update of the critics takes two thirds of
the time; the numbers are the same bits.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import scipy.linalg.blas  # noqa: F401  numba multiplies matrices with scipy's BLAS, which must be there to be limited
import torch
from threadpoolctl import threadpool_limits

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of mallopt(3)
KEPT, AT_ONCE, LARGEST = 512 << 20, 64 << 20, 32 << 20  # bytes; glibc takes no larger threshold than the last


@contextmanager
def training_process() -> Iterator[None]:
    """Within, torch and BLAS compute on one thread; afterwards on as many as before. Freed memory is kept from then on."""
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:  # the C library is glibc
        for option, size in ((M_MMAP_THRESHOLD, LARGEST), (M_TRIM_THRESHOLD, KEPT), (M_TOP_PAD, AT_ONCE)):
            mallopt(option, size)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, "blas"):
            yield
    finally:
        torch.set_num_threads(before)
