"""Arguments and nodes that plug-ins add to a launch file, at the point `launch_arguments`; docs/plug_ins.md.

A group is a module that may have

    declarations()       its DeclareLaunchArguments
    prepare(context)     before defaults are set: sees the given arguments alone
    check(context)       refuses, with ValueError, what its nodes would refuse
    first(context)       actions before all nodes
    vehicles(context)    actions in place of the nodes that move the vehicles; None: it moves none
    last(context)        actions after all nodes
"""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from spike_ctrl import plug_ins
from spike_ctrl._files.errors import UsageError


def of(launch_file: str) -> list[ModuleType]:
    """The groups of a launch file, by its name without ".launch.py". Raises UsageError for a broken one."""
    found = []
    for _, group in plug_ins.loaded("launch_arguments", f"{launch_file}."):
        if isinstance(group, UsageError):
            raise group
        found.append(group)
    return found


def declarations(groups: Sequence[ModuleType]) -> list[Any]:
    """The arguments of all groups."""
    return [argument for group in groups if hasattr(group, "declarations") for argument in group.declarations()]


def step(groups: Sequence[ModuleType], name: str) -> Callable[[Any], list[Any]]:
    """A function for OpaqueFunction that calls this step of all groups."""

    def visit(context: Any) -> list[Any]:
        return [action for group in groups if hasattr(group, name) for action in getattr(group, name)(context) or []]

    return visit
