"""Names for the types that arithmetic works on."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Numbers: TypeAlias = Any
"""A torch tensor, a numpy array, or a scalar in a compiled kernel: what plain arithmetic takes."""

Number: TypeAlias = Any
"""A scalar in a compiled kernel, whose precision is that of the arrays it comes from."""
Scalars: TypeAlias = tuple[Any, ...]
"""Such scalars in a row, which a kernel keeps in registers."""

Floats: TypeAlias = npt.NDArray[np.float32]
Sums: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]
