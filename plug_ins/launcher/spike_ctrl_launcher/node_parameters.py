"""Values of node parameters, with the types that ROS 2's launch_ros gives them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from spike_ctrl._files.errors import UsageError
from spike_ctrl_launcher.substitutions import Substitution, text

if TYPE_CHECKING:
    from spike_ctrl_launcher.runner import LaunchContext as Context


class ParameterValue:
    """A parameter with an explicit type. Without one, the text of a substitution is read as YAML."""

    def __init__(self, value: Any, *, value_type: Any = None) -> None:
        self.value, self.value_type = value, value_type

    def evaluate(self, context: Context) -> Any:
        """The value, with its type. Raises UsageError if it has another type."""
        name = self.value.describe() if isinstance(self.value, Substitution) else "parameter"
        return _typed(context, self, name)


def parameters(context: Context, found: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """The values of a node's parameters, with the types that ROS gives them.

    found: values by name; dictionaries may be nested. where: names the node in errors. Raises UsageError.
    """
    return {
        text(context, key): parameters(context, value, where)
        if isinstance(value, dict)
        else _parameter(context, value, f"{where}, parameter '{text(context, key)}'")
        for key, value in found.items()
    }


def _parameter(context: Context, value: Any, where: str) -> Any:
    if isinstance(value, ParameterValue):
        return _typed(context, value, where)
    if isinstance(value, Substitution):
        return _read(text(context, value), where)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        if any(isinstance(part, Substitution) for part in value):
            return _read(text(context, value), where)
        value = list(value)
    kinds = {type(part) for part in value} if isinstance(value, list) else {type(value)}
    if kinds == {int, float}:
        return [float(part) for part in value]
    if len(kinds) > 1 or not kinds <= {bool, int, float, str}:
        raise UsageError(f"{where}: found {value!r}, wanted bool, int, float, str or a list of one of them")
    return value


def _read(found: str, where: str) -> Any:
    """Text read as YAML; empty text stays empty text."""
    try:
        value = yaml.safe_load(found)
    except yaml.YAMLError as error:
        raise UsageError(f"{where}: found {found!r}: {str(error).splitlines()[0]}") from None
    return "" if value is None else value if isinstance(value, bool | int | float | str | list) else found


def _typed(context: Context, parameter: ParameterValue, where: str) -> Any:
    kind, value = parameter.value_type, parameter.value
    if kind is None:
        return _parameter(context, value, where)
    if kind is str and not isinstance(value, bool | int | float):
        return text(context, value)
    value = _parameter(context, value, where)
    if kind is float:
        try:
            return float(value)  # YAML reads 1 as int and 1e-3 as text
        except (TypeError, ValueError):
            pass
    elif isinstance(kind, type) and type(value) is kind:
        return value
    elif not isinstance(kind, type):  # List[int] and the like: YAML has decided the type
        return value
    raise UsageError(f"{where}: found {value!r}, wanted {kind.__name__}")
