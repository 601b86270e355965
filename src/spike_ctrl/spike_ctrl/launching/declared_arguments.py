"""Launch arguments from settings: each is a field of a dataclass, of a node's parameters or of the launch file's own.

POLICY = of_node(PolicyParameters, "model airframe", model="models/mine.safetensors")
OWN = of_launch(Flight)
declarations(OWN, POLICY)       # actions of the launch description
parameters(POLICY)              # for the node
typed(POLICY, context)          # their values, to refuse wrong ones before a node runs
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from spike_ctrl._files import ranges
from spike_ctrl._files.ranges import setting, within


@dataclass(frozen=True)
class LaunchSettings:
    """Arguments of each launch file whose nodes work together."""

    log_level: str = setting("info", "Least severe messages that nodes print.", choices=("debug", "info", "warn", "error"))
    namespace: str = setting("", "ROS namespace of the nodes, topics and services, such as b; empty: the root.")
    priority: int = within(0, 0, 99, "In real time: SCHED_FIFO priority of the nodes from state to command; 0: ordinary.")


class LaunchArgument(NamedTuple):
    """kind: type of the value. default: as text; None: it must be given. choices: those that the launch checks."""

    kind: type
    default: str | None
    description: str
    choices: tuple[str, ...] | None = None


Arguments: TypeAlias = dict[str, LaunchArgument]
"""Launch arguments by their names."""


def of_node(settings: Any, names: str = "", only: str = "", **defaults: object) -> Arguments:
    """Parameters of a node or options of a program, which checks their values: all, or those named.

    only: the argument that they belong to, for their sentences. defaults: in place of theirs; None: it must be given.
    """
    known = of_launch(settings)
    chosen = {name: known[name] for name in names.split() or known}
    words = f" Only with {only}." if only else ""
    found = {name: one._replace(description=one.description + words, choices=None) for name, one in chosen.items()}
    return found | {name: found[name]._replace(default=_text(value)) for name, value in defaults.items()}


def of_launch(settings: Any) -> Arguments:
    """All fields of a dataclass of `ranges.setting` fields. The launch refuses what is not among the choices of one."""
    return {
        one.name: LaunchArgument(
            type(one.default), _text(one.default), ranges.described(one.metadata), one.metadata.get("choices")
        )
        for one in dataclasses.fields(settings)
    }


def declarations(*groups: Arguments) -> list[Any]:
    """The DeclareLaunchArguments of these groups. Of a name in several, the first one counts."""
    from launch.actions import DeclareLaunchArgument

    known: Arguments = {}
    for group in groups:
        known |= {name: argument for name, argument in group.items() if name not in known}
    return [
        DeclareLaunchArgument(name, default_value=default, description=words, choices=choices and list(choices))
        for name, (_, default, words, choices) in known.items()
    ]


def parameters(arguments: Arguments) -> dict[str, Any]:
    """The values of these arguments as parameters of a node, with their types."""
    from launch.substitutions import LaunchConfiguration
    from launch_ros.parameter_descriptions import ParameterValue

    return {name: ParameterValue(LaunchConfiguration(name), value_type=one.kind) for name, one in arguments.items()}


def typed(arguments: Arguments, context: Any) -> dict[str, Any]:
    """The values of these arguments with their types, by name. Raises an error of the launch for one of another type."""
    return {name: value.evaluate(context) for name, value in parameters(arguments).items()}


def _text(value: object) -> str | None:
    """As a command line gives it; None stays None."""
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)
