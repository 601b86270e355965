"""Arguments and nodes that plug-ins add to a launch file. A group is a module of the shape that docs/plug_ins.md tells."""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from spike_ctrl import plug_ins


def of(launch_file: str) -> list[ModuleType]:
    """The groups of a launch file, by its name without ".launch.py". Raises UsageError for a broken one."""
    return plug_ins.every("launch_arguments", f"{launch_file}.")


def declarations(groups: Sequence[ModuleType]) -> list[Any]:
    """The arguments of all groups."""
    return [argument for group in groups if hasattr(group, "declarations") for argument in group.declarations()]


def parameters(groups: Sequence[ModuleType], context: Any) -> dict[str, dict[str, Any]]:
    """What the groups set of the parameters of the launch file's nodes, by executable."""
    found: dict[str, dict[str, Any]] = {}
    for group in groups:
        if hasattr(group, "parameters"):
            for node, values in group.parameters(context).items():
                found.setdefault(node, {}).update(values)
    return found


def step(groups: Sequence[ModuleType], name: str) -> Callable[[Any], list[Any]]:
    """A function for OpaqueFunction that calls this step of all groups."""

    def visit(context: Any) -> list[Any]:
        return [action for group in groups if hasattr(group, name) for action in getattr(group, name)(context) or []]

    return visit
