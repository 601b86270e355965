"""numba's decorators with types: what they compile keeps the signature that it was written with."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba
from numba.core.registry import CPUDispatcher
from numba.core.types.misc import unliteral

from spike_ctrl._files import kernel_cache

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Function = Callable[Parameters, Result]

# Of the simulator's kernels: rounding may differ from strict IEEE order, NaN and infinity stay what they are.
FASTMATH = {"contract", "arcp", "nsz"}


class _Kernel(CPUDispatcher):  # type: ignore[misc]
    """A compiled function, one for all constants in calls: numba would compile it anew for each of them."""

    def get_call_template(self, args: Any, kws: Any) -> Any:
        kinds = tuple(map(unliteral, args))
        return super().get_call_template(kinds, {name: unliteral(kind) for name, kind in kws.items()})


class _Part(_Kernel):
    """A part of kernels, without the entry from Python that takes long to compile; a call from there compiles a kernel."""

    def __call__(self, *given: Any) -> Any:
        return _call(self, *given)


@numba.njit
def _call(part: Any, *given: Any) -> Any:
    return part(*given)


def kernel(**options: Any) -> Callable[[Function[Parameters, Result]], Function[Parameters, Result]]:
    """Compile a function by `numba.njit` with these options, on its first call."""
    if options.get("forceinline"):
        options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

    def compile_it(function: Function[Parameters, Result]) -> Function[Parameters, Result]:
        with kernel_cache.ours():
            compiled: Function[Parameters, Result] = numba.njit(**options)(function)
        if isinstance(compiled, CPUDispatcher):  # not where numba is told to compile nothing
            compiled.__class__ = _Part if options.get("forceinline") else _Kernel
        return compiled

    return compile_it


def inlined(function: Function[Parameters, Result]) -> Function[Parameters, Result]:
    """A function of the simulator that is compiled once, and then is part of the machine code of each kernel that calls it.

    Its arithmetic is that of the simulator: FASTMATH.
    """
    return kernel(cache=True, forceinline=True, fastmath=FASTMATH, error_model="numpy")(function)


def spliced(function: Function[Parameters, Result]) -> Function[Parameters, Result]:
    """A function whose source each kernel that calls it takes into its own, with its own rules of arithmetic.

    It is compiled again with each of them, which takes long; for kernels with other rules, and loops that only then become
    vector instructions.
    """
    return kernel(inline="always")(function)
