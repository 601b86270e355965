"""Actions that our launch files and those of plug-ins share: a node of ours, and the end of a graph."""

from collections.abc import Mapping
from typing import Any

from spike_ctrl.launching.declared_arguments import Arguments, parameters


def node(package: str, executable: str, arguments: Arguments, fixed: Mapping[str, Any] | None = None, **options: Any) -> Any:
    """A node named as its executable, which gets these launch arguments and the fixed values as parameters.

    It stands in the namespace of the launch. options: of `launch_ros.actions.Node`; lifecycle: True of a LifecycleNode.
    """
    from launch.substitutions import LaunchConfiguration
    from launch_ros.actions import LifecycleNode, Node

    options = {"namespace": LaunchConfiguration("namespace", default="")} | options
    return (LifecycleNode if options.pop("lifecycle", False) else Node)(
        package=package,
        executable=executable,
        name=executable,
        parameters=[parameters(arguments) | dict(fixed or {})],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        output="screen",
        **options,
    )


def end_graph(event: Any, context: Any) -> list[Any]:
    """For `on_exit`: a node that ends by itself ends the graph. After a kill, the nodes that miss it report it."""
    from launch.actions import Shutdown

    killed = event.returncode < 0 or event.returncode > 128
    return [] if killed or context.is_shutdown else [Shutdown(reason="a node has ended")]
