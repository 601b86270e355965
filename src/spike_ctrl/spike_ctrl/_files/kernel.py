"""numba's decorators with types: what they compile keeps the signature that it was written with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba

Parameters, Result = ParamSpec("Parameters"), TypeVar("Result")
Function = Callable[Parameters, Result]


def kernel(**options: Any) -> Callable[[Function[Parameters, Result]], Function[Parameters, Result]]:
    """Compile a function by `numba.njit` with these options, on its first call."""
    compile_it: Callable[[Function[Parameters, Result]], Function[Parameters, Result]] = numba.njit(**options)
    return compile_it


def inlined(function: Function[Parameters, Result]) -> Function[Parameters, Result]:
    """A function whose body each kernel that calls it takes into its own, with its own rules of arithmetic."""
    compiled: Function[Parameters, Result] = numba.njit(inline="always")(function)
    return compiled
