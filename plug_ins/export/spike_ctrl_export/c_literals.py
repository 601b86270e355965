"""Numbers and text as literals of C."""

from collections.abc import Iterable

import numpy as np


def text(value: str) -> str:
    """A string literal. Every character that C could interpret is escaped."""
    plain = (chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}" for byte in value.encode())
    return f'"{"".join(plain)}"'


def array(name: str, values: np.ndarray) -> str:
    """A constant array of float32 or integers. Floats have enough digits to be read back exactly."""
    kind = "float" if values.dtype == np.float32 else f"{values.dtype.name}_t"
    shape = "".join(f"[{size}]" for size in values.shape)
    return f"static const {kind} {name}{shape} = {_initialiser(values)};\n"


def _initialiser(values: np.ndarray) -> str:
    if values.ndim > 1:
        return "{\n" + ",\n".join(_initialiser(row) for row in values) + "\n}"
    return "{\n" + "\n".join(_lines(_literals(values))) + "\n}"


def _literals(values: np.ndarray) -> list[str]:
    if values.dtype != np.float32:
        return [str(value) for value in values.tolist()]
    texts = (f"{value:.9g}" for value in values.tolist())
    return [f"{text}f" if set(text) & set(".e") else f"{text}.0f" for text in texts]


def _lines(texts: Iterable[str]) -> list[str]:
    lines, line = [], ""
    for text in texts:
        if len(line) + len(text) > 116:
            lines.append(line)
            line = ""
        line += f"{text}, "
    return [*lines, line.rstrip(", ")]
