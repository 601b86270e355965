"""numba's decorators with types: what they compile keeps the signature that it was written with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Function = Callable[Parameters, Result]

# Of the simulator's kernels: rounding may differ from strict IEEE order, NaN and infinity stay what they are.
FASTMATH = {"contract", "arcp", "nsz"}


def kernel(**options: Any) -> Callable[[Function[Parameters, Result]], Function[Parameters, Result]]:
    """Compile a function by `numba.njit` with these options, on its first call."""
    compile_it: Callable[[Function[Parameters, Result]], Function[Parameters, Result]] = numba.njit(**options)
    return compile_it


def inlined(function: Function[Parameters, Result]) -> Function[Parameters, Result]:
    """A function of the simulator that is compiled once, and then is part of the machine code of each kernel that calls it.

    Its arithmetic is that of the simulator: FASTMATH.
    """
    compile_it = numba.njit(cache=True, forceinline=True, fastmath=FASTMATH, error_model="numpy")
    compiled: Function[Parameters, Result] = compile_it(function)
    return compiled


def spliced(function: Function[Parameters, Result]) -> Function[Parameters, Result]:
    """A function whose source each kernel that calls it takes into its own, with its own rules of arithmetic.

    It is compiled again with each of them, which takes long; for kernels with other rules, and loops that only then become
    vector instructions.
    """
    compiled: Function[Parameters, Result] = numba.njit(inline="always")(function)
    return compiled
