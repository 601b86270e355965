"""Substitutions and conditions of a launch file: values that are known only when the file runs.

Names, arguments and meaning are those of `launch.substitutions`, `launch.conditions` and `launch_ros.substitutions`.
A context is a runner.LaunchContext.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from spike_ctrl._files import resources
from spike_ctrl._files.errors import UsageError

if TYPE_CHECKING:
    from spike_ctrl_launcher.runner import LaunchContext as Context


class Substitution:
    """A value that becomes text when the launch file runs."""

    def perform(self, context: Context) -> str:
        """The text. Raises UsageError if there is none."""
        raise UsageError(f"{type(self).__name__} has no text")

    def describe(self) -> str:
        """What the text will be, for --show-args and errors."""
        return type(self).__name__


Words: TypeAlias = "str | os.PathLike[str] | Substitution | Sequence[Words]"
"""Text, a substitution, or a sequence of both, which is joined."""


class TextSubstitution(Substitution):
    """Fixed text."""

    def __init__(self, *, text: str) -> None:
        self.text = text

    def perform(self, context: Context) -> str:
        return self.text

    def describe(self) -> str:
        return self.text


class LaunchConfiguration(Substitution):
    """The value of a launch argument, or `default` if that argument is not declared."""

    def __init__(self, variable_name: str, *, default: Words | None = None) -> None:
        self.variable_name, self.default = variable_name, default

    def perform(self, context: Context) -> str:
        if self.variable_name in context.launch_configurations:
            return context.launch_configurations[self.variable_name]
        if self.default is None:
            raise UsageError(f"LaunchConfiguration('{self.variable_name}') is used but no such argument is declared")
        return text(context, self.default)

    def describe(self) -> str:
        return f"the value of {self.variable_name}"


class EnvironmentVariable(Substitution):
    """The value of an environment variable, or `default_value` if it is not set."""

    def __init__(self, name: Words, *, default_value: Words | None = None) -> None:
        self.name, self.default_value = name, default_value

    def perform(self, context: Context) -> str:
        name = text(context, self.name)
        if name in context.environment:
            return context.environment[name]
        if self.default_value is None:
            raise UsageError(f"environment variable {name} is not set")
        return text(context, self.default_value)

    def describe(self) -> str:
        return f"${self.name}"


class PathJoinSubstitution(Substitution):
    """Parts of a path, joined by "/"."""

    def __init__(self, substitutions: Sequence[Words]) -> None:
        self.substitutions = substitutions

    def perform(self, context: Context) -> str:
        return os.path.join(*(text(context, part) for part in self.substitutions))


class PythonExpression(Substitution):
    """The value of a Python expression, as text. The expression may use the module math."""

    def __init__(self, expression: Words) -> None:
        self.expression = expression

    def perform(self, context: Context) -> str:
        expression = text(context, self.expression)
        try:
            return str(eval(expression, {"math": math, **vars(math)}))
        except Exception as error:
            raise UsageError(f"PythonExpression {expression!r}: {error}") from None


class ThisLaunchFileDir(Substitution):
    """The folder of the launch file."""

    def perform(self, context: Context) -> str:
        return str(context.directory)


class FindPackageShare(Substitution):
    """The share folder of a package. That of spike_ctrl holds `launch`, `config` and `models`."""

    def __init__(self, package: Words) -> None:
        self.package = package

    def perform(self, context: Context) -> str:
        package = text(context, self.package)
        if package == "spike_ctrl":
            return str(resources.folder("config").parent)
        places = [prefix / "share" / package for prefix in context.prefixes()]
        for place in places:
            if place.is_dir():
                return str(place)
        raise UsageError(f"package '{package}' has no share folder; searched {', '.join(map(str, places))}")


def text(context: Context, value: Words) -> str:
    """The text of a value. Raises UsageError."""
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    if isinstance(value, Substitution):
        return value.perform(context)
    if isinstance(value, Sequence):
        return "".join(text(context, part) for part in value)
    raise UsageError(f"found {value!r}, wanted text or a substitution")


class IfCondition:
    """Holds if its expression is true or 1."""

    def __init__(self, predicate_expression: Words) -> None:
        self.predicate_expression = predicate_expression

    def evaluate(self, context: Context) -> bool:
        """Whether the condition holds. Raises UsageError for anything but true, false, 1 or 0."""
        found = text(context, self.predicate_expression).strip().lower()
        if found not in ("true", "false", "1", "0"):
            raise UsageError(f"condition: found '{found}', wanted true, false, 1 or 0")
        return found in ("true", "1")


class UnlessCondition(IfCondition):
    """Holds if its expression is false or 0."""

    def evaluate(self, context: Context) -> bool:
        return not super().evaluate(context)
